//! Several providers of one wire format in one engine: each sends what it would send alone.

mod engine_support;

use std::time::{Duration, SystemTime};

use engine_support::{BOUND, assert_final, builder, collector, in_time, numbered, provider};
use productgraph::correlation::SessionId;
use productgraph::event::Timestamp;
use productgraph::providers::{IntoProvider, ProductGraph, Setup, TenantKeys};
use productgraph::{Event, FormatKey, ProviderOptions};
use productgraph_collector::Collector;

const EVENTS: usize = 1000;
/// Events of one batch, and of one request, so that cuts do not depend on when a lane looks.
const BATCH: usize = 50;

/// The same event each time; one in a hundred is more than the service takes.
fn event(n: usize) -> Event {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_000 + n as u64);
    let session = SessionId::parse("018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f").expect("it is one");
    let event = numbered(n)
        .with_session(session)
        .with_timestamp(Timestamp::from(at))
        .with_sequence(n as u64)
        .with("text", "\u{1F600} \"quoted\" \u{7}".repeat(n % 5));
    (0..if n % 100 == 99 { 12 } else { 0 }).fold(event, |event, part| {
        event.with(format!("part-{part}"), "x".repeat(10_000))
    })
}

/// What one destination is like.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    keys: TenantKeys,
    /// Only every so many events.
    every: usize,
}

fn kind(name: &'static str, keys: TenantKeys, every: usize) -> Kind {
    Kind { name, keys, every }
}

/// The bodies that each of these gets in one engine, and what it refused.
async fn deliver(kinds: &[Kind]) -> Vec<(Vec<Vec<u8>>, u64)> {
    let collectors: Vec<Collector> = kinds.iter().map(|_| collector()).collect();
    let mut engine = builder().batch_size(BATCH).max_buffered_bytes(64 << 20);
    for (kind, collector) in kinds.iter().zip(&collectors) {
        let provider = provider(collector, kind.name)
            .tenant_keys(kind.keys)
            .max_batch_events(BATCH);
        let every = kind.every as u64;
        let filter = move |event: &Event| event.sequence().is_some_and(|n| n.is_multiple_of(every));
        let options = ProviderOptions::new().filter(filter);
        engine = engine.provider_with(provider, options);
    }
    let engine = engine.spawn().expect("it spawns");
    let handle = engine.handle();
    for n in 0..EVENTS {
        handle.track(event(n));
    }
    let report = in_time(engine.shutdown(BOUND)).await;
    assert!(report.is_settled(), "{report}");
    assert_final(&report);
    let rejected = report.ledger.providers.iter().map(|p| p.rejected.total());
    let bodies = collectors.iter().map(|collector| {
        let requests = collector.requests().into_iter();
        requests
            .map(|request| request.body.expect("it is kept").to_vec())
            .collect()
    });
    bodies.zip(rejected).collect()
}

/// The events of all bodies, as bytes, in order.
fn events(bodies: &[Vec<u8>]) -> Vec<u8> {
    let inner = bodies.iter().map(|body| {
        let inner = body.strip_prefix(br#"{"events":["#);
        inner.and_then(|rest| rest.strip_suffix(b"]}"))
    });
    let inner: Option<Vec<_>> = inner.collect();
    inner.expect("each is framed").join(&b","[..])
}

#[tokio::test]
async fn providers_of_one_format_send_byte_for_byte_what_each_sends_alone() {
    let (both, product) = (TenantKeys::Both, TenantKeys::ProductId);
    let kinds = [
        kind("first", both, 1),
        kind("second", both, 1),
        kind("other-keys", product, 1),
        kind("sampled", both, 7),
        kind("other-keys-sampled", product, 3),
    ];
    let together = deliver(&kinds).await;
    for (kind, together) in kinds.iter().zip(together) {
        let alone = deliver(&[*kind]).await.remove(0);
        assert!(!alone.0.is_empty() && alone.1 > 0, "{}", kind.name);
        assert!(events(&together.0) == events(&alone.0), "{}", kind.name);
        assert_eq!(together.1, alone.1, "{}", kind.name);
        if kind.every == 1 {
            // nothing is merged, so the requests are the same, too
            assert!(together.0 == alone.0, "{}", kind.name);
        }
    }
}

#[test]
fn providers_have_one_format_where_everything_that_decides_the_bytes_is_the_same() {
    let format = |provider: ProductGraph, project: &str| -> Option<FormatKey> {
        let provider = provider.into_provider(&Setup::new(project.to_owned()));
        provider.expect("it can be built").format()
    };
    let plain = || ProductGraph::new("https://one.example.com");
    let known = format(plain(), "shop");
    assert!(known.is_some());
    let elsewhere = ProductGraph::new("https://two.example.com")
        .name("second")
        .api_key("pg_live_51a7")
        .max_batch_events(7)
        .max_batch_bytes(2000);
    assert_eq!(format(elsewhere, "shop"), known);
    assert_ne!(format(plain(), "other shop"), known);
    assert_ne!(format(plain().specific_types(true), "shop"), known);
    for keys in [TenantKeys::ProductId, TenantKeys::ProjectId] {
        assert_ne!(format(plain().tenant_keys(keys), "shop"), known);
    }
}
