//! Whole clients against a sink.
//!
//! `e2e [--scenarios sustained,latency,shutdown,idle] [--clients pipe,productgraph] [--repetitions 3]
//! [--seconds 4] [--records]`

use productgraph_benches::e2e::{self, Plan, Scenario};
use productgraph_benches::{args, play_a_part};

fn main() {
    if play_a_part() {
        return;
    }
    let plan = Plan {
        repetitions: args::value_or("repetitions", 3),
        seconds: args::value_or("seconds", 4),
    };
    for scenario in [Scenario::Sustained, Scenario::Latency, Scenario::Shutdown, Scenario::Idle] {
        if args::chosen("scenarios", scenario.name()) {
            let wanted = |name: &str| {
                let names = args::names("clients");
                names.is_empty() || names.iter().any(|one| one == name)
            };
            e2e::run(scenario, plan, wanted).print(scenario.name(), scenario.about());
        }
    }
}
