//! What whole clients allocate for an event, and what they hold while it waits.
//!
//! `heap [--scenarios allocations,memory] [--clients productgraph,otel] [--repetitions 3] [--seconds 2]
//! [--records]`
//!
//! A program of its own: its allocator counts, which would slow down what `e2e` measures.

use std::alloc::System;

use productgraph_benches::e2e::{self, HEAP, Plan, Scenario};
use productgraph_benches::{args, play_a_part};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn heap_use() -> (u64, i64) {
    let stats = ALLOCATOR.stats();
    let count = stats.allocations + stats.reallocations;
    let held = stats.bytes_allocated as i64 - stats.bytes_deallocated as i64;
    (count as u64, held)
}

fn main() {
    HEAP.get_or_init(|| heap_use);
    if play_a_part() {
        return;
    }
    let plan = Plan {
        repetitions: args::value_or("repetitions", 3),
        seconds: args::value_or("seconds", 2),
    };
    for scenario in [Scenario::Allocations, Scenario::Memory] {
        if args::chosen("scenarios", scenario.name()) {
            let wanted = |name: &str| {
                let names = args::names("clients");
                names.is_empty() || names.iter().any(|one| one == name)
            };
            e2e::run(scenario, plan, wanted).print(scenario.name(), scenario.about());
        }
    }
}
