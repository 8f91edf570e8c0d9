//! Which events a provider gets, by what their users said.

use http::HeaderMap;
use productgraph::correlation::{Correlation, ExtractOptions, extract};
use productgraph::event::wire::WireOptions;
use productgraph::event::{EventId, Stamp, Timestamp};
use productgraph::{Consent, ConsentPolicy, Event};

const POLICIES: [ConsentPolicy; 4] = [
    ConsentPolicy::Ignore,
    ConsentPolicy::Explicit,
    ConsentPolicy::GlobalPrivacyControl,
    ConsentPolicy::OptIn,
];

/// The correlation of a request with these `Sec-GPC` headers.
fn request(values: &[&str]) -> Correlation {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append("sec-gpc", value.parse().unwrap());
    }
    extract(&headers, &ExtractOptions::new()).correlation
}

#[test]
fn what_the_event_says_wins_over_what_the_request_said() {
    use Consent::{Denied, Granted};
    let table = [
        (Some(Denied), false, [true, false, false, false]),
        (Some(Denied), true, [true, false, false, false]),
        (None, true, [true, true, false, false]),
        (None, false, [true, true, true, false]),
        (Some(Granted), true, [true, true, true, true]),
        (Some(Granted), false, [true, true, true, true]),
    ];
    for (consent, opted_out, allowed) in table {
        let correlation = Correlation::builder().privacy_control(opted_out).build();
        let mut event = Event::custom("x").with_correlation(correlation);
        if let Some(consent) = consent {
            event = event.with_consent(consent);
        }
        assert_eq!(event.consent(), consent);
        let found = POLICIES.map(|policy| policy.allows(&event));
        assert_eq!(found, allowed, "{consent:?}, opted out {opted_out}");
    }
    assert_eq!(ConsentPolicy::default(), ConsentPolicy::Explicit);
}

#[test]
fn only_the_value_1_is_an_objection_and_one_of_several_is_enough() {
    for (values, opted_out) in [
        (&["1"][..], true),
        (&["0"], false),
        (&["true"], false),
        (&["1, 1"], false),
        (&["01"], false),
        (&[""], false),
        (&[], false),
        (&["0", "1"], true),
        (&["1", "0"], true),
    ] {
        let correlation = request(values);
        assert_eq!(correlation.privacy_control(), opted_out, "{values:?}");
        let event = Event::custom("x").with_correlation(correlation);
        let policy = ConsentPolicy::GlobalPrivacyControl;
        assert_eq!(policy.allows(&event), !opted_out, "{values:?}");
    }
}

#[test]
fn an_event_inherits_the_objection_of_its_request_when_it_is_stamped() {
    let mut event = Event::custom("x");
    assert!(ConsentPolicy::GlobalPrivacyControl.allows(&event));
    let timestamp = Timestamp::from_unix_millis(1_767_225_600_000);
    event.stamp(Stamp {
        id: EventId::v7(timestamp, 1),
        timestamp,
        sequence: 1,
        correlation: request(&["1"]),
        trace: None,
    });
    assert!(!ConsentPolicy::GlobalPrivacyControl.allows(&event));
    assert!(!ConsentPolicy::GlobalPrivacyControl.allows(&event.clone()));
}

#[test]
fn consent_is_not_written_to_the_wire_and_costs_no_room() {
    let written = |event: Event| {
        let mut out = Vec::new();
        let event = event
            .with_id(EventId::parse("e-1").unwrap())
            .with_timestamp(Timestamp::from_unix_millis(0))
            .with_correlation(Correlation::builder().privacy_control(true).build())
            .with_session("s-1".parse().unwrap());
        event
            .write_wire(&WireOptions::new("shop"), &mut out)
            .unwrap();
        String::from_utf8(out).unwrap()
    };
    let silent = Event::custom("x");
    let weight = silent.weight();
    let said = silent.clone().with_consent(Consent::Granted);
    assert_eq!(said.weight(), weight);
    let lines = [written(silent), written(said)];
    let without_request = lines.map(|line| line.split("\"metadata\"").next().unwrap().to_owned());
    assert_eq!(without_request[0], without_request[1]);
    assert!(!without_request[0].contains("consent"));
}
