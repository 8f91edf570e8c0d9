//! The finished request that every client is told of, and the JSON that the pipe writes of it.

use std::io::Write as _;

/// Every request id starts with this and ends with twelve digits, by which the sink tells events apart
/// whatever the encoding around them.
pub const MARKER: &str = "5e0f7a90-4d1c-4a7b-9c3d-";

/// What every session id has in the middle; twelve hexadecimal digits follow.
pub const SESSION_MARKER: &str = "-51cb-4e6a-8f10-";

/// Sessions that events are spread over.
pub const SESSIONS: u64 = 64;

/// Route templates of the service.
pub const ROUTES: [&str; 8] = [
    "/api/v1/orders/{order}/items",
    "/api/v1/orders/{order}",
    "/api/v1/customers/{customer}/orders/{order}",
    "/api/v1/customers/{customer}",
    "/api/v1/baskets/{basket}/items/{item}",
    "/api/v1/catalogue/{category}/products",
    "/api/v1/products/{product}/reviews",
    "/api/v1/payments/{payment}/confirm",
];

/// What a service knows at the end of one request.
#[derive(Clone, Debug)]
pub struct Req {
    pub session: String,
    pub request: String,
    pub user: String,
    pub method: &'static str,
    pub path: String,
    pub status: u16,
    pub micros: u32,
}

/// The id of a session, 36 characters.
pub fn session_id(number: u64) -> String {
    let number = number % SESSIONS;
    format!(
        "{:08x}{SESSION_MARKER}{number:012x}",
        number.wrapping_mul(0x9e37_79b9) & 0xffff_ffff
    )
}

/// The id of a request, 36 characters.
pub fn request_id(number: u64) -> String {
    format!("{MARKER}{number:012}")
}

impl Req {
    /// The request with this number.
    pub fn new(number: u64) -> Self {
        Self {
            session: session_id(number),
            request: request_id(number),
            user: format!("user-{:06}", number % 1_000_000),
            method: if number.is_multiple_of(3) {
                "POST"
            } else {
                "GET"
            },
            path: format!("/api/v1/orders/{:05}/items", number % 100_000),
            status: if number.is_multiple_of(50) { 500 } else { 200 },
            micros: 1_000 + (number % 90_000) as u32,
        }
    }

    /// The first `count`; a power of two, so that an index is a mask.
    pub fn pool(count: u64) -> Vec<Self> {
        (0..count).map(Self::new).collect()
    }

    /// Writes `number` over the digits at the end of the request id.
    pub fn set_number(&mut self, number: u64) {
        let mut digits = [b'0'; 12];
        let mut rest = number;
        for digit in digits.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        self.request.truncate(MARKER.len());
        // digits are text
        self.request
            .push_str(std::str::from_utf8(&digits).unwrap_or_default());
    }

    /// Milliseconds, as the wire has them.
    pub fn millis(&self) -> f64 {
        f64::from(self.micros) / 1000.0
    }
}

/// One event as JSON, written by hand: strings are taken as they are after one look for bytes that would
/// need an escape.
pub fn write_json(out: &mut Vec<u8>, request: &Req, id: uuid::Uuid, timestamp: &str) {
    out.reserve(420);
    out.extend_from_slice(b"{\"event_id\":\"");
    out.extend_from_slice(
        id.hyphenated()
            .encode_lower(&mut uuid::Uuid::encode_buffer())
            .as_bytes(),
    );
    out.extend_from_slice(b"\",\"project_id\":\"demo-project\",\"session.id\":");
    text(out, &request.session);
    out.extend_from_slice(b",\"request.id\":");
    text(out, &request.request);
    out.extend_from_slice(b",\"user.id\":");
    text(out, &request.user);
    out.extend_from_slice(b",\"event.type\":\"api.response\",\"event.timestamp\":\"");
    out.extend_from_slice(timestamp.as_bytes());
    out.extend_from_slice(b"\",\"api.method\":");
    text(out, request.method);
    out.extend_from_slice(b",\"api.path\":");
    text(out, &request.path);
    out.extend_from_slice(b",\"api.status_code\":");
    integer(out, u32::from(request.status));
    out.extend_from_slice(b",\"api.duration_ms\":");
    integer(out, request.micros / 1000);
    out.push(b'.');
    let fraction = request.micros % 1000;
    out.extend([fraction / 100, fraction / 10 % 10, fraction % 10].map(|digit| b'0' + digit as u8));
    out.push(b'}');
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if text
        .bytes()
        .any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\')
    {
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => out.extend([b'\\', byte]),
                // writing to a vector cannot fail
                0..0x20 => write!(out, "\\u{byte:04x}").unwrap_or_default(),
                _ => out.push(byte),
            }
        }
    } else {
        out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
}

fn integer(out: &mut Vec<u8>, mut number: u32) {
    let mut digits = [0; 10];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}
