//! Events that a destination will never take: found, counted, and no burden to the others.

mod engine_support;

use engine_support::faulty::{EVENTS, engine_of, track};
use engine_support::{
    BOUND, account, assert_final, assert_holds_once, builder, collector, collector_of, id_of,
    ids_of, in_time, numbered, provider,
};
use productgraph::RejectReason;
use productgraph::providers::TenantKeys;
use productgraph_collector::{Answer, Collector, Generation};

/// The most requests that isolating `k` bad events among `n` may take.
fn bisection_bound(k: u64, n: u64) -> u64 {
    2 * k * u64::from(n.ilog2() + 1) + 1
}

#[tokio::test]
async fn poisonous_events_alone_are_rejected_at_a_bounded_price() {
    const ALL: usize = 100;
    for bad in [&[0][..], &[99], &[50, 51], &[3, 42, 77], &[10, 20, 30, 40]] {
        let (faulty, sound) = (collector(), collector());
        for n in bad {
            faulty.faults().poison(id_of(*n));
        }
        let engine = engine_of(provider(&faulty, "faulty"), &sound);
        track(&engine, 0..ALL);
        let report = in_time(engine.shutdown(BOUND)).await;
        assert_final(&report);
        assert!(report.is_settled(), "{report}");
        let (k, n) = (bad.len() as u64, ALL as u64);
        let account = account(&report.ledger, "faulty");
        assert_eq!(account.rejected.get(RejectReason::Poison), k, "{report}");
        assert_eq!(account.rejected.total(), k, "{report}");
        assert_eq!(account.delivered, n - k, "{report}");
        assert_eq!(account.dropped.total(), 0, "{report}");
        let good: Vec<_> = (0..ALL).filter(|n| !bad.contains(n)).map(id_of).collect();
        assert_holds_once(&faulty, &good);
        let requests = faulty.stats().received;
        assert!(requests <= bisection_bound(k, n), "{bad:?}: {requests}");
        assert_holds_once(&sound, &ids_of(0..ALL));
        assert_eq!(sound.stats().received, 1);
    }
}

#[tokio::test]
async fn when_all_events_are_poisonous_all_are_rejected() {
    let (faulty, sound) = (collector(), collector());
    faulty.faults().poison("numbered");
    let engine = engine_of(provider(&faulty, "faulty"), &sound);
    track(&engine, 0..16);
    let report = in_time(engine.shutdown(BOUND)).await;
    assert_final(&report);
    let account = account(&report.ledger, "faulty");
    assert_eq!(account.rejected.get(RejectReason::Poison), 16, "{report}");
    assert_eq!(faulty.stats().received, 31);
    assert_holds_once(&sound, &ids_of(0..16));
}

#[tokio::test]
async fn events_named_by_index_are_rejected_and_the_others_not_sent_again() {
    let (faulty, sound) = (collector(), collector());
    for n in [4, 5, 19] {
        faulty.faults().reject(id_of(n), "session.id: required");
    }
    let engine = engine_of(provider(&faulty, "faulty"), &sound);
    track(&engine, 0..EVENTS);
    let report = in_time(engine.shutdown(BOUND)).await;
    assert_final(&report);
    let account = account(&report.ledger, "faulty");
    assert_eq!(account.rejected.get(RejectReason::Invalid), 3, "{report}");
    assert_eq!(account.delivered, 17, "{report}");
    let good: Vec<_> = (0..EVENTS)
        .filter(|n| ![4, 5, 19].contains(n))
        .map(id_of)
        .collect();
    assert_holds_once(&faulty, &good);
    assert_eq!(faulty.stats().received, 1);
    assert_holds_once(&sound, &ids_of(0..EVENTS));
}

#[tokio::test]
async fn a_rejection_that_names_nobody_is_searched_for() {
    let (faulty, sound) = (collector(), collector());
    faulty
        .faults()
        .push(Answer::new(202).body(r#"{"accepted":19,"rejected":1}"#));
    let engine = engine_of(provider(&faulty, "faulty"), &sound);
    track(&engine, 0..EVENTS);
    let report = in_time(engine.shutdown(BOUND)).await;
    assert_final(&report);
    assert!(report.ledger.is_clean(), "{report}");
    assert_holds_once(&faulty, &ids_of(0..EVENTS));
    assert_eq!(faulty.stats().received, 3);
}

#[tokio::test]
async fn a_body_limit_that_nobody_told_of_is_learned_and_only_what_can_never_fit_is_rejected() {
    const LIMIT: usize = 8_000;
    let (faulty, sound) = (collector(), collector());
    faulty.faults().set_secret_body_limit(Some(LIMIT));
    let engine = engine_of(provider(&faulty, "faulty"), &sound);
    track(&engine, 0..300);
    engine
        .handle()
        .try_track(numbered(300).with("text", "x".repeat(LIMIT)))
        .expect("there is room");
    track(&engine, 301..400);
    let report = in_time(engine.shutdown(BOUND)).await;
    assert_final(&report);
    assert!(report.is_settled(), "{report}");
    let account = account(&report.ledger, "faulty");
    assert_eq!(account.rejected.get(RejectReason::TooLarge), 1, "{report}");
    assert_eq!(account.delivered, 399, "{report}");
    let good: Vec<_> = (0..400).filter(|n| *n != 300).map(id_of).collect();
    assert_holds_once(&faulty, &good);
    let refused = faulty.stats().by_status[&413];
    assert!(refused <= 30, "{refused} bodies were too large");
    assert_holds_once(&sound, &ids_of(0..400));
}

#[tokio::test]
async fn an_event_over_the_limit_of_the_service_is_rejected_without_a_request() {
    let collector = collector();
    let engine = builder()
        .provider(provider(&collector, "a"))
        .spawn()
        .expect("it starts");
    let huge = numbered(0).with("text", "x".repeat(150_000));
    engine.handle().try_track(huge).expect("there is room");
    let report = in_time(engine.flush(BOUND)).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    assert_eq!(
        account(&report.ledger, "a")
            .rejected
            .get(RejectReason::TooLarge),
        1
    );
    assert_eq!(collector.stats().received, 0);
    track(&engine, 1..EVENTS);
    assert!(in_time(engine.flush(BOUND)).await.is_settled());
    assert_holds_once(&collector, &ids_of(1..EVENTS));
    assert_eq!(engine.stats().bytes_held, 0);
}

#[tokio::test]
async fn a_server_that_takes_fewer_events_gets_fewer() {
    let faulty = Collector::builder()
        .max_events(8)
        .start_blocking()
        .expect("a free port");
    let sound = collector();
    let engine = engine_of(provider(&faulty, "faulty"), &sound);
    track(&engine, 0..100);
    let report = in_time(engine.shutdown(BOUND)).await;
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    assert_holds_once(&faulty, &ids_of(0..100));
}

#[tokio::test]
async fn events_without_the_tenant_key_that_a_server_wants_are_counted_as_rejected() {
    let (old, new) = (collector_of(Generation::V0_2), collector());
    let engine = builder()
        .provider(provider(&old, "old").tenant_keys(TenantKeys::ProductId))
        .provider(provider(&new, "new").tenant_keys(TenantKeys::ProductId))
        .spawn()
        .expect("it starts");
    track(&engine, 0..EVENTS);
    let report = in_time(engine.shutdown(BOUND)).await;
    assert_final(&report);
    let rejected = &account(&report.ledger, "old").rejected;
    assert_eq!(rejected.get(RejectReason::Invalid), EVENTS as u64);
    assert_eq!(account(&report.ledger, "new").delivered, EVENTS as u64);
    assert_holds_once(&new, &ids_of(0..EVENTS));
}
