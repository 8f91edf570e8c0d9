//! Faults at work: the plan in force, the gate, and the switch that takes the server down.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::decode::Screen;
use crate::faults::{Answer, Fault, FaultPlan, Rejection, Rule, When};
use crate::shared::Shared;

/// Live control over what goes wrong; cheap to clone. Get it from
/// [`Collector::faults`](crate::Collector::faults).
#[derive(Clone, Debug)]
pub struct Faults {
    shared: Arc<Shared>,
}

impl Faults {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Replaces everything in force; counters of standing rules start anew.
    pub fn set(&self, plan: FaultPlan) {
        self.shared.faults.set(plan);
    }

    /// What is in force; faults already used up are gone from [`FaultPlan::next`].
    pub fn plan(&self) -> FaultPlan {
        self.shared.faults.plan()
    }

    /// Ends all faults. Gates and silent requests stay as they are.
    pub fn clear(&self) {
        self.set(FaultPlan::new());
    }

    /// Appends a fault for the next request without one.
    pub fn push(&self, fault: impl Into<Fault>) {
        let fault = fault.into();
        self.shared
            .faults
            .change(|active| active.next.push_back(fault));
    }

    /// Appends the same fault for `n` requests.
    pub fn push_times(&self, n: usize, fault: impl Into<Fault>) {
        let fault = fault.into();
        self.shared
            .faults
            .change(|active| active.next.extend(std::iter::repeat_n(fault, n)));
    }

    /// Replaces the standing faults by this one.
    pub fn set_standing(&self, fault: impl Into<Fault>, when: When) {
        let rule = Rule {
            fault: fault.into(),
            when,
        };
        self.shared
            .faults
            .change(|active| active.standing = vec![ActiveRule::new(rule)]);
    }

    /// Ends the standing faults.
    pub fn clear_standing(&self) {
        self.shared.faults.change(|active| active.standing.clear());
    }

    /// Makes every request wait this long after its body was read.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.faults.change(|active| active.latency = latency);
    }

    /// Answers 413 to bodies above `bytes`; `None` lifts the limit.
    pub fn set_secret_body_limit(&self, bytes: Option<usize>) {
        self.shared
            .faults
            .change(|active| active.secret_body_limit = bytes);
    }

    /// Refuses every batch with an event whose JSON text contains `marker`.
    pub fn poison(&self, marker: impl Into<String>) {
        let marker = marker.into();
        self.shared
            .faults
            .change(|active| Arc::make_mut(&mut active.markers).poison.push(marker));
    }

    /// Rejects by index, with `error`, every event whose JSON text contains `marker`.
    pub fn reject(&self, marker: impl Into<String>, error: impl Into<String>) {
        let rejection = Rejection {
            marker: marker.into(),
            error: error.into(),
        };
        self.shared
            .faults
            .change(|active| Arc::make_mut(&mut active.markers).reject.push(rejection));
    }

    /// Holds every request from now on, after its body was read and before anything is stored,
    /// until the guard is dropped. Several guards hold together.
    pub fn hold(&self) -> HoldGuard {
        self.shared.faults.gate.send_modify(|gate| gate.holds += 1);
        HoldGuard {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Lets the requests that [`Fault::Silence`] holds at this moment go on to their true answer.
    pub fn release(&self) {
        self.shared
            .faults
            .gate
            .send_modify(|gate| gate.releases += 1);
    }

    /// Takes the server down: open connections are reset and new ones refused until the guard is
    /// dropped. It takes effect in the background;
    /// wait for [`Stats::listening`](crate::Stats::listening) to turn false where it matters.
    pub fn down(&self) -> DownGuard {
        self.shared.life.send_modify(|life| life.downs += 1);
        DownGuard {
            shared: Arc::clone(&self.shared),
        }
    }
}

/// Holds requests until it is dropped; see [`Faults::hold`].
#[derive(Debug)]
#[must_use = "dropping the guard opens the gate"]
pub struct HoldGuard {
    shared: Arc<Shared>,
}

impl HoldGuard {
    /// Opens the gate; the same as dropping the guard.
    pub fn release(self) {}
}

impl Drop for HoldGuard {
    fn drop(&mut self) {
        self.shared.faults.gate.send_modify(|gate| gate.holds -= 1);
    }
}

/// Keeps the server down until it is dropped; see [`Faults::down`].
#[derive(Debug)]
#[must_use = "dropping the guard brings the server back"]
pub struct DownGuard {
    shared: Arc<Shared>,
}

impl DownGuard {
    /// Brings the server back; the same as dropping the guard.
    pub fn up(self) {}
}

impl Drop for DownGuard {
    fn drop(&mut self) {
        self.shared.life.send_modify(|life| life.downs -= 1);
    }
}

/// The part of the shared state that faults own.
#[derive(Debug)]
pub(crate) struct FaultState {
    active: Mutex<Active>,
    gate: watch::Sender<Gate>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Gate {
    holds: usize,
    releases: u64,
}

/// What one request has to suffer.
#[derive(Debug)]
pub(crate) struct Ordeal {
    pub(crate) fault: Fault,
    pub(crate) latency: Duration,
    pub(crate) secret_body_limit: Option<usize>,
    pub(crate) markers: Arc<Markers>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Markers {
    poison: Vec<String>,
    reject: Vec<Rejection>,
}

impl Screen for Markers {
    fn poisons(&self, raw: &str) -> bool {
        self.poison.iter().any(|marker| raw.contains(marker))
    }

    fn rejects(&self, raw: &str) -> Option<String> {
        let rejection = self
            .reject
            .iter()
            .find(|rejection| raw.contains(&rejection.marker))?;
        Some(rejection.error.clone())
    }
}

#[derive(Debug, Default)]
struct Active {
    next: VecDeque<Fault>,
    standing: Vec<ActiveRule>,
    latency: Duration,
    secret_body_limit: Option<usize>,
    markers: Arc<Markers>,
}

impl From<FaultPlan> for Active {
    fn from(plan: FaultPlan) -> Self {
        Self {
            next: plan.next.into(),
            standing: plan.standing.into_iter().map(ActiveRule::new).collect(),
            latency: plan.latency,
            secret_body_limit: plan.secret_body_limit,
            markers: Arc::new(Markers {
                poison: plan.poison,
                reject: plan.reject,
            }),
        }
    }
}

impl FaultState {
    pub(crate) fn new(plan: FaultPlan) -> Self {
        Self {
            active: Mutex::new(plan.into()),
            gate: watch::Sender::default(),
        }
    }

    pub(crate) fn set(&self, plan: FaultPlan) {
        self.change(|active| *active = plan.into());
    }

    pub(crate) fn plan(&self) -> FaultPlan {
        self.change(|active| FaultPlan {
            next: active.next.iter().cloned().collect(),
            standing: active
                .standing
                .iter()
                .map(|active| active.rule.clone())
                .collect(),
            latency: active.latency,
            secret_body_limit: active.secret_body_limit,
            poison: active.markers.poison.clone(),
            reject: active.markers.reject.clone(),
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Active) -> T) -> T {
        change(&mut self.active.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Draws what the next request has to suffer.
    pub(crate) fn draw(&self) -> Ordeal {
        self.change(|active| {
            let fault = active.next.pop_front().or_else(|| {
                // Every rule counts every request, also those that an earlier rule takes.
                active.standing.iter_mut().fold(None, |found, rule| {
                    let struck = rule.strikes();
                    found.or_else(|| struck.then(|| rule.rule.fault.clone()))
                })
            });
            Ordeal {
                fault: fault.unwrap_or(Fault::Pass),
                latency: active.latency,
                secret_body_limit: active.secret_body_limit,
                markers: Arc::clone(&active.markers),
            }
        })
    }

    /// Whether a request would have to wait at the gate.
    pub(crate) fn holds(&self) -> bool {
        self.gate.borrow().holds > 0
    }

    /// Waits until no guard holds requests.
    pub(crate) async fn pass_gate(&self) {
        // The sender lives as long as `self`, so this cannot fail.
        let _ = self.gate.subscribe().wait_for(|gate| gate.holds == 0).await;
    }

    /// Waits for the next release of silent requests.
    pub(crate) fn released(&self) -> impl Future<Output = ()> + use<> {
        let mut gate = self.gate.subscribe();
        let seen = gate.borrow().releases;
        async move {
            if gate.wait_for(|gate| gate.releases > seen).await.is_err() {
                // The collector is gone; nobody can release this request.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[derive(Debug)]
struct ActiveRule {
    rule: Rule,
    asked: u64,
    random: SplitMix,
}

impl ActiveRule {
    const fn new(rule: Rule) -> Self {
        let seed = match rule.when {
            When::Probability { seed, .. } => seed,
            _ => 0,
        };
        Self {
            rule,
            asked: 0,
            random: SplitMix(seed),
        }
    }

    fn strikes(&mut self) -> bool {
        self.asked += 1;
        match self.rule.when {
            When::Always => true,
            When::Every(n) => n > 0 && self.asked.is_multiple_of(n),
            When::First(n) => self.asked <= n,
            When::Probability { p, .. } => self.random.unit() < p,
        }
    }
}

/// `SplitMix64`: all that reproducible faults need.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    /// The next number in 0..1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let top = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(u32::MAX);
        f64::from(top) / 4_294_967_296.0
    }
}

/// Whether an answer could be sent as it stands; used where plans come from outside.
pub(crate) fn check_plan(plan: &FaultPlan) -> Result<(), String> {
    let faults = plan
        .next
        .iter()
        .chain(plan.standing.iter().map(|rule| &rule.fault));
    for fault in faults {
        let (Fault::Answer(Answer { status, .. }) | Fault::Huge { status, .. }) = fault else {
            continue;
        };
        if !(200..=999).contains(status) {
            return Err(format!("status {status} is not in 200..=999"));
        }
    }
    for rule in &plan.standing {
        match rule.when {
            When::Every(0) => return Err("every 0 would never strike".to_owned()),
            When::Probability { p, .. } if !(0.0..=1.0).contains(&p) => {
                return Err(format!("probability {p} is not in 0..=1"));
            }
            _ => {}
        }
    }
    if plan
        .poison
        .iter()
        .chain(plan.reject.iter().map(|r| &r.marker))
        .any(String::is_empty)
    {
        return Err("a marker must not be empty".to_owned());
    }
    Ok(())
}
