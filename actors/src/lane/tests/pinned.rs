//! What two lanes that share batches keep alive, whatever happens to them.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::schedules::{Move, ended, in_order, moves, taken};
use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Seals these for both lanes.
    Offer(Vec<Priority>),
    /// Starts what is due in a lane, and encodes that many events of it.
    Start(usize, usize),
    /// Ends one of a lane's attempts.
    End(usize, usize, Move),
    /// Time passes.
    Wait(u64),
    /// Gives up everything in a lane.
    Close(usize),
}

fn steps() -> impl Strategy<Value = Step> {
    let priority = prop_oneof![3 => Just(Priority::Normal), 1 => Just(Priority::High)];
    prop_oneof![
        12 => prop::collection::vec(priority, 1..12).prop_map(Step::Offer),
        8 => (0usize..2, 1usize..12).prop_map(|(lane, fit)| Step::Start(lane, fit)),
        8 => (0usize..2, 0usize..4, moves()).prop_map(|(lane, which, how)| Step::End(lane, which, how)),
        2 => (0u64..100).prop_map(Step::Wait),
    ]
}

fn policies() -> impl Strategy<Value = (usize, Overflow, usize, usize)> {
    let overflow = prop_oneof![
        Just(Overflow::DropNewest),
        Just(Overflow::DropOldest),
        Just(Overflow::ByPriority)
    ];
    (1usize..60, overflow, 1usize..4, 1usize..16)
}

/// Two lanes, what is in flight in each, and what each destination took.
struct Pair {
    rigs: [Rig; 2],
    open: [Vec<Open>; 2],
    arrived: [Vec<u64>; 2],
    shares: [usize; 2],
    largest: usize,
}

impl Pair {
    fn new(policies: [(usize, Overflow, usize, usize); 2]) -> Self {
        let mut rigs = policies.map(|(room, overflow, concurrency, max_events)| {
            let options = LaneOptions {
                max_bytes: Some(room * WEIGHT),
                overflow,
                concurrency,
                ..options()
            };
            let mut rig = Rig::new(max_events, options);
            rig.shared = true;
            rig
        });
        rigs[1].budget = Arc::clone(&rigs[0].budget);
        Self {
            rigs,
            open: [Vec::new(), Vec::new()],
            arrived: [Vec::new(), Vec::new()],
            shares: policies.map(|(room, ..)| room * WEIGHT),
            largest: 0,
        }
    }

    fn play(&mut self, step: &Step) {
        match step {
            Step::Offer(priorities) => {
                let sealed = self.rigs[0].mixed(priorities);
                let weights = sealed.slices.iter().map(|slice| slice.batch.weight);
                self.largest = weights.fold(self.largest, usize::max);
                for rig in &self.rigs {
                    drop(rig.lane.offer(&sealed));
                }
            }
            &Step::Start(lane, fit) => {
                let open = self.rigs[lane].start_fitting(fit);
                self.open[lane].extend(open);
            }
            &Step::End(lane, _, Move::Crash) => {
                self.open[lane].clear();
                self.rigs[lane].lane.recover();
            }
            &Step::End(lane, which, how) => self.end(lane, which, how),
            &Step::Wait(seconds) => {
                for rig in &mut self.rigs {
                    rig.later(Duration::from_secs(seconds));
                }
            }
            &Step::Close(lane) => self.rigs[lane].lane.close(DropReason::Deadline),
        }
    }

    fn end(&mut self, lane: usize, which: usize, how: Move) {
        let open = &mut self.open[lane];
        if open.is_empty() {
            return;
        }
        let ending = open.swap_remove(which % open.len());
        let in_turn = self.rigs[lane].lane.options.concurrency == 1;
        let how = match how {
            Move::PerEvent(seed) if in_turn => in_order(seed),
            how => how,
        };
        self.arrived[lane].extend(taken(how, &ending.events));
        self.rigs[lane].end(&ending, ended(how, ending.events.len()));
    }

    /// Each lane is within its share, and all that is charged is what both really hold.
    fn check(&self) {
        let mut alive = BTreeMap::new();
        let mut bound = 0;
        for (rig, share) in self.rigs.iter().zip(self.shares) {
            rig.check();
            alive.extend(rig.pinned());
            let most = share.max(self.largest);
            let status = rig.lane.status(rig.now);
            assert!(status.pinned_bytes <= most, "{status:?} in {most}");
            assert!(status.pending_bytes <= status.pinned_bytes, "{status:?}");
            bound += most;
        }
        let used = self.rigs[0].budget.used();
        assert_eq!(used, alive.values().sum::<usize>());
        assert!(used <= bound);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(11),
        cases: 500,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_lane_never_keeps_more_alive_than_its_share_or_one_batch(
        one in policies(),
        other in policies(),
        script in prop::collection::vec(steps(), 1..120),
        closed in 0usize..2,
    ) {
        let mut pair = Pair::new([one, other]);
        for step in &script {
            pair.play(step);
            pair.check();
        }
        for ((_, _, concurrency, _), arrived) in [one, other].iter().zip(&pair.arrived) {
            let unique: HashSet<_> = arrived.iter().collect();
            prop_assert_eq!(unique.len(), arrived.len(), "delivered twice");
            prop_assert!(*concurrency > 1 || arrived.is_sorted(), "{:?}", arrived);
        }
        for lane in [closed, 1 - closed] {
            pair.play(&Step::Close(lane));
            pair.check();
        }
        prop_assert_eq!(pair.rigs[0].budget.used(), 0);
    }

    /// While nothing is sent, a high event goes only when no normal one is left.
    #[test]
    fn what_matters_outlives_the_rest(
        room in 1usize..40,
        offers in prop::collection::vec(prop::collection::vec(any::<bool>(), 1..10), 1..40),
    ) {
        let options = LaneOptions {
            max_bytes: Some(room * WEIGHT),
            overflow: Overflow::ByPriority,
            ..options()
        };
        let mut rig = Rig::new(10, options);
        let (mut high, mut present) = (Vec::new(), Vec::new());
        for offer in &offers {
            let priority = |&high: &bool| if high { Priority::High } else { Priority::Normal };
            let priorities: Vec<_> = offer.iter().map(priority).collect();
            present.extend(rig.events..rig.events + offer.len() as u64);
            high.extend(offer);
            rig.offer_mixed(&priorities);
            let after = rig.present();
            let is_high = |id: &u64| usize::try_from(*id).is_ok_and(|at| high[at]);
            let lost_high = present.iter().any(|id| is_high(id) && !after.contains(id));
            prop_assert!(!lost_high || after.iter().all(is_high), "{:?} of {:?}", after, present);
            present = after;
        }
        let taken = rig.run(|_| Outcome::Delivered).concat();
        prop_assert_eq!(taken, present, "in order");
    }
}
