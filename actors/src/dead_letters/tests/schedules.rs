//! Redriving at any time in any schedule.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Move {
    Push(u64),
    Turn,
    Route,
    Seal,
    Deliver(usize),
    Refuse(usize),
    Verdicts(usize, u64),
    Poison(usize),
    Retry(usize),
    Abort(usize),
    Wait(u64),
    Redrive(u64),
    Take(u64),
}

fn moves() -> impl Strategy<Value = Move> {
    let lane = 0..2usize;
    prop_oneof![
        3 => (1..12u64).prop_map(Move::Push),
        3 => Just(Move::Turn),
        4 => Just(Move::Route),
        1 => Just(Move::Seal),
        2 => lane.clone().prop_map(Move::Deliver),
        4 => lane.clone().prop_map(Move::Refuse),
        2 => (lane.clone(), any::<u64>()).prop_map(|(lane, seed)| Move::Verdicts(lane, seed)),
        1 => lane.clone().prop_map(Move::Poison),
        2 => lane.clone().prop_map(Move::Retry),
        1 => lane.prop_map(Move::Abort),
        1 => (0..400u64).prop_map(Move::Wait),
        4 => (1..4u64).prop_map(Move::Redrive),
        1 => (2..5u64).prop_map(Move::Take),
    ]
}

impl Rig {
    fn play(&mut self, step: &Move) {
        match *step {
            Move::Push(events) => self.push(events),
            Move::Turn => self.turn(),
            Move::Route => drop(self.stages.route_one()),
            Move::Seal => drop(self.stages.seal()),
            Move::Deliver(lane) => drop(self.deliver(lane)),
            Move::Refuse(lane) => drop(self.refuse(lane)),
            Move::Verdicts(lane, seed) => {
                let verdict = |i: usize| match seed >> (2 * (i % 32)) & 3 {
                    0 => Verdict::Delivered,
                    3 => Verdict::Retry,
                    _ => Verdict::Rejected(RejectReason::Invalid),
                };
                let verdicts = |n| Ended::With(Outcome::PerEvent((0..n).map(verdict).collect()));
                self.attempt(lane, verdicts);
            }
            Move::Poison(lane) => {
                let cause = Cause::new("test");
                self.attempt(lane, |_| Ended::With(Outcome::Poisoned { cause }));
            }
            Move::Retry(lane) => drop(self.attempt(lane, |_| retry())),
            Move::Abort(lane) => drop(self.attempt(lane, |_| Ended::Aborted)),
            Move::Wait(seconds) => self.now += Duration::from_secs(seconds),
            Move::Redrive(part) => {
                let before = self.stats();
                let meant = |letter: &DeadLetter<Item>| letter.number().is_multiple_of(part);
                let redriven = self.stages.redrive(meant).expect("open");
                let after = self.stats();
                assert_eq!(after.redriven, before.redriven + redriven.moved);
                assert_eq!(after.kept + redriven.moved, before.kept);
            }
            Move::Take(part) => {
                let numbers = self.letters().into_iter().map(|letter| letter.number());
                let numbers = numbers
                    .filter(|number| number.is_multiple_of(part))
                    .collect();
                for store in &self.stages.dead.as_ref().expect("kept").stores {
                    store.take(&numbers);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(27), ..ProptestConfig::default() })]

    /// After every step of any schedule, and when the end comes in the middle of it.
    #[test]
    fn whatever_is_redriven_whenever_every_event_is_in_one_place(
        steps in prop::collection::vec(moves(), 0..120),
        kept in 1usize..60,
        ceiling in 8usize..400,
        heal in any::<bool>(),
    ) {
        let mut rig = Rig::new(2, DeadLetterLimits::new(kept, 1 << 16), ceiling * WEIGHT);
        for step in &steps {
            rig.play(step);
            rig.check();
        }
        if heal {
            for _ in 0..1000 {
                rig.stages.seal();
                rig.settle();
                rig.now += Duration::from_secs(30);
                if rig.deliver(0).is_empty() & rig.deliver(1).is_empty() {
                    break;
                }
                rig.check();
            }
        } else {
            rig.stages.close(DropReason::Deadline);
        }
        let ledger = rig.check();
        for provider in &ledger.providers {
            prop_assert_eq!(provider.pending, 0, "{}", ledger);
        }
        prop_assert_eq!(rig.stages.ingress.budget().used(), 0);
    }
}
