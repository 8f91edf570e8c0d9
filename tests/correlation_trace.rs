//! `traceparent` and `tracestate`, rule by rule.

use http::{HeaderMap, HeaderValue};
use productgraph::correlation::{
    ExtractOptions, Refusal, TraceIds, TraceParent, TraceTrust, Verdict, extract,
};
use proptest::prelude::*;

const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Values and whether they are valid.
const TRACEPARENTS: [(&str, bool); 38] = [
    (VALID, true),
    (
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
        true,
    ),
    (
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff",
        true,
    ),
    (
        "00-00000000000000000000000000000001-0000000000000001-01",
        true,
    ),
    // higher versions: the same positions, then nothing or a dash
    (
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        true,
    ),
    (
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        true,
    ),
    (
        "fe-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        true,
    ),
    (
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
        true,
    ),
    (
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future",
        true,
    ),
    (
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what-the-future",
        false,
    ),
    (
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
        false,
    ),
    (
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        false,
    ),
    // version 00 has exactly 55 characters
    (
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
        false,
    ),
    (
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what",
        false,
    ),
    (
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        false,
    ),
    (
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-",
        false,
    ),
    (
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        false,
    ),
    // version
    (
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        false,
    ),
    (
        "0x-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        false,
    ),
    (
        "CC-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        false,
    ),
    (
        ".0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        false,
    ),
    (
        "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        false,
    ),
    // trace id
    (
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        false,
    ),
    (
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        false,
    ),
    (
        "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
        false,
    ),
    (
        "00-.af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        false,
    ),
    (
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        false,
    ),
    // parent id
    (
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        false,
    ),
    (
        "00-0af7651916cd43dd8448eb211c80319c-B7AD6B7169203331-01",
        false,
    ),
    (
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333é-01",
        false,
    ),
    (
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333.-01",
        false,
    ),
    // flags
    (
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-.0",
        false,
    ),
    (
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0A",
        false,
    ),
    // separators
    (
        "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        false,
    ),
    (
        "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
        false,
    ),
    (
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01",
        false,
    ),
    ("", false),
    ("-", false),
];

#[test]
fn a_traceparent_is_valid_or_not() {
    for (value, valid) in TRACEPARENTS {
        assert_eq!(
            TraceParent::parse(value.as_bytes()).is_some(),
            valid,
            "{value}"
        );
    }
}

#[test]
fn flags_are_tested_bit_by_bit_and_unknown_ones_are_cleared() {
    let flags = |flags: &str| {
        let value = VALID[..53].to_owned() + flags;
        TraceParent::parse(value.as_bytes()).expect("valid")
    };
    assert!(!flags("00").is_sampled() && !flags("00").has_random_trace_id());
    assert!(flags("01").is_sampled() && !flags("01").has_random_trace_id());
    assert!(!flags("02").is_sampled() && flags("02").has_random_trace_id());
    assert!(flags("ff").is_sampled() && flags("ff").has_random_trace_id());
    assert_eq!(flags("ff").to_string(), VALID[..53].to_owned() + "03");
    assert_eq!(flags("fc").to_string(), VALID[..53].to_owned() + "00");
}

#[test]
fn a_higher_version_is_handed_on_as_version_00() {
    let future = VALID.replacen("00", "cc", 1) + "-more";
    assert_eq!(
        TraceParent::parse(future.as_bytes())
            .expect("valid")
            .to_string(),
        VALID
    );
}

#[test]
fn all_zero_ids_are_no_ids() {
    assert_eq!(TraceIds::new([0; 16], [1; 8]), None);
    assert_eq!(TraceIds::new([1; 16], [0; 8]), None);
    let ids = TraceIds::new([0xab; 16], [0x0f; 8]).expect("not zero");
    assert_eq!(ids.trace_id_hex().as_str(), "ab".repeat(16));
    assert_eq!(ids.span_id_hex().as_str(), "0f".repeat(8));
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).expect("header value"));
    }
    headers
}

#[test]
fn a_repeated_traceparent_is_unparsable_and_takes_the_tracestate_with_it() {
    let twice = headers(&[
        ("traceparent", VALID),
        ("traceparent", VALID),
        ("tracestate", "a=1"),
    ]);
    let extracted = extract(&twice, &ExtractOptions::new());
    assert_eq!(
        extracted.trace,
        Verdict::Refused {
            reason: Refusal::Repeated,
            len: 55
        }
    );
    assert_eq!(extracted.correlation.trace(), None);
    assert_eq!(extracted.correlation.trace_state(), None);

    let broken = headers(&[("traceparent", "00-bad"), ("tracestate", "a=1")]);
    let extracted = extract(&broken, &ExtractOptions::new());
    assert_eq!(
        extracted.trace,
        Verdict::Refused {
            reason: Refusal::Malformed,
            len: 6
        }
    );
    assert_eq!(extracted.correlation.trace_state(), None);

    let huge = VALID.replacen("00", "cc", 1) + "-" + &"x".repeat(8 * 1024);
    let extracted = extract(&headers(&[("traceparent", &huge)]), &ExtractOptions::new());
    assert_eq!(
        extracted.trace,
        Verdict::Refused {
            reason: Refusal::TooLong,
            len: huge.len()
        }
    );

    let alone = headers(&[("tracestate", "a=1")]);
    assert_eq!(
        extract(&alone, &ExtractOptions::new())
            .correlation
            .trace_state(),
        None
    );
}

#[test]
fn white_space_around_the_value_does_not_matter() {
    let padded = headers(&[("traceparent", &format!("\t {VALID} "))]);
    let correlation = extract(&padded, &ExtractOptions::new()).correlation;
    assert_eq!(
        correlation.trace_parent(),
        TraceParent::parse(VALID.as_bytes())
    );
    assert_eq!(correlation.is_sampled(), Some(true));
}

#[test]
fn trust_decides_whether_events_join_the_incoming_trace() {
    let incoming = headers(&[("traceparent", VALID), ("tracestate", "a=1")]);
    let ids = TraceParent::parse(VALID.as_bytes()).map(|parent| parent.ids());
    let under = |trust| {
        let extracted = extract(&incoming, &ExtractOptions::new().trace_trust(trust));
        let state = extracted.correlation.trace_state().map(ToString::to_string);
        (
            extracted.correlation.trace(),
            extracted.correlation.linked_trace(),
            state,
            extracted.trace,
        )
    };
    assert_eq!(
        under(TraceTrust::Trust),
        (ids, None, Some("a=1".into()), Verdict::Accepted)
    );
    assert_eq!(
        under(TraceTrust::Link),
        (None, ids, None, Verdict::Accepted)
    );
    assert_eq!(
        under(TraceTrust::Ignore),
        (None, None, None, Verdict::Absent)
    );
    assert_eq!(TraceTrust::default(), TraceTrust::Trust);
}

fn state_of(values: &[&str]) -> Option<String> {
    let mut headers = headers(&[("traceparent", VALID)]);
    for value in values {
        headers.append(
            "tracestate",
            HeaderValue::from_bytes(value.as_bytes()).expect("value"),
        );
    }
    let correlation = extract(&headers, &ExtractOptions::new()).correlation;
    assert!(
        correlation.trace().is_some(),
        "a bad tracestate leaves the traceparent alone"
    );
    correlation.trace_state().map(ToString::to_string)
}

#[test]
fn a_valid_tracestate_is_kept_in_order() {
    let table: [(&[&str], &str); 8] = [
        (&["foo=1"], "foo=1"),
        (&["foo=1,bar=2"], "foo=1,bar=2"),
        (&["foo=1 \t,\t bar=2"], "foo=1,bar=2"),
        (&["foo=1", "bar=2"], "foo=1,bar=2"),
        (&["foo=1,", "", " ", ",bar=2"], "foo=1,bar=2"),
        (&["foo=1,foo=1"], "foo=1,foo=1"),
        (&["0t@s_-*/=v !~"], "0t@s_-*/=v !~"),
        (&["foo= 1"], "foo= 1"),
    ];
    for (values, expected) in table {
        assert_eq!(state_of(values).as_deref(), Some(expected), "{values:?}");
    }
}

#[test]
fn an_invalid_tracestate_is_dropped_whole() {
    let long_key = format!("{}=1", "k".repeat(257));
    let long_value = format!("k={}", "v".repeat(257));
    let many = vec!["a=1"; 33].join(",");
    for value in [
        "foo",
        "foo=",
        "=1",
        "Foo=1",
        "_foo=1",
        "foo@=bar=2",
        "foo =1",
        "foo=1=2",
        "foo=é",
        "foo=\t1",
        "ok=1,foo",
        &long_key,
        &long_value,
        &many,
        "",
        " ",
    ] {
        assert_eq!(state_of(&[value]), None, "{value}");
    }
    assert_eq!(
        state_of(&[&vec!["a=1"; 32].join(",")]).map(|state| state.len()),
        Some(127)
    );
}

#[test]
fn a_long_tracestate_loses_whole_members_the_long_ones_first() {
    let long = format!("long={}", "v".repeat(200));
    let short = |n: usize| format!("s{n}={}", "v".repeat(97));
    let members = [
        short(0),
        long.clone(),
        short(1),
        short(2),
        short(3),
        short(4),
    ];
    let kept = state_of(&[&members.join(",")]).expect("valid");
    assert_eq!(
        kept,
        [short(0), short(1), short(2), short(3), short(4)].join(",")
    );

    let members: Vec<_> = (0..8).map(short).collect();
    let kept = state_of(&[&members.join(",")]).expect("valid");
    assert_eq!(kept, members[..5].join(","), "the right-most go");

    let fits = format!("a={},b={}", "v".repeat(250), "v".repeat(256));
    assert_eq!(fits.len(), 511);
    assert_eq!(state_of(&[&fits]), Some(fits));
    assert_eq!(
        state_of(&vec!["a=1"; 4_000]),
        None,
        "bounded before it is read"
    );
}

proptest! {
    #[test]
    fn a_traceparent_reads_back_as_it_was_written(
        trace_id in any::<[u8; 16]>(), span_id in any::<[u8; 8]>(), flags in any::<u8>(),
    ) {
        if let Some(ids) = TraceIds::new(trace_id, span_id) {
            let parent = TraceParent::new(ids, flags);
            let text = parent.to_string();
            prop_assert_eq!(text.len(), TraceParent::LEN);
            prop_assert_eq!(TraceParent::parse(text.as_bytes()), Some(parent));
        }
    }

    #[test]
    fn hostile_bytes_never_panic_and_never_give_zero_ids(
        value in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        if let Some(parent) = TraceParent::parse(&value) {
            prop_assert!(TraceIds::new(parent.ids().trace_id, parent.ids().span_id).is_some());
        }
    }

    #[test]
    fn a_damaged_traceparent_is_refused_or_still_well_formed(
        position in 0_usize..55, byte in any::<u8>(),
    ) {
        let mut value = VALID.as_bytes().to_vec();
        value[position] = byte;
        if let Some(parent) = TraceParent::parse(&value) {
            let text = parent.to_string();
            // version and flags may change on the way out, the ids may not
            prop_assert_eq!(&text.as_bytes()[2..53], &value[2..53]);
        }
    }

    #[test]
    fn a_kept_tracestate_is_short_and_made_of_whole_members(
        members in proptest::collection::vec("[a-z]{1,3}=[!-+]{1,200}", 1..40),
    ) {
        let joined = members.join(",");
        if let Some(kept) = state_of(&[&joined]) {
            prop_assert!(kept.len() <= 512);
            for member in kept.split(',') {
                prop_assert!(members.iter().any(|m| m == member));
            }
        }
    }
}
