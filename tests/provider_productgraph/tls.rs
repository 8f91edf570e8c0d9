//! TLS without a process-wide crypto provider: none of these tests installs one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use productgraph::Outcome;
use productgraph::providers::ProductGraph;
use productgraph_collector::Collector;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::support::{build, deliver, events, provider, word};

const CERTIFICATE: &[u8] = include_bytes!("tls/localhost.crt.der");
const KEY: &[u8] = include_bytes!("tls/localhost.key.der");

fn client_config(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// For a client that is never to use TLS.
pub(crate) fn trusting_nobody() -> ClientConfig {
    client_config(RootCertStore::empty())
}

/// Answers one request of one event over TLS, on a thread of its own; its result says whether the
/// handshake and the request got through.
fn serve() -> (SocketAddr, std::thread::JoinHandle<std::io::Result<()>>) {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(KEY));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(CERTIFICATE)], key)
        .expect("a certificate and its key");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("an address");
    let thread = std::thread::spawn(move || {
        let (tcp, _) = listener.accept()?;
        let tls = ServerConnection::new(Arc::new(config)).map_err(std::io::Error::other)?;
        let mut stream = StreamOwned::new(tls, tcp);
        let mut request = Vec::new();
        while !request.ends_with(b"]}") {
            let mut buffer = [0; 4096];
            match stream.read(&mut buffer)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                n => request.extend_from_slice(&buffer[..n]),
            }
        }
        let body = r#"{"accepted":1,"rejected":0}"#;
        write!(
            stream,
            "HTTP/1.1 202 Accepted\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        stream.flush()
    });
    (addr, thread)
}

#[tokio::test]
async fn a_certificate_that_no_root_of_the_platform_vouches_for_is_refused() {
    let (addr, server) = serve();
    let outcome = deliver(
        &*provider(format!("https://localhost:{}", addr.port())),
        &events(1),
    )
    .await;

    assert_eq!(word(&outcome), "retry tls");
    let Outcome::Retry { cause, .. } = outcome else {
        unreachable!()
    };
    assert!(
        cause
            .detail
            .as_deref()
            .is_some_and(|d| d.contains("certificate")),
        "{cause}"
    );
    server
        .join()
        .expect("no panic")
        .expect_err("no request may come through");
}

#[tokio::test]
async fn a_client_that_is_handed_in_brings_its_own_roots() {
    let (addr, server) = serve();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(CERTIFICATE))
        .expect("a certificate");
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(client_config(roots))
        .build()
        .expect("a client");
    let endpoint = format!("https://localhost:{}", addr.port());
    let provider = build(ProductGraph::new(endpoint).client(client));

    assert_eq!(deliver(&*provider, &events(1)).await, Outcome::Delivered);
    server.join().expect("no panic").expect("a request");
}

#[tokio::test]
async fn https_to_a_plain_server_fails_as_tls() {
    let collector = Collector::builder().start().await.expect("a collector");
    let endpoint = collector.base_url().replace("http://", "https://");

    assert_eq!(
        word(&deliver(&*provider(endpoint), &events(1)).await),
        "retry tls"
    );
}

#[test]
fn no_process_wide_crypto_provider_is_installed() {
    let _ = provider("https://pg.example");
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}
