//! Faults at work: the plan in force, whose turn it is, and the gate.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::decode::Screen;
use crate::faults::Fault;
use crate::plan::{FaultPlan, Rejection, Rule, When};

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

    pub(crate) fn queue(&self, faults: impl Iterator<Item = Fault>) {
        self.change(|active| active.next.extend(faults));
    }

    pub(crate) fn stand(&self, rule: Option<Rule>) {
        self.change(|active| active.standing = rule.into_iter().map(ActiveRule::new).collect());
    }

    pub(crate) fn set_latency(&self, latency: Duration) {
        self.change(|active| active.latency = latency);
    }

    pub(crate) fn set_secret_body_limit(&self, bytes: Option<usize>) {
        self.change(|active| active.secret_body_limit = bytes);
    }

    pub(crate) fn poison(&self, marker: String) {
        self.change(|active| Arc::make_mut(&mut active.markers).poison.push(marker));
    }

    pub(crate) fn reject(&self, rejection: Rejection) {
        self.change(|active| Arc::make_mut(&mut active.markers).reject.push(rejection));
    }

    pub(crate) fn hold(&self) {
        self.gate.send_modify(|gate| gate.holds += 1);
    }

    pub(crate) fn unhold(&self) {
        self.gate.send_modify(|gate| gate.holds -= 1);
    }

    pub(crate) fn release(&self) {
        self.gate.send_modify(|gate| gate.releases += 1);
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
