//! What it costs to add a client to a small service.
//!
//! `footprint [--build] [--records]`

use productgraph_benches::{args, footprint};

fn main() {
    footprint::run(args::given("build")).print("footprint", "a service that adds a client");
}
