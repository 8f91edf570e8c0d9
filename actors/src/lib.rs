//! x
mod budget;
mod ingress;
mod ledger;
mod provider;
mod request;
mod sync;

pub use ingress::{Overflow, Priority};
pub use ledger::*;
pub use provider::*;
pub use request::Events;
