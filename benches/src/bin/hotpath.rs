//! What one call costs its caller, for each client.
//!
//! `hotpath [--rounds 30] [--burst 10000] [--paced 50000] [--only ring,productgraph] [--records]`

use productgraph_benches::hotpath::{self, Plan};
use productgraph_benches::{args, play_a_part};

fn main() {
    if play_a_part() {
        return;
    }
    let plan = Plan {
        rounds: args::value_or("rounds", 30),
        burst: args::value_or("burst", 10_000),
        paced: args::value_or("paced", 50_000),
    };
    let (bursts, paced) = hotpath::run(plan);
    bursts.print("burst", "ns of one call");
    paced.print("paced", "ns of one call, one each 20 us");
}
