//! What the engine relies on in kameo, pinned so that an upgrade that changes it fails here first.
//!
//! Time is paused unless a test says otherwise: a wait that would never end runs into its guard at
//! once. Panic messages in the output are the tests' own crashes.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kameo::mailbox::Signal;
use kameo::prelude::*;
use kameo::supervision::{RestartPolicy, SupervisionStrategy};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

/// No wait of these tests takes longer when kameo does what it should.
const GUARD: Duration = Duration::from_secs(60);
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// What a probe or its supervisor did.
#[derive(Debug, PartialEq, Eq)]
enum Fact {
    /// With the number of the incarnation, from 1.
    Started(usize),
    Ticked,
    Stopped,
    /// The supervisor was told that a child died for good; true if normally.
    ChildGone(bool),
}

/// What all incarnations of a probe share.
#[derive(Clone)]
struct Plan {
    facts: mpsc::UnboundedSender<Fact>,
    starts: Arc<AtomicUsize>,
    /// The incarnation whose `on_start` panics.
    fails_to_start: Option<usize>,
    tick: Option<Duration>,
    /// Makes `next` panic.
    poison: Arc<Notify>,
    /// What a `Wait` message waits for.
    gate: Arc<Notify>,
}

impl Plan {
    fn new(facts: &mpsc::UnboundedSender<Fact>) -> Self {
        Self {
            facts: facts.clone(),
            starts: Arc::default(),
            fails_to_start: None,
            tick: None,
            poison: Arc::default(),
            gate: Arc::default(),
        }
    }

    fn tell(&self, fact: Fact) {
        let _: Result<(), _> = self.facts.send(fact);
    }
}

/// A worker in the shape of the engine's own: timers and completions are selected in `next`.
struct Probe {
    plan: Plan,
    incarnation: usize,
    next_tick: Option<Instant>,
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

impl Actor for Probe {
    type Args = Plan;
    type Error = Infallible;

    async fn on_start(plan: Plan, _: ActorRef<Self>) -> Result<Self, Infallible> {
        let incarnation = plan.starts.fetch_add(1, Ordering::SeqCst) + 1;
        plan.tell(Fact::Started(incarnation));
        assert_ne!(
            plan.fails_to_start,
            Some(incarnation),
            "start {incarnation} fails as planned"
        );
        let next_tick = plan.tick.map(|tick| Instant::now() + tick);
        Ok(Self {
            plan,
            incarnation,
            next_tick,
        })
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<Signal<Self>>, Infallible> {
        loop {
            tokio::select! {
                biased;
                signal = mailbox.recv() => return Ok(signal),
                () = self.plan.poison.notified() => panic!("next panics as planned"),
                () = at(self.next_tick) => {
                    self.next_tick = None;
                    self.plan.tell(Fact::Ticked);
                }
            }
        }
    }

    async fn on_stop(
        &mut self,
        _: WeakActorRef<Self>,
        _: ActorStopReason,
    ) -> Result<(), Infallible> {
        // A stop that takes its time, so that a result that is out too early is noticed.
        tokio::task::yield_now().await;
        self.plan.tell(Fact::Stopped);
        Ok(())
    }
}

/// Answers with the number of the incarnation.
struct WhichOne;
struct Crash;
struct Quit;
/// Keeps the handler busy until the gate opens.
struct Wait;
/// Takes the reply sender and drops it.
struct Forget;

impl Message<WhichOne> for Probe {
    type Reply = usize;

    async fn handle(&mut self, _: WhichOne, _: &mut Context<Self, usize>) -> usize {
        self.incarnation
    }
}

impl Message<Crash> for Probe {
    type Reply = ();

    async fn handle(&mut self, _: Crash, _: &mut Context<Self, ()>) {
        panic!("the handler panics as planned");
    }
}

impl Message<Quit> for Probe {
    type Reply = ();

    async fn handle(&mut self, _: Quit, context: &mut Context<Self, ()>) {
        context.stop();
    }
}

impl Message<Wait> for Probe {
    type Reply = ();

    async fn handle(&mut self, _: Wait, _: &mut Context<Self, ()>) {
        self.plan.gate.notified().await;
    }
}

impl Message<Forget> for Probe {
    type Reply = DelegatedReply<()>;

    async fn handle(&mut self, _: Forget, context: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, sender) = context.reply_sender();
        drop(sender);
        delegated
    }
}

/// A supervisor in the shape of the engine's own.
struct Root {
    facts: mpsc::UnboundedSender<Fact>,
}

impl Actor for Root {
    type Args = mpsc::UnboundedSender<Fact>;
    type Error = Infallible;

    fn supervision_strategy() -> SupervisionStrategy {
        SupervisionStrategy::OneForOne
    }

    async fn on_start(facts: Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self { facts })
    }

    async fn on_link_died(
        &mut self,
        _: WeakActorRef<Self>,
        _: ActorId,
        reason: ActorStopReason,
    ) -> Result<ControlFlow<ActorStopReason>, Infallible> {
        let _: Result<(), _> = self.facts.send(Fact::ChildGone(reason.is_normal()));
        Ok(ControlFlow::Continue(()))
    }
}

/// A supervisor with one child and what they tell.
struct Family {
    root: ActorRef<Root>,
    child: ActorRef<Probe>,
    plan: Plan,
    facts: mpsc::UnboundedReceiver<Fact>,
}

impl Family {
    /// A running family; `change` adapts the plan.
    async fn start(restarts: u32, change: impl FnOnce(&mut Plan)) -> Self {
        let (sender, facts) = mpsc::unbounded_channel();
        let mut plan = Plan::new(&sender);
        change(&mut plan);
        let root = Root::spawn(sender);
        let child = adopt(&root, &plan, restarts).await;
        let mut family = Self {
            root,
            child,
            plan,
            facts,
        };
        family.expect(Fact::Started(1)).await;
        family
    }

    /// The next fact is this one.
    #[track_caller]
    fn expect(&mut self, fact: Fact) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let got = within(self.facts.recv()).await;
            assert_eq!(got, Some(fact), "expected at {caller}");
        }
    }

    /// The next fact but for `Stopped`, which an old incarnation tells while the new one starts.
    async fn expect_besides_stops(&mut self, fact: Fact) {
        let mut got = within(self.facts.recv()).await;
        while got == Some(Fact::Stopped) {
            got = within(self.facts.recv()).await;
        }
        assert_eq!(got, Some(fact));
    }

    /// Which incarnation answers.
    async fn incarnation(&self) -> Option<usize> {
        within(self.child.ask(WhichOne).reply_timeout(ASK_TIMEOUT))
            .await
            .ok()
    }
}

async fn adopt(root: &ActorRef<Root>, plan: &Plan, restarts: u32) -> ActorRef<Probe> {
    Probe::supervise(root, plan.clone())
        .restart_policy(RestartPolicy::Transient)
        // Counted in real time: an hour outlives the test, whatever the paused clock says.
        .restart_limit(restarts, Duration::from_secs(3_600))
        .spawn()
        .await
}

async fn within<F: IntoFuture>(future: F) -> F::Output {
    timeout(GUARD, future).await.expect("waited in vain")
}

#[tokio::test(start_paused = true)]
async fn next_serves_a_timer_and_the_mailbox_without_a_message_for_the_timer() {
    let tick = Duration::from_secs(10);
    let started = Instant::now();
    let mut family = Family::start(3, |plan| plan.tick = Some(tick)).await;
    assert_eq!(
        family.incarnation().await,
        Some(1),
        "messages are handled before the timer fires"
    );
    assert_eq!(started.elapsed(), Duration::ZERO);
    family.expect(Fact::Ticked).await;
    assert_eq!(
        started.elapsed(),
        tick,
        "the timer fires at its virtual time"
    );
    assert_eq!(family.incarnation().await, Some(1), "and after it");
}

#[tokio::test(start_paused = true)]
async fn a_transient_child_is_restarted_after_a_panic_in_a_handler_and_its_old_ref_still_works() {
    let mut family = Family::start(3, |_| {}).await;
    let taken_before = family.child.clone();
    family.child.tell(Crash).await.unwrap();
    family.expect_besides_stops(Fact::Started(2)).await;
    assert_eq!(family.incarnation().await, Some(2));
    let by_old_ref = within(taken_before.ask(WhichOne).reply_timeout(ASK_TIMEOUT)).await;
    assert_eq!(by_old_ref.ok(), Some(2));
    within(taken_before.tell(Crash)).await.unwrap();
    family.expect_besides_stops(Fact::Started(3)).await;
}

#[tokio::test(start_paused = true)]
async fn a_transient_child_is_restarted_after_a_panic_in_next() {
    let mut family = Family::start(3, |_| {}).await;
    family.plan.poison.notify_one();
    family.expect_besides_stops(Fact::Started(2)).await;
    assert_eq!(family.incarnation().await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_transient_child_that_stops_itself_is_not_restarted() {
    let mut family = Family::start(3, |_| {}).await;
    family.child.tell(Quit).await.unwrap();
    family.expect_besides_stops(Fact::ChildGone(true)).await;
    assert_eq!(family.plan.starts.load(Ordering::SeqCst), 1);
    assert_eq!(family.incarnation().await, None);
    assert!(family.root.is_alive());
}

#[tokio::test(start_paused = true)]
async fn stop_gracefully_ends_a_transient_child_after_the_messages_before_it() {
    let mut family = Family::start(3, |_| {}).await;
    family.child.tell(Wait).await.unwrap();
    let question = family
        .child
        .ask(WhichOne)
        .reply_timeout(ASK_TIMEOUT)
        .enqueue();
    let pending = within(question).await.unwrap();
    family.plan.gate.notify_one();
    within(family.child.stop_gracefully()).await.unwrap();
    assert_eq!(within(pending).await.ok(), Some(1));
    let result = within(family.child.wait_for_shutdown_result()).await;
    assert!(matches!(result, Ok(ActorStopReason::Normal)), "{result:?}");
    family.expect_besides_stops(Fact::ChildGone(true)).await;
    assert_eq!(family.plan.starts.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_child_over_its_restart_limit_is_gone_and_supervisor_and_sibling_live_on() {
    let mut family = Family::start(2, |_| {}).await;
    let (sibling_facts, _keep) = mpsc::unbounded_channel();
    let sibling = adopt(&family.root, &Plan::new(&sibling_facts), 2).await;
    for incarnation in [2, 3] {
        family.child.tell(Crash).await.unwrap();
        family
            .expect_besides_stops(Fact::Started(incarnation))
            .await;
    }
    family.child.tell(Crash).await.unwrap();
    family.expect_besides_stops(Fact::ChildGone(false)).await;
    assert_eq!(
        family.plan.starts.load(Ordering::SeqCst),
        3,
        "one start and two restarts"
    );
    assert_eq!(family.incarnation().await, None);
    assert!(family.root.is_alive());
    let answer = within(sibling.ask(WhichOne).reply_timeout(ASK_TIMEOUT)).await;
    assert_eq!(answer.ok(), Some(1), "the sibling was not restarted");
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_restarting_costs_one_more_restart_and_no_more() {
    let mut family = Family::start(3, |plan| plan.fails_to_start = Some(2)).await;
    family.child.tell(Crash).await.unwrap();
    family.expect_besides_stops(Fact::Started(2)).await;
    family.expect_besides_stops(Fact::Started(3)).await;
    assert_eq!(family.incarnation().await, Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_restarting_counts_against_the_restart_limit() {
    let mut family = Family::start(1, |plan| plan.fails_to_start = Some(2)).await;
    family.child.tell(Crash).await.unwrap();
    family.expect_besides_stops(Fact::Started(2)).await;
    family.expect_besides_stops(Fact::ChildGone(false)).await;
    assert!(family.root.is_alive());
}

#[tokio::test(start_paused = true)]
async fn asking_an_actor_that_dies_of_the_question_is_an_error() {
    let family = Family::start(0, |_| {}).await;
    let answer = within(family.child.ask(Crash).reply_timeout(ASK_TIMEOUT)).await;
    assert!(matches!(answer, Err(SendError::ActorStopped)), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn asking_an_actor_that_is_busy_for_ever_times_out_at_the_reply_timeout() {
    let family = Family::start(0, |_| {}).await;
    family.child.tell(Wait).await.unwrap();
    let asked = Instant::now();
    let answer = within(family.child.ask(WhichOne).reply_timeout(ASK_TIMEOUT)).await;
    assert!(matches!(answer, Err(SendError::Timeout(_))), "{answer:?}");
    assert_eq!(asked.elapsed(), ASK_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_question_queued_behind_a_fatal_message_ends_in_an_error_and_does_not_hang() {
    let family = Family::start(0, |_| {}).await;
    family.child.tell(Wait).await.unwrap();
    family.child.tell(Crash).await.unwrap();
    let question = family
        .child
        .ask(WhichOne)
        .reply_timeout(ASK_TIMEOUT)
        .enqueue();
    let pending = within(question).await.unwrap();
    let asked = Instant::now();
    family.plan.gate.notify_one();
    let answer = within(pending).await;
    assert!(answer.is_err(), "{answer:?}");
    assert!(
        asked.elapsed() < ASK_TIMEOUT,
        "the death is told at once, not by the timeout"
    );
}

#[tokio::test(start_paused = true)]
async fn a_delegated_reply_whose_sender_is_dropped_is_an_error_at_once() {
    let family = Family::start(0, |_| {}).await;
    let asked = Instant::now();
    let answer = within(family.child.ask(Forget).reply_timeout(ASK_TIMEOUT)).await;
    assert!(matches!(answer, Err(SendError::ActorStopped)), "{answer:?}");
    assert_eq!(asked.elapsed(), Duration::ZERO);
    assert_eq!(
        family.incarnation().await,
        Some(1),
        "the actor itself is well"
    );
}

#[tokio::test(start_paused = true)]
async fn the_shutdown_result_comes_after_on_stop() {
    let (sender, mut facts) = mpsc::unbounded_channel();
    let probe = Probe::spawn(Plan::new(&sender));
    within(probe.stop_gracefully()).await.unwrap();
    let result = within(probe.wait_for_shutdown_result()).await;
    assert!(matches!(result, Ok(ActorStopReason::Normal)), "{result:?}");
    let mut told = Vec::new();
    while let Ok(fact) = facts.try_recv() {
        told.push(fact);
    }
    assert_eq!(told, [Fact::Started(1), Fact::Stopped]);
}

#[tokio::test(start_paused = true)]
async fn stopping_the_supervisor_stops_its_children() {
    let family = Family::start(3, |_| {}).await;
    within(family.root.stop_gracefully()).await.unwrap();
    let result = within(family.root.wait_for_shutdown_result()).await;
    assert!(matches!(result, Ok(ActorStopReason::Normal)), "{result:?}");
    assert_eq!(family.incarnation().await, None);
    assert_eq!(family.plan.starts.load(Ordering::SeqCst), 1);
}

#[test]
fn actors_can_be_spawned_from_a_plain_thread_that_entered_a_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let (sender, _facts) = mpsc::unbounded_channel();
    let handle = runtime.handle().clone();
    let spawning = std::thread::spawn(move || {
        let root = {
            let _entered = handle.enter();
            Root::spawn(sender.clone())
        };
        let child = handle.block_on(adopt(&root, &Plan::new(&sender), 3));
        (root, child)
    });
    let (root, child) = spawning.join().unwrap();
    let answer = runtime.block_on(async { within(child.ask(WhichOne)).await });
    assert_eq!(answer.ok(), Some(1));
    assert!(root.is_alive());
}

#[tokio::test(start_paused = true)]
async fn two_families_of_the_same_actors_in_one_process_do_not_meet() {
    let mut first = Family::start(3, |_| {}).await;
    let second = Family::start(3, |_| {}).await;
    first.child.tell(Crash).await.unwrap();
    first.expect_besides_stops(Fact::Started(2)).await;
    within(first.root.stop_gracefully()).await.unwrap();
    within(first.root.wait_for_shutdown_result()).await.unwrap();
    assert_eq!(first.incarnation().await, None);
    assert_eq!(
        second.incarnation().await,
        Some(1),
        "the other was neither restarted nor stopped"
    );
    assert!(second.root.is_alive());
}
