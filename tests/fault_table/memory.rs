//! More events than there is room for while a destination is down. What the whole ceiling does under each
//! policy of the engine is in `tests/engine_memory.rs`.

use productgraph::{DropReason, Event, LaneState, Overflow};
use productgraph_collector::{Fault, When};

use crate::engine_support::faulty::hasty;
use crate::engine_support::{
    BOUND, account, assert_final, assert_holds_once, collector, held, id_of, ids_of, in_time, log,
    numbered, provider,
};
use crate::stage::{Stage, failed};

/// Events in a batch, and batches.
const BATCH: usize = 10;
const BATCHES: usize = 20;
/// Room for a few batches.
const ROOM: usize = 20_000;

/// The events of one batch in five matter more than others.
fn event(n: usize) -> Event {
    if n / BATCH % 5 == 1 {
        let id = productgraph::event::EventId::parse(&id_of(n)).expect("an id");
        Event::error("Failure", "it matters").with_id(id)
    } else {
        numbered(n)
    }
}

/// A lane with little room is down while far more comes in; the ids that it delivered in the end.
async fn flooded(name: &'static str, overflow: Overflow) -> Vec<String> {
    let store = collector();
    let mut lane = hasty();
    lane.max_bytes = Some(ROOM);
    lane.overflow = overflow;
    let faulty = provider(&store, name);
    let mut stage = Stage::of(name, faulty, store, lane, |builder| {
        builder.batch_size(BATCH)
    });
    let outage = Fault::status(503);
    stage.store.faults().set_standing(outage, When::Always);
    let handle = stage.engine.handle();
    for batch in 0..BATCHES {
        for n in batch * BATCH..(batch + 1) * BATCH {
            handle.try_track(event(n)).expect("a lane never refuses");
        }
        stage.tracked_by_hand(BATCH);
        stage.sends_to_the_sound_one().await;
        let lane = stage.lane();
        assert!(lane.pending_bytes <= ROOM, "{lane:?}");
        assert!(stage.engine.ledger().balances());
    }
    let attempts = stage.lane().attempts;
    failed(&stage, attempts + 2).await;
    assert_eq!(stage.lane().state, LaneState::Retrying);
    let lost = stage.account().dropped;
    assert!(lost.get(DropReason::Overflow) > 0, "{lost:?}");

    stage.store.faults().clear();
    let report = in_time(stage.engine.shutdown(BOUND)).await;
    assert_final(&report);
    assert!(report.is_settled(), "{report}");
    let mine = account(&report.ledger, name);
    assert_eq!(mine.dropped, lost, "{report}");
    assert_eq!(mine.rejected.total(), 0, "{report}");
    let held = held(&stage.store);
    assert_eq!(held.len() as u64, mine.delivered, "{report}");
    assert!(held.values().all(|times| *times == 1), "{held:?}");
    assert_holds_once(&stage.sound, &ids_of(0..BATCH * BATCHES));
    log::assert_said(name, &[log::FAILS, log::EVICTED, log::WORKS_AGAIN]).await;
    assert_eq!(stage.engine.stats().bytes_held, 0);
    held.into_keys().collect()
}

#[tokio::test]
async fn a_full_lane_gives_up_its_oldest() {
    let kept = flooded("a_full_lane_gives_up_its_oldest", Overflow::DropOldest).await;
    let newest = ids_of(BATCH * (BATCHES - 1)..BATCH * BATCHES);
    assert!(kept.ends_with(&newest), "{kept:?}");
}

#[tokio::test]
async fn a_full_lane_gives_up_what_comes_in() {
    let kept = flooded("a_full_lane_gives_up_what_comes_in", Overflow::DropNewest).await;
    assert!(kept.starts_with(&ids_of(0..3 * BATCH)), "{kept:?}");
    assert!(!kept.contains(&id_of(BATCH * BATCHES - 1)), "{kept:?}");
}

#[tokio::test]
async fn a_full_lane_spares_what_matters() {
    let kept = flooded("a_full_lane_spares_what_matters", Overflow::ByPriority).await;
    for batch in (0..BATCHES).filter(|batch| batch % 5 == 1) {
        let ids = ids_of(batch * BATCH..(batch + 1) * BATCH);
        assert!(ids.iter().all(|id| kept.contains(id)), "{batch}: {kept:?}");
    }
}
