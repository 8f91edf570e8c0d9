//! The transport's own client: TLS, proxies, redirects.

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

use super::url::Endpoint;
use crate::ConfigError;

/// A client for `endpoint`, with `more` settings.
pub(super) fn client(
    endpoint: &Endpoint,
    more: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Result<Client, ConfigError> {
    // Whatever features of reqwest the rest of the program switches on, the behaviour is this one.
    let mut builder = Client::builder()
        .redirect(Policy::none())
        // and no copy of the request for one
        .retry(reqwest::retry::never().max_retries_per_request(0))
        .referer(false)
        .http1_only()
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate();
    if endpoint.is_loopback() {
        builder = builder.no_proxy();
    }
    with_tls(more(builder), endpoint)?.build().map_err(|e| {
        ConfigError::new(
            "client",
            "could not be set up",
            "a working TLS configuration",
        )
        .with_source(e.without_url())
    })
}

/// rustls with aws-lc-rs, by configuration: a provider that the program installed for itself is its own
/// business, and ours does not depend on it.
#[cfg(feature = "rustls")]
fn with_tls(builder: ClientBuilder, endpoint: &Endpoint) -> Result<ClientBuilder, ConfigError> {
    use std::sync::Arc;

    use rustls::{ClientConfig, RootCertStore};
    use rustls_platform_verifier::BuilderVerifierExt;

    let failed = |error: rustls::Error| {
        ConfigError::new(
            "endpoint",
            "needs TLS, which could not be set up",
            "root certificates on this system, or a client handed in",
        )
        .with_source(error)
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let config = if endpoint.is_https() {
        config.with_platform_verifier().map_err(failed)?
    } else {
        // never used, and must not fail on a system without root certificates
        config.with_root_certificates(RootCertStore::empty())
    };
    Ok(builder.tls_backend_preconfigured(config.with_no_client_auth()))
}

#[cfg(not(feature = "rustls"))]
fn with_tls(builder: ClientBuilder, endpoint: &Endpoint) -> Result<ClientBuilder, ConfigError> {
    if endpoint.is_https() {
        return Err(ConfigError::new(
            "endpoint",
            "needs TLS, which is not compiled in",
            "the feature `rustls`, or a client handed in",
        ));
    }
    Ok(builder)
}
