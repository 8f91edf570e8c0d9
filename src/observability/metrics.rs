//! What is measured: one table for OpenTelemetry, Prometheus and the documentation.

use std::time::Duration;

use productgraph_actors::{BreakerState, Counts, LaneState, LaneStatus, ProviderLedger, Reason};

use crate::engine::lane_state;
use crate::{Health, HealthState};

/// How the values of a metric are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// Only grows while the engine lives.
    Counter,
    /// Goes up and down; sums over attributes and processes make sense.
    UpDownCounter,
    /// Goes up and down; sums make no sense.
    Gauge,
}

impl MetricKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::UpDownCounter => "updowncounter",
            Self::Gauge => "gauge",
        }
    }
}

/// A value at one instant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Count(u64),
    Seconds(f64),
}

/// Attributes of a point, in the order of [`Metric::attributes`]; one that does not apply is left out.
pub(super) type Attributes<'a> = [(&'static str, &'a str)];
pub(super) type Emit<'a> = dyn FnMut(&Attributes<'_>, Value) + 'a;

/// One metric of the engine.
///
/// Names and units follow OpenTelemetry's conventions; `{...}` in a unit is an annotation.
#[derive(Debug)]
#[non_exhaustive]
pub struct Metric {
    /// The name in OpenTelemetry.
    pub name: &'static str,
    /// How to read it.
    pub kind: MetricKind,
    /// Its unit, in UCUM.
    pub unit: &'static str,
    /// The names of its attributes.
    pub attributes: &'static [&'static str],
    /// What it says.
    pub description: &'static str,
    read: fn(&Health, &mut Emit<'_>),
}

impl Metric {
    /// The name in Prometheus: with underscores, the unit and, for a counter, `_total`.
    ///
    /// ```
    /// use productgraph::observability::METRICS;
    ///
    /// let names: Vec<String> = METRICS.iter().map(|metric| metric.prometheus_name()).collect();
    /// assert!(names.contains(&"productgraph_engine_events_accepted_total".to_owned()));
    /// assert!(names.contains(&"productgraph_engine_buffer_bytes".to_owned()));
    /// ```
    pub fn prometheus_name(&self) -> String {
        let unit = match self.unit {
            "By" => "_bytes",
            "s" => "_seconds",
            _ => "",
        };
        let total = match self.kind {
            MetricKind::Counter => "_total",
            _ => "",
        };
        let name = self.name.replace('.', "_");
        let name = name.strip_suffix(unit).unwrap_or(&name);
        format!("{name}{unit}{total}")
    }

    /// Hands every value to `emit`.
    pub(super) fn read(&self, health: &Health, emit: &mut Emit<'_>) {
        (self.read)(health, emit);
    }
}

macro_rules! metrics {
    ($($name:literal $kind:ident $unit:literal [$($attribute:literal)*] $description:literal: $read:expr;)+) => {
        /// Every metric of the engine.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: concat!("productgraph.engine.", $name),
            kind: MetricKind::$kind,
            unit: $unit,
            attributes: &[$($attribute),*],
            description: $description,
            read: $read,
        },)+];
    };
}

metrics! {
    "events.accepted" Counter "{event}" []
        "events taken in":
        |h, emit| emit(&[], Value::Count(h.ledger.accepted));
    "events.refused" Counter "{event}" ["reason"]
        "events never taken in":
        |h, emit| reasons(&h.ledger.refused, &[], emit);
    "events.delivered" Counter "{event}" ["provider"]
        "events stored by the destination":
        |h, emit| accounts(h, emit, |a| a.delivered);
    "events.filtered" Counter "{event}" ["provider" "reason"]
        "events kept from a provider on purpose":
        |h, emit| account_reasons(h, emit, |a| &a.filtered);
    "events.rejected" Counter "{event}" ["provider" "reason"]
        "events refused for good by a destination or its limits":
        |h, emit| account_reasons(h, emit, |a| &a.rejected);
    "events.dropped" Counter "{event}" ["provider" "reason"]
        "events given up by the engine":
        |h, emit| account_reasons(h, emit, |a| &a.dropped);
    "events.redriven" Counter "{event}" ["provider"]
        "dead letters put back":
        |h, emit| accounts(h, emit, |a| a.redriven);
    "dead_letters" UpDownCounter "{event}" ["provider"]
        "dead letters that are kept":
        |h, emit| accounts(h, emit, |a| a.dead_letters);
    "events.pending" UpDownCounter "{event}" ["provider"]
        "events without a verdict":
        |h, emit| accounts(h, emit, |a| a.pending);
    "pending.bytes" UpDownCounter "By" ["provider"]
        "bytes of the events in a lane":
        |h, emit| lanes(h, emit, |l| Some(count(l.pending_bytes)));
    "pinned.bytes" UpDownCounter "By" ["provider"]
        "bytes of the batches that a lane keeps alive, compared with its share":
        |h, emit| lanes(h, emit, |l| Some(count(l.pinned_bytes)));
    "pending.oldest_age" Gauge "s" ["provider"]
        "age of the oldest event in a lane; 0 without one":
        |h, emit| lanes(h, emit, |l| Some(seconds(l.oldest_pending.unwrap_or_default())));
    "queue.events" UpDownCounter "{event}" []
        "events taken in and not looked at yet":
        |h, emit| emit(&[], count(h.queue.events));
    "queue.capacity" UpDownCounter "{event}" []
        "most events in the queue":
        |h, emit| emit(&[], count(h.queue.capacity));
    "buffer.bytes" UpDownCounter "By" []
        "bytes of events anywhere in the engine":
        |h, emit| emit(&[], count(h.queue.bytes));
    "buffer.ceiling" UpDownCounter "By" []
        "most bytes of events":
        |h, emit| emit(&[], count(h.queue.ceiling));
    "requests" Counter "{request}" ["provider"]
        "attempts to send a request, successful or not":
        |h, emit| lanes(h, emit, |l| Some(Value::Count(l.attempts)));
    "requests.retried" Counter "{request}" ["provider"]
        "attempts with a request that had failed before":
        |h, emit| lanes(h, emit, |l| Some(Value::Count(l.retries)));
    "requests.in_flight" UpDownCounter "{request}" ["provider"]
        "requests without an answer yet":
        |h, emit| lanes(h, emit, |l| Some(count(l.in_flight)));
    "lane.state" UpDownCounter "1" ["provider" "state"]
        "1 for the state that a lane is in, 0 for the others":
        lane_states;
    "lane.breaker" UpDownCounter "1" ["provider" "state"]
        "1 for the state that a lane's circuit breaker is in, 0 for the others":
        breaker_states;
    "lane.retry_in" Gauge "s" ["provider"]
        "time until the next attempt; absent while nothing waits":
        |h, emit| lanes(h, emit, |l| l.retry_in.map(seconds));
    "lane.failures" Gauge "{request}" ["provider"]
        "failed attempts since the last success":
        |h, emit| lanes(h, emit, |l| Some(Value::Count(l.failures.into())));
    "lane.failing_time" Gauge "s" ["provider"]
        "how long a provider has been failing; 0 if it is not":
        |h, emit| lanes(h, emit, |l| Some(seconds(l.failing_for.unwrap_or_default())));
    "last_success.age" Gauge "s" ["provider"]
        "time since a destination last took something; absent before the first time":
        |h, emit| lanes(h, emit, |l| l.last_success.map(seconds));
    "last_error.age" Gauge "s" ["provider"]
        "time since the last failed attempt; absent before the first":
        |h, emit| lanes(h, emit, |l| l.last_error_ago.map(seconds));
    "actor.restarts" Counter "{restart}" ["actor" "provider"]
        "restarts of an actor after a crash":
        |h, emit| actors(h, emit);
    "actors.dead" UpDownCounter "{actor}" []
        "actors that used up their restarts":
        |h, emit| emit(&[], Value::Count(h.dead_actors.into()));
    "hook.panics" Counter "{panic}" []
        "panics of hooks, filters and patterns":
        |h, emit| emit(&[], Value::Count(h.hook_panics));
    "stages.stalled" UpDownCounter "{stage}" []
        "parts of the engine that have work and do not move":
        |h, emit| emit(&[], count(h.stalled.len()));
    "health.state" UpDownCounter "1" ["state"]
        "1 for the state that the engine is in, 0 for the others":
        |h, emit| for state in HealthState::ALL {
            emit(&[("state", state.as_str())], is(h.state == *state));
        };
    "uptime" Gauge "s" []
        "time since the engine was spawned":
        |h, emit| emit(&[], seconds(h.uptime));
}

const LANE_STATES: [LaneState; 5] = [
    LaneState::Healthy,
    LaneState::Retrying,
    LaneState::Held,
    LaneState::Paused,
    LaneState::Closed,
];

fn lane_states(health: &Health, emit: &mut Emit<'_>) {
    for lane in &health.providers {
        for state in LANE_STATES {
            let attributes = [("provider", &*lane.name), ("state", lane_state(state))];
            emit(&attributes, is(lane.state == state));
        }
    }
}

fn breaker_states(health: &Health, emit: &mut Emit<'_>) {
    for lane in &health.providers {
        for state in BreakerState::ALL {
            let attributes = [("provider", &*lane.name), ("state", state.as_str())];
            emit(&attributes, is(lane.breaker == *state));
        }
    }
}

fn lanes(health: &Health, emit: &mut Emit<'_>, read: fn(&LaneStatus) -> Option<Value>) {
    for lane in &health.providers {
        if let Some(value) = read(lane) {
            emit(&[("provider", &lane.name)], value);
        }
    }
}

fn accounts(health: &Health, emit: &mut Emit<'_>, read: fn(&ProviderLedger) -> u64) {
    for account in &health.ledger.providers {
        emit(&[("provider", &account.name)], Value::Count(read(account)));
    }
}

fn account_reasons<R: Reason>(
    health: &Health,
    emit: &mut Emit<'_>,
    read: fn(&ProviderLedger) -> &Counts<R>,
) {
    for account in &health.ledger.providers {
        reasons(read(account), &[("provider", &account.name)], emit);
    }
}

/// Every reason, also at zero: a rate needs a beginning.
fn reasons<R: Reason>(counts: &Counts<R>, before: &Attributes<'_>, emit: &mut Emit<'_>) {
    for reason in R::ALL {
        let mut attributes = before.to_vec();
        attributes.push(("reason", reason.as_str()));
        emit(&attributes, Value::Count(counts.get(*reason)));
    }
}

fn actors(health: &Health, emit: &mut Emit<'_>) {
    for actor in &health.actors {
        let mut attributes = vec![("actor", actor.stage.as_str())];
        attributes.extend(actor.stage.provider().map(|name| ("provider", name)));
        emit(&attributes, Value::Count(actor.restarts.into()));
    }
}

fn count(n: usize) -> Value {
    Value::Count(u64::try_from(n).unwrap_or(u64::MAX))
}

fn is(yes: bool) -> Value {
    Value::Count(yes.into())
}

fn seconds(time: Duration) -> Value {
    Value::Seconds(time.as_secs_f64())
}
