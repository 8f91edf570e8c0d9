//! How shoppers introduce themselves: as a frontend should, not at all, or with bad intent.

use productgraph::correlation::SessionId;
use reqwest::RequestBuilder;
use reqwest::header::HeaderValue;

pub(crate) enum Manners {
    /// A frontend with a session, and a user who is logged in.
    Polite { session: SessionId, user: String },
    /// No headers: a script, or somebody's uptime check.
    Silent,
    /// Headers that must not end up in any event.
    Hostile,
}

/// Header and value pairs to try on a service.
const HOSTILE: [(&str, &[u8]); 8] = [
    ("x-session-id", b"undefined"),
    ("x-session-id", b"[object Object]"),
    ("x-session-id", b"<script>alert(1)</script>"),
    ("x-session-id", b"caf\xE9\xFF"),
    ("x-session-id", &[b'a'; 4096]),
    ("x-request-id", b"${jndi:ldap://example.org/a}"),
    (
        "traceparent",
        b"00-00000000000000000000000000000000-0000000000000000-01",
    ),
    ("x-user-id", b"admin"),
];

impl Manners {
    /// Three in four shoppers are polite, and one in eight is hostile.
    pub(crate) fn draw(rng: &mut fastrand::Rng) -> Self {
        match rng.u8(0..8) {
            0 => Self::Silent,
            1 => Self::Hostile,
            _ => Self::Polite {
                session: SessionId::mint(),
                user: format!("u_{}", rng.u16(..1000)),
            },
        }
    }

    /// Adds the headers of the visit's `nth` request, and says which request id was sent if it must
    /// come back.
    pub(crate) fn introduce(
        &self,
        request: RequestBuilder,
        nth: u32,
        rng: &mut fastrand::Rng,
    ) -> (RequestBuilder, Option<String>) {
        match self {
            Self::Silent => (request, None),
            Self::Hostile => {
                let (name, value) = HOSTILE[rng.usize(..HOSTILE.len())];
                let request = match HeaderValue::from_bytes(value) {
                    Ok(value) => request.header(name, value),
                    Err(_) => request, // a client of ours cannot even send it
                };
                (request, None)
            }
            Self::Polite { session, user } => {
                let id = request_id(session, nth);
                let request = request
                    .header("x-session-id", session.text().as_str())
                    .header("x-request-id", &id)
                    .bearer_auth(user);
                (request, Some(id))
            }
        }
    }
}

/// A request id that tells the session it belongs to, so that a mix-up shows.
fn request_id(session: &SessionId, nth: u32) -> String {
    format!("{session}/{nth}")
}

/// Whether an event may carry both.
pub(crate) fn belong_together(session: &str, request_id: &str) -> bool {
    match request_id.split_once('/') {
        Some((of_session, _)) => of_session == session,
        None => true, // minted by the engine
    }
}
