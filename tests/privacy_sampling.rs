//! Sampling by session: the same answer everywhere, in the right proportion.

use std::time::Duration;

use productgraph::correlation::{Correlation, SessionId, SessionSource};
use productgraph::event::{ErrorInfo, EventId, Timestamp};
use productgraph::{Event, Sampling};
use proptest::prelude::*;

fn of(session: &str) -> Event {
    Event::custom("viewed").with_session(SessionId::parse(session).unwrap())
}

fn sessions(rate: f64) -> Sampling {
    Sampling::sessions(rate).unwrap()
}

/// Found with the JavaScript of `docs/guides/privacy.md`: the smallest share at which a session is
/// kept, in steps of 2^-24, which a float says exactly.
const VECTORS: [(&str, u32); 6] = [
    ("sess-lx2k9-0a1b2c3d", 3_041_501),
    ("018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f", 12_943_761),
    ("01ARZ3NDEKTSV4RRFFQ69G5FAV", 1_315_897),
    ("s1", 6_472_379),
    ("s2", 3_128_028),
    ("a.b:c_d-e", 16_699_054),
];

#[test]
fn sessions_are_kept_at_the_rates_that_other_implementations_find() {
    for (session, steps) in VECTORS {
        let step = 1.0 / f64::from(1 << 24);
        let least = f64::from(steps) * step;
        assert!(sessions(least).keeps(&of(session)), "{session}");
        assert!(!sessions(least - step).keeps(&of(session)), "{session}");
    }
}

#[test]
fn the_share_kept_is_the_share_asked_for() {
    const COUNT: u32 = 100_000;
    let start = Timestamp::from_unix_millis(1_767_225_600_000);
    let ids: [(&str, &dyn Fn(u32) -> String); 3] = [
        ("v7", &|n| EventId::v7(start, n.into()).to_string()),
        ("sequential", &|n| (n + 10).to_string()),
        ("prefixed", &|n| format!("sess-lx2k9-{n:08}")),
    ];
    for (name, id) in ids {
        for rate in [0.01, 0.1, 0.5, 0.9] {
            let sampling = sessions(rate);
            let kept = (0..COUNT).filter(|&n| sampling.keeps(&of(&id(n)))).count();
            let expected = f64::from(COUNT) * rate;
            // five standard deviations
            let tolerance = 5.0 * (expected * (1.0 - rate)).sqrt();
            let kept = f64::from(u32::try_from(kept).unwrap());
            assert!(
                (kept - expected).abs() < tolerance,
                "{name} at {rate}: {kept}"
            );
        }
    }
}

#[test]
fn the_ends_are_exact_and_what_is_no_share_is_refused() {
    for n in 0..10_000 {
        let event = of(&format!("s{n}"));
        assert!(!sessions(0.0).keeps(&event));
        assert!(!sessions(-0.0).keeps(&event));
        assert!(sessions(1.0).keeps(&event));
    }
    assert_eq!(sessions(1.0), Sampling::all());
    assert_eq!(Sampling::default(), Sampling::all());
    for rate in [f64::NAN, -0.1, 1.1, f64::INFINITY, f64::NEG_INFINITY] {
        let error = Sampling::sessions(rate).unwrap_err();
        assert_eq!(error.setting(), "sample_rate");
        assert_eq!(
            error.to_string(),
            "sample_rate is out of range; expected a number from 0 to 1"
        );
    }
}

#[test]
fn errors_are_kept_and_journeys_when_asked() {
    let session = SessionId::parse("left-out").unwrap();
    let none = sessions(0.0);
    let keeps =
        |sampling: Sampling, event: Event| sampling.keeps(&event.with_session(session.clone()));
    let answered = |status| Event::api_response("GET", "/", status, Duration::ZERO);

    assert!(keeps(none, Event::error("Timeout", "no answer")));
    assert!(keeps(
        none,
        Event::custom("x").with_error(ErrorInfo::new().message("m"))
    ));
    assert!(keeps(none, answered(500)) && keeps(none, answered(503)));
    assert!(!keeps(none, answered(200)) && !keeps(none, answered(404)));

    let journeys = [
        Event::journey_step("j", "s", "n"),
        Event::journey_conversion("j", "done"),
    ];
    for event in journeys {
        assert!(!keeps(none, event.clone()));
        assert!(keeps(none.keep_journeys(true), event));
    }
    assert!(!keeps(none.keep_journeys(true), Event::custom("x")));
}

#[test]
fn the_session_is_the_events_own_or_the_correlations() {
    let half = sessions(0.5);
    let id = |kept: bool| {
        (0..1_000)
            .map(|n| format!("s{n}"))
            .find(|id| half.keeps(&of(id)) == kept)
            .map(|id| SessionId::parse(&id).unwrap())
            .unwrap()
    };
    let correlation = Correlation::builder()
        .session(id(true), SessionSource::Adopted)
        .build();
    let event = Event::custom("x").with_correlation(correlation);
    assert!(half.keeps(&event));
    assert!(!half.keeps(&event.with_session(id(false))));
    // no session at all, as no event of an engine is
    assert!(half.keeps(&Event::custom("x")) && !sessions(0.0).keeps(&Event::custom("x")));
}

proptest! {
    #[test]
    fn what_is_kept_at_a_low_rate_is_kept_at_every_higher_one(
        session in "[A-Za-z0-9._:-]{6,128}",
        rates in prop::array::uniform2(0.0..=1.0_f64),
    ) {
        let (low, high) = (rates[0].min(rates[1]), rates[0].max(rates[1]));
        let event = of(&session);
        prop_assert!(!sessions(low).keeps(&event) || sessions(high).keeps(&event));
    }
}
