//! The handles by which tests and the query pages order faults.

use std::sync::Arc;
use std::time::Duration;

use crate::faults::Fault;
use crate::plan::{FaultPlan, Rejection, Rule, When};
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
        self.shared.faults.queue(std::iter::once(fault));
    }

    /// Appends the same fault for `n` requests.
    pub fn push_times(&self, n: usize, fault: impl Into<Fault>) {
        let fault = fault.into();
        self.shared.faults.queue(std::iter::repeat_n(fault, n));
    }

    /// Replaces the standing faults by this one.
    pub fn set_standing(&self, fault: impl Into<Fault>, when: When) {
        let rule = Rule {
            fault: fault.into(),
            when,
        };
        self.shared.faults.stand(Some(rule));
    }

    /// Ends the standing faults.
    pub fn clear_standing(&self) {
        self.shared.faults.stand(None);
    }

    /// Makes every request wait this long after its body was read.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.faults.set_latency(latency);
    }

    /// Answers 413 to bodies above `bytes`; `None` lifts the limit.
    pub fn set_secret_body_limit(&self, bytes: Option<usize>) {
        self.shared.faults.set_secret_body_limit(bytes);
    }

    /// Refuses every batch with an event whose JSON text contains `marker`.
    pub fn poison(&self, marker: impl Into<String>) {
        let marker = marker.into();
        self.shared.faults.poison(marker);
    }

    /// Rejects by index, with `error`, every event whose JSON text contains `marker`.
    pub fn reject(&self, marker: impl Into<String>, error: impl Into<String>) {
        let rejection = Rejection {
            marker: marker.into(),
            error: error.into(),
        };
        self.shared.faults.reject(rejection);
    }

    /// Holds every request from now on, after its body was read and before anything is stored,
    /// until the guard is dropped. Several guards hold together.
    pub fn hold(&self) -> HoldGuard {
        self.shared.faults.hold();
        HoldGuard {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Lets the requests that [`Fault::Silence`] holds at this moment go on to their true answer.
    pub fn release(&self) {
        self.shared.faults.release();
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
        self.shared.faults.unhold();
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
