//! What an event costs the caller in allocations.

use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use productgraph::Text;
use productgraph::correlation::{Correlation, RequestId, SessionId, SessionSource, TraceIds};
use productgraph::event::wire::WireOptions;
use productgraph::event::{Event, EventId, Stamp, Timestamp};

fn correlation() -> Correlation {
    Correlation::builder()
        .session(
            SessionId::parse("018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f").unwrap(),
            SessionSource::Adopted,
        )
        .request_id(RequestId::parse("0f8fad5b-d9cb-469f-a165-70867728950e").unwrap())
        .trace(TraceIds {
            trace_id: [1; 16],
            span_id: [2; 8],
        })
        .build()
}

/// Builds and stamps as the handle does.
fn tracked(correlation: &Correlation, path: Text, sequence: u64) -> Event {
    let mut event =
        Event::api_response(http::Method::POST, path, 200, Duration::from_micros(41_250));
    let timestamp = Timestamp::now();
    event.stamp(Stamp {
        id: EventId::v7(timestamp, sequence),
        timestamp,
        sequence,
        correlation: correlation.clone(),
        trace: correlation.trace(),
    });
    event
}

#[test]
fn an_api_response_in_a_correlated_request_allocates_nothing() {
    let correlation = correlation();
    let shared: Arc<str> = "/v1/projects/{project}/plans/{plan}/prices".into();
    // the thread's generator and the salt of the process are made once
    drop(tracked(&correlation, "/".into(), 0));

    let static_text = Text::from("/v1/projects/{project}/plans/{plan}");
    let inline = Text::copied("/v1/plans/{id}");
    let shared = Text::from(shared);
    for path in [static_text, inline, shared] {
        let counted = measure(|| {
            let event = tracked(&correlation, path.clone(), 1);
            let copy = event.clone();
            drop((event, copy));
        });
        assert_eq!(counted.count_total, 0, "{path}");
    }
}

#[test]
fn the_counter_counts() {
    let counted = measure(|| drop(Event::custom("x").with("items", 3)));
    assert!(counted.count_total > 0);
}

#[test]
fn writing_into_a_buffer_with_room_allocates_nothing() {
    let event = tracked(&correlation(), "/v1/plans/{id}".into(), 1);
    let options = WireOptions::new("shop");
    let mut out = Vec::with_capacity(1024);
    let counted = measure(|| event.write_wire(&options, &mut out).unwrap());
    assert_eq!(counted.count_total, 0);
    assert!(!out.is_empty());
}

#[test]
fn the_clone_of_a_rich_event_copies_nothing() {
    let event = tracked(&correlation(), "/".into(), 1)
        .title("Plans")
        .with("plan", "a name that is longer than what fits inline");
    let counted = measure(|| drop(event.clone()));
    assert_eq!(counted.count_total, 0);
}

#[test]
fn an_event_weighs_what_its_correlation_takes_unless_that_is_everybodys() {
    let alone = Event::api_response(http::Method::GET, "/", 200, Duration::ZERO);
    let mut correlated = None;
    let counted = measure(|| correlated = Some(correlation()));
    let correlation = correlated.expect("made");
    let event = alone.clone().with_correlation(correlation);
    let weighs = u64::try_from(event.weight() - alone.weight()).expect("heavier");
    // the counts of an `Arc` come on top
    let held = u64::try_from(counted.bytes_current).expect("kept");
    assert!(
        weighs + 16 >= held && weighs < 2 * held,
        "{weighs} for {held}"
    );
    let process = Correlation::builder()
        .session(SessionId::of_process(), SessionSource::Process)
        .build();
    let event = alone.clone().with_correlation(process);
    assert_eq!(event.weight(), alone.weight());
}
