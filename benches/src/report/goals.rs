//! The limits, and which numbers are held against them.

use super::table::{Limit, Row, Table};
use crate::e2e::PIPE;
use crate::footprint;
use crate::records::Records;

/// p50 of one call that the limits in nanoseconds assume of the yardstick.
const RING_NANOS: f64 = 105.0;
const ENGINE: &str = "productgraph api.response";
const CALLERS: [(&str, &str); 4] = [
    ("otel", "otel BatchLogProcessor"),
    ("posthog", "posthog-rs capture"),
    ("sentry event", "sentry capture_event"),
    ("sentry log", "sentry capture_log"),
];

/// Every goal, in the order of the issue.
pub(super) fn table(records: &Records) -> Table {
    let mut goals = Goals {
        records,
        rows: Vec::new(),
    };
    goals.callers();
    goals.allocations();
    goals.delivery();
    goals.rest();
    Table(goals.rows)
}

struct Goals<'a> {
    records: &'a Records,
    rows: Vec<Row>,
}

impl Goals<'_> {
    fn get(&self, group: &str, row: &str, column: &str) -> Option<f64> {
        self.records.get(&format!("{group}/{row}"), column)
    }

    /// The numbers of others in the same place.
    fn peers(
        &self,
        group: &str,
        names: &[(&'static str, &str)],
        column: &str,
    ) -> Vec<(&'static str, f64)> {
        let value = |row| self.get(group, row, column);
        names
            .iter()
            .filter_map(|(name, row)| Some((*name, value(row)?)))
            .collect()
    }

    fn add(
        &mut self,
        what: impl Into<String>,
        ours: Option<f64>,
        unit: &'static str,
        limit: Limit,
    ) -> &mut Row {
        let row = Row {
            what: what.into(),
            ours,
            unit,
            yardstick: None,
            limit,
            peers: Vec::new(),
            spread: None,
        };
        self.rows.push(row);
        let last = self.rows.len() - 1;
        &mut self.rows[last]
    }

    fn callers(&mut self) {
        let limits = [
            ("p50 1T", "p50, 1 thread", 1.5),
            ("p99 1T", "p99, 1 thread", 2.5),
            ("p99.9 1T", "p99.9, 1 thread", 4.0),
            ("p50 2T", "p50, 2 threads", 2.0),
            ("p99 2T", "p99, 2 threads", 2.5),
        ];
        for (column, name, most) in limits {
            let ours = self.get("burst", ENGINE, column);
            let ring = self.get("burst", "ring", column);
            let peers = self.peers("burst", &CALLERS, column);
            let row = self.add(
                format!("track api.response, {name}"),
                ours,
                "ns",
                Limit::TimesAtMost(most),
            );
            row.yardstick = ring.map(|ring| ("ring", ring));
            row.peers = peers;
        }
        // limits in ns hold on a machine where the ring takes 105
        let scale = self
            .get("burst", "ring", "p50 1T")
            .map_or(1.0, |ring| ring / RING_NANOS);
        for (column, nanos) in [("p50", 150.0), ("p99", 1000.0)] {
            let ours = self.get("paced", ENGINE, column);
            let ring = self.get("paced", "ring", column);
            let what = format!("the same, one each 20 us, {column}");
            let row = self.add(what, ours, "ns", Limit::AtMost((nanos * scale).round()));
            row.yardstick = ring.map(|ring| ("ring", ring));
        }
        let one = self.get("burst", ENGINE, "p50 1T");
        for providers in [2, 10] {
            let row = format!("{ENGINE}, {providers} providers");
            let ours = self.get("burst", &row, "p50 1T");
            let what = format!("track with {providers} providers, p50");
            self.add(what, ours, "ns", Limit::TimesAtMost(1.1))
                .yardstick = one.map(|one| ("1 provider", one));
        }
    }

    fn allocations(&mut self) {
        for (row, what) in [
            (ENGINE, "api.response"),
            ("productgraph error, static type", "error, static type"),
            (
                "productgraph journey step, static ids",
                "journey step, static ids",
            ),
        ] {
            let ours = self.get("caller", row, "allocations");
            let peers = self.peers("caller", &CALLERS, "allocations");
            let what = format!("allocations of the caller, {what}");
            self.add(what, ours, "", Limit::AtMost(0.0)).peers = peers;
        }
        let peers = self.peers("allocations", &CLIENTS, "allocations/event");
        let ours = self.get("allocations", "productgraph", "allocations/event");
        let what = "allocations per event in the process, until delivered";
        self.add(what, ours, "", Limit::AtMost(0.1)).peers = peers;
        let context = self.get("allocations", "productgraph", "of the context");
        let what = "beside them, allocations of entering the request's correlation";
        self.add(what, context, "", Limit::None);
        for (row, what) in [
            ("productgraph_one", "all of one request"),
            ("productgraph_fresh", "each of its own request"),
        ] {
            let ours = self.get("memory", row, "heap bytes/event");
            let peers = self.peers("memory", &CLIENTS, "heap bytes/event");
            let what = format!("held per queued api.response, {what}");
            self.add(what, ours, "bytes", Limit::AtMost(300.0)).peers = peers;
        }
    }

    fn delivery(&mut self) {
        let pipe = |column| self.get("sustained", PIPE, column);
        let (rate, cpu) = (pipe("events/s"), pipe("cpu s/M"));
        for (row, what, rate_limit, cpu_limit) in [
            (
                "productgraph",
                "1 provider",
                Limit::TimesAtLeast(0.65),
                Limit::TimesAtMost(2.5),
            ),
            (
                "productgraph_fresh",
                "a correlation made for each",
                Limit::None,
                Limit::None,
            ),
            (
                "productgraph_default",
                "default configuration",
                Limit::None,
                Limit::None,
            ),
            ("productgraph_2", "2 providers", Limit::None, Limit::None),
            ("productgraph_10", "10 providers", Limit::None, Limit::None),
        ] {
            for (column, name, unit, yardstick, limit) in [
                ("events/s", "delivered", "events/s", rate, rate_limit),
                ("cpu s/M", "processor time", "s/M", cpu, cpu_limit),
            ] {
                let ours = self.get("sustained", row, column);
                let peers = if row == "productgraph" {
                    self.peers("sustained", &CLIENTS, column)
                } else {
                    Vec::new()
                };
                let row = self.add(format!("{name}, {what}"), ours, unit, limit);
                row.yardstick = yardstick.map(|pipe| (PIPE, pipe));
                row.peers = peers;
            }
        }
        let context = self.get("sustained", "productgraph", "cpu of the context s/M");
        let what = "of the processor time, entering the request's correlation";
        self.add(what, context, "s/M", Limit::None);
        let latency = |column| self.get("latency", "productgraph_default", column);
        let (ours, disorder) = (latency("events/s"), latency("out of order"));
        let pipe = self.get("latency", PIPE, "events/s");
        let peers = self.peers("latency", &DEFAULTS, "events/s");
        let row = self.add(
            "delivered at 50 ms, default configuration",
            ours,
            "events/s",
            Limit::AtLeast(15_000.0),
        );
        row.yardstick = pipe.map(|pipe| ("pipe, same requests", pipe));
        row.peers = peers;
        self.add(
            "of these out of order in their session",
            disorder,
            "events",
            Limit::AtMost(0.0),
        );
    }

    fn rest(&mut self) {
        let idle = self.get("idle", "productgraph_default", "wake-ups in 5 s");
        let peers = self.peers("idle", &DEFAULTS, "wake-ups in 5 s");
        self.add("idle engine, in 5 s", idle, "wake-ups", Limit::AtMost(0.0))
            .peers = peers;

        // twice what the pipe needs for as many, and a request of its
        let pipe = self.get("sustained", PIPE, "events/s");
        let most = pipe.map_or(f64::NAN, |rate| 2.0 * 1e7 / rate + 1e6 / rate);
        let took = self.get("shutdown", "productgraph", "shutdown ms");
        let peers = self.peers("shutdown", &CLIENTS, "shutdown ms");
        let limit = if most.is_nan() {
            Limit::None
        } else {
            Limit::AtMost(most)
        };
        let yardstick = self.get("shutdown", PIPE, "shutdown ms");
        let row = self.add("shutdown after 10,000 events", took, "ms", limit);
        row.peers = peers;
        row.yardstick = yardstick.map(|pipe| ("pipe, connecting", pipe));
        let lost =
            |row| Some(self.get("shutdown", row, "lost")? + self.get("shutdown", row, "refused")?);
        let (tuned, default) = (lost("productgraph"), lost("productgraph_default"));
        self.add(
            "of these not delivered",
            tuned,
            "events",
            Limit::AtMost(0.0),
        );
        self.add(
            "of these not delivered, default configuration",
            default,
            "events",
            Limit::None,
        );

        for (row, what, limit) in [
            (
                "in the process, ids in headers, p50",
                "in the process, p50",
                Limit::AtMost(1500.0),
            ),
            (
                "in the process, no ids, p50",
                "the same, ids minted",
                Limit::AtMost(1500.0),
            ),
            (
                "loopback, one connection, p50",
                "over loopback, p50",
                Limit::AtMost(1500.0),
            ),
        ] {
            let ours = self.get("middleware", row, "added ns");
            let bare = self.get("middleware", row, "bare ns");
            let spread = self
                .records
                .spread(&format!("middleware/{row}"), "added ns");
            let row = self.add(
                format!("middleware adds to a request, {what}"),
                ours,
                "ns",
                limit,
            );
            row.spread = spread;
            row.yardstick = bare.map(|bare| ("bare", bare));
        }
        let lost = self
            .get("middleware", "loopback, 32 connections", "added %")
            .map(|added| -added);
        let spread = self
            .records
            .spread("middleware/loopback, 32 connections", "added %");
        self.add(
            "middleware takes of requests/s at saturation",
            lost,
            "%",
            Limit::AtMost(3.0),
        )
        .spread = spread;

        let serving = "serving thread at saturation, processor time";
        let added = self.get("middleware", serving, "added ns");
        let bare = self.get("middleware", serving, "bare ns");
        let what = "processor time it adds to the serving thread, per request";
        self.add(what, added, "ns", Limit::None).yardstick = bare.map(|bare| ("bare", bare));

        for (column, what, unit) in [
            ("added crates", "crates added to an axum service", ""),
            ("added build s", "clean build time added", "s"),
        ] {
            let ours = self.get("footprint", footprint::OURS, column);
            let peers = self.peers(
                "footprint",
                &[("posthog-rs", "posthog-rs"), ("sentry", "sentry")],
                column,
            );
            let least = peers.iter().map(|(_, value)| *value).reduce(f64::min);
            let limit = least.map_or(Limit::None, Limit::AtMost);
            self.add(what, ours, unit, limit).peers = peers;
        }
    }
}

/// Clients as they do best.
const CLIENTS: [(&str, &str); 4] = [
    ("otel", "otel"),
    ("otel as it comes", "otel_default"),
    ("posthog", "posthog"),
    ("sentry log", "sentry_log"),
];
/// Clients as they come.
const DEFAULTS: [(&str, &str); 3] = [
    ("otel", "otel_default"),
    ("posthog", "posthog_default"),
    ("sentry log", "sentry_log_default"),
];
