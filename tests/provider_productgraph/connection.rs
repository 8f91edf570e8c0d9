//! What may go wrong on the way, and what connections are kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use productgraph::Outcome;
use productgraph::providers::ProductGraph;
use productgraph::providers::http::{HttpTransport, Request};
use productgraph_collector::{Collector, Fault};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    PATIENCE, build, deliver, events, listen, provider, read_request, word, write_receipt,
};

async fn collector() -> Collector {
    Collector::builder().start().await.expect("a collector")
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_is_tried_again() {
    let collector = collector().await;
    let provider = provider(collector.base_url());
    for (fault, stored) in [
        (Fault::reset_before_body(), 0),
        (Fault::reset_after_body(), 0),
        (Fault::store_then_reset(), 1),
    ] {
        collector.reset();
        collector.faults().push(fault);
        assert_eq!(word(&deliver(&*provider, &events(1)).await), "retry reset");
        assert_eq!(collector.event_ids().len(), stored);

        assert_eq!(deliver(&*provider, &events(1)).await, Outcome::Delivered);
        assert_eq!(collector.event_ids(), vec!["e0"; stored + 1]);
    }
}

#[tokio::test]
async fn a_service_that_never_answers_runs_into_the_time_limit() {
    let collector = collector().await;
    collector.faults().push(Fault::never_answer());
    let limit = Duration::from_millis(50);
    let provider = build(ProductGraph::new(collector.base_url()).timeout(limit));

    assert_eq!(
        word(&deliver(&*provider, &events(1)).await),
        "retry timeout"
    );
}

#[tokio::test]
async fn an_answer_that_does_not_end_in_time_proves_nothing() {
    let (listener, addr) = listen().await;
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        read_request(&mut stream).await;
        let head = b"HTTP/1.1 202 Accepted\r\ncontent-length: 27\r\n\r\n{\"accepted\":1,";
        stream.write_all(head).await.expect("an open connection");
        // until the client gives up
        let _ = stream.read(&mut [0]).await;
    };
    let limit = Duration::from_millis(200);
    let provider = build(ProductGraph::new(format!("http://{addr}")).timeout(limit));
    let batch = events(1);
    let (outcome, ()) = tokio::join!(deliver(&*provider, &batch), server);

    assert_eq!(word(&outcome), "retry bad_body");
}

#[tokio::test]
async fn something_that_does_not_speak_http_is_tried_again() {
    let (listener, addr) = listen().await;
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        read_request(&mut stream).await;
        stream
            .write_all(b"220 mail.example ESMTP\r\n")
            .await
            .expect("an open connection");
        let _ = stream.read(&mut [0]).await;
    };
    let provider = provider(format!("http://{addr}"));
    let batch = events(1);
    let (outcome, ()) = tokio::join!(deliver(&*provider, &batch), server);

    assert_eq!(word(&outcome), "retry protocol");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_tried_again() {
    let (listener, addr) = listen().await;
    drop(listener);
    assert_eq!(
        word(&deliver(&*provider(format!("http://{addr}")), &events(1)).await),
        "retry connect"
    );
}

/// Finds no host.
struct Nowhere;

impl reqwest::dns::Resolve for Nowhere {
    fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
        Box::pin(std::future::ready(Err("no such host".into())))
    }
}

/// A plain client without a word about TLS, which would ask for a process-wide provider.
fn client_builder() -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder().no_proxy();
    #[cfg(feature = "rustls")]
    let builder = builder.tls_backend_preconfigured(crate::tls::trusting_nobody());
    builder
}

#[tokio::test]
async fn a_host_that_cannot_be_found_is_told_from_one_that_does_not_answer() {
    let client = client_builder()
        .dns_resolver(Arc::new(Nowhere))
        .build()
        .expect("a client");
    let provider = build(
        ProductGraph::new("http://s3cr3t.example")
            .client(client)
            .allow_plain_http(true),
    );
    let outcome = deliver(&*provider, &events(1)).await;

    assert_eq!(word(&outcome), "retry dns");
    assert!(!format!("{outcome:?}").contains("s3cr3t"), "{outcome:?}");
}

#[tokio::test]
async fn a_client_that_is_handed_in_is_the_one_that_is_used() {
    let collector = collector().await;
    let to: SocketAddr = collector.addr();
    let client = client_builder()
        .resolve("pg.example", to)
        .build()
        .expect("a client");
    let endpoint = format!("http://pg.example:{}", to.port());
    let provider = build(
        ProductGraph::new(endpoint)
            .client(client)
            .allow_plain_http(true),
    );

    assert_eq!(deliver(&*provider, &events(1)).await, Outcome::Delivered);
    let agent = collector.requests()[0]
        .header("user-agent")
        .map(str::to_owned);
    assert_eq!(
        agent.as_deref(),
        Some(concat!("productgraph/", env!("CARGO_PKG_VERSION")))
    );
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let collector = collector().await;
    let provider = provider(collector.base_url());
    for _ in 0..5 {
        assert_eq!(deliver(&*provider, &events(1)).await, Outcome::Delivered);
    }
    collector.faults().push(Fault::status(503));
    assert_eq!(word(&deliver(&*provider, &events(1)).await), "retry status");
    assert_eq!(deliver(&*provider, &events(1)).await, Outcome::Delivered);

    assert_eq!(collector.stats().connections, 1);
}

#[tokio::test]
async fn a_connection_that_the_service_cut_when_idle_is_replaced_without_a_failure() {
    let (listener, addr) = listen().await;
    let server = async {
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            read_request(&mut stream).await;
            write_receipt(&mut stream).await;
            stream.shutdown().await.expect("an open connection");
            // the client closes its end once it has seen ours closed
            assert_eq!(stream.read(&mut [0]).await.expect("an orderly end"), 0);
        }
    };
    let provider = provider(format!("http://{addr}"));
    let requests = async {
        for _ in 0..3 {
            assert_eq!(deliver(&*provider, &events(1)).await, Outcome::Delivered);
        }
    };
    tokio::join!(requests, server);
}

#[tokio::test]
async fn an_idle_connection_is_closed_by_the_client_first() {
    let collector = collector().await;
    let transport = HttpTransport::builder(collector.endpoint())
        .pool_idle_timeout(Duration::from_millis(20))
        .build()
        .expect("a valid configuration");
    let request = || Request::json(r#"{"events":[]}"#.into());

    for connections in 1..=2 {
        assert_eq!(
            transport.send(request()).await.expect("an answer").status,
            202
        );
        let closed = collector.wait_until(|stats| stats.open_connections == 0);
        tokio::time::timeout(PATIENCE, closed)
            .await
            .expect("a closed connection");
        assert_eq!(collector.stats().connections, connections);
    }
}

#[tokio::test]
async fn an_endpoint_on_this_machine_is_reached_without_the_proxy_of_the_environment() {
    // a variable can only be set for another process: this test again, told to be the inner one
    const INNER: &str = "PRODUCTGRAPH_TEST_INNER_ENDPOINT";
    const NAME: &str =
        "connection::an_endpoint_on_this_machine_is_reached_without_the_proxy_of_the_environment";
    if let Ok(endpoint) = std::env::var(INNER) {
        assert_eq!(
            deliver(&*provider(endpoint), &events(1)).await,
            Outcome::Delivered
        );
        let elsewhere = build(ProductGraph::new("http://pg.example").allow_plain_http(true));
        assert_eq!(deliver(&*elsewhere, &events(1)).await, Outcome::Delivered);
        return;
    }

    let collector = Collector::builder().start_blocking().expect("a collector");
    let (proxy, proxy_addr) = listen().await;
    let proxying = async {
        let (mut stream, _) = proxy.accept().await.expect("a connection");
        let head = read_request(&mut stream).await;
        write_receipt(&mut stream).await;
        head
    };
    let inner = tokio::process::Command::new(std::env::current_exe().expect("a test program"))
        .args(["--exact", NAME])
        .env(INNER, collector.base_url())
        .env("HTTP_PROXY", format!("http://{proxy_addr}"))
        .env("http_proxy", format!("http://{proxy_addr}"))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .kill_on_drop(true)
        .output();
    let both = async { tokio::join!(proxying, inner) };
    let (head, inner) = tokio::time::timeout(PATIENCE, both).await.expect("an end");

    let inner = inner.expect("an inner test");
    let told = String::from_utf8_lossy(&inner.stdout);
    assert!(
        inner.status.success() && told.contains("1 passed"),
        "{told}"
    );
    assert_eq!(collector.event_ids(), ["e0"]);
    assert!(
        head.starts_with("post http://pg.example/v1/events http/1.1\r\n"),
        "{head}"
    );
}
