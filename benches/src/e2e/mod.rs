//! Whole clients against a sink: how many events arrive, at what cost, in what order.
//!
//! Each run is a process of its own with a fresh sink in another one; clients take turns, the pipe
//! among them; medians over the repetitions.

mod child;
mod clients;
mod engine;
mod loops;
mod pipe;

use std::process::{Command, Stdio};

pub use self::child::{HEAP, child};
use self::clients::Spec;
pub use self::loops::HeapUse;
pub use self::pipe::NAME as PIPE;
use crate::records::{FAILED, Records};
use crate::request::Req;
use crate::sink::SinkProcess;

/// The first argument that makes a program a client under measurement.
pub(crate) const ROLE: &str = "client";

/// A whole client, with its transport.
pub trait Client {
    /// Hands over the event of a request, the `number`th from 0; false if it was refused.
    fn track(&mut self, request: &Req, number: u64) -> bool;
    /// What surrounds the call and is not the client's: the context that a middleware would have made
    /// current. Nothing unless a client says so.
    fn context(&mut self, request: &Req, number: u64) {
        let _ = (request, number);
    }
    /// Delivers what it has and ends.
    fn shutdown(&mut self);
}

/// What is done with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Closed loop: as many events outstanding as fit, so that nothing overflows.
    Sustained,
    /// The same with 50 ms between a request and its answer.
    Latency,
    /// 10,000 events, then shutdown at once.
    Shutdown,
    /// Wake-ups in 5 s with nothing to do, after ten events.
    Idle,
    /// Allocations for each event, from the call to the answer. Needs a counting allocator.
    Allocations,
    /// Heap for each queued event while the sink does not answer. Needs a counting allocator.
    Memory,
}

impl Scenario {
    const ALL: [Self; 6] = [
        Self::Sustained,
        Self::Latency,
        Self::Shutdown,
        Self::Idle,
        Self::Allocations,
        Self::Memory,
    ];

    /// In options and headings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sustained => "sustained",
            Self::Latency => "latency",
            Self::Shutdown => "shutdown",
            Self::Idle => "idle",
            Self::Allocations => "allocations",
            Self::Memory => "memory",
        }
    }

    /// Under its name.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Sustained => "closed loop",
            Self::Latency => "closed loop, 50 ms between request and answer",
            Self::Shutdown => "10,000 events, then shutdown at once",
            Self::Idle => "nothing to do",
            Self::Allocations => "in the whole process, from the call to the answer",
            Self::Memory => "50,000 events queued, the sink does not answer",
        }
    }

    fn called(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|scenario| scenario.name() == name)
    }

    /// The clients it is about, the pipe last where its work follows from theirs.
    fn clients(self) -> &'static [&'static str] {
        match self {
            Self::Sustained => &[
                PIPE,
                "productgraph",
                "productgraph_fresh",
                "productgraph_default",
                "productgraph_2",
                "productgraph_10",
                "otel_default",
                "posthog",
                "sentry_log",
            ],
            Self::Latency => &[
                "productgraph_default",
                "otel_default",
                "posthog_default",
                "sentry_log_default",
                PIPE,
            ],
            Self::Shutdown => &[
                "productgraph",
                "productgraph_default",
                "otel",
                "posthog",
                "sentry_log",
                PIPE,
            ],
            Self::Idle => &["productgraph_default", "otel_default", "posthog_default"],
            Self::Allocations => &[
                "productgraph",
                "productgraph_fresh",
                "otel_default",
                "posthog",
                "sentry_log",
            ],
            Self::Memory => &[
                "productgraph_one",
                "productgraph_fresh",
                "productgraph",
                "otel",
                "posthog",
                "sentry_log",
            ],
        }
    }

    fn sink_options(self, client: &Spec) -> Vec<&'static str> {
        let mut options = vec!["--marker", client.marker];
        match self {
            Self::Latency => options.extend(["--latency-ms", "50"]),
            Self::Memory => options.push("--stall"),
            _ => {}
        }
        // looking at the order costs the sink time, which the throughput would show
        if client.ordered && matches!(self, Self::Latency | Self::Shutdown) {
            options.push("--order");
        }
        options
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Runs of each client.
    pub repetitions: usize,
    /// Length of those that go by time, after a second to warm up.
    pub seconds: u64,
}

/// Runs a scenario with its clients, those that `wanted` names.
pub fn run(scenario: Scenario, plan: Plan, wanted: impl Fn(&str) -> bool) -> Records {
    let mut records = Records::default();
    for _ in 0..plan.repetitions {
        for name in scenario.clients().iter().filter(|name| wanted(name)) {
            let Some(spec) = Spec::called(name) else {
                continue;
            };
            let mut extra = Vec::new();
            // as many in flight, and as large, as the engine had
            if scenario == Scenario::Latency && *name == PIPE {
                let of = |column| records.get("productgraph_default", column).unwrap_or(1.0);
                extra.push(format!("--flight={}", of("most at once").max(1.0) as usize));
                extra.push(format!(
                    "--batch={}",
                    of("events/request").max(1.0) as usize
                ));
            }
            let one = once(scenario, &spec, plan.seconds, &extra);
            eprint!("{}", one.lines(scenario.name()));
            records.extend(one);
        }
    }
    records
}

/// One client with one sink.
fn once(scenario: Scenario, spec: &Spec, seconds: u64, extra: &[String]) -> Records {
    let sink = SinkProcess::start(&scenario.sink_options(spec));
    let mut command = Command::new(std::env::current_exe().expect("the program's own path"));
    command
        .arg(ROLE)
        .args(["--client", spec.name, "--scenario", scenario.name()]);
    command.args(["--url", &sink.url(), "--seconds", &seconds.to_string()]);
    command.arg("--board").arg(sink.board());
    for option in extra {
        command.args(option.split('='));
    }
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .expect("the client starts");
    let records = Records::parse_as(spec.name, &String::from_utf8_lossy(&output.stdout));
    if output.status.success() {
        return records;
    }
    eprintln!("{} in {}: {}", spec.name, scenario.name(), output.status);
    let mut failed = Records::default();
    failed.add(spec.name, FAILED, 1.0);
    failed
}
