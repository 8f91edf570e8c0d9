//! Where requests go: checked once, when the engine is built.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use crate::ConfigError;

const SETTING: &str = "endpoint";
const MAX_BYTES: usize = 2048;

/// An address that requests may be sent to. `Debug` leaves the query out, which may hold a key.
#[derive(Clone)]
pub(crate) struct Endpoint(Url);

impl Endpoint {
    /// Checks an address: `http` or `https`, with a host, without credentials; plain `http` only to
    /// loopback unless `allow_plain_http`. An empty path becomes `default_path`. A fragment, which
    /// is never sent, is removed.
    pub(crate) fn parse(
        text: &str,
        default_path: &str,
        allow_plain_http: bool,
    ) -> Result<Self, ConfigError> {
        let invalid =
            |problem| ConfigError::new(SETTING, problem, "a URL such as https://host/path");
        if text.len() > MAX_BYTES {
            return Err(invalid("is longer than 2048 bytes"));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(invalid("has a space or control character in it"));
        }
        let mut url = Url::parse(text).map_err(|e| invalid("is not a valid URL").with_source(e))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ConfigError::new(
                SETTING,
                "has another scheme than http or https",
                "a URL that starts with https:// or http://",
            ));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(invalid("has no host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ConfigError::new(
                SETTING,
                "has credentials in it",
                "a URL without them, and the key in its own setting",
            ));
        }
        if url.path() == "/" {
            url.set_path(default_path);
        }
        url.set_fragment(None);

        let endpoint = Self(url);
        if !endpoint.is_https() && !endpoint.is_loopback() && !allow_plain_http {
            return Err(ConfigError::new(
                SETTING,
                "would send events and keys unencrypted to another machine",
                "https, or allow_plain_http(true) if the network between is trusted",
            ));
        }
        Ok(endpoint)
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether the host is this machine: 127.0.0.0/8, `::1` or `localhost`.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        match address {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => host
                .strip_suffix('.')
                .unwrap_or(host)
                .eq_ignore_ascii_case("localhost"),
        }
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}",
            self.0.scheme(),
            self.0.host_str().unwrap_or_default()
        )?;
        if let Some(port) = self.0.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(self.0.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Endpoint, ConfigError> {
        Endpoint::parse(text, "/v1/events", false)
    }

    #[test]
    fn an_empty_path_becomes_the_default_one_and_others_stay() {
        for (text, expected) in [
            ("https://pg.example", "https://pg.example/v1/events"),
            ("https://pg.example/", "https://pg.example/v1/events"),
            (
                "https://pg.example:8443?a=1#top",
                "https://pg.example:8443/v1/events?a=1",
            ),
            (
                "https://pg.example/v1/events",
                "https://pg.example/v1/events",
            ),
            ("https://pg.example/gateway/", "https://pg.example/gateway/"),
            ("http://localhost:8080", "http://localhost:8080/v1/events"),
        ] {
            assert_eq!(parse(text).unwrap().url().as_str(), expected);
        }
    }

    #[test]
    fn plain_http_leaves_this_machine_only_when_allowed() {
        for loopback in [
            "http://localhost:1/",
            "http://LOCALHOST./",
            "http://127.0.0.1:1/",
            "http://127.8.9.1/",
            "http://2130706433/",
            "http://[::1]:1/",
            "http://[::ffff:127.0.0.1]/",
        ] {
            assert!(parse(loopback).unwrap().is_loopback(), "{loopback}");
        }
        for remote in [
            "http://10.0.0.7/",
            "http://pg.example/",
            "http://localhost.example/",
            "http://127.0.0.1.example/",
            "http://[::2]/",
            "http://0.0.0.0/",
        ] {
            let error = parse(remote).unwrap_err();
            assert!(error.problem().contains("unencrypted"), "{remote}: {error}");
            assert!(!Endpoint::parse(remote, "/", true).unwrap().is_https());
        }
    }

    #[test]
    fn a_bad_address_is_refused_without_showing_it() {
        for (text, word) in [
            ("", "not a valid URL"),
            ("s3cr3t", "not a valid URL"),
            ("https://", "not a valid URL"),
            ("https://s3cr3t:99999999/", "not a valid URL"),
            ("ftp://s3cr3t.example/", "scheme"),
            ("localhost:8080", "scheme"),
            ("unix:/run/s3cr3t", "scheme"),
            ("https://user:s3cr3t@pg.example/", "credentials"),
            ("https://s3cr3t@pg.example/", "credentials"),
            ("https://pg.example/s3cr3t\n", "control"),
            (" https://pg.example/s3cr3t", "space"),
            (
                &format!("https://pg.example/{}", "s3cr3t".repeat(500)),
                "2048",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.problem().contains(word), "{text:?}: {error}");
            assert!(
                !format!("{error} {error:?}").contains("s3cr3t"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn debug_shows_no_query() {
        let endpoint = parse("https://pg.example:8443/in?api_key=s3cr3t").unwrap();
        assert_eq!(format!("{endpoint:?}"), "https://pg.example:8443/in");
    }
}
