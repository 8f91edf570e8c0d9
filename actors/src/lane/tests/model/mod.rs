//! A lane beside a reference that a person can check: the same schedule for both, and after every step
//! they have to agree about every event.

mod drive;
mod reference;
mod rules;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::ledger::DropReason;
use drive::Drive;
use reference::Rules;

/// How an attempt ends.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Delivered,
    PerEvent(Vec<Verdict>),
    Retry(Option<u64>),
    Split,
    Poisoned,
    Hold,
    Final(RejectReason),
    TimedOut,
    Panicked,
    Aborted,
}

impl Answer {
    pub(super) fn ended(&self) -> Ended {
        Ended::With(match self.clone() {
            Self::Delivered => Outcome::Delivered,
            Self::PerEvent(verdicts) => Outcome::PerEvent(verdicts),
            Self::Retry(wait) => Outcome::Retry {
                not_before: wait.map(Duration::from_millis),
                cause: cause(),
            },
            Self::Split => split(),
            Self::Poisoned => poisoned(),
            Self::Hold => hold(),
            Self::Final(reason) => Outcome::Final {
                reason,
                cause: cause(),
            },
            Self::TimedOut => return Ended::TimedOut,
            Self::Panicked => return Ended::Panicked,
            Self::Aborted => return Ended::Aborted,
        })
    }
}

/// What an encoder makes of a request: how many events, and which of them it refuses.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    pub(super) events: usize,
    pub(super) refused: Vec<(usize, RejectReason)>,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Seals these.
    Offer(Vec<Priority>),
    /// So many dead letters leave their store; they come in or are lost at the next step but one.
    Redrive(usize),
    Arrive,
    Lose(DropReason),
    /// Starts what is due.
    Start,
    /// Encodes one of the attempts in flight.
    Encode(usize, Fit),
    /// Ends one of the attempts in flight.
    End(usize, Fit, Answer),
    /// So many attempts, each at the time at which it is due, all with one answer.
    Spell(usize, Fit, Answer),
    /// What an attempt that is over has to say.
    Late(usize, Fit, Answer),
    Crash,
    Wait(u64),
    /// Time goes on to when the lane wants to be asked again.
    Due,
    Pause(bool),
    SkipWaits,
    Drain(u64),
    Close(DropReason),
}

fn reasons() -> impl Strategy<Value = RejectReason> {
    prop_oneof![
        Just(RejectReason::Invalid),
        Just(RejectReason::TooLarge),
        Just(RejectReason::Unencodable),
        Just(RejectReason::Refused),
    ]
}

fn verdicts() -> impl Strategy<Value = Vec<Verdict>> {
    let verdict = prop_oneof![
        3 => Just(Verdict::Delivered),
        1 => reasons().prop_map(Verdict::Rejected),
        1 => Just(Verdict::Retry),
    ];
    prop_oneof![
        prop::collection::vec(verdict, 0..20),
        (1usize..20).prop_map(|n| vec![Verdict::Delivered; n]),
    ]
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => Just(Answer::Delivered),
        4 => verdicts().prop_map(Answer::PerEvent),
        3 => Just(Answer::Retry(None)),
        2 => times().prop_map(|ms| Answer::Retry(Some(ms))),
        2 => Just(Answer::Split),
        2 => Just(Answer::Poisoned),
        2 => Just(Answer::Hold),
        1 => reasons().prop_map(Answer::Final),
        1 => Just(Answer::TimedOut),
        2 => Just(Answer::Panicked),
        1 => Just(Answer::Aborted),
    ]
}

/// How many attempts in a row end: nearly always it is an outage.
fn spells() -> impl Strategy<Value = Answer> {
    prop_oneof![1 => answers(), 1 => Just(Answer::Retry(None))]
}

/// Milliseconds, up to hours.
fn times() -> impl Strategy<Value = u64> {
    prop_oneof![
        1 => Just(0),
        3 => 1u64..1000,
        3 => 1000u64..60_000,
        1 => 60_000u64..20_000_000,
    ]
}

fn fits() -> impl Strategy<Value = Fit> {
    let refused = prop_oneof![
        4 => Just(Vec::new()),
        1 => prop::collection::vec((0usize..12, reasons()), 0..4),
    ];
    let events = prop_oneof![2 => Just(usize::MAX), 3 => 0usize..12];
    (events, refused).prop_map(|(events, refused)| Fit { events, refused })
}

fn drops() -> impl Strategy<Value = DropReason> {
    prop_oneof![Just(DropReason::Deadline), Just(DropReason::Abandoned)]
}

fn steps() -> impl Strategy<Value = Step> {
    let priority = prop_oneof![3 => Just(Priority::Normal), 1 => Just(Priority::High)];
    let which = 0usize..4;
    prop_oneof![
        60 => prop::collection::vec(priority, 1..12).prop_map(Step::Offer),
        6 => (1usize..8).prop_map(Step::Redrive),
        4 => Just(Step::Arrive),
        2 => drops().prop_map(Step::Lose),
        60 => Just(Step::Start),
        16 => (which.clone(), fits()).prop_map(|(which, fit)| Step::Encode(which, fit)),
        60 => (which.clone(), fits(), answers())
            .prop_map(|(which, fit, answer)| Step::End(which, fit, answer)),
        12 => (1usize..40, fits(), spells())
            .prop_map(|(n, fit, answer)| Step::Spell(n, fit, answer)),
        4 => (which, fits(), answers())
            .prop_map(|(which, fit, answer)| Step::Late(which, fit, answer)),
        6 => Just(Step::Crash),
        16 => times().prop_map(Step::Wait),
        24 => Just(Step::Due),
        2 => Just(Step::Pause(true)),
        14 => Just(Step::Pause(false)),
        8 => Just(Step::SkipWaits),
        1 => times().prop_map(Step::Drain),
        1 => drops().prop_map(Step::Close),
    ]
}

fn retry_budgets() -> impl Strategy<Value = RetryBudget> {
    let some = (0u32..4, 1u64..10, 0u32..5).prop_map(|(capacity, seconds, fifths)| {
        RetryBudget::default()
            .with_capacity(capacity)
            .with_interval(Duration::from_secs(seconds))
            .with_per_success(f64::from(fifths) / 5.0)
    });
    prop_oneof![
        Just(RetryBudget::default()),
        Just(RetryBudget::unlimited()),
        some
    ]
}

prop_compose! {
    fn rules()(
        concurrency in prop_oneof![Just(1usize), 1usize..5],
        max_events in 1usize..16,
        share in prop_oneof![2 => 1usize..80, 1 => Just(1usize << 16)],
        overflow in prop_oneof![
            Just(Overflow::DropNewest),
            Just(Overflow::DropOldest),
            Just(Overflow::ByPriority),
        ],
        (base, cap, budget) in prop_oneof![
            Just((500u64, 30_000u64, 300_000u64)),
            (1u64..500, 500u64..5000, 500u64..20_000),
        ],
        retry_after_cap in prop_oneof![Just(120_000u64), 0u64..10_000],
        breaker_threshold in 0u32..7,
        retry_budget in retry_budgets(),
        hold_probe in prop_oneof![Just(30_000u64), 0u64..1000],
        hold_budget in prop::option::of(0u64..100_000),
    ) -> Rules {
        let ms = Duration::from_millis;
        let share = share * WEIGHT;
        let backoff = Backoff::new(ms(base), ms(cap), ms(budget)).expect("valid");
        let options = LaneOptions {
            concurrency,
            max_bytes: Some(share),
            overflow,
            backoff: backoff.with_retry_after_cap(ms(retry_after_cap)),
            breaker_threshold,
            retry_budget,
            hold_probe: ms(hold_probe),
            hold_budget: hold_budget.map(ms),
            ..options()
        };
        Rules { options, share, max_events, floor: ms(base) / 10, retry_after_cap: ms(retry_after_cap) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(29),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::with_cases(200)
    })]

    /// Whatever happens, the lane and the reference agree about every event after every step, and once
    /// nothing fails any more everything that is left is delivered soon.
    #[test]
    fn a_lane_does_what_its_reference_does(
        rules in rules(),
        filters in any::<bool>(),
        script in prop::collection::vec((steps(), 0u8..=4), 1..120),
    ) {
        let mut drive = Drive::new(rules, filters);
        for (step, chance) in &script {
            drive.chance = f64::from(*chance) / 4.0;
            drive.play(step);
        }
        drive.settle();
    }
}
