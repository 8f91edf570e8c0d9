//! What the layers cost a request.
//!
//! `middleware [--turns 15] [--requests 5000] [--turn-ms 1000] [--records]`

fn main() {
    productgraph_benches::programs::middleware();
}
