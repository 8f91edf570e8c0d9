//! The layers in a real axum service, over real sockets.

mod middleware_support;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::middleware::{Next, from_fn};
use axum::routing::{get, post};
use axum::{Router, serve};
use bytes::Bytes;
use http::StatusCode;
use http_body::Frame;
use middleware_support::{lines, only, recorder};
use productgraph::Event;
use productgraph::correlation::{Correlation, UserId};
use productgraph::middleware::TelemetryLayer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tower_layer::Layer;

/// Serves on a loopback port for as long as the runtime of the test lives.
///
/// What comes back says once for each exchange that all of it, the body included, has been dropped.
async fn serving(router: Router) -> (Client, mpsc::UnboundedReceiver<()>) {
    let (sender, over) = mpsc::unbounded_channel();
    let router = router.layer(from_fn(move |request: Request, next: Next| {
        let signal = Signal(sender.clone());
        async move {
            next.run(request)
                .await
                .map(|inner| Body::new(Over { inner, signal }))
        }
    }));
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    tokio::spawn(async move { serve(listener, router).await });
    (Client(address), over)
}

struct Signal(mpsc::UnboundedSender<()>);

impl Drop for Signal {
    fn drop(&mut self) {
        // nobody may be waiting
        let _ = self.0.send(());
    }
}

/// A body that signals when it has been dropped; the fields are dropped in this order.
struct Over {
    inner: Body,
    #[expect(dead_code, reason = "held for its drop")]
    signal: Signal,
}

impl http_body::Body for Over {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

struct Client(std::net::SocketAddr);

impl Client {
    async fn open(&self, method: &str, path: &str, headers: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.0).await.expect("a connection");
        let head = format!("{method} {path} HTTP/1.1\r\nhost: shop\r\n{headers}\r\n");
        stream
            .write_all(head.as_bytes())
            .await
            .expect("the request is sent");
        stream
    }

    /// One exchange on a connection of its own: all that was received.
    async fn send(&self, method: &str, path: &str, headers: &str) -> String {
        let headers = format!("connection: close\r\n{headers}");
        let mut stream = self.open(method, path, &headers).await;
        let mut received = String::new();
        stream
            .read_to_string(&mut received)
            .await
            .expect("a response in text");
        received
    }
}

/// Reads from a stream until what was read contains `text`.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut received = Vec::new();
    while !String::from_utf8_lossy(&received).contains(text) {
        let mut chunk = [0; 1024];
        let length = stream.read(&mut chunk).await.expect("the connection holds");
        assert_ne!(length, 0, "closed after {received:?}");
        received.extend_from_slice(&chunk[..length]);
    }
    String::from_utf8(received).expect("text")
}

/// A streaming body that is fed by a channel and calls `each` for every piece.
struct Feed<F> {
    pieces: mpsc::Receiver<&'static str>,
    each: F,
}

impl<F: FnMut() + Unpin> http_body::Body for Feed<F> {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.pieces.poll_recv(cx).map(|piece| {
            let piece = piece?;
            (self.each)();
            Some(Ok(Frame::data(Bytes::from_static(piece.as_bytes()))))
        })
    }
}

#[tokio::test]
async fn routes_are_recorded_by_their_template() {
    let (handle, recorder) = recorder();
    let orders = Router::new()
        .route("/orders/{order}", get(async || "an order"))
        .route("/orders/{order}/lines/{*rest}", get(async || "lines"));
    let router = Router::new()
        .route("/users/{id}", get(async || "a user"))
        .nest("/api/v1", orders)
        .layer(TelemetryLayer::new(handle));
    let (client, mut over) = serving(router).await;
    for (path, status) in [
        ("/users/7?secret=1", "200"),
        ("/api/v1/orders/A-1", "200"),
        ("/api/v1/orders/A-1/lines/2/3", "200"),
        ("/nothing/here/12345", "404"),
    ] {
        let received = client.send("GET", path, "").await;
        assert!(
            received.starts_with(&format!("HTTP/1.1 {status}")),
            "{received}"
        );
        over.recv().await;
    }
    client.send("DELETE", "/users/7", "").await;
    over.recv().await;
    assert_eq!(
        lines(&recorder),
        [
            "GET /users/{id} 200",
            "GET /api/v1/orders/{order} 200",
            "GET /api/v1/orders/{order}/lines/{*rest} 200",
            "GET /nothing/here/{id} 404",
            "DELETE /users/{id} 405",
        ]
    );
}

#[tokio::test]
async fn around_the_whole_router_the_folded_path_is_recorded() {
    let (handle, recorder) = recorder();
    let inner = Router::new().route("/users/{user}", get(async || "a user"));
    let router = Router::new().fallback_service(TelemetryLayer::new(handle).layer(inner));
    let (client, mut over) = serving(router).await;
    client.send("GET", "/users/12345", "").await;
    over.recv().await;
    assert_eq!(lines(&recorder), ["GET /users/{id} 200"]);
}

#[tokio::test]
async fn templates_can_be_excluded() {
    let (handle, recorder) = recorder();
    let router = Router::new()
        .route("/internal/{what}", get(async || "internal"))
        .layer(TelemetryLayer::new(handle).requests(|layer| layer.exclude("/internal/{what}")));
    let (client, mut over) = serving(router).await;
    client.send("GET", "/internal/x", "").await;
    over.recv().await;
    assert!(lines(&recorder).is_empty());
}

#[tokio::test]
async fn handlers_take_the_correlation_as_an_argument() {
    let (handle, recorder) = recorder();
    let router = Router::new()
        .route(
            "/",
            get(async |correlation: Correlation| correlation.session_id().to_string()),
        )
        .layer(TelemetryLayer::new(handle));
    let (client, mut over) = serving(router).await;
    let headers = "x-session-id: sess-lx2k9a00-1\r\nx-request-id: r-1\r\n";
    let received = client.send("GET", "/", headers).await;
    over.recv().await;
    assert!(received.contains("x-request-id: r-1\r\n"), "{received}");
    assert!(received.ends_with("sess-lx2k9a00-1"), "{received}");
    let seen = only(&recorder);
    assert_eq!(
        (seen.session(), seen.request_id()),
        (Some("sess-lx2k9a00-1"), Some("r-1"))
    );
}

#[tokio::test]
async fn without_the_layer_the_argument_is_refused_by_name_or_none() {
    let router = Router::new()
        .route("/needed", get(async |_: Correlation| "never"))
        .route(
            "/wanted",
            get(async |c: Option<Correlation>| format!("{}", c.is_some())),
        );
    let (client, _over) = serving(router).await;
    let refused = client.send("GET", "/needed", "").await;
    assert!(refused.starts_with("HTTP/1.1 500"), "{refused}");
    assert!(refused.contains("CorrelationLayer"), "{refused}");
    assert!(client.send("GET", "/wanted", "").await.ends_with("false"));
}

#[tokio::test]
async fn an_inner_authentication_layer_names_the_user() {
    let (handle, recorder) = recorder();
    let authenticate = from_fn(async |request: Request, next: Next| {
        if let Some(correlation) = Correlation::current() {
            correlation.set_user(UserId::parse("u_9").expect("a valid id"));
        }
        next.run(request).await
    });
    let router = Router::new()
        .route("/", get(async || StatusCode::NO_CONTENT))
        .layer(authenticate)
        .layer(TelemetryLayer::new(handle));
    let (client, mut over) = serving(router).await;
    client
        .send("GET", "/", "x-user-id: somebody-else\r\n")
        .await;
    over.recv().await;
    let seen = only(&recorder);
    assert_eq!(
        (seen.line().as_str(), seen.user()),
        ("GET / 204", Some("u_9"))
    );
}

#[tokio::test]
async fn a_stream_runs_inside_the_correlation_and_its_end_sends_the_event() {
    let (handle, recorder) = recorder();
    let feeding = Arc::new(tokio::sync::Mutex::new(None));
    let router = {
        let (layer_handle, feeding) = (handle.clone(), Arc::clone(&feeding));
        let stream = async move || {
            let (feed, pieces) = mpsc::channel(1);
            *feeding.lock().await = Some(feed);
            let each = move || handle.track(Event::custom("piece.sent"));
            Body::new(Feed { pieces, each })
        };
        Router::new()
            .route("/feed", get(stream))
            .layer(TelemetryLayer::new(layer_handle))
    };
    let (client, mut over) = serving(router).await;
    let mut stream = client.open("GET", "/feed", "x-session-id: s-1\r\n").await;
    read_until(&mut stream, "\r\n\r\n").await;
    let feed = feeding.lock().await.take().expect("the handler has run");
    for piece in ["one", "two"] {
        feed.send(piece).await.expect("the body is read");
        read_until(&mut stream, piece).await;
    }
    assert!(lines(&recorder).is_empty(), "the stream has not ended");
    drop(feed);
    over.recv().await;
    let events = middleware_support::all(&recorder);
    let names: Vec<_> = events
        .iter()
        .map(|seen| seen.name().unwrap_or("response"))
        .collect();
    assert_eq!(names, ["piece.sent", "piece.sent", "response"]);
    assert!(events.iter().all(|seen| seen.session() == Some("s-1")));
    assert_eq!(lines(&recorder), ["GET /feed 200"]);
}

#[tokio::test]
async fn a_client_that_leaves_while_the_handler_works_cancels_the_request() {
    let (handle, recorder) = recorder();
    let started = Arc::new(Notify::new());
    let handler = {
        let started = Arc::clone(&started);
        async move || {
            started.notify_one();
            std::future::pending::<&'static str>().await
        }
    };
    let router = Router::new()
        .route("/slow/{id}", get(handler))
        .layer(TelemetryLayer::new(handle));
    let (client, mut over) = serving(router).await;
    let stream = client.open("GET", "/slow/1", "x-session-id: s-1\r\n").await;
    started.notified().await;
    drop(stream);
    over.recv().await;
    let seen = only(&recorder);
    assert_eq!(seen.line(), "GET /slow/{id} 499 cancelled");
    assert_eq!(seen.session(), Some("s-1"));
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_body_cancels_it() {
    let (handle, recorder) = recorder();
    let stream = async || {
        let (feed, pieces) = mpsc::channel(1);
        tokio::spawn(async move { while feed.send("more and more of it").await.is_ok() {} });
        Body::new(Feed {
            pieces,
            each: || (),
        })
    };
    let router = Router::new()
        .route("/feed", get(stream))
        .layer(TelemetryLayer::new(handle));
    let (client, mut over) = serving(router).await;
    let mut stream = client.open("GET", "/feed", "").await;
    read_until(&mut stream, "more").await;
    assert!(lines(&recorder).is_empty());
    drop(stream);
    over.recv().await;
    assert_eq!(lines(&recorder), ["GET /feed 200 cancelled"]);
}

#[tokio::test]
async fn a_panicking_handler_gives_an_event_though_the_connection_breaks() {
    let (handle, recorder) = recorder();
    let handler = async || -> &'static str { panic!("the handler was told to panic") };
    let router = Router::new()
        .route("/pay", post(handler))
        .layer(TelemetryLayer::new(handle));
    let (client, mut over) = serving(router).await;
    assert_eq!(
        client.send("POST", "/pay", "content-length: 0\r\n").await,
        ""
    );
    over.recv().await;
    assert_eq!(lines(&recorder), ["POST /pay 500 panicked"]);
}

#[tokio::test]
async fn a_head_request_is_complete_without_a_body() {
    let (handle, recorder) = recorder();
    let router = Router::new()
        .route("/page", get(async || "a page"))
        .layer(TelemetryLayer::new(handle));
    let (client, mut over) = serving(router).await;
    let received = client.send("HEAD", "/page", "").await;
    over.recv().await;
    assert!(received.contains("content-length: 6\r\n"), "{received}");
    assert_eq!(lines(&recorder), ["HEAD /page 200"]);
}

#[tokio::test]
async fn a_body_of_known_length_keeps_it() {
    let (handle, recorder) = recorder();
    let router = Router::new()
        .route("/page", get(async || "a page"))
        .layer(TelemetryLayer::new(handle));
    let (client, mut over) = serving(router).await;
    let received = client.send("GET", "/page", "").await;
    over.recv().await;
    assert!(received.contains("content-length: 6\r\n"), "{received}");
    assert!(!received.contains("transfer-encoding"), "{received}");
    assert_eq!(lines(&recorder), ["GET /page 200"]);
}

#[tokio::test]
async fn a_websocket_passes_untouched_and_is_recorded_at_the_switch() {
    let (handle, recorder) = recorder();
    let echo = async |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async |mut socket| {
            while let Some(Ok(Message::Text(text))) = socket.recv().await {
                if socket.send(Message::Text(text)).await.is_err() {
                    break;
                }
            }
        })
    };
    let router = Router::new()
        .route("/live", get(echo))
        .layer(TelemetryLayer::new(handle));
    let (client, mut over) = serving(router).await;
    let headers = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut stream = client.open("GET", "/live", headers).await;
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    over.recv().await;
    assert_eq!(
        lines(&recorder),
        ["GET /live 101"],
        "while the socket is open"
    );

    // a final text frame of 5 bytes, masked with zeros as a client must
    stream
        .write_all(b"\x81\x85\0\0\0\0hello")
        .await
        .expect("the socket is open");
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"\x81\x05hello");
    drop(stream);
    assert_eq!(lines(&recorder).len(), 1);
}

#[tokio::test]
async fn a_nested_router_with_a_layer_of_its_own_knows_the_whole_template() {
    let (handle, recorder) = recorder();
    let inner = Router::new()
        .route("/items/{item}", get(async || "an item"))
        .layer(TelemetryLayer::new(handle));
    let (client, mut over) = serving(Router::new().nest("/shop/{shop}", inner)).await;
    client.send("GET", "/shop/3/items/4", "").await;
    over.recv().await;
    assert_eq!(lines(&recorder), ["GET /shop/{shop}/items/{item} 200"]);
}
