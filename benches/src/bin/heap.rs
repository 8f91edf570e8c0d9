//! What whole clients allocate for an event, and what they hold while it waits.
//!
//! `heap [--scenarios allocations,memory] [--clients productgraph,otel] [--repetitions 3] [--seconds 4]
//! [--records]`
//!
//! A program of its own: its allocator counts, which would slow down what `e2e` measures.

use std::alloc::System;

use productgraph_benches::e2e::{HEAP, Scenario};
use productgraph_benches::{play_a_part, programs};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn heap_use() -> (u64, i64) {
    let stats = ALLOCATOR.stats();
    let count = stats.allocations + stats.reallocations;
    let held = stats.bytes_allocated.wrapping_sub(stats.bytes_deallocated);
    (count as u64, held.cast_signed() as i64)
}

fn main() {
    HEAP.get_or_init(|| heap_use);
    if !play_a_part() {
        programs::clients(&[Scenario::Allocations, Scenario::Memory]);
    }
}
