//! One attempt: encode unless that was done before, then send once. Runs on a task of its own.

use std::sync::Arc;

use crate::lane::{Attempt, Ended, Lane};
use crate::ledger::RejectReason;
use crate::provider::{Encoded, Limits, Provider};
use crate::request::Events;

pub(crate) async fn run<E>(lane: Arc<Lane<E>>, mut attempt: Attempt<E>) -> Ended
where
    E: Send + Sync + 'static,
{
    let work = async {
        // a lane has its provider until it is dropped, and this holds the lane
        let Some(provider) = lane.provider() else {
            return Ended::Aborted;
        };
        let (body, slices) = match attempt.body.take() {
            Some(body) => (body, attempt.slices),
            None => {
                let id = attempt.id;
                match lane.encoded(id, encode(provider, &lane, attempt)) {
                    Some(ready) => ready,
                    None => return Ended::NothingToSend,
                }
            }
        };
        let events = Events::from_slices(&slices);
        Ended::With(provider.send(body, events).await)
    };
    tokio::time::timeout(lane.attempt_timeout(), work)
        .await
        .unwrap_or(Ended::TimedOut)
}

/// Encodes, and does not let a learned size refuse an event: it says how much to send at once, not
/// what can never be sent. An event over it travels alone, so that the destination itself decides.
fn encode<E: Send + Sync + 'static>(
    provider: &Arc<dyn Provider<E>>,
    lane: &Lane<E>,
    mut attempt: Attempt<E>,
) -> Encoded {
    let sharing = lane.sharing();
    let encode = |attempt: &Attempt<E>, max_bytes| {
        let events = Events::from_slices(&attempt.slices).shared(sharing);
        provider.encode(&events, max_bytes)
    };
    let mut encoded = encode(&attempt, attempt.max_bytes);
    if let Some(max_bytes) = narrow(&mut attempt, &encoded, lane.limits()) {
        encoded = encode(&attempt, max_bytes);
    }
    if let Some(sharing) = sharing {
        sharing.encoded(&attempt.slices, encoded.consumed);
    }
    encoded
}

/// Where a learned size refused an event: leaves what to encode instead, and says within how many bytes.
fn narrow<E>(attempt: &mut Attempt<E>, encoded: &Encoded, limits: Limits) -> Option<usize> {
    let limit = limits.max_bytes.get();
    if attempt.max_bytes >= limit {
        return None;
    }
    let too_large = encoded
        .refused
        .iter()
        .filter(|(_, why)| *why == RejectReason::TooLarge);
    match too_large.map(|(position, _)| *position).min()? {
        0 => {
            attempt.keep_first(1);
            Some(limit)
        }
        before => {
            attempt.keep_first(before);
            Some(attempt.max_bytes)
        }
    }
}
