//! The rows of the fault table in `docs/OPERATIONS.md`: one destination in trouble beside a sound one,
//! over real sockets where the fault is one of the network. Each test says where every event ended, what
//! the accounts show, what was logged and how often, and that the sound destination noticed nothing.

mod actors;
mod answers;
mod clock;
mod gateway;
mod memory;
mod network;
mod providers;
mod refusals;
mod shutdown;
mod size_and_poison;
mod stage;
#[cfg(feature = "rustls")]
mod tls;

#[path = "../engine_support/mod.rs"]
mod engine_support;
