//! Whole clients against a sink.
use crate::request::Req;
/// The first argument that makes a program a client under measurement.
pub(crate) const ROLE: &str = "client";

/// A whole client, with its transport.
pub trait Client {
    /// Hands over the event of a request, the `number`th from 0; false if it was refused.
    fn track(&mut self, request: &Req, number: u64) -> bool;
    /// Delivers what it has and ends.
    fn shutdown(&mut self);
}
pub fn child() {}
