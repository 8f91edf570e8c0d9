//! A scripted provider and crash injection, for tests.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::ledger::RejectReason;
use crate::provider::{BoxFuture, Cause, Encoded, Limits, Outcome, Provider, Verdict};
use crate::request::Events;
pub use crate::wedge::Wedged;

/// An actor to crash with [`Pipeline::crash`](crate::Pipeline::crash).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Victim {
    /// The buffer.
    Buffer,
    /// The fan-out.
    FanOut,
    /// The flusher of the provider at this position.
    Flusher(usize),
    /// The actor that supervises the others. It survives a crash.
    Supervisor,
}

/// What a scripted provider does with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Takes every event.
    Deliver,
    /// Takes every event and answers with a failure all the same.
    DeliverThenFail,
    /// Fails; to be tried again, perhaps not before some time.
    Fail(Option<Duration>),
    /// Gives these verdicts, taking what they call delivered.
    Verdicts(Vec<Verdict>),
    /// Calls the body too large.
    TooLarge,
    /// Refuses the request without a hint.
    Refuse,
    /// Refuses this client.
    Unauthorized,
    /// Refuses everything for good.
    Final,
    /// Never answers.
    Hang,
    /// Panics.
    Panic,
    /// Does something after a while.
    After(Duration, Box<Step>),
}

/// What a scripted provider does when it is to encode. All but the first break the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// As many events as fit; one that does not fit alone is refused.
    Honest,
    /// Consumes nothing.
    Nothing,
    /// Says that it consumed more events than there are.
    TooMany,
    /// Refuses events at positions that it did not consume, and one of them twice.
    Elsewhere,
    /// Panics.
    Panic,
}

type EncodePlan<E> = dyn Fn(&[E], u64) -> Encoding + Send + Sync;
type Plan<E> = dyn Fn(&[E], u64) -> Step + Send + Sync;

/// A scripted provider, and what it got. Clones share one log.
pub struct Script<E> {
    inner: Arc<Inner<E>>,
}

struct Inner<E> {
    name: String,
    limits: Limits,
    event_bytes: usize,
    plan: Box<Plan<E>>,
    encoding: OnceLock<Box<EncodePlan<E>>>,
    encoded: AtomicU64,
    answers: Mutex<Vec<(Vec<E>, Step)>>,
    requests: AtomicU64,
    sizes: Mutex<Vec<usize>>,
    delivered: Mutex<Vec<E>>,
}

impl<E: Clone + Send + Sync + 'static> Script<E> {
    /// Delivers everything.
    pub fn delivering(name: &str) -> Self {
        Self::new(name, |_, _| Step::Deliver)
    }

    /// Does what `plan` says for the events of each request and its number, from 0.
    pub fn new(name: &str, plan: impl Fn(&[E], u64) -> Step + Send + Sync + 'static) -> Self {
        Self::limited(name, Limits::new(1000, 1 << 20), 8, plan)
    }

    /// As [`Script::new`], with limits, and bodies of `event_bytes` bytes an event.
    pub fn limited(
        name: &str,
        limits: Limits,
        event_bytes: usize,
        plan: impl Fn(&[E], u64) -> Step + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                name: name.to_owned(),
                limits,
                event_bytes,
                plan: Box::new(plan),
                encoding: OnceLock::new(),
                encoded: AtomicU64::new(0),
                answers: Mutex::default(),
                requests: AtomicU64::new(0),
                sizes: Mutex::default(),
                delivered: Mutex::default(),
            }),
        }
    }

    /// Encodes as `plan` says for the events offered and the number of the call, from 0. Only the first
    /// plan counts.
    #[must_use]
    pub fn encoding(self, plan: impl Fn(&[E], u64) -> Encoding + Send + Sync + 'static) -> Self {
        // a second plan is ignored, as documented
        let _ = self.inner.encoding.set(Box::new(plan));
        self
    }

    /// The provider to give to a pipeline.
    pub fn provider(&self) -> impl Provider<E> + use<E> {
        Scripted(Arc::clone(&self.inner))
    }

    /// What was taken, in order, repetitions included.
    pub fn delivered(&self) -> Vec<E> {
        self.inner
            .delivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The requests that were answered, from number `from` on, with what they were answered. Waits
    /// are left out, and so is what was given up before its answer.
    pub fn answers(&self, from: usize) -> Vec<(Vec<E>, Step)> {
        let answers = self.inner.answers.lock();
        let answers = answers.unwrap_or_else(PoisonError::into_inner);
        answers.get(from..).unwrap_or_default().to_vec()
    }

    /// Requests seen.
    pub fn requests(&self) -> u64 {
        self.inner.requests.load(Ordering::SeqCst)
    }

    /// Events in each request, in order.
    pub fn request_sizes(&self) -> Vec<usize> {
        self.inner
            .sizes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl<E> Clone for Script<E> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<E> fmt::Debug for Script<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("name", &self.inner.name)
            .finish_non_exhaustive()
    }
}

struct Scripted<E>(Arc<Inner<E>>);

impl<E: Clone + Send + Sync + 'static> Scripted<E> {
    fn take(&self, events: impl Iterator<Item = E>) {
        self.0
            .delivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(events);
    }

    #[expect(clippy::panic, reason = "a step of the script")]
    async fn play(&self, step: Step, events: &[E]) -> Outcome {
        let cause = Cause::new("script");
        if !matches!(step, Step::After(..) | Step::Hang) {
            let answers = self.0.answers.lock();
            let mut answers = answers.unwrap_or_else(PoisonError::into_inner);
            answers.push((events.to_vec(), step.clone()));
        }
        match step {
            Step::Deliver => {
                self.take(events.iter().cloned());
                Outcome::Delivered
            }
            Step::DeliverThenFail => {
                self.take(events.iter().cloned());
                Outcome::Retry {
                    not_before: None,
                    cause,
                }
            }
            Step::Fail(not_before) => Outcome::Retry { not_before, cause },
            Step::Verdicts(verdicts) => {
                let taken = events.iter().zip(&verdicts);
                let taken = taken.filter(|(_, v)| **v == Verdict::Delivered);
                self.take(taken.map(|(event, _)| event.clone()));
                Outcome::PerEvent(verdicts)
            }
            Step::TooLarge => Outcome::Split { cause },
            Step::Refuse => Outcome::Poisoned { cause },
            Step::Unauthorized => Outcome::Hold { cause },
            Step::Final => Outcome::Final {
                reason: RejectReason::Refused,
                cause,
            },
            Step::Hang => std::future::pending().await,
            Step::Panic => panic!("panic of the script"),
            Step::After(wait, step) => {
                tokio::time::sleep_until(Instant::now() + wait).await;
                Box::pin(self.play(*step, events)).await
            }
        }
    }
}

impl<E: Clone + Send + Sync + 'static> Provider<E> for Scripted<E> {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn limits(&self) -> Limits {
        self.0.limits
    }

    #[expect(clippy::panic, reason = "a step of the script")]
    fn encode(&self, events: &Events<'_, E>, max_bytes: usize) -> Encoded {
        let fits = (max_bytes / self.0.event_bytes.max(1)).min(events.len());
        let body = Bytes::from(vec![b'x'; fits * self.0.event_bytes]);
        let encoding = self.0.encoding.get().map_or(Encoding::Honest, |plan| {
            let call = self.0.encoded.fetch_add(1, Ordering::SeqCst);
            let events: Vec<E> = events.iter().cloned().collect();
            plan(&events, call)
        });
        let (consumed, refused) = match encoding {
            Encoding::Honest if fits == 0 => (1, vec![(0, RejectReason::TooLarge)]),
            Encoding::Honest => (fits, Vec::new()),
            Encoding::Nothing => (0, Vec::new()),
            Encoding::TooMany => (usize::MAX, Vec::new()),
            Encoding::Elsewhere => {
                let beyond = (fits, RejectReason::Unencodable);
                (
                    fits,
                    vec![beyond, beyond, (usize::MAX, RejectReason::Unencodable)],
                )
            }
            Encoding::Panic => panic!("panic of the script while encoding"),
        };
        Encoded {
            body,
            consumed,
            refused,
        }
    }

    fn send<'a>(&'a self, _: Bytes, events: Events<'a, E>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let number = self.0.requests.fetch_add(1, Ordering::SeqCst);
            let events: Vec<E> = events.iter().cloned().collect();
            self.0
                .sizes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(events.len());
            let step = (self.0.plan)(&events, number);
            self.play(step, &events).await
        })
    }
}
