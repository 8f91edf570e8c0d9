//! The stable names under which health is serialised.

use std::time::Duration;

use productgraph_actors::{Counts, LaneState, LaneStatus, ProviderLedger, Reason, Stalled};
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value, json};

use super::health::{Health, HealthState};

/// What is said of one provider, and how: one line each.
type Row = (&'static str, fn(&Provider<'_>) -> Value);

struct Provider<'a> {
    lane: &'a LaneStatus,
    account: Option<&'a ProviderLedger>,
    health: HealthState,
}

const PROVIDER: &[Row] = &[
    ("name", |p| json!(p.lane.name)),
    ("health", |p| json!(p.health.as_str())),
    ("state", |p| json!(lane_state(p.lane.state))),
    ("pending_events", |p| json!(p.pending())),
    ("pending_bytes", |p| json!(p.lane.pending_bytes)),
    ("pinned_bytes", |p| json!(p.lane.pinned_bytes)),
    ("oldest_pending_age_seconds", |p| age(p.lane.oldest_pending)),
    ("in_flight", |p| json!(p.lane.in_flight)),
    ("in_flight_age_seconds", |p| age(p.lane.in_flight_for)),
    ("last_success_age_seconds", |p| age(p.lane.last_success)),
    ("last_error", |p| {
        json!(p.lane.last_error.as_ref().map(ToString::to_string))
    }),
    ("last_error_age_seconds", |p| age(p.lane.last_error_ago)),
    ("last_dropped_age_seconds", |p| age(p.lane.last_dropped)),
    ("failures", |p| json!(p.lane.failures)),
    ("failing_seconds", |p| age(p.lane.failing_for)),
    ("held", |p| json!(p.lane.state == LaneState::Held)),
    ("breaker", |p| json!(p.lane.breaker.as_str())),
    ("breaker_open_seconds", |p| age(p.lane.opened_for)),
    ("retry_in_seconds", |p| age(p.lane.retry_in)),
    ("waits_for_retry_budget", |p| json!(p.lane.waits_for_budget)),
    ("rejected_in_a_row", |p| json!(p.lane.rejected_in_a_row)),
    ("attempts", |p| json!(p.lane.attempts)),
    ("retries", |p| json!(p.lane.retries)),
    ("learned_body_bytes", |p| json!(p.lane.learned_bytes)),
    ("restarts", |p| json!(p.lane.restarts)),
    ("delivered", |p| json!(p.account.map_or(0, |a| a.delivered))),
    ("redriven", |p| json!(p.account.map_or(0, |a| a.redriven))),
    ("dead_letters", |p| {
        json!(p.account.map_or(0, |a| a.dead_letters))
    }),
    ("filtered", |p| {
        p.account.map_or(Value::Null, |a| counts(&a.filtered))
    }),
    ("rejected", |p| {
        p.account.map_or(Value::Null, |a| counts(&a.rejected))
    }),
    ("dropped", |p| {
        p.account.map_or(Value::Null, |a| counts(&a.dropped))
    }),
];

impl Provider<'_> {
    /// With what is on its way to the lane, where the accounts know.
    fn pending(&self) -> u64 {
        self.account
            .map_or(self.lane.pending, |account| account.pending)
    }

    fn value(&self) -> Value {
        let rows = PROVIDER.iter();
        let rows = rows.map(|(name, read)| ((*name).to_owned(), read(self)));
        Value::Object(rows.collect())
    }
}

pub(super) fn serialize<S: Serializer>(health: &Health, serializer: S) -> Result<S::Ok, S::Error> {
    let queue = json!({
        "events": health.queue.events,
        "capacity": health.queue.capacity,
        "bytes": health.queue.bytes,
        "ceiling_bytes": health.queue.ceiling,
    });
    let stalled: Vec<_> = health.stalled.iter().map(stalled).collect();
    let providers: Vec<_> = health
        .providers
        .iter()
        .map(|lane| {
            let accounts = &health.ledger.providers;
            let provider = Provider {
                lane,
                account: accounts.iter().find(|account| account.name == lane.name),
                health: health.provider_state(lane),
            };
            provider.value()
        })
        .collect();
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("state", health.state.as_str())?;
    map.serialize_entry("why", &health.why)?;
    map.serialize_entry("version", health.version)?;
    map.serialize_entry("uptime_seconds", &health.uptime.as_secs_f64())?;
    map.serialize_entry("restarts", &health.restarts)?;
    map.serialize_entry("dead_actors", &health.dead_actors)?;
    map.serialize_entry("hook_panics", &health.hook_panics)?;
    map.serialize_entry("stalled", &stalled)?;
    map.serialize_entry("queue", &queue)?;
    map.serialize_entry("accepted", &health.ledger.accepted)?;
    map.serialize_entry("refused", &counts(&health.ledger.refused))?;
    map.serialize_entry("providers", &providers)?;
    map.end()
}

fn stalled(stalled: &Stalled) -> Value {
    json!({
        "stage": stalled.stage.as_str(),
        "provider": stalled.stage.provider(),
        "stalled_seconds": stalled.since.as_secs_f64(),
    })
}

/// Every reason, also those that did not occur: who reads it should not have to ask.
fn counts<R: Reason>(counts: &Counts<R>) -> Value {
    let all = R::ALL.iter();
    let all = all.map(|reason| (reason.as_str().to_owned(), json!(counts.get(*reason))));
    Value::Object(all.collect::<Map<_, _>>())
}

fn age(age: Option<Duration>) -> Value {
    json!(age.map(|age| age.as_secs_f64()))
}

/// The stable word for a lane's state.
pub(crate) fn lane_state(state: LaneState) -> &'static str {
    match state {
        LaneState::Healthy => "healthy",
        LaneState::Retrying => "retrying",
        LaneState::Held => "held",
        LaneState::Paused => "paused",
        LaneState::Closed => "closed",
        _ => "other",
    }
}
