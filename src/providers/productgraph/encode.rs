//! Events to one request body.

use std::sync::atomic::{AtomicUsize, Ordering};

use productgraph_actors::{Encoded, Events, FormatKey, RejectReason};

use crate::Event;
use crate::event::wire::{Clock, Head, WireOptions};

/// The service's documented limit for one event, serialised.
pub(crate) const MAX_EVENT_BYTES: usize = 100_000;

const OPEN: &[u8] = br#"{"events":["#;
const CLOSE: &[u8] = b"]}";

/// Writes `{"events":[...]}` and learns how large events are, to reserve the right room.
#[derive(Debug)]
pub(crate) struct Encoder {
    wire: WireOptions,
    head: Head,
    /// Mean size of the events of the last body; relaxed, since it is only a hint.
    event_bytes: AtomicUsize,
}

impl Encoder {
    /// A first guess at the size of an event.
    const FIRST_HINT: usize = 512;

    pub(crate) fn new(wire: WireOptions) -> Self {
        Self {
            head: Head::new(&wire),
            wire,
            event_bytes: AtomicUsize::new(Self::FIRST_HINT),
        }
    }

    /// Everything that decides what an event looks like.
    pub(crate) fn format(&self) -> FormatKey {
        FormatKey::new(self.wire.clone())
    }

    /// See [`Provider::encode`](productgraph_actors::Provider::encode).
    pub(crate) fn encode(
        &self,
        events: &Events<'_, Event>,
        max_events: usize,
        max_bytes: usize,
    ) -> Encoded {
        let mut clock = Clock::new();
        self.encode_with(events, max_events, max_bytes, |event, out| {
            event.write_after(&self.head, &mut clock, &self.wire, out)
        })
    }

    /// The same over any kind of item, so that the arithmetic can be tested on its own.
    fn encode_with<E, X>(
        &self,
        events: &Events<'_, E>,
        max_events: usize,
        max_bytes: usize,
        mut write: impl FnMut(&E, &mut Vec<u8>) -> Result<(), X>,
    ) -> Encoded {
        let mut encoded = Encoded::default();
        let hint = self.event_bytes.load(Ordering::Relaxed);
        let expected = events
            .len()
            .min(max_events)
            .saturating_mul(hint.saturating_add(1));
        let framed = expected.saturating_add(OPEN.len() + CLOSE.len());
        let mut body = Vec::with_capacity(framed.min(max_bytes));
        body.extend_from_slice(OPEN);

        let mut written = 0;
        let unencodable = |_| RejectReason::Unencodable;
        let mut writer = events.writer(|event, out| write(event, out).map_err(unencodable));
        for index in 0..events.len() {
            if written == max_events {
                break;
            }
            let before = body.len();
            if written > 0 {
                body.push(b',');
            }
            let start = body.len();
            let Some(result) = writer.write_next(&mut body) else {
                body.truncate(before);
                break;
            };
            let size = body.len() - start;
            let refused = if let Err(reason) = result {
                Some(reason)
            } else if size > MAX_EVENT_BYTES || OPEN.len() + size + CLOSE.len() > max_bytes {
                Some(RejectReason::TooLarge)
            } else if body.len() + CLOSE.len() > max_bytes {
                // fits into the next request
                body.truncate(before);
                break;
            } else {
                written += 1;
                None
            };
            if let Some(reason) = refused {
                body.truncate(before);
                encoded.refused.push((index, reason));
            }
            encoded.consumed += 1;
        }

        if let Some(mean) = (body.len() - OPEN.len()).checked_div(written) {
            self.event_bytes.store(mean, Ordering::Relaxed);
            body.extend_from_slice(CLOSE);
            if body.capacity() > max_bytes || body.capacity() / 2 > body.len() {
                // the body is kept until it is settled, so its room counts, and is bounded
                body.shrink_to_fit();
            }
            encoded.body = body.into();
        }
        encoded
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoder() -> Encoder {
        Encoder::new(WireOptions::new("shop"))
    }

    /// Writes a JSON string of `size` bytes; zero bytes stand for an event that cannot be written,
    /// after some of it has been.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature of a writer"
    )]
    fn write(size: &usize, out: &mut Vec<u8>) -> Result<(), ()> {
        if *size == 0 {
            out.extend_from_slice(b"{\"half");
            return Err(());
        }
        out.push(b'"');
        out.resize(out.len() + size - 2, b'x');
        out.push(b'"');
        Ok(())
    }

    fn encode(encoder: &Encoder, sizes: &[usize], max_events: usize, max_bytes: usize) -> Encoded {
        encoder.encode_with(&Events::from_slice(sizes), max_events, max_bytes, write)
    }

    fn count(body: &[u8]) -> usize {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        body["events"].as_array().unwrap().len()
    }

    #[test]
    fn a_body_may_be_exactly_as_large_as_allowed() {
        // {"events":["xx","xx"]} is 22 bytes
        for (max_bytes, consumed, length) in [(22, 2, 22), (21, 1, 17), (17, 1, 17)] {
            let encoded = encode(&encoder(), &[4, 4], 10, max_bytes);
            assert_eq!(
                (encoded.consumed, encoded.body.len()),
                (consumed, length),
                "{max_bytes}"
            );
            assert_eq!(encoded.refused, []);
        }
    }

    #[test]
    fn an_event_that_can_never_fit_is_refused_and_does_not_hold_up_the_others() {
        let encoded = encode(&encoder(), &[4, 40, 4], 10, 22);
        assert_eq!(encoded.refused, [(1, RejectReason::TooLarge)]);
        assert_eq!((encoded.consumed, count(&encoded.body)), (3, 2));

        let sizes = [MAX_EVENT_BYTES + 1, MAX_EVENT_BYTES];
        let encoded = encode(&encoder(), &sizes, 10, 1_000_000);
        assert_eq!(encoded.refused, [(0, RejectReason::TooLarge)]);
        assert_eq!((encoded.consumed, count(&encoded.body)), (2, 1));
    }

    #[test]
    fn an_event_that_cannot_be_written_leaves_no_trace_in_the_body() {
        let encoded = encode(&encoder(), &[0, 4, 0, 4, 0], 10, 1000);
        let unencodable = RejectReason::Unencodable;
        assert_eq!(
            encoded.refused,
            [(0, unencodable), (2, unencodable), (4, unencodable)]
        );
        assert_eq!(&encoded.body[..], br#"{"events":["xx","xx"]}"#);
        assert_eq!(encoded.consumed, 5);
    }

    #[test]
    fn a_body_is_empty_when_every_event_is_refused_and_when_there_is_none() {
        let encoded = encode(&encoder(), &[0, 5000], 10, 1024);
        assert_eq!((encoded.consumed, encoded.body.len()), (2, 0));
        assert_eq!(encode(&encoder(), &[], 10, 1024), Encoded::default());
    }

    #[test]
    fn no_more_events_are_taken_than_allowed() {
        let encoded = encode(&encoder(), &[4; 1500], 1000, 1_000_000);
        assert_eq!((encoded.consumed, count(&encoded.body)), (1000, 1000));
    }

    #[test]
    fn room_is_reserved_by_the_size_of_earlier_events_and_given_back_when_unused() {
        let encoder = encoder();
        encode(&encoder, &[9000; 50], 100, 1_000_000);
        assert!((9000..9100).contains(&encoder.event_bytes.load(Ordering::Relaxed)));

        let small = encode(&encoder, &[10; 50], 100, 1_000_000);
        let body: Vec<u8> = small.body.into();
        assert!(
            body.capacity() <= 2 * body.len(),
            "{} for {}",
            body.capacity(),
            body.len()
        );
    }

    proptest! {
        #[test]
        fn limits_hold_and_every_consumed_event_is_written_or_refused(
            sizes in prop::collection::vec(prop_oneof![Just(0usize), 2usize..300], 0..60),
            max_events in 1usize..40,
            max_bytes in 1usize..2000,
        ) {
            let encoded = encode(&encoder(), &sizes, max_events, max_bytes);

            prop_assert!(encoded.body.len() <= max_bytes);
            prop_assert!(encoded.consumed <= sizes.len());
            prop_assert!(sizes.is_empty() || encoded.consumed > 0);
            prop_assert!(encoded.refused.is_sorted());
            prop_assert!(encoded.refused.iter().all(|(index, _)| *index < encoded.consumed));
            let written = encoded.consumed - encoded.refused.len();
            prop_assert!(written <= max_events);
            let in_body = if encoded.body.is_empty() { 0 } else { count(&encoded.body) };
            prop_assert_eq!(in_body, written);
            // what is kept for retries, not only what is sent
            let room = encoded.body.try_into_mut().map_or(usize::MAX, |body| body.capacity());
            prop_assert!(room <= max_bytes || written == 0, "{} of {}", room, max_bytes);
        }

        #[test]
        fn encoding_what_is_left_again_and_again_consumes_everything(
            sizes in prop::collection::vec(prop_oneof![Just(0usize), 2usize..300], 0..60),
            max_bytes in 1usize..1000,
        ) {
            let encoder = encoder();
            let (mut from, mut written, mut refused) = (0, 0, 0);
            while from < sizes.len() {
                let encoded = encode(&encoder, &sizes[from..], 7, max_bytes);
                from += encoded.consumed;
                refused += encoded.refused.len();
                written += encoded.consumed - encoded.refused.len();
            }
            let fits = |size: &&usize| **size > 0 && OPEN.len() + **size + CLOSE.len() <= max_bytes;
            prop_assert_eq!(written, sizes.iter().filter(fits).count());
            prop_assert_eq!(written + refused, sizes.len());
        }
    }
}
