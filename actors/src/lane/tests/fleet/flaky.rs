//! Busy instances, and a server that fails every second request for two minutes, which no breaker sees.

use super::*;

const INSTANCES: usize = 20;
/// Each instance seals one batch in this time; the server can take 300 requests a second.
const BUSY_INTERVAL: u64 = 100_000;

fn run(concurrency: usize, retry_budget: RetryBudget) -> Seen {
    let lane = LaneOptions {
        concurrency,
        retry_budget,
        ..options()
    };
    let scenario = Scenario {
        outage: Outage::TakesOneIn(2),
        refusal: BUSY,
        instances: INSTANCES,
        interval: BUSY_INTERVAL,
    };
    Fleet::new(&Policy::of("flaky", lane), scenario).run()
}

/// Backoff and breaker bound what the server sees. Tokens that come more slowly than the successes leave
/// the backlog where it is instead.
#[test]
fn a_server_that_fails_every_second_request_gets_what_it_can_take_and_no_storm() {
    for (name, concurrency) in [("one at a time", 1), ("eight at once", 8)] {
        let fifth = RetryBudget::default()
            .with_per_success(0.2)
            .with_interval(2 * SECOND)
            .with_capacity(10);
        let rows = [
            ("as by default", RetryBudget::default()),
            ("one for five successes, one every 2 s", fifth),
            ("without tokens", RetryBudget::unlimited()),
        ];
        let [ours, fifth, bare] = rows.map(|(tokens, budget)| {
            let seen = run(concurrency, budget);
            let Struggle {
                sent,
                refused,
                waited,
                ..
            } = seen.during;
            let peak = seen.peak.max(seen.during.peak);
            println!("| {name} | {tokens} | {sent} | {refused} | {peak} | {waited} |");
            (seen, peak)
        });
        assert!(ours.1 <= bare.1 && ours.1 <= 400, "{ours:?} {bare:?}");
        assert!(ours.0.during.refused <= bare.0.during.refused);
        let (left, left_with_a_fifth) = (ours.0.during.waited, fifth.0.during.waited);
        assert!(left * 5 <= left_with_a_fifth * 4, "{ours:?} {fifth:?}");
        assert!(ours.0.recovered <= 60.0, "{ours:?}");
        assert_eq!(ours.0.dropped, 0);
    }
}
