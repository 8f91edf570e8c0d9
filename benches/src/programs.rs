//! What the binaries do, so that `report` can do it too.

use std::time::Duration;

use crate::e2e::{self, Scenario};
use crate::hotpath;
use crate::{args, footprint, middleware};

/// `hotpath`: what one call costs its caller, for each client.
pub fn hotpath() {
    let (bursts, paced) = hotpath::run(hotpath::Plan {
        rounds: args::value_or("rounds", 30),
        burst: args::value_or("burst", 10_000),
        paced: args::value_or("paced", 50_000),
    });
    bursts.print("burst", "ns of one call");
    paced.print("paced", "ns of one call, one each 20 us");
}

/// `e2e` and `heap`: whole clients in these scenarios, those of `--scenarios` and `--clients` if given.
pub fn clients(scenarios: &[Scenario]) {
    let plan = e2e::Plan {
        repetitions: args::value_or("repetitions", 3),
        seconds: args::value_or("seconds", 4),
    };
    let names = args::names("clients");
    let wanted = |name: &str| names.is_empty() || names.iter().any(|one| one == name);
    for scenario in scenarios {
        if args::chosen("scenarios", scenario.name()) {
            e2e::run(*scenario, plan, wanted).print(scenario.name(), scenario.about());
        }
    }
}

/// `e2e`.
pub fn e2e() {
    clients(&[
        Scenario::Sustained,
        Scenario::Latency,
        Scenario::Shutdown,
        Scenario::Idle,
    ]);
}

/// `middleware`: what the layers cost a request.
pub fn middleware() {
    let records = middleware::run(middleware::Plan {
        turns: args::value_or("turns", 15),
        requests: args::value_or("requests", 5000),
        turn: Duration::from_millis(args::value_or("turn-ms", 1000)),
    });
    records.print("middleware", "one request, and requests a second");
}

/// `footprint`: what adding a client costs a service.
pub fn footprint() {
    footprint::run(args::given("build")).print("footprint", "a service that adds a client");
}
