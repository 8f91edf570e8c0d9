//! Providers that write one format: each event is encoded once, and nobody is the worse for it.

mod common;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use common::{Door, block_on, eventually, expect_panics};
use productgraph_actors::testing::Victim;
use productgraph_actors::{
    BatchLimits, BoxFuture, Cause, Encoded, Events, FilterReason, FormatKey, LaneOptions, Limits,
    Outcome, Pipeline, PipelineBuilder, Provider, RejectReason,
};
use tokio::runtime::Handle;

const SECOND: Duration = Duration::from_secs(1);
const BOUND: Duration = Duration::from_secs(20);
const EVENTS: u64 = 2000;

/// What lanes of one format have in common, to be looked at.
#[derive(Default)]
struct Format {
    /// How often each event was written.
    calls: Mutex<BTreeMap<u64, usize>>,
}

impl Format {
    /// How many events were written, and the most often that one was.
    fn written(&self) -> (u64, usize) {
        let calls = self.calls.lock().unwrap();
        let most = calls.values().copied().max().unwrap_or(0);
        (calls.len() as u64, most)
    }
}

type Before = Box<dyn Fn(u64) + Send + Sync>;
type Answer = Box<dyn Fn(usize) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// Lines of numbers; those that end in 77 cannot be written.
struct Lines {
    name: String,
    key: Option<u32>,
    format: Arc<Format>,
    limits: Limits,
    /// Runs before an event is written for this lane.
    before: Before,
    /// Runs before a body is encoded.
    first: Box<dyn Fn() + Send + Sync>,
    answer: Answer,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl Lines {
    fn new(name: &str, key: Option<u32>, format: &Arc<Format>) -> Self {
        Self {
            name: name.to_owned(),
            key,
            format: Arc::clone(format),
            limits: Limits::new(500, 1 << 20),
            before: Box::new(|_| {}),
            first: Box::new(|| {}),
            answer: Box::new(|_| Box::pin(async { Outcome::Delivered })),
            bodies: Arc::default(),
        }
    }

    fn limits(mut self, max_events: usize, max_bytes: usize) -> Self {
        self.limits = Limits::new(max_events, max_bytes);
        self
    }

    fn before(mut self, before: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.before = Box::new(before);
        self
    }

    fn first(mut self, first: impl Fn() + Send + Sync + 'static) -> Self {
        self.first = Box::new(first);
        self
    }

    fn answer<F>(mut self, answer: impl Fn(usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        self.answer = Box::new(move |request| Box::pin(answer(request)));
        self
    }

    /// What it was sent, request by request.
    fn bodies(&self) -> Arc<Mutex<Vec<String>>> {
        Arc::clone(&self.bodies)
    }

    fn line(&self, event: u64, out: &mut Vec<u8>) -> Result<(), RejectReason> {
        (self.before)(event);
        *self.format.calls.lock().unwrap().entry(event).or_default() += 1;
        out.extend_from_slice(line(self.key, event).as_bytes());
        if event % 100 == 77 {
            return Err(RejectReason::Unencodable);
        }
        Ok(())
    }
}

fn line(key: Option<u32>, event: u64) -> String {
    format!("{}:{event}", key.unwrap_or(0))
}

/// What all bodies together have to be.
fn lines(key: Option<u32>, events: impl Iterator<Item = u64>) -> String {
    let events = events.filter(|event| event % 100 != 77);
    events.map(|event| line(key, event) + "\n").collect()
}

impl Provider<u64> for Lines {
    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn format(&self) -> Option<FormatKey> {
        self.key.map(FormatKey::new)
    }

    fn encode(&self, events: &Events<'_, u64>, max_bytes: usize) -> Encoded {
        (self.first)();
        let mut writer = events.writer(|event, out| self.line(*event, out));
        let (mut body, mut encoded) = (Vec::new(), Encoded::default());
        loop {
            let before = body.len();
            match writer.write_next(&mut body) {
                None => break,
                Some(Err(reason)) => encoded.refused.push((encoded.consumed, reason)),
                Some(Ok(())) if body.len() >= max_bytes => {
                    body.truncate(before);
                    break;
                }
                Some(Ok(())) => body.push(b'\n'),
            }
            encoded.consumed += 1;
        }
        encoded.body = body.into();
        encoded
    }

    fn send<'a>(&'a self, body: Bytes, _: Events<'a, u64>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let request = {
                let mut bodies = self.bodies.lock().unwrap();
                bodies.push(String::from_utf8(body.to_vec()).expect("text"));
                bodies.len() - 1
            };
            (self.answer)(request).await
        })
    }
}

fn builder() -> PipelineBuilder<u64> {
    Pipeline::builder(|_: &u64| 100).batch(BatchLimits::new(50, 5 * SECOND))
}

/// Under the paused clock of the test.
fn attached() -> PipelineBuilder<u64> {
    builder().runtime(Handle::current())
}

fn send_all(pipeline: &Pipeline<u64>, events: Range<u64>) {
    let sender = pipeline.sender();
    for event in events {
        sender.try_send(event).expect("there is room");
    }
}

fn together(bodies: &Mutex<Vec<String>>) -> String {
    bodies.lock().unwrap().concat()
}

#[tokio::test(start_paused = true)]
async fn each_event_is_encoded_once_for_each_format() {
    let formats = [Arc::default(), Arc::default(), Arc::default()];
    let mut pipeline = attached();
    let mut sent = Vec::new();
    let keys = [Some(1), None, Some(2), Some(1), Some(1), Some(2), Some(1)];
    for (n, key) in keys.into_iter().enumerate() {
        let format = &formats[key.unwrap_or(0) as usize];
        // each merges and cuts in its own way
        let lane =
            Lines::new(&format!("lane-{n}"), key, format).limits(70 * n + 30, 5000 - 600 * n);
        sent.push((key, lane.bodies()));
        pipeline = pipeline.provider(lane);
    }
    let pipeline = pipeline.spawn().expect("spawns");
    send_all(&pipeline, 0..EVENTS);
    let report = pipeline.shutdown(BOUND).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    for (key, bodies) in sent {
        assert_eq!(together(&bodies), lines(key, 0..EVENTS));
    }
    for provider in &report.ledger.providers {
        let refused = provider.rejected.get(RejectReason::Unencodable);
        assert_eq!((provider.delivered, refused), (EVENTS - 20, 20), "{report}");
    }
    for format in &formats {
        assert_eq!(format.written(), (EVENTS, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn filters_that_cut_batches_differently_still_get_exactly_their_events() {
    let format = Arc::default();
    let mut pipeline = attached();
    let mut sent = Vec::new();
    for divisor in [1, 2, 3, 7, 50, 500] {
        let lane = Lines::new(&format!("every-{divisor}"), Some(1), &format);
        sent.push((divisor, lane.bodies()));
        let filter =
            move |event: &u64| (!event.is_multiple_of(divisor)).then_some(FilterReason::Sampled);
        pipeline = pipeline.filtered_provider(Box::new(lane), LaneOptions::default(), filter);
    }
    let pipeline = pipeline.spawn().expect("spawns");
    send_all(&pipeline, 0..EVENTS);
    let report = pipeline.shutdown(BOUND).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    for (divisor, bodies) in sent {
        let wanted = (0..EVENTS).filter(|event| event % divisor == 0);
        assert_eq!(together(&bodies), lines(Some(1), wanted), "{divisor}");
    }
    assert_eq!(format.written(), (EVENTS, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_again_or_in_halves_is_what_the_others_send() {
    let format = Arc::default();
    let busy = || Outcome::Retry {
        not_before: None,
        cause: Cause::new("busy"),
    };
    let failing = Lines::new("failing", Some(1), &format).answer(move |request| async move {
        match request {
            1 => Outcome::Split {
                cause: Cause::new("large"),
            },
            n if n % 2 == 0 => busy(),
            _ => Outcome::Delivered,
        }
    });
    let healthy = Lines::new("healthy", Some(1), &format);
    let bodies = [failing.bodies(), healthy.bodies()];
    let pipeline = attached().provider(failing).provider(healthy);
    let pipeline = pipeline.spawn().expect("spawns");
    send_all(&pipeline, 0..EVENTS);
    let report = pipeline.shutdown(600 * SECOND).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    assert_eq!(together(&bodies[1]), lines(Some(1), 0..EVENTS));
    let requests = bodies[0].lock().unwrap();
    let delivered: Vec<_> = requests.iter().skip(3).step_by(2).cloned().collect();
    assert_eq!(delivered.concat(), lines(Some(1), 0..EVENTS));
    assert_eq!(requests[0], requests[1], "a retry sends the same body");
}

#[test]
fn lanes_on_threads_of_their_own_send_what_they_would_send_alone() {
    let format = Arc::default();
    let mut pipeline = builder();
    let mut sent = Vec::new();
    for n in 0..6 {
        let lane = Lines::new(&format!("lane-{n}"), Some(1), &format);
        sent.push(lane.bodies());
        pipeline = pipeline.provider(lane);
    }
    let pipeline = pipeline.spawn().expect("spawns");
    send_all(&pipeline, 0..EVENTS);
    let report = block_on(pipeline.shutdown(BOUND));
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    for bodies in sent {
        assert_eq!(together(&bodies), lines(Some(1), 0..EVENTS));
    }
    assert_eq!(format.written().0, EVENTS);
}

#[test]
fn an_encoder_that_blocks_in_the_middle_of_an_event_holds_up_its_own_lane_only() {
    let format = Arc::default();
    let (door, begun) = (Door::default(), Arc::new(AtomicBool::new(false)));
    let sick = {
        let (door, begun) = (door.clone(), Arc::clone(&begun));
        Lines::new("sick", Some(1), &format).before(move |_| {
            begun.store(true, Ordering::SeqCst);
            door.pass();
        })
    };
    let others = ["one", "two", "three"].map(|name| {
        let begun = Arc::clone(&begun);
        // so that the sick one is the first to claim anything
        let wait = move || eventually("it blocks", || begun.load(Ordering::SeqCst));
        Lines::new(name, Some(1), &format).first(wait)
    });
    let sent = others.each_ref().map(Lines::bodies);
    let sick_bodies = sick.bodies();
    let mut pipeline = builder().provider(sick);
    for other in others {
        pipeline = pipeline.provider(other);
    }
    let pipeline = pipeline.spawn().expect("spawns");
    send_all(&pipeline, 0..EVENTS);
    let all = lines(Some(1), 0..EVENTS - 50);
    for bodies in &sent {
        eventually("the others have everything", || {
            together(bodies).len() >= all.len()
        });
    }
    assert!(sick_bodies.lock().unwrap().is_empty());
    door.open();
    let report = block_on(pipeline.shutdown(BOUND));
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    for bodies in sent.iter().chain([&sick_bodies]) {
        assert_eq!(together(bodies), lines(Some(1), 0..EVENTS));
    }
}

#[tokio::test(start_paused = true)]
async fn an_encoder_that_panics_costs_its_own_lane_that_event_and_the_others_nothing() {
    expect_panics();
    let format = Arc::default();
    let poisoned = Lines::new("poisoned", Some(1), &format)
        .before(|event| assert!(event != 7, "panic of the script"));
    let healthy = Lines::new("healthy", Some(1), &format);
    let other = Lines::new("other", Some(1), &format);
    let bodies = [&poisoned, &healthy, &other].map(Lines::bodies);
    let pipeline = attached()
        .provider(poisoned)
        .provider(healthy)
        .provider(other);
    let pipeline = pipeline.spawn().expect("spawns");
    // nobody writes it for the poisoned one
    for name in ["healthy", "other"] {
        assert!(pipeline.set_paused(name, true));
    }
    send_all(&pipeline, 0..EVENTS);
    let rejected = |pipeline: &Pipeline<u64>| {
        let ledger = pipeline.ledger();
        ledger.providers[0].rejected.get(RejectReason::Panicked)
    };
    while rejected(&pipeline) == 0 {
        pipeline.flush(60 * SECOND).await;
    }
    for name in ["healthy", "other"] {
        assert!(pipeline.set_paused(name, false));
    }
    let report = pipeline.shutdown(600 * SECOND).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    assert_eq!(rejected(&pipeline), 1, "{report}");
    for bodies in &bodies[1..] {
        assert_eq!(together(bodies), lines(Some(1), 0..EVENTS));
    }
    let without = together(&bodies[0]);
    assert_eq!(
        without,
        lines(Some(1), (0..EVENTS).filter(|event| *event != 7))
    );
}

#[tokio::test(start_paused = true)]
async fn a_flusher_that_crashes_between_two_lanes_loses_and_spoils_nothing() {
    expect_panics();
    let format = Arc::default();
    let hangs_once = |request| async move {
        if request == 0 {
            std::future::pending::<()>().await;
        }
        Outcome::Delivered
    };
    let crashing = Lines::new("crashing", Some(1), &format).answer(hangs_once);
    let healthy = Lines::new("healthy", Some(1), &format);
    let bodies = [crashing.bodies(), healthy.bodies()];
    let pipeline = attached().provider(crashing).provider(healthy);
    let pipeline = pipeline.spawn().expect("spawns");
    assert!(pipeline.set_paused("healthy", true));
    send_all(&pipeline, 0..EVENTS);
    while bodies[0].lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    pipeline.crash(Victim::Flusher(0));
    assert!(pipeline.set_paused("healthy", false));
    let report = pipeline.shutdown(60 * SECOND).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    assert_eq!(pipeline.restarts(), 1);
    let all = lines(Some(1), 0..EVENTS);
    let twice = bodies[0].lock().unwrap().remove(0);
    assert!(all.starts_with(&twice) && !twice.is_empty());
    for bodies in &bodies {
        assert_eq!(together(bodies), all);
    }
    assert_eq!(format.written(), (EVENTS, 1));
}
