//! `examples/pipe.rs` as its users run it: a child process against a collector over a real socket.

mod configuration;
mod delivery;
mod input;
mod lines;
mod stopping;
mod support;

#[path = "../example_support/mod.rs"]
mod example_support;
