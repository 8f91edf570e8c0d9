//! What may leave the process: redaction, consent and sampling, as values without an engine.

mod consent;
mod detect;
mod json;
mod keys;
mod known;
mod redaction;
mod rules;
mod sampling;

pub use consent::{Consent, ConsentPolicy};
pub(crate) use known::Known;
pub use redaction::{Redaction, RedactionMode};
pub use sampling::Sampling;
#[cfg(feature = "tower")]
pub(crate) use sampling::{Threshold, hash, threshold};
