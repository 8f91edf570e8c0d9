//! What one call allocates on its caller's thread, for each client.
//!
//! `callers [--burst 10000] [--only ring,productgraph] [--records]`
//!
//! A program of its own: its allocator counts by thread, which would slow down what `hotpath` measures.

use productgraph_benches::records::Records;
use productgraph_benches::{args, hotpath, play_a_part};

fn main() {
    if play_a_part() {
        return;
    }
    let burst: usize = args::value_or("burst", 10_000);
    let mut records = Records::default();
    for peer in hotpath::all() {
        // for what is made once
        peer.burst(0, burst);
        peer.drain();
        let (mut count, mut bytes) = (0, 0);
        peer.wrapped(burst, &mut |call| {
            let counted = allocation_counter::measure(call);
            count += counted.count_total;
            bytes += counted.bytes_total;
        });
        peer.drain();
        records.add(peer.name(), "allocations", count as f64 / burst as f64);
        records.add(peer.name(), "bytes", bytes as f64 / burst as f64);
    }
    records.print("caller", "allocations of one call on its thread");
}
