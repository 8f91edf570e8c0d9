//! Tells the log of stalls and of events turned away: once per episode, with counts.
//!
//! It looks now and then while there is something in the engine, and has no timer while there is not.

use std::time::Duration;

use tokio::time::Instant;

use crate::ledger::RefuseReason;
use crate::pulse::Alert;
use crate::supervise::sleep_until;
use crate::vitals::{Phase, Stage, Subject};

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// What goes on is told of at most this often; an episode is over when it was quiet for as long.
const QUIET: Duration = Duration::from_secs(60);

/// What the log was told, and when to look again.
#[derive(Debug, Default)]
pub(crate) struct Sentinel {
    next: Option<Instant>,
    stalled: Vec<Stage>,
    full: Losses,
    too_large: Losses,
    displaced: Losses,
}

/// What a count says to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saying {
    Nothing,
    /// So many since the last time.
    Lost(u64),
    /// Nothing for a while; so many in all of the episode.
    Over(u64),
}

/// A count of events that only grows.
#[derive(Debug, Default)]
struct Losses {
    seen: u64,
    told: u64,
    episode: Option<LossEpisode>,
}

#[derive(Debug)]
struct LossEpisode {
    before: u64,
    told_at: Instant,
    grown_at: Instant,
}

impl Losses {
    fn say(&mut self, total: u64, now: Instant) -> Saying {
        let grown = total > self.seen;
        self.seen = total;
        let quiet = |at: Instant| now.saturating_duration_since(at) >= QUIET;
        match &mut self.episode {
            None if grown => {
                self.episode = Some(LossEpisode {
                    before: self.told,
                    told_at: now,
                    grown_at: now,
                });
            }
            None => return Saying::Nothing,
            Some(episode) => {
                if grown {
                    episode.grown_at = now;
                }
                if quiet(episode.grown_at) {
                    let all = total - episode.before;
                    self.told = total;
                    self.episode = None;
                    return Saying::Over(all);
                }
                if total == self.told || !quiet(episode.told_at) {
                    return Saying::Nothing;
                }
                episode.told_at = now;
            }
        }
        let lost = total - self.told;
        self.told = total;
        Saying::Lost(lost)
    }

    fn is_over(&self) -> bool {
        self.episode.is_none()
    }
}

impl Sentinel {
    /// When it is time for a look.
    pub(crate) async fn due(&self, alert: &Alert) {
        tokio::select! {
            () = alert.raised() => {}
            () = sleep_until(self.next) => {}
        }
    }

    /// When it will look next, if it will.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Looks, and tells what is new.
    pub(crate) fn look<E: Send + Sync + 'static>(
        &mut self,
        subject: &Subject<'_, E>,
        now: Instant,
    ) {
        self.tell_losses(subject, now);
        let losing = self.is_losing();
        let alert = subject.stages.ingress.alert();
        if !losing {
            alert.rest_from_losses();
            // what was lost until then raised no alert
            self.tell_losses(subject, now);
            if self.is_losing() {
                alert.losing();
            }
        }
        self.tell_stalls(subject, now);
        if !self.is_busy(subject, now) {
            alert.rest_from_work();
        }
        self.next = (self.is_losing() || self.is_busy(subject, now)).then(|| now + LOOK);
    }

    fn is_losing(&self) -> bool {
        let kinds = [&self.full, &self.too_large, &self.displaced];
        !kinds.into_iter().all(Losses::is_over)
    }

    fn is_busy<E: Send + Sync + 'static>(&self, subject: &Subject<'_, E>, now: Instant) -> bool {
        let pulses = subject.stages.ingress.pulses();
        let owed = [&pulses.buffer, &pulses.fan_out];
        !self.stalled.is_empty()
            || owed.iter().any(|pulse| pulse.owed_for(now).is_some())
            || subject.stages.lanes.iter().any(|lane| lane.is_busy(now))
    }

    fn tell_losses<E: Send + Sync + 'static>(&mut self, subject: &Subject<'_, E>, now: Instant) {
        let ingress = &subject.stages.ingress;
        let (refused, displaced) = (ingress.refused(), subject.stages.displaced());
        match self.full.say(refused.get(RefuseReason::Full), now) {
            Saying::Nothing => {}
            Saying::Lost(events) => tracing::warn!(events, "engine full; events refused"),
            Saying::Over(events) => tracing::info!(events, "no event refused for a while"),
        }
        match self.too_large.say(refused.get(RefuseReason::TooLarge), now) {
            Saying::Nothing | Saying::Over(_) => {}
            Saying::Lost(events) => {
                tracing::warn!(events, "events larger than the engine's ceiling refused");
            }
        }
        match self.displaced.say(displaced, now) {
            Saying::Nothing => {}
            Saying::Lost(events) => tracing::warn!(events, "engine full; oldest events dropped"),
            Saying::Over(events) => tracing::info!(events, "no event displaced for a while"),
        }
    }

    fn tell_stalls<E: Send + Sync + 'static>(&mut self, subject: &Subject<'_, E>, now: Instant) {
        let vitals = subject.vitals(now);
        if matches!(vitals.phase, Phase::Ended(_)) {
            return;
        }
        for stalled in &vitals.stalled {
            if !self.stalled.contains(&stalled.stage) {
                let (stage, since) = (&stalled.stage, stalled.since);
                tracing::error!(%stage, ?since, "no progress although there is work");
            }
        }
        for stage in &self.stalled {
            if vitals.stalled.iter().all(|stalled| stalled.stage != *stage) {
                tracing::info!(%stage, "progress again");
            }
        }
        self.stalled = vitals.stalled.into_iter().map(|s| s.stage).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn losses_are_told_at_once_then_once_a_minute_and_at_last_in_all() {
        let mut losses = Losses::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(losses.say(0, at(0)), Saying::Nothing);
        assert_eq!(losses.say(3, at(1)), Saying::Lost(3));
        for second in 2..61 {
            assert_eq!(losses.say(3 + second, at(second)), Saying::Nothing);
        }
        assert_eq!(losses.say(70, at(61)), Saying::Lost(67));
        assert_eq!(losses.say(75, at(90)), Saying::Nothing);
        assert!(!losses.is_over());
        assert_eq!(losses.say(75, at(121)), Saying::Lost(5));
        assert_eq!(losses.say(75, at(149)), Saying::Nothing);
        assert_eq!(losses.say(75, at(150)), Saying::Over(75));
        assert!(losses.is_over());
        assert_eq!(losses.say(75, at(1000)), Saying::Nothing);
        assert_eq!(losses.say(76, at(1001)), Saying::Lost(1));
        assert_eq!(losses.say(76, at(1061)), Saying::Over(1));
    }
}
