//! Handshakes that fail, and certificates that are put right.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use productgraph::LaneState;
use productgraph::providers::ProductGraph;
use productgraph_collector::Collector;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::engine_support::{collector, log, millis};
use crate::gateway::{Act, Gateway};
use crate::stage::{Stage, Times, lets_go};

/// For `localhost` and `127.0.0.1`, signed by itself: `tests/provider_productgraph/tls/README.md`.
const CERTIFICATE: &[u8] = include_bytes!("../provider_productgraph/tls/localhost.crt.der");
const KEY: &[u8] = include_bytes!("../provider_productgraph/tls/localhost.key.der");

/// A clock that stands in the year 2200 until the certificate is renewed, as it were.
#[derive(Debug)]
struct Renewable(AtomicBool);

impl TimeProvider for Renewable {
    fn current_time(&self) -> Option<UnixTime> {
        const YEAR_2200: Duration = Duration::from_secs(230 * 31_557_600);
        if self.0.load(Ordering::SeqCst) {
            return Some(UnixTime::now());
        }
        Some(UnixTime::since_unix_epoch(YEAR_2200))
    }
}

fn client_config(roots: RootCertStore, clock: Arc<Renewable>) -> ClientConfig {
    ClientConfig::builder_with_details(Arc::new(default_provider()), clock)
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// For a client that is never to use TLS.
pub(crate) fn trusting_nobody() -> ClientConfig {
    let now = Arc::new(Renewable(AtomicBool::new(true)));
    client_config(RootCertStore::empty(), now)
}

/// A client that trusts the certificate and takes `pg.example` for `to`.
fn trusting(to: SocketAddr, clock: &Arc<Renewable>) -> reqwest::Client {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(CERTIFICATE))
        .expect("a certificate");
    reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(millis(100))
        .resolve("pg.example", to)
        .tls_backend_preconfigured(client_config(roots, Arc::clone(clock)))
        .build()
        .expect("a client")
}

/// A server that speaks TLS and passes on what it gets.
fn tls_before(store: &Collector) -> Gateway {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(KEY));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(CERTIFICATE)], key)
        .expect("a certificate and its key");
    let config = Arc::new(config);
    let wrap = move |tcp: TcpStream| {
        let tls = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
        Ok(StreamOwned::new(tls, tcp))
    };
    let gateway = Gateway::wrapping(store, Act::Say(Vec::new()), Box::new(wrap));
    gateway.heal();
    gateway
}

/// Nothing gets through, now or later: everything waits and is counted in the end.
async fn never_gets_through(
    name: &'static str,
    faulty: ProductGraph,
    store: Collector,
    kind: &str,
) {
    let mut stage = Stage::new(name, faulty, store);
    stage.gets_into_trouble(kind, LaneState::Retrying).await;
    let engine = stage.ends_at_the_deadline(&[log::FAILS]).await;
    lets_go(&engine).await;
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for() {
    let store = collector();
    let gateway = tls_before(&store);
    let faulty = ProductGraph::new(format!("https://localhost:{}", gateway.addr().port()));
    never_gets_through(
        "a_certificate_that_nobody_vouches_for",
        faulty,
        store,
        "tls",
    )
    .await;
    assert!(gateway.heads().is_empty(), "a request came through");
}

#[tokio::test]
async fn a_certificate_for_another_host() {
    let store = collector();
    let gateway = tls_before(&store);
    let now = Arc::new(Renewable(AtomicBool::new(true)));
    let faulty = ProductGraph::new(format!("https://pg.example:{}", gateway.addr().port()))
        .client(trusting(gateway.addr(), &now));
    never_gets_through("a_certificate_for_another_host", faulty, store, "tls").await;
    assert!(gateway.heads().is_empty(), "a request came through");
}

#[tokio::test]
async fn a_certificate_that_expired_and_is_renewed() {
    let store = collector();
    let gateway = tls_before(&store);
    let clock = Arc::new(Renewable(AtomicBool::new(false)));
    let faulty = ProductGraph::new(format!("https://localhost:{}", gateway.addr().port()))
        .client(trusting(gateway.addr(), &clock));
    let mut stage = Stage::new("a_certificate_that_expired_and_is_renewed", faulty, store);
    stage.gets_into_trouble("tls", LaneState::Retrying).await;
    let cause = stage.lane().last_error.expect("it fails").to_string();
    assert!(cause.contains("expired"), "{cause}");
    assert!(gateway.heads().is_empty(), "a request came through");
    clock.0.store(true, Ordering::SeqCst);
    stage
        .recovers(Times::Once, &[log::FAILS, log::WORKS_AGAIN])
        .await;
}

#[tokio::test]
async fn plain_http_where_tls_was_expected() {
    let store = collector();
    let endpoint = store.base_url().replace("http://", "https://");
    never_gets_through(
        "plain_http_where_tls_was_expected",
        ProductGraph::new(endpoint),
        store,
        "tls",
    )
    .await;
}

#[tokio::test]
async fn tls_where_plain_http_was_expected() {
    let store = collector();
    let gateway = tls_before(&store);
    let faulty = gateway.provider();
    never_gets_through(
        "tls_where_plain_http_was_expected",
        faulty,
        store,
        "protocol",
    )
    .await;
    assert!(gateway.heads().is_empty(), "a request came through");
}

#[tokio::test]
async fn a_port_that_never_answers_the_handshake() {
    let store = collector();
    // reads what it takes for a request, without end
    let gateway = Gateway::before(&store, Act::Say(Vec::new()));
    let now = Arc::new(Renewable(AtomicBool::new(true)));
    let faulty = ProductGraph::new(format!("https://localhost:{}", gateway.addr().port()))
        .client(trusting(gateway.addr(), &now));
    never_gets_through(
        "a_port_that_never_answers_the_handshake",
        faulty,
        store,
        "connect_timeout",
    )
    .await;
}
