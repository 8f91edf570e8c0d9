//! What is shown while the shop is open.

use std::time::Duration;

use productgraph::{Engine, Stats};
use tokio::time::{Instant, interval_at};

use crate::receivers::Receivers;
use crate::shop::Shop;
use crate::shoppers::Traffic;
use crate::witness::Witness;

pub(crate) fn print_header(shop: &str, receivers: &Receivers, shoppers: u64) {
    let (steady, rough) = (Receivers::STEADY, Receivers::ROUGH);
    let witness = Witness::NAME;
    println!("shop         {shop}  {shoppers} shoppers; some send no headers, some hostile ones");
    println!(
        "{steady:<12} {}  in good order",
        receivers.steady.base_url()
    );
    println!(
        "{rough:<12} {}  slow, busy (503), resets connections, cannot digest some events",
        receivers.rough.base_url()
    );
    println!("{witness:<12} in this process; keeps the ids that every provider is given");
    if cfg!(debug_assertions) {
        println!(
            "\na build for debugging: with --release, track takes a fraction of the times below"
        );
    }
    println!();
    println!(
        "{:>6} {:>10} {:>10} | {:>11} {:>11} {:>11} | {:>10} | {:>18}",
        "", "", "events", "delivered", "delivered", "delivered", "with a", "a call of track"
    );
    println!(
        "{:>6} {:>10} {:>10} | {steady:>11} {rough:>11} {witness:>11} | {:>10} | {:>8} {:>9}",
        "", "requests", "accepted", "session", "p50", "p99"
    );
}

/// Prints a line each second, for ever.
pub(crate) async fn print_each_second(engine: &Engine, shop: &Shop) {
    const SECOND: Duration = Duration::from_secs(1);
    let start = Instant::now();
    let mut seconds = interval_at(start + SECOND, SECOND);
    loop {
        seconds.tick().await;
        let label = format!("{} s", start.elapsed().as_secs());
        print_line(&label, &engine.stats(), shop);
    }
}

fn print_line(label: &str, stats: &Stats, shop: &Shop) {
    let ledger = &stats.ledger;
    let delivered = |name| {
        let provider = ledger.providers.iter().find(|p| p.name == name);
        provider.map_or(0, |provider| provider.delivered)
    };
    println!(
        "{label:>6} {:>10} {:>10} | {:>11} {:>11} {:>11} | {:>10} | {:>8} {:>9}",
        stats.correlation.requests(),
        ledger.accepted,
        delivered(Receivers::STEADY),
        delivered(Receivers::ROUGH),
        delivered(Witness::NAME),
        share_with_session(stats),
        short(shop.track_latency.percentile(50)),
        short(shop.track_latency.percentile(99)),
    );
}

/// What the line cannot say.
pub(crate) fn print_summary(engine: &Engine, shop: &Shop, traffic: &Traffic) {
    let stats = engine.stats();
    print_line("end", &stats, shop);
    let seen = &stats.correlation;
    println!(
        "\n{} requests answered, {} failed, {} request ids came back changed",
        traffic.answered, traffic.failed, traffic.not_echoed
    );
    println!(
        "{} requests brought a session, {} got one; refused as unfit: {} sessions, {} request ids, {} traces",
        seen.sessions_adopted,
        seen.sessions_minted,
        seen.sessions_refused.total(),
        seen.requests_refused.total(),
        seen.traces_refused.total(),
    );
}

fn share_with_session(stats: &Stats) -> String {
    let ratio = stats.correlation.correlation_ratio();
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0))
}

/// With three digits at most, so that columns stay columns.
fn short(time: Duration) -> String {
    match time.as_nanos() {
        nanos @ 0..1_000 => format!("{nanos} ns"),
        nanos @ 1_000..1_000_000 => format!("{} µs", nanos / 1_000),
        nanos => format!("{} ms", nanos / 1_000_000),
    }
}
