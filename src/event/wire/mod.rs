//! The flat wire form: one JSON object an event, keys with dots in them.
//!
//! This is what the service takes (`POST /v1/events`, each element of `events`) and
//! what the web adapter sends. Integers are whole, times are RFC 3339 in UTC, texts are cut to the
//! lengths a stored deployment accepts, absent fields are left out, zeros are kept, and no key
//! appears twice. What the service has no field for travels in `metadata`.

mod clock;
pub(crate) mod fields;
mod json;
pub(crate) mod keys;
mod limits;
mod read;
mod serialize;
mod write;

use crate::Text;

pub(crate) use clock::Clock;
pub use limits::MAX_WIRE_BYTES;
pub(crate) use read::Object;
pub use read::ReadError;
pub(crate) use write::Head;

/// Which key carries the tenant: the service renamed it in v0.3.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TenantKeys {
    /// Both, with the same value: right for every version of the service.
    #[default]
    Both,
    /// `product_id` only: v0.3.0 and later.
    ProductId,
    /// `project_id` only: v0.2.0 and earlier.
    ProjectId,
}

/// How events are written.
///
/// ```
/// use productgraph::event::wire::{TenantKeys, WireOptions};
///
/// let mut options = WireOptions::new("shop");
/// options.tenant_keys = TenantKeys::ProductId;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WireOptions {
    /// The project (product) of events that do not name one themselves.
    pub project: Text,
    /// Which key carries it; default [`TenantKeys::Both`].
    pub tenant_keys: TenantKeys,
    /// Whether journey conversions and snapshots go under types of their own
    /// (`journey.conversion`, `snapshot.captured`), which a deployment may refuse. Default: no,
    /// they go as `journey.step` and `custom` with that as their name.
    pub specific_types: bool,
}

impl WireOptions {
    /// The defaults for a project.
    #[must_use]
    pub fn new(project: impl Into<Text>) -> Self {
        Self {
            project: project.into(),
            tenant_keys: TenantKeys::default(),
            specific_types: false,
        }
    }
}

/// Why an event cannot be written: the service would refuse it without these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// It has no id.
    #[error("the event has no id")]
    NoId,
    /// It has no time.
    #[error("the event has no timestamp")]
    NoTimestamp,
    /// It has neither a session of its own nor a correlation.
    #[error("the event has no session")]
    NoSession,
    /// Neither it nor the options name a project.
    #[error("the event has no project")]
    NoProject,
    /// Its type is empty.
    #[error("the event has no type")]
    NoType,
}
