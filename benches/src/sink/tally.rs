//! Events in a body, found by a marker in front of their numbers, whatever the encoding around them.

use memchr::memmem::Finder;

use super::board::Counters;
use crate::request::{SESSION_MARKER, SESSIONS};

/// Numbers above are taken for something else.
const MOST: u64 = 1 << 33;

/// Tells new events from repeated ones, and whether those of a session come in order.
pub(super) struct Tally {
    marker: Finder<'static>,
    session: Option<Finder<'static>>,
    seen: Vec<u64>,
    last: [u64; SESSIONS as usize],
}

impl Tally {
    /// `ordered`: also look for the session in front of each number, and at their order.
    pub(super) fn new(marker: &str, ordered: bool) -> Self {
        Self {
            marker: Finder::new(marker).into_owned(),
            session: ordered.then(|| Finder::new(SESSION_MARKER).into_owned()),
            seen: Vec::new(),
            last: [0; SESSIONS as usize],
        }
    }

    /// Counts the events of a body and says how many there were.
    pub(super) fn count(&mut self, body: &[u8], counters: &mut Counters) -> u64 {
        let Self {
            marker,
            session,
            seen,
            last,
        } = self;
        let mut sessions = session
            .as_ref()
            .map(|finder| finder.find_iter(body).peekable());
        let mut current = 0;
        let mut events = 0;
        for at in marker.find_iter(body) {
            events += 1;
            let number = decimal(&body[at + marker.needle().len()..]);
            if number >= MOST {
                continue;
            }
            let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
            if word >= seen.len() {
                seen.resize((word + 1).next_power_of_two(), 0);
            }
            let repeated = seen[word] & bit != 0;
            seen[word] |= bit;
            counters.unique += u64::from(!repeated);
            counters.duplicates += u64::from(repeated);
            if let Some(sessions) = &mut sessions {
                while let Some(session) = sessions.next_if(|session| *session < at) {
                    current = hexadecimal(&body[session + SESSION_MARKER.len()..]) % last.len();
                }
                counters.disordered += u64::from(!repeated && number < last[current]);
                last[current] = last[current].max(number);
            }
        }
        counters.events += events;
        events
    }
}

/// Up to twelve digits.
fn decimal(text: &[u8]) -> u64 {
    let digits = text
        .iter()
        .take(12)
        .take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, byte| number * 10 + u64::from(byte - b'0'))
}

/// Twelve digits.
fn hexadecimal(text: &[u8]) -> usize {
    let digits = text
        .iter()
        .take(12)
        .map_while(|byte| char::from(*byte).to_digit(16));
    digits.fold(0, |number, digit| number << 4 | digit as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::session_id;

    fn body(events: &[(u64, u64)]) -> Vec<u8> {
        let events: Vec<String> = events
            .iter()
            .map(|(session, number)| format!(r#"{{"s":"{}","n":{number}}}"#, session_id(*session)))
            .collect();
        events.join(",").into_bytes()
    }

    #[test]
    fn an_event_that_comes_again_is_a_duplicate_and_not_out_of_order() {
        let (mut tally, mut counters) = (Tally::new(r#""n":"#, true), Counters::default());
        assert_eq!(tally.count(&body(&[(1, 7), (1, 8)]), &mut counters), 2);
        assert_eq!(tally.count(&body(&[(1, 7), (1, 9)]), &mut counters), 2);
        assert_eq!(
            (counters.unique, counters.duplicates, counters.disordered),
            (3, 1, 0)
        );
    }

    #[test]
    fn order_counts_within_a_session_only() {
        let (mut tally, mut counters) = (Tally::new(r#""n":"#, true), Counters::default());
        tally.count(&body(&[(1, 5), (2, 4), (63, 3)]), &mut counters);
        assert_eq!(counters.disordered, 0);
        tally.count(&body(&[(2, 2), (63, 6)]), &mut counters);
        assert_eq!(counters.disordered, 1);
    }
}
