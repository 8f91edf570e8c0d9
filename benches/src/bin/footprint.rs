//! What it costs to add a client to a small service: crates, and with `--build` the time of a clean build.
//!
//! `footprint [--build] [--records]`

fn main() {
    productgraph_benches::programs::footprint();
}
