//! The HTTP transport that every HTTP provider sends through, also for a provider of your own.
//!
//! [`HttpTransport`] sends one request, once, and reads a bounded answer; [`StatusRules`] say what
//! its status means. Retries, waits and splitting belong to the engine.
//!
//! What the transport does the same for all:
//!
//! - The endpoint is checked once: `http` or `https`, no credentials in it, plain `http` only to this
//!   machine unless allowed.
//! - One time limit covers the whole request, another the connection alone. Pooled connections are
//!   closed before the server's idle cut would race with a request.
//! - Redirects are not followed: a redirected POST may lose its body or take the key elsewhere.
//! - No referer, no cookies, `User-Agent: productgraph/<version>`, HTTP/1.1.
//! - Answers are read up to a bound; the rest, and with it the connection, is dropped.
//! - No key, header, query or body text is in any error.
//!
//! # TLS
//!
//! With the feature `rustls` (default) connections use rustls with aws-lc-rs and the
//! platform's roots. The configuration is built here and given to the client, so no process-wide
//! crypto provider is needed, installed or disturbed. Own roots, client certificates, another TLS
//! library: hand in a [`reqwest::Client`] with [`HttpTransportBuilder::client`]. Without the feature,
//! an `https` endpoint without such a client is a configuration error. (Where something else in
//! the program switches on reqwest's `rustls-no-provider` and this feature is off, reqwest panics when
//! a client is made before a provider is installed. Hand in a client there.)
//!
//! # Proxies
//!
//! The transport's own client follows `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`
//! as most programs do, but never for an endpoint on this machine; it does not look at the system's
//! proxy settings. For anything else hand in a client.

mod answer;
mod builder;
mod classify;
mod failure;
mod retry_after;
mod tls;
mod url;

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};

pub use self::answer::Answer;
pub use self::builder::{
    DEFAULT_CONNECT_TIMEOUT, DEFAULT_MAX_ANSWER_BYTES, DEFAULT_POOL_IDLE_TIMEOUT, DEFAULT_TIMEOUT,
    HttpTransportBuilder,
};
pub use self::classify::{StatusClass, StatusRules};
pub use self::failure::TransportError;
pub use self::retry_after::{MAX_RETRY_AFTER, retry_after};
pub(crate) use self::url::Endpoint;
use crate::correlation::suppressed;

/// One request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The body as sent, compressed or not.
    pub body: Bytes,
    /// `Content-Type`.
    pub content_type: HeaderValue,
    /// `Content-Encoding`; none for a plain body.
    pub content_encoding: Option<HeaderValue>,
    /// Headers of this request alone; they win over those of the transport.
    pub headers: HeaderMap,
}

impl Request {
    /// A plain request of this type.
    pub fn new(content_type: HeaderValue, body: Bytes) -> Self {
        Self {
            body,
            content_type,
            content_encoding: None,
            headers: HeaderMap::new(),
        }
    }

    /// A plain JSON request.
    pub fn json(body: Bytes) -> Self {
        Self::new(HeaderValue::from_static("application/json"), body)
    }
}

/// Sends requests to one endpoint. See the [module](self).
#[derive(Clone)]
pub struct HttpTransport {
    client: reqwest::Client,
    endpoint: Endpoint,
    headers: HeaderMap,
    timeout: Duration,
    max_answer_bytes: usize,
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport")
            .field("endpoint", &self.endpoint)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl HttpTransport {
    /// Starts a transport to `endpoint`.
    pub fn builder(endpoint: impl Into<String>) -> HttpTransportBuilder {
        HttpTransportBuilder::new(endpoint.into())
    }

    /// Sends `request` once by POST.
    ///
    /// Whatever the status, an answer is `Ok`. An answer that ended early or was too long is `Ok`
    /// too, with [`Answer::incomplete`] set: its status is known and often all that matters.
    ///
    /// Dropping the future abandons the request. Needs a tokio runtime with time and I/O.
    ///
    /// # Errors
    ///
    /// [`TransportError`] when no status arrived: the destination may or may not have the request.
    pub async fn send(&self, request: Request) -> Result<Answer, TransportError> {
        // or a service that traces its HTTP would trace this, and send that
        suppressed(self.send_once(request)).await
    }

    async fn send_once(&self, request: Request) -> Result<Answer, TransportError> {
        // with room for those of the client and of HTTP
        let mut headers = HeaderMap::with_capacity(self.headers.len() + request.headers.len() + 4);
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        headers.extend(request.headers);
        headers.insert(CONTENT_TYPE, request.content_type);
        if let Some(encoding) = request.content_encoding {
            headers.insert(CONTENT_ENCODING, encoding);
        }

        // not by the builder, which would copy the headers one by one
        let mut post = reqwest::Request::new(Method::POST, self.endpoint.url().clone());
        *post.headers_mut() = headers;
        *post.timeout_mut() = Some(self.timeout);
        *post.body_mut() = Some(request.body.into());
        let response = self
            .client
            .execute(post)
            .await
            .map_err(|e| TransportError::of(&e))?;
        Ok(self.read(response).await)
    }

    async fn read(&self, mut response: reqwest::Response) -> Answer {
        let text = |name| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let mut answer = Answer::new(response.status().as_u16());
        answer.retry_after =
            text(RETRY_AFTER).and_then(|v| retry_after(v, text(DATE), SystemTime::now()));
        answer.content_type = response.headers().get(CONTENT_TYPE).cloned();

        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    let room = self.max_answer_bytes - body.len();
                    body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                    if chunk.len() > room {
                        answer.incomplete = Some(TransportError::too_long());
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    answer.incomplete = Some(TransportError::of(&error));
                    break;
                }
            }
        }
        answer.body = body.into();
        answer
    }
}
