//! Reads what the writer wrote, strictly, as raw text: no JSON library between the test and the
//! bytes, so that a repeated key or a number in the wrong notation cannot hide.

/// The integer fields of the wire form.
pub(crate) const INTEGERS: [&str; 4] = [
    "event.sequence",
    "api.status_code",
    "api.duration_ms",
    "duration_ms",
];

/// Splits an object, written without white space, into keys and raw values in order.
///
/// # Panics
///
/// On anything but a well-formed object, and on a repeated key at any level.
pub(crate) fn members(raw: &str) -> Vec<(String, &str)> {
    let mut scanner = Scanner { raw, at: 0 };
    let members = scanner.object();
    assert_eq!(scanner.at, raw.len(), "text after the object");
    members
}

/// Asserts what the service demands of the numbers: integers are digits and nothing else.
pub(crate) fn assert_whole_integers(raw: &str) {
    for (key, value) in members(raw) {
        if INTEGERS.contains(&key.as_str()) {
            let digits = value.strip_prefix('-').unwrap_or(value);
            let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            assert!(whole, "{key}: {value}");
            assert!(value.parse::<i64>().is_ok(), "{key}: {value}");
        }
    }
}

struct Scanner<'a> {
    raw: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> u8 {
        *self
            .raw
            .as_bytes()
            .get(self.at)
            .expect("the text ends too early")
    }

    fn eat(&mut self, expected: u8) {
        assert_eq!(self.peek() as char, expected as char, "at byte {}", self.at);
        self.at += 1;
    }

    fn object(&mut self) -> Vec<(String, &'a str)> {
        let mut members: Vec<(String, &str)> = Vec::new();
        self.eat(b'{');
        while self.peek() != b'}' {
            if !members.is_empty() {
                self.eat(b',');
            }
            let key = serde_json::from_str(self.string()).expect("a valid key");
            assert!(
                members.iter().all(|(known, _)| *known != key),
                "{key:?} is there twice"
            );
            self.eat(b':');
            members.push((key, self.value()));
        }
        self.eat(b'}');
        members
    }

    fn value(&mut self) -> &'a str {
        let start = self.at;
        match self.peek() {
            b'{' => drop(self.object()),
            b'[' => self.array(),
            b'"' => drop(self.string()),
            _ => {
                while !matches!(self.peek(), b',' | b'}' | b']') {
                    self.at += 1;
                }
            }
        }
        let value = &self.raw[start..self.at];
        serde_json::from_str::<serde_json::Value>(value).expect("a valid value");
        value
    }

    fn array(&mut self) {
        self.eat(b'[');
        let mut first = true;
        while self.peek() != b']' {
            if !first {
                self.eat(b',');
            }
            first = false;
            self.value();
        }
        self.eat(b']');
    }

    fn string(&mut self) -> &'a str {
        let start = self.at;
        self.eat(b'"');
        loop {
            match self.peek() {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        &self.raw[start..self.at]
    }
}
