//! The clients by name, and what to know about each before it runs.

use super::{Client, engine, pipe};
use crate::peers;
use crate::request::MARKER;

/// What to know about a client.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    /// In front of each event's number on the wire.
    pub(super) marker: &'static str,
    /// How often each event arrives.
    pub(super) copies: u64,
    /// Events it can have outstanding without losing any.
    pub(super) window: u64,
    /// Whether events say their session in front of their number.
    pub(super) ordered: bool,
}

impl Spec {
    /// The client called `name`, if this program has it.
    pub(super) fn called(name: &str) -> Option<Self> {
        const TUNED: u64 = 20_000;
        let peer = |name, window| Self {
            name,
            marker: MARKER,
            copies: 1,
            window,
            ordered: false,
        };
        let spec = match name {
            pipe::NAME => Self {
                ordered: true,
                ..peer(pipe::NAME, TUNED)
            },
            "otel" => peer("otel", TUNED),
            "otel_default" => peer("otel_default", 1500),
            "posthog" => peer("posthog", TUNED),
            "posthog_default" => peer("posthog_default", 5000),
            "sentry_log" => peer("sentry_log", TUNED),
            "sentry_log_default" => peer("sentry_log_default", 2500),
            _ => {
                let variant = engine::Variant::called(name)?;
                return Some(Self {
                    name: variant.name,
                    marker: engine::MARKER,
                    copies: variant.providers as u64,
                    window: if variant.tuned { TUNED } else { 8000 },
                    ordered: true,
                });
            }
        };
        (peers::BUILT || name == pipe::NAME).then_some(spec)
    }

    /// The client itself, for a sink at `url`; none for the pipe, which makes its events itself.
    pub(super) fn start(&self, url: &str) -> Option<Box<dyn Client>> {
        match engine::Variant::called(self.name) {
            Some(variant) => Some(Box::new(variant.start(url))),
            None => peers::client(self.name, url),
        }
    }
}
