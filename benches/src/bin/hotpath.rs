//! What one call costs its caller, for each client.
//!
//! `hotpath [--rounds 30] [--burst 10000] [--paced 50000] [--only ring,productgraph] [--records]`

use productgraph_benches::{play_a_part, programs};

fn main() {
    if !play_a_part() {
        programs::hotpath();
    }
}
