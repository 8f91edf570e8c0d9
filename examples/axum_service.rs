//! An axum service with telemetry: correlation and an event for each request, a user once it is
//! authenticated, and a shutdown that loses nothing.
//!
//! ```console
//! $ cargo run -p productgraph-collector -- --port 8080 &
//! $ PRODUCTGRAPH_PROJECT_ID=shop PRODUCTGRAPH_ENDPOINT=http://127.0.0.1:8080/v1/events \
//! >   cargo run --example axum_service
//! ```
//!
//! Then, from another terminal:
//!
//! ```console
//! $ curl -i localhost:3000/plans/7 -H 'X-Session-ID: sess-1'
//! $ curl -i localhost:3000/account -H 'X-Session-ID: sess-1' -H 'Authorization: Bearer ada'
//! $ curl -i localhost:3000/account -H 'X-Session-ID: sess-1'
//! ```
//!
//! Ctrl-C stops it and prints where every event went. `curl localhost:8080/_collector/events` shows
//! them: routes instead of paths, the session on each, the user on those of the second request.
//! Without the two variables telemetry is switched off, and the service works the same.

use std::error::Error;
use std::io;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use productgraph::correlation::UserId;
use productgraph::{Correlation, Engine, Event, Handle};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();

    let engine = Engine::from_env()?;
    let app = Router::new()
        .route("/account", get(account))
        .layer(from_fn(authenticate))
        .route("/plans/{id}", get(plan))
        .with_state(engine.handle())
        // Added last, it is the outermost layer: authentication runs inside the correlation, and
        // the requests it turns away are tracked too.
        .layer(engine.layer());

    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);

    // The order of a shutdown: the server first, with the requests that it still answers; then
    // telemetry, which has their events.
    axum::serve(listener, app)
        .with_graceful_shutdown(productgraph::shutdown_signal())
        .await?;
    println!("{}", engine.shutdown(engine.shutdown_timeout()).await);
    Ok(())
}

/// Says who it is as soon as that is certain. `X-User-ID` would be a claim that anybody can make.
async fn authenticate(
    correlation: Correlation,
    request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let user = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(user_of_token)
        .ok_or(StatusCode::UNAUTHORIZED)?;
    correlation.set_user(user);
    Ok(next.run(request).await)
}

/// A real service would look the token up.
fn user_of_token(header: &str) -> Option<UserId> {
    UserId::parse(header.strip_prefix("Bearer ")?).ok()
}

async fn account(State(handle): State<Handle>, correlation: Correlation) -> String {
    // Session, request and user come by themselves.
    handle.track(Event::custom("account.opened"));
    let user = correlation
        .user_id()
        .map_or_else(|| "nobody".to_owned(), ToString::to_string);
    format!("account of {user}\n")
}

async fn plan(State(handle): State<Handle>, Path(id): Path<u32>) -> String {
    handle.track(Event::page_view("/plans/{id}").with("plan", id));
    format!("plan {id}\n")
}
