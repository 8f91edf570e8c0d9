//! Whole clients against a sink.
//!
//! `e2e [--scenarios sustained,latency,shutdown,idle] [--clients pipe,productgraph] [--repetitions 3]
//! [--seconds 4] [--records]`

use productgraph_benches::{play_a_part, programs};

fn main() {
    if !play_a_part() {
        programs::e2e();
    }
}
