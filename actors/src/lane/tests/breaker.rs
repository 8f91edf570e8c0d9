//! A destination in trouble sees one request at a time, and health says so.

use super::*;

/// A lane that could send `concurrency` requests of two events at once, and has ten to send.
fn wide(concurrency: usize) -> Rig {
    let mut rig = Rig::new(
        2,
        LaneOptions {
            concurrency,
            ..options()
        },
    );
    rig.offer_all(&[2; 10]);
    rig
}

fn start_all(rig: &mut Rig) -> Vec<Open> {
    std::iter::from_fn(|| rig.start_fitting(usize::MAX)).collect()
}

fn asks_for(wait: Duration) -> Outcome {
    Outcome::Retry {
        not_before: Some(wait),
        cause: cause(),
    }
}

/// Fails everything until the breaker is open and nothing is in flight.
fn open_breaker(rig: &mut Rig) {
    while rig.lane.status(rig.now).breaker != BreakerState::Open {
        match start_all(rig) {
            all if all.is_empty() => rig.later(rig.waits().expect("it waits")),
            all => {
                for open in all {
                    rig.answer(&open, retry());
                }
            }
        }
    }
}

#[test]
fn however_many_requests_could_fly_an_open_breaker_lets_one_probe_out() {
    let mut rig = wide(4);
    open_breaker(&mut rig);
    for _ in 0..6 {
        let wait = rig.waits().expect("the whole lane waits");
        let status = rig.lane.status(rig.now);
        assert_eq!(status.retry_in, Some(wait));
        assert_eq!(status.breaker, BreakerState::Open);
        let nearly = wait.saturating_sub(Duration::from_nanos(1));
        rig.later(nearly);
        assert_eq!(rig.waits(), Some(Duration::from_nanos(1)));
        rig.later(Duration::from_nanos(1));
        let probes = start_all(&mut rig);
        assert_eq!(probes.len(), 1);
        assert_eq!(rig.lane.status(rig.now).breaker, BreakerState::HalfOpen);
        rig.answer(&probes[0], retry());
    }
    rig.later(rig.waits().expect("waits"));
    let probe = rig.start();
    rig.answer(&probe, Outcome::Delivered);
    let status = rig.lane.status(rig.now);
    assert_eq!(
        (status.breaker, status.opened_for, status.retry_in),
        (BreakerState::Closed, None, None)
    );
    let mut in_flight = Vec::new();
    for expected in [2, 3, 4, 4] {
        in_flight.extend(start_all(&mut rig));
        assert_eq!(in_flight.len(), expected, "they go one after the other");
        rig.answer(&in_flight.remove(0), Outcome::Delivered);
    }
    for open in in_flight {
        rig.answer(&open, Outcome::Delivered);
    }
    rig.run(|_| Outcome::Delivered);
    assert_eq!(rig.ledger().delivered, 20);
}

#[test]
fn with_one_request_in_flight_the_breaker_adds_no_wait_to_the_waits_there_are() {
    let waits = |breaker_threshold| {
        let mut rig = Rig::new(
            2,
            LaneOptions {
                breaker_threshold,
                ..options()
            },
        );
        rig.offer(2);
        let mut waits = Vec::new();
        for _ in 0..12 {
            let open = rig.start();
            rig.answer(&open, retry());
            waits.push(rig.waits().expect("waits"));
            rig.later(waits[waits.len() - 1]);
        }
        waits
    };
    let without = waits(u32::MAX);
    assert_eq!(without[..3], [SECOND / 2, SECOND, 2 * SECOND]);
    for threshold in [0, 1, 5, 9] {
        assert_eq!(waits(threshold), without, "{threshold}");
    }
}

#[test]
fn what_a_destination_asks_for_holds_back_the_whole_lane() {
    let mut rig = wide(4);
    let flights = start_all(&mut rig);
    assert_eq!(flights.len(), 4);
    let news = rig.answer(&flights[0], asks_for(60 * SECOND));
    assert!(matches!(
        news.episode,
        Episode::Opened { attempts: 1, wait } if wait >= 60 * SECOND
    ));
    assert_eq!(rig.waits(), None, "three in flight");
    let status = rig.lane.status(rig.now);
    assert!(status.retry_in >= Some(60 * SECOND));
    rig.answer(&flights[1], retry());
    rig.answer(&flights[2], asks_for(90 * SECOND));
    rig.answer(&flights[3], asks_for(3600 * SECOND));
    let wait = rig.waits().expect("it waits");
    let cap = 2 * 60 * SECOND;
    assert!(wait >= cap && wait <= cap * 5 / 4, "{wait:?}");
    rig.later(wait);
    assert_eq!(start_all(&mut rig).len(), 1);
}

#[test]
fn a_hold_does_not_shorten_the_pause_that_the_destination_asked_for() {
    let mut rig = wide(2);
    let open = start_all(&mut rig);
    rig.answer(&open[0], asks_for(100 * SECOND));
    rig.answer(&open[1], hold());
    assert!(rig.waits() >= Some(100 * SECOND), "{:?}", rig.waits());
}

#[test]
fn failures_of_attempts_that_began_before_do_not_make_the_wait_longer() {
    let mut rig = wide(8);
    let flights = start_all(&mut rig);
    for open in &flights[..5] {
        rig.answer(open, retry());
    }
    assert_eq!(rig.lane.status(rig.now).breaker, BreakerState::Open);
    let before = rig.lane.status(rig.now).retry_in;
    assert_eq!(before, Some(SECOND / 2), "all failed for the first time");
    for open in &flights[5..] {
        rig.answer(open, retry());
    }
    assert_eq!(rig.lane.status(rig.now).retry_in, before);
    assert_eq!(rig.waits(), before);
}

#[test]
fn a_success_that_began_before_closes_the_breaker() {
    let mut rig = wide(8);
    let flights = start_all(&mut rig);
    for open in &flights[..7] {
        rig.answer(open, retry());
    }
    let news = rig.answer(&flights[7], Outcome::Delivered);
    assert!(matches!(
        news.episode,
        Episode::Recovered { attempts: 7, .. }
    ));
    assert_eq!(rig.lane.status(rig.now).breaker, BreakerState::Closed);
    assert_eq!(start_all(&mut rig).len(), 2);
}

#[test]
fn a_drain_skips_the_wait_of_an_open_breaker_once_and_keeps_the_next_ones_short() {
    for concurrency in [1, 4] {
        let mut rig = wide(concurrency);
        open_breaker(&mut rig);
        rig.lane.drain(rig.now + 10 * SECOND, rig.now);
        let end = rig.now + 10 * SECOND;
        let mut attempts = 0;
        while rig.now < end {
            let probes = start_all(&mut rig);
            assert_eq!(probes.len(), 1);
            attempts += 1;
            rig.answer(&probes[0], asks_for(3600 * SECOND));
            let wait = rig.waits().expect("it waits");
            let left = end - rig.now;
            assert!(wait <= left / 2 || wait == Duration::from_millis(50));
            rig.later(wait);
        }
        assert!((5..20).contains(&attempts), "{attempts}");
    }
}

#[test]
fn a_lost_flusher_leaves_the_breaker_as_it_was() {
    let mut rig = wide(4);
    open_breaker(&mut rig);
    rig.later(rig.waits().expect("waits"));
    rig.start();
    rig.lane.recover();
    rig.check();
    assert_eq!(rig.lane.status(rig.now).breaker, BreakerState::HalfOpen);
    assert_eq!(start_all(&mut rig).len(), 1, "one probe again");
}

#[test]
fn a_lane_with_nothing_to_send_has_no_timer_although_its_breaker_is_open() {
    let mut rig = Rig::new(2, options());
    rig.offer(2);
    open_breaker(&mut rig);
    while rig.ledger().pending > 0 {
        rig.later(rig.waits().expect("waits"));
        let open = rig.start();
        rig.answer(&open, retry());
    }
    let status = rig.lane.status(rig.now);
    assert_eq!(status.breaker, BreakerState::Open);
    assert_eq!((rig.waits(), status.retry_in), (None, None));
    rig.offer(2);
    assert!(rig.waits() > Some(Duration::ZERO), "it is still open");
}

#[test]
fn a_destination_that_refuses_everything_is_asked_seldom_and_not_called_healthy() {
    const EVENTS: u64 = 10_000;
    let mut rig = Rig::new(1000, options());
    rig.offer_all(&[50; 200]);
    let start = rig.now;
    let (mut requests, mut worst) = (0, 0);
    while rig.ledger().pending > 0 {
        match rig.start_fitting(usize::MAX) {
            Some(open) => {
                requests += 1;
                rig.answer(&open, poisoned());
            }
            None => {
                if worst == 0 {
                    worst = requests;
                }
                let status = rig.lane.status(rig.now);
                assert_eq!(status.state, LaneState::Retrying);
                assert_eq!(status.breaker, BreakerState::Open);
                rig.later(rig.waits().expect("waits"));
            }
        }
    }
    // 2 * log2(1000) + 8 explain themselves
    assert_eq!(worst, 29, "before the first pause");
    assert!(requests < 80, "{requests} requests instead of 20,000");
    let budget = options().backoff.budget();
    assert!(rig.now - start >= budget);
    let ledger = rig.ledger();
    let poison = ledger.rejected.get(RejectReason::Poison);
    assert!((2..30).contains(&poison), "{poison} were refused alone");
    assert_eq!(
        ledger.dropped.get(DropReason::Expired),
        EVENTS - poison,
        "{ledger:?}"
    );
    rig.offer(50);
    rig.run(|_| Outcome::Delivered);
    assert_eq!(rig.ledger().delivered, 50);
    assert_eq!(rig.lane.status(rig.now).state, LaneState::Healthy);
}

#[test]
fn a_destination_that_refused_everything_gets_what_is_left_once_it_takes_it() {
    let mut rig = Rig::new(1000, options());
    rig.offer_all(&[50; 20]);
    let broken_until = rig.now + 100 * SECOND;
    let mut told = Vec::new();
    while rig.ledger().pending > 0 {
        match rig.start_fitting(usize::MAX) {
            Some(open) => {
                let outcome = if rig.now < broken_until {
                    poisoned()
                } else {
                    Outcome::Delivered
                };
                told.push(rig.answer(&open, outcome).episode);
            }
            None => rig.later(rig.waits().expect("waits")),
        }
    }
    told.retain(|episode| *episode != Episode::Quiet);
    assert!(
        matches!(
            told[..],
            [
                Episode::Refusing { refusals: 29, .. },
                Episode::Recovered { dropped: 0, .. }
            ]
        ),
        "{told:?}"
    );
    let ledger = rig.ledger();
    assert!(ledger.rejected.total() < 30, "{ledger:?}");
    assert_eq!(ledger.delivered + ledger.rejected.total(), 1000);
}

#[test]
fn a_single_event_that_is_refused_alone_is_rejected_also_while_everything_is_refused() {
    let mut rig = Rig::new(1, options());
    rig.offer(30);
    let mut waited = false;
    while rig.ledger().pending > 0 {
        if let Some(open) = rig.start_fitting(usize::MAX) {
            rig.answer(&open, poisoned());
        } else {
            waited = true;
            rig.later(rig.waits().expect("waits"));
        }
    }
    assert!(waited);
    assert_eq!(rig.ledger().rejected.get(RejectReason::Poison), 30);
}

#[test]
fn the_log_hears_of_each_turn_for_the_worse_once() {
    let mut rig = Rig::new(2, options());
    rig.offer_all(&[2; 3]);
    let mut told = Vec::new();
    let script = [
        vec![retry(); 12],
        vec![hold(); 5],
        vec![retry(); 8],
        vec![Outcome::Delivered],
        vec![asks_for(SECOND); 3],
        vec![Outcome::Delivered],
    ];
    let start = rig.now;
    let mut recovered_at = start;
    for outcome in script.concat() {
        let open = rig.start_in_time();
        let news = rig.answer(&open, outcome);
        if news.episode != Episode::Quiet {
            assert_eq!(news.pending, rig.ledger().pending);
            told.push(news.episode);
        }
        if told.len() == 4 && recovered_at == start {
            recovered_at = rig.now;
        }
    }
    let wait = SECOND / 2 * 16;
    assert_eq!(
        told[..4],
        [
            Episode::Failing,
            Episode::Opened { attempts: 5, wait },
            Episode::Held,
            Episode::Recovered {
                attempts: 25,
                lasted: recovered_at - start,
                dropped: 0,
            },
        ]
    );
    assert!(
        matches!(
            told[4..],
            [
                Episode::Opened { attempts: 1, .. },
                Episode::Recovered { attempts: 3, .. }
            ]
        ),
        "{told:?}"
    );
}

#[test]
fn a_destination_that_takes_a_part_each_time_is_not_cut_off() {
    let mut rig = Rig::new(100, options());
    rig.offer(10);
    while rig.ledger().pending > 0 {
        match rig.start_fitting(usize::MAX) {
            Some(open) => {
                rig.answer(&open, Outcome::PerEvent(vec![Verdict::Delivered]));
                let status = rig.lane.status(rig.now);
                assert_eq!(status.breaker, BreakerState::Closed);
                assert_eq!(status.last_success, Some(Duration::ZERO));
            }
            None => rig.later(rig.waits().expect("waits")),
        }
    }
    assert_eq!(rig.ledger().delivered, 10);
}

#[test]
fn status_counts_attempts_and_retries() {
    let mut rig = Rig::new(2, options());
    rig.offer_all(&[2, 2]);
    for outcome in [retry(), retry(), Outcome::Delivered, Outcome::Delivered] {
        rig.lane.skip_waits(rig.now);
        let open = rig.start();
        rig.answer(&open, outcome);
    }
    let status = rig.lane.status(rig.now);
    assert_eq!((status.attempts, status.retries), (4, 2));
    assert_eq!(status.learned_bytes, 1 << 20);
}
