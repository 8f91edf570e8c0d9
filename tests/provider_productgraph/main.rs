//! The `ProductGraph` provider against a receiver over real sockets.

mod config;
mod connection;
mod logs;
mod service;
mod support;
#[cfg(feature = "rustls")]
mod tls;
