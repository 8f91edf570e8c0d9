//! From request headers to a correlation: what is read, what is believed, what is counted.

use http::{HeaderMap, HeaderName, HeaderValue};
use productgraph::correlation::{
    ExtractOptions, ExtractStats, Refusal, RequestId, SessionId, SessionMinting, SessionSource,
    UserId, UserSource, Verdict, extract,
};
use proptest::prelude::*;

const SESSION: &str = "018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(
            *name,
            HeaderValue::from_bytes(value.as_bytes()).expect("header value"),
        );
    }
    headers
}

fn refused(reason: Refusal, len: usize) -> Verdict {
    Verdict::Refused { reason, len }
}

#[test]
fn valid_session_and_request_ids_are_adopted_whatever_the_case_of_the_header() {
    let incoming = headers(&[("x-session-id", SESSION), ("x-request-id", "req/42=")]);
    let extracted = extract(&incoming, &ExtractOptions::new());
    let correlation = &extracted.correlation;
    assert_eq!(correlation.session_id().text(), SESSION);
    assert_eq!(correlation.session_source(), SessionSource::Adopted);
    assert_eq!(
        correlation.request_id().map(ToString::to_string).as_deref(),
        Some("req/42=")
    );
    assert_eq!(
        (extracted.session, extracted.request_id),
        (Verdict::Accepted, Verdict::Accepted)
    );
    assert_eq!(
        HeaderName::try_from("X-Session-ID").ok(),
        HeaderName::try_from("x-session-id").ok()
    );
}

#[test]
fn missing_ids_are_minted_and_the_session_is_marked() {
    let extracted = extract(&HeaderMap::new(), &ExtractOptions::new());
    let correlation = &extracted.correlation;
    assert_eq!(correlation.session_source(), SessionSource::Request);
    assert!(correlation.session_id().started_at().is_some());
    assert!(correlation.request_id().is_some());
    assert_eq!(
        (extracted.session, extracted.request_id),
        (Verdict::Absent, Verdict::Absent)
    );

    let again = extract(&HeaderMap::new(), &ExtractOptions::new()).correlation;
    assert_ne!(correlation.session_id(), again.session_id());
    assert_ne!(correlation.request_id(), again.request_id());
}

#[test]
fn a_process_may_have_one_session_for_all_requests_without_one() {
    let options = ExtractOptions::new().session_minting(SessionMinting::PerProcess);
    let first = extract(&HeaderMap::new(), &options).correlation;
    let second = extract(&HeaderMap::new(), &options).correlation;
    assert_eq!(first.session_source(), SessionSource::Process);
    assert_eq!(first.session_id(), second.session_id());
    assert_eq!(first.session_id(), &SessionId::of_process());
    // the user of one request is not that of the next
    assert!(first.set_user(UserId::parse("u_1").expect("valid")));
    assert_eq!(second.user_id(), None);

    let adopted = extract(&headers(&[("x-session-id", SESSION)]), &options).correlation;
    assert_eq!(adopted.session_source(), SessionSource::Adopted);
}

#[test]
fn a_header_that_breaks_a_rule_counts_as_absent_with_its_reason_and_length() {
    let long = "x".repeat(129);
    let huge = "x".repeat(8 * 1024 + 1);
    let padded = " ".repeat(8 * 1024) + "a";
    let table = [
        ("", refused(Refusal::Empty, 0)),
        ("  \t ", refused(Refusal::Empty, 4)),
        ("undefined", refused(Refusal::Reserved, 9)),
        (" NULL ", refused(Refusal::Reserved, 6)),
        (
            "00000000-0000-0000-0000-000000000000",
            refused(Refusal::Reserved, 36),
        ),
        ("a b", refused(Refusal::BadCharacter, 3)),
        ("a\tb", refused(Refusal::BadCharacter, 3)),
        ("a,b", refused(Refusal::BadCharacter, 3)),
        ("caf\u{e9}", refused(Refusal::BadCharacter, 5)),
        (&long, refused(Refusal::TooLong, 129)),
        (&huge, refused(Refusal::TooLong, 8 * 1024 + 1)),
        (&padded, refused(Refusal::TooLong, 8 * 1024 + 1)),
    ];
    for (value, verdict) in table {
        let incoming = headers(&[("x-session-id", value), ("x-request-id", value)]);
        let extracted = extract(&incoming, &ExtractOptions::new());
        assert_eq!(extracted.session, verdict, "{value:?}");
        assert_eq!(extracted.request_id, verdict, "{value:?}");
        assert_eq!(
            extracted.correlation.session_source(),
            SessionSource::Request
        );
        let minted = extracted.correlation.request_id().expect("minted").text();
        assert_eq!(minted.len(), 36, "a new one, nothing of {value:?}");
        assert!(
            value.is_empty() || !format!("{extracted:?}").contains(value),
            "{value:?}"
        );
    }
}

#[test]
fn a_user_header_beyond_visible_ascii_is_refused_even_if_it_is_text() {
    let options = ExtractOptions::new().claimed_user_from(HeaderName::from_static("x-user-id"));
    let extracted = extract(&headers(&[("x-user-id", "jos\u{e9}")]), &options);
    assert_eq!(extracted.claimed_user, refused(Refusal::BadCharacter, 5));
    assert_eq!(extracted.correlation.user_id(), None);
}

#[test]
fn bytes_that_are_not_text_are_refused() {
    let mut incoming = HeaderMap::new();
    let value = HeaderValue::from_bytes(b"abc\xff\xfe").expect("opaque bytes are allowed");
    incoming.insert("x-session-id", value.clone());
    incoming.insert("x-user-id", value.clone());
    incoming.insert("traceparent", value);
    let options = ExtractOptions::new().claimed_user_from(HeaderName::from_static("x-user-id"));
    let extracted = extract(&incoming, &options);
    let bad = refused(Refusal::BadCharacter, 5);
    assert_eq!(
        (extracted.session, extracted.claimed_user, extracted.trace),
        (bad, bad, bad)
    );
}

#[test]
fn white_space_around_a_value_is_not_part_of_it() {
    let incoming = headers(&[("x-session-id", " \tabc ")]);
    assert_eq!(
        extract(&incoming, &ExtractOptions::new())
            .correlation
            .session_id()
            .text(),
        "abc"
    );
}

#[test]
fn a_repeated_header_counts_as_absent_even_if_the_values_agree() {
    for second in ["b", "a"] {
        let incoming = headers(&[
            ("x-session-id", "a"),
            ("x-session-id", second),
            ("x-request-id", "a"),
            ("x-request-id", second),
        ]);
        let extracted = extract(&incoming, &ExtractOptions::new());
        assert_eq!(extracted.session, refused(Refusal::Repeated, 1));
        assert_eq!(extracted.request_id, refused(Refusal::Repeated, 1));
        assert_eq!(
            extracted.correlation.session_source(),
            SessionSource::Request
        );
    }
}

#[test]
fn the_user_header_is_not_read_unless_asked_for_and_then_is_a_claim() {
    let incoming = headers(&[("x-user-id", "admin")]);
    let by_default = extract(&incoming, &ExtractOptions::new());
    assert_eq!(by_default.correlation.user_id(), None);
    assert_eq!(by_default.claimed_user, Verdict::Absent);

    let options = ExtractOptions::new().claimed_user_from(HeaderName::from_static("x-user-id"));
    let correlation = extract(&incoming, &options).correlation;
    assert_eq!(
        correlation.user_id().map(ToString::to_string).as_deref(),
        Some("admin")
    );
    assert_eq!(correlation.user_source(), Some(UserSource::Claimed));

    assert!(correlation.set_user(UserId::parse("u_1").expect("valid")));
    assert_eq!(
        correlation.user_id().map(ToString::to_string).as_deref(),
        Some("u_1")
    );
    assert_eq!(correlation.user_source(), Some(UserSource::Authenticated));
}

#[test]
fn the_first_authenticated_user_stays_and_every_holder_sees_it() {
    let correlation = extract(&HeaderMap::new(), &ExtractOptions::new()).correlation;
    let outside = correlation.clone();
    let [ada, bob] = ["ada", "bob"].map(|user| UserId::parse(user).expect("valid"));
    assert!(correlation.set_user(ada.clone()));
    assert!(
        correlation.set_user(ada.clone()),
        "saying it twice is no conflict"
    );
    assert!(!correlation.set_user(bob));
    assert_eq!(outside.user_id(), Some(&ada));
}

#[test]
fn other_header_names_replace_or_back_up_the_usual_ones() {
    let posthog = HeaderName::from_static("x-posthog-session-id");
    let backed_up = ExtractOptions::new()
        .also_session_from(posthog.clone())
        .also_request_from(HeaderName::from_static("x-amzn-trace-id"));
    let session_of = |pairs: &[(&'static str, &str)], options: &ExtractOptions| {
        let extracted = extract(&headers(pairs), options);
        (
            extracted.correlation.session_id().to_string(),
            extracted.session,
        )
    };
    let both = [("x-session-id", "a"), ("x-posthog-session-id", "b")];
    assert_eq!(
        session_of(&both, &backed_up),
        ("a".into(), Verdict::Accepted)
    );
    assert_eq!(
        session_of(&both[1..], &backed_up),
        ("b".into(), Verdict::Accepted)
    );
    let first_is_junk = [("x-session-id", "null"), ("x-posthog-session-id", "b")];
    assert_eq!(
        session_of(&first_is_junk, &backed_up),
        ("b".into(), Verdict::Accepted)
    );
    let both_are_junk = [("x-session-id", "null"), ("x-posthog-session-id", "a b")];
    assert_eq!(
        session_of(&both_are_junk, &backed_up).1,
        refused(Refusal::Reserved, 4)
    );

    let incoming = headers(&[(
        "x-amzn-trace-id",
        "Root=1-67891233-abcdef012345678912345678",
    )]);
    let request = extract(&incoming, &backed_up).correlation;
    assert_eq!(
        request.request_id().map(ToString::to_string).as_deref(),
        Some("Root=1-67891233-abcdef012345678912345678")
    );

    let replaced = ExtractOptions::new()
        .session_header(posthog)
        .request_header(HeaderName::from_static("x-correlation-id"));
    assert_eq!(
        session_of(&both, &replaced),
        ("b".into(), Verdict::Accepted)
    );
    assert_eq!(replaced.request_header_name(), "x-correlation-id");
    let by_default = ExtractOptions::new();
    assert_eq!(session_of(&both[1..], &by_default).1, Verdict::Absent);
    assert_eq!(by_default.request_header_name(), "x-request-id");
}

#[test]
fn a_cross_site_session_is_ignored_when_asked() {
    let cautious = ExtractOptions::new().ignore_cross_site_sessions(true);
    let table = [
        ("cross-site", &cautious, refused(Refusal::CrossSite, 1)),
        ("same-site", &cautious, Verdict::Accepted),
        ("same-origin", &cautious, Verdict::Accepted),
        ("none", &cautious, Verdict::Accepted),
        ("cross-site", &ExtractOptions::new(), Verdict::Accepted),
    ];
    for (site, options, verdict) in table {
        let incoming = headers(&[("x-session-id", "a"), ("sec-fetch-site", site)]);
        let extracted = extract(&incoming, options);
        assert_eq!(extracted.session, verdict, "{site}");
        let adopted = extracted.correlation.session_source() == SessionSource::Adopted;
        assert_eq!(adopted, verdict == Verdict::Accepted, "{site}");
    }
    let without = extract(&headers(&[("sec-fetch-site", "cross-site")]), &cautious);
    assert_eq!(without.session, Verdict::Absent);
}

#[test]
fn an_anonymous_id_is_read_when_asked_and_privacy_control_always() {
    let incoming = headers(&[("x-anonymous-id", "anon-1-k3j2"), ("sec-gpc", "1")]);
    let options =
        ExtractOptions::new().anonymous_id_from(HeaderName::from_static("x-anonymous-id"));
    let correlation = extract(&incoming, &options).correlation;
    assert_eq!(
        correlation.anonymous_id().map(ToString::to_string),
        Some("anon-1-k3j2".into())
    );
    assert!(correlation.privacy_control());

    let by_default = extract(
        &headers(&[("x-anonymous-id", "d"), ("sec-gpc", "0")]),
        &ExtractOptions::new(),
    );
    assert_eq!(by_default.correlation.anonymous_id(), None);
    assert!(!by_default.correlation.privacy_control());
}

#[test]
fn the_live_ratio_counts_adopted_sessions_and_refusals_by_reason() {
    let stats = ExtractStats::default();
    assert_eq!(stats.snapshot().correlation_ratio(), None);
    let requests: [&[(&'static str, &str)]; 4] = [
        &[("x-session-id", SESSION), ("x-request-id", "r1")],
        &[("x-session-id", "null"), ("traceparent", "00-bad")],
        &[("x-session-id", "a"), ("x-session-id", "a")],
        &[("x-request-id", "a b")],
    ];
    for pairs in requests {
        stats.record(&extract(&headers(pairs), &ExtractOptions::new()));
    }
    let counts = stats.snapshot();
    assert_eq!(
        (
            counts.requests(),
            counts.sessions_adopted,
            counts.sessions_minted
        ),
        (4, 1, 3)
    );
    assert_eq!((counts.requests_adopted, counts.requests_minted), (1, 3));
    assert_eq!(counts.correlation_ratio(), Some(0.25));
    assert_eq!(counts.sessions_refused.get(Refusal::Reserved), 1);
    assert_eq!(counts.sessions_refused.get(Refusal::Repeated), 1);
    assert_eq!(counts.sessions_refused.total(), 2);
    assert_eq!(counts.requests_refused.get(Refusal::BadCharacter), 1);
    assert_eq!(counts.traces_refused.get(Refusal::Malformed), 1);
    let listed: Vec<_> = counts
        .sessions_refused
        .iter()
        .filter(|(_, n)| *n > 0)
        .collect();
    assert_eq!(listed, [(Refusal::Reserved, 1), (Refusal::Repeated, 1)]);
    assert_eq!(Refusal::Reserved.as_str(), "reserved");
}

proptest! {
    #[test]
    fn hostile_headers_never_panic_and_always_give_valid_ids(
        values in proptest::collection::vec((0_usize..8, hostile_bytes()), 0..12),
    ) {
        const NAMES: [&str; 8] = [
            "x-session-id", "x-request-id", "x-user-id", "x-anonymous-id", "traceparent",
            "tracestate", "sec-gpc", "sec-fetch-site",
        ];
        let mut incoming = HeaderMap::new();
        for (name, value) in values {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                incoming.append(NAMES[name], value);
            }
        }
        let options = ExtractOptions::new()
            .claimed_user_from(HeaderName::from_static("x-user-id"))
            .anonymous_id_from(HeaderName::from_static("x-anonymous-id"))
            .ignore_cross_site_sessions(true);
        let extracted = extract(&incoming, &options);
        let correlation = &extracted.correlation;
        prop_assert!(SessionId::parse(&correlation.session_id().text()).is_ok());
        let request = correlation.request_id().expect("always there");
        prop_assert!(RequestId::parse(&request.text()).is_ok());
        let user = correlation.user_id().map(ToString::to_string).unwrap_or_default();
        let visible = user.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        prop_assert!(user.len() <= 255 && visible);
        prop_assert!(correlation.trace_state().is_none_or(|state| state.len() <= 512));
        prop_assert_eq!(
            extracted.session == Verdict::Accepted,
            correlation.session_source() == SessionSource::Adopted
        );
        // whatever was taken can be sent on as a header
        prop_assert!(HeaderValue::from_str(&request.text()).is_ok());
        prop_assert!(HeaderValue::from_str(&correlation.session_id().text()).is_ok());
    }
}

fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        "[A-Za-z0-9._:=@, -]{0,140}".prop_map(String::into_bytes),
        "0[01]-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-x)?".prop_map(String::into_bytes),
        Just(vec![b'x'; 9 * 1024]),
        Just(b"cross-site".to_vec()),
    ]
}
