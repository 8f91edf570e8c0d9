//! Reading a request body within bounds of size and time.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};

/// What became of reading a body.
#[derive(Debug)]
pub(crate) enum Read {
    /// All of it.
    Whole(Bytes),
    /// It is longer than allowed; so many bytes were read and thrown away.
    TooLong(usize),
    /// The client stopped, broke the framing, or was too slow; this came before that.
    Broken(Bytes),
}

/// How much more than the limit is read and thrown away, as a multiple of the limit: a client
/// that is still sending would not see an answer, only a reset.
const GRACE: usize = 4;

pub(crate) async fn read(mut body: Incoming, limit: usize, until: Instant) -> Read {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut whole = BytesMut::with_capacity(announced.min(limit).min(1 << 20));
    let mut length = 0usize;
    loop {
        let frame = match timeout_at(until, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            _ if length > limit => return Read::TooLong(length),
            Ok(None) => return Read::Whole(whole.freeze()),
            Ok(Some(Err(_))) | Err(_) => return Read::Broken(whole.freeze()),
        };
        // Trailers carry nothing the service reads.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length = length.saturating_add(data.len());
        if length <= limit {
            whole.extend_from_slice(&data);
        } else {
            whole = BytesMut::new();
            if length > limit.saturating_mul(GRACE) {
                return Read::TooLong(length);
            }
        }
    }
}
