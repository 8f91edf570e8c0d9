//! What a client can put into the path that is recorded.

use std::convert::Infallible;
use std::future::ready;

use http::{Request, Response};
use productgraph::middleware::TrackRequestsLayer;
use productgraph::testing::recorder;
use tower::{Service, service_fn};
use tower_layer::Layer;

#[tokio::test]
async fn a_content_type_does_not_keep_ids_in_a_path_from_being_folded() {
    let (handle, recorder) = recorder();
    let mut service = TrackRequestsLayer::new(handle).layer(service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(String::new())))
    }));
    let request = Request::builder()
        .method("POST")
        .uri("/customers/4711/cards/4000000000000002")
        .header("content-type", "application/grpc")
        .body(())
        .unwrap();
    drop(service.call(request).await.unwrap());
    let shown = format!("{:?}", recorder.events()[0]);
    let mut wire = Vec::new();
    recorder.events()[0]
        .write_wire(
            &productgraph::event::wire::WireOptions::new("shop"),
            &mut wire,
        )
        .unwrap();
    let wire = String::from_utf8(wire).unwrap();
    assert!(!wire.contains("4711"), "{wire} {shown}");
}
