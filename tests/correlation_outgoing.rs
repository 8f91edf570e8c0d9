//! Outgoing requests: which hosts learn what.

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use productgraph::correlation::{
    Correlation, ExtractOptions, Propagation, RequestId, SessionId, SessionSource, TraceTrust,
    UserId, extract,
};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const STOCK: &str = "http://stock.svc.local:8080/items?q=1";

fn propagation() -> Propagation {
    Propagation::to_hosts(["api.internal", "*.svc.local", "10.0.0.7", "::1"]).expect("valid hosts")
}

fn incoming(trust: TraceTrust) -> Correlation {
    let mut headers = HeaderMap::new();
    headers.insert("x-session-id", HeaderValue::from_static("s-1"));
    headers.insert("x-request-id", HeaderValue::from_static("r-1"));
    headers.insert("x-user-id", HeaderValue::from_static("claimed"));
    headers.insert("traceparent", HeaderValue::from_static(PARENT));
    headers.insert("tracestate", HeaderValue::from_static("vendor=1"));
    let options = ExtractOptions::new()
        .trace_trust(trust)
        .claimed_user_from(HeaderName::from_static("x-user-id"));
    let correlation = extract(&headers, &options).correlation;
    assert!(correlation.set_user(UserId::parse("u_1").expect("valid")));
    correlation
}

fn sent(correlation: &Correlation, uri: &'static str) -> Vec<(String, String)> {
    let mut headers = HeaderMap::new();
    correlation.enter(|| propagation().inject_for(&Uri::from_static(uri), &mut headers));
    let mut sent: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").to_owned()))
        .collect();
    sent.sort();
    sent
}

#[test]
fn only_listed_hosts_are_allowed() {
    let table = [
        ("http://api.internal/", true),
        ("https://API.Internal:8443/x", true),
        ("http://api.internal./x", true),
        ("http://stock.svc.local/", true),
        ("http://a.b.SVC.local./", true),
        ("http://10.0.0.7:81/", true),
        ("http://[::1]:8080/", true),
        ("http://[0:0:0:0:0:0:0:1]/", true),
        // look-alikes
        ("http://evilapi.internal/", false),
        ("http://api.internal.evil.example/", false),
        ("http://x.api.internal/", false),
        ("http://svc.local/", false),
        ("http://evilsvc.local/", false),
        ("http://.svc.local/", false),
        ("http://a..svc.local/", false),
        ("http://stock.svc.local.evil.example/", false),
        ("http://api.internal@evil.example/", false),
        ("http://evil.example/api.internal", false),
        ("http://evil.example?api.internal", false),
        ("http://evil.example/#.svc.local", false),
        ("http://10.0.0.70/", false),
        ("http://110.0.0.7/", false),
        ("http://10.0.0.7.svc.example/", false),
        ("http://[::2]/", false),
        ("http://[::ffff:10.0.0.7]/", false),
        // no host
        ("/items", false),
        ("*", false),
    ];
    let propagation = propagation();
    for (uri, allowed) in table {
        assert_eq!(
            propagation.allows(&uri.parse().expect(uri)),
            allowed,
            "{uri}"
        );
    }
}

#[test]
fn a_pattern_that_is_not_understood_is_an_error_that_names_it() {
    for pattern in [
        "",
        "*",
        "*.",
        ".",
        "*.*",
        "a.*.b",
        "api*.internal",
        "http://api.internal",
        "api.internal:80",
        "api.internal/x",
        "a..b",
        ".svc.local",
        "user@api.internal",
        "[::1",
        "a b",
        "caf\u{e9}.example",
    ] {
        let error = Propagation::to_hosts(["ok.example", pattern]).expect_err(pattern);
        assert_eq!(error.pattern(), pattern);
        assert!(
            error.to_string().contains("expected a host name"),
            "{error}"
        );
    }
    let nobody = Propagation::to_hosts(std::iter::empty::<&str>()).expect("an empty list is fine");
    assert!(!nobody.allows(&Uri::from_static("http://api.internal/")));
}

#[test]
fn a_listed_host_gets_session_request_and_trace_but_never_the_user() {
    let expected = [
        ("tracestate", "vendor=1"),
        ("traceparent", PARENT),
        ("x-request-id", "r-1"),
        ("x-session-id", "s-1"),
    ];
    let mut expected: Vec<_> = expected
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    expected.sort();
    assert_eq!(sent(&incoming(TraceTrust::Trust), STOCK), expected);
}

#[test]
fn any_other_host_gets_nothing() {
    assert_eq!(
        sent(&incoming(TraceTrust::Trust), "https://pay.example/charge"),
        []
    );
    let mut headers = HeaderMap::new();
    let uri = Uri::from_static("https://pay.example/charge");
    assert!(!propagation().inject(&incoming(TraceTrust::Trust), &uri, &mut headers));
    assert!(headers.is_empty());
}

#[test]
fn a_trace_that_is_not_trusted_is_not_handed_on() {
    for trust in [TraceTrust::Link, TraceTrust::Ignore] {
        let names: Vec<_> = sent(&incoming(trust), STOCK)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["x-request-id", "x-session-id"], "{trust:?}");
    }
}

#[test]
fn headers_that_are_there_stay_as_they_are() {
    let uri = Uri::from_static(STOCK);
    let correlation = incoming(TraceTrust::Trust);
    let mut headers = HeaderMap::new();
    headers.insert("x-session-id", HeaderValue::from_static("mine"));
    headers.insert("traceparent", HeaderValue::from_static("mine too"));
    assert!(propagation().inject(&correlation, &uri, &mut headers));
    assert_eq!(headers["x-session-id"], "mine");
    assert_eq!(headers["traceparent"], "mine too");
    assert_eq!(headers["x-request-id"], "r-1");
    assert!(
        !headers.contains_key("tracestate"),
        "it belongs to another traceparent"
    );
    assert_eq!(headers.len(), 3);

    let mut headers = HeaderMap::new();
    headers.insert("tracestate", HeaderValue::from_static("other=1"));
    assert!(propagation().inject(&correlation, &uri, &mut headers));
    assert!(
        !headers.contains_key("traceparent"),
        "it belongs to another tracestate"
    );
}

#[test]
fn without_a_current_correlation_nothing_is_added() {
    let mut headers = HeaderMap::new();
    assert!(!propagation().inject_for(&Uri::from_static(STOCK), &mut headers));
    assert!(headers.is_empty());
}

#[test]
fn a_job_without_request_or_trace_hands_on_its_session_under_the_chosen_name() {
    let job = Correlation::builder()
        .session(SessionId::of_process(), SessionSource::Process)
        .build();
    let renamed = propagation()
        .session_header(HeaderName::from_static("x-pg-session"))
        .request_header(HeaderName::from_static("x-correlation-id"));
    let mut headers = HeaderMap::new();
    assert!(renamed.inject(&job, &Uri::from_static(STOCK), &mut headers));
    assert_eq!(headers.len(), 1);
    assert_eq!(
        headers["x-pg-session"],
        SessionId::of_process().text().as_str()
    );

    let request = Correlation::builder()
        .request_id(RequestId::parse("r").expect("valid"))
        .build();
    let mut headers = HeaderMap::new();
    assert!(renamed.inject(&request, &Uri::from_static(STOCK), &mut headers));
    assert_eq!(headers["x-correlation-id"], "r");
}
