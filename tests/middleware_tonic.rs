//! The layers in a real tonic server, over real sockets.

mod middleware_support;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut};
use http::uri::PathAndQuery;
use middleware_support::{Seen, all, recorder};
use productgraph::correlation::{Correlation, UserId};
use productgraph::middleware::TelemetryLayer;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};
use tower::{Service, service_fn};

/// Messages that are plain text: enough for a call, and no code generation.
#[derive(Clone, Copy, Default)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, item: String, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(item.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        let text = String::from_utf8(bytes.to_vec());
        text.map(Some)
            .map_err(|_| Status::invalid_argument("not text"))
    }
}

#[derive(Clone)]
struct Catalog;

impl NamedService for Catalog {
    const NAME: &'static str = "shop.v1.Catalog";
}

impl Service<http::Request<Body>> for Catalog {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let answer = service_fn(get_item);
            Ok(tonic::server::Grpc::new(Text).unary(answer, request).await)
        })
    }
}

async fn get_item(request: Request<String>) -> Result<Response<String>, Status> {
    let correlation = Correlation::current().ok_or_else(|| Status::internal("no correlation"))?;
    correlation.set_user(UserId::parse("u_1").map_err(|_| Status::internal("no user"))?);
    match request.get_ref().as_str() {
        "missing" => Err(Status::not_found("no such item")),
        item => Ok(Response::new(format!(
            "{item} for {}",
            correlation.session_id()
        ))),
    }
}

async fn call(
    channel: &Channel,
    path: &'static str,
    item: &str,
) -> Result<Response<String>, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client
        .ready()
        .await
        .map_err(|error| Status::unknown(error.to_string()))?;
    let mut request = Request::new(item.to_owned());
    request
        .metadata_mut()
        .insert("x-session-id", "s-1".parse().expect("a valid value"));
    client
        .unary(request, PathAndQuery::from_static(path), Text)
        .await
}

#[tokio::test]
async fn calls_are_correlated_and_recorded_with_their_grpc_code() {
    let (handle, recorder) = recorder();
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let server = Server::builder()
        .layer(TelemetryLayer::new(handle))
        .add_service(Catalog)
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(server);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a valid address");
    let channel = endpoint.connect().await.expect("a connection");

    let get = "/shop.v1.Catalog/GetItemByItsNumberV2";
    let found = call(&channel, get, "a chair").await.expect("an item");
    assert!(found.metadata().contains_key("x-request-id"));
    assert_eq!(found.get_ref(), "a chair for s-1");
    let missing = call(&channel, get, "missing").await.expect_err("no item");
    assert_eq!(missing.code(), Code::NotFound);
    let unknown = call(&channel, "/shop.v1.Cart/Get", "")
        .await
        .expect_err("no service");
    assert_eq!(unknown.code(), Code::Unimplemented);

    // an answer is complete for the client only after its trailers, which send the event
    let events = all(&recorder);
    let told: Vec<_> = events
        .iter()
        .map(|seen| (seen.line(), seen.grpc_status()))
        .collect();
    let line = format!("POST {get} 200");
    assert_eq!(
        told,
        [
            (line.clone(), Some(0)),
            (line, Some(5)),
            ("POST /shop.v1.Cart/Get 200".to_owned(), Some(12)),
        ]
    );
    assert!(events.iter().all(|seen| seen.session() == Some("s-1")));
    let users: Vec<_> = events.iter().map(Seen::user).collect();
    assert_eq!(users, [Some("u_1"), Some("u_1"), None]);
}

#[tokio::test]
async fn inside_tonic_s_router_the_wildcard_gives_way_to_the_method() {
    let (handle, recorder) = recorder();
    let router = tonic::service::Routes::new(Catalog)
        .into_axum_router()
        .layer(TelemetryLayer::new(handle));
    let request = http::Request::post("/shop.v1.Catalog/GetItem")
        .header("content-type", "application/grpc")
        .body(axum::body::Body::from(&b"\0\0\0\0\x05chair"[..]))
        .expect("a valid request");
    let response = tower::ServiceExt::oneshot(router, request)
        .await
        .expect("a response");
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .expect("a body");
    assert_eq!(
        body.trailers()
            .map(|trailers| trailers["grpc-status"].as_bytes()),
        Some(&b"0"[..])
    );
    assert_eq!(
        all(&recorder)[0].line(),
        "POST /shop.v1.Catalog/GetItem 200"
    );
}
