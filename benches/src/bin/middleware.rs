//! What the layers cost a request.
//!
//! `middleware [--turns 15] [--requests 5000] [--turn-ms 1000] [--records]`

use std::time::Duration;

use productgraph_benches::args;
use productgraph_benches::middleware::{self, Plan};

fn main() {
    let plan = Plan {
        turns: args::value_or("turns", 15),
        requests: args::value_or("requests", 5000),
        turn: Duration::from_millis(args::value_or("turn-ms", 1000)),
    };
    middleware::run(plan).print("middleware", "one request, and requests a second");
}
