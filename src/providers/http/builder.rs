//! Settings of the transport, checked when it is built.

use std::fmt;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};

use super::url::Endpoint;
use super::{HttpTransport, tls};
use crate::{ConfigError, Secret};

/// Time for a whole request, from connecting to the last byte of the answer.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the connection, TLS handshake included.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept.
pub const DEFAULT_POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(45);
/// How much of an answer is read, in bytes.
pub const DEFAULT_MAX_ANSWER_BYTES: usize = 64 * 1024;

const PRODUCT: &str = concat!("productgraph/", env!("CARGO_PKG_VERSION"));

/// Settings of an [`HttpTransport`].
#[derive(Clone)]
pub struct HttpTransportBuilder {
    endpoint: String,
    default_path: &'static str,
    allow_plain_http: bool,
    client: Option<reqwest::Client>,
    headers: HeaderMap,
    timeout: Duration,
    connect_timeout: Duration,
    pool_idle_timeout: Duration,
    max_answer_bytes: usize,
}

impl fmt::Debug for HttpTransportBuilder {
    // the endpoint is not checked yet and may hold credentials
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransportBuilder")
            .field("allow_plain_http", &self.allow_plain_http)
            .field("own_client", &self.client.is_none())
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("pool_idle_timeout", &self.pool_idle_timeout)
            .field("max_answer_bytes", &self.max_answer_bytes)
            .finish_non_exhaustive()
    }
}

impl HttpTransportBuilder {
    pub(super) fn new(endpoint: String) -> Self {
        Self {
            endpoint,
            default_path: "/",
            allow_plain_http: false,
            client: None,
            headers: HeaderMap::new(),
            timeout: DEFAULT_TIMEOUT,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            pool_idle_timeout: DEFAULT_POOL_IDLE_TIMEOUT,
            max_answer_bytes: DEFAULT_MAX_ANSWER_BYTES,
        }
    }

    /// The path for an endpoint that has none.
    #[must_use]
    pub fn default_path(mut self, path: &'static str) -> Self {
        self.default_path = path;
        self
    }

    /// Allows plain `http` to another machine: events and keys then travel readable. Default: no.
    #[must_use]
    pub fn allow_plain_http(mut self, allow: bool) -> Self {
        self.allow_plain_http = allow;
        self
    }

    /// Sends through this client: its TLS, proxies, redirects, connect and idle time limits hold,
    /// and those of this builder do not. Switch its redirects off unless they are wanted.
    ///
    /// The engine sends on a runtime of its own; connections pooled by the client belong to the
    /// runtime that opened them, so a client shared with the application should outlive it.
    #[must_use]
    pub fn client(mut self, client: reqwest::Client) -> Self {
        self.client = Some(client);
        self
    }

    /// A header of every request.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// A header of every request whose value is a secret.
    #[must_use]
    pub fn secret_header(self, name: HeaderName, value: &Secret) -> Self {
        match HeaderValue::from_str(value.expose()) {
            Ok(mut header) => {
                header.set_sensitive(true);
                self.header(name, header)
            }
            // unreachable: a secret holds printable ASCII only
            Err(_) => self,
        }
    }

    /// Time for a whole request. Default: [`DEFAULT_TIMEOUT`].
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Time for the connection. Default: [`DEFAULT_CONNECT_TIMEOUT`].
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long an unused connection is kept; less than the server's own idle limit. Default:
    /// [`DEFAULT_POOL_IDLE_TIMEOUT`].
    #[must_use]
    pub fn pool_idle_timeout(mut self, timeout: Duration) -> Self {
        self.pool_idle_timeout = timeout;
        self
    }

    /// How much of an answer is read, in bytes. Default: [`DEFAULT_MAX_ANSWER_BYTES`].
    #[must_use]
    pub fn max_answer_bytes(mut self, bytes: usize) -> Self {
        self.max_answer_bytes = bytes;
        self
    }

    /// Checks the settings and makes the client. Opens no connection and needs no runtime; with an
    /// `https` endpoint and no client handed in it reads the platform's root certificates.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for an endpoint that cannot be used, a time limit of zero, or TLS that cannot
    /// be set up.
    pub fn build(self) -> Result<HttpTransport, ConfigError> {
        let endpoint = Endpoint::parse(&self.endpoint, self.default_path, self.allow_plain_http)?;
        for (setting, value) in [
            ("timeout", self.timeout),
            ("connect_timeout", self.connect_timeout),
        ] {
            if value.is_zero() {
                return Err(ConfigError::new(
                    setting,
                    "is zero",
                    "a time limit such as 10s",
                ));
            }
        }
        let mut headers = self.headers;
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(PRODUCT));

        let client = match self.client {
            Some(client) => client,
            None => tls::client(&endpoint, |builder| {
                builder
                    .connect_timeout(self.connect_timeout)
                    .pool_idle_timeout(self.pool_idle_timeout)
            })?,
        };
        Ok(HttpTransport {
            client,
            endpoint,
            headers,
            timeout: self.timeout,
            max_answer_bytes: self.max_answer_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_header_is_sent_and_never_printed() {
        let key = Secret::new("s3cr3t").unwrap();
        let name = HeaderName::from_static("x-key");
        let builder = HttpTransport::builder("http://localhost").secret_header(name, &key);

        assert_eq!(builder.headers["x-key"], "s3cr3t");
        assert!(builder.headers["x-key"].is_sensitive());
        let shown = format!(
            "{builder:?} {:?} {:?}",
            builder.headers,
            builder.clone().build()
        );
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
}
