//! What the default rules take out of running text, and what they leave.

use std::borrow::Cow;

use productgraph::Redaction;

#[track_caller]
fn redacted(text: &str, expected: &str) {
    let redaction = Redaction::default();
    assert_eq!(redaction.text(text), expected, "{text}");
    assert_eq!(redaction.text(expected), expected, "twice: {text}");
}

#[track_caller]
fn kept(text: &str) {
    let redaction = Redaction::default();
    let after = redaction.text(text);
    assert_eq!(after, text);
    assert!(matches!(after, Cow::Borrowed(_)));
}

#[test]
fn numbers_of_cards_go_however_they_are_grouped() {
    for card in [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4111 - 1111 - 1111 - 1111",
        "4111\u{a0}1111\u{2009}1111\u{2011}1111",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "378282246310005",
        "3782 822463 10005",
        "30569309025904",
        "6011000990139424",
        "4222222222222",
        "6304000000000000000",
        "４１１１１１１１１１１１１１１１",
    ] {
        redacted(&format!("paid with {card}."), "paid with [redacted].");
        redacted(&format!("card_{card}"), "card_[redacted]");
        redacted(card, "[redacted]");
    }
}

#[test]
fn a_card_among_other_numbers_goes_and_so_does_what_cannot_be_told_from_it() {
    redacted(
        "on 2026-01-02 4111 1111 1111 1111",
        "on 2026-01-02 [redacted]",
    );
    redacted("4111111111111111 5500005555555559", "[redacted] [redacted]");
    // 4242 4242 4242 4242 and 4242 4242 4242 4242 4242 with the last four
    redacted("42 4242 4242 4242 4242", "[redacted]");
    redacted("1,4111111111111111,2", "1,[redacted],2");
    redacted(
        "12 4111111111111111\n4111111111111112",
        "12 [redacted]\n4111111111111112",
    );
}

#[test]
fn other_long_numbers_stay() {
    kept("4111111111111112");
    kept("order 1767225600123, 1767225600123456 and 0000000000000000");
    kept("a4111111111111111 4111111111111111b");
    kept("0.4111111111111111");
    kept("41111111111111111111111");
    kept("id 41111111-1111-1111-b111-111111111111 of 018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f");
    kept("trace 4bf92f3577b34da6a3ce929d0e0e4736");
    kept("2026-01-02 03:04:05, +49 170 1234567");
}

#[test]
fn credentials_are_known_by_how_they_begin() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1XzEifQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r";
    for (text, expected) in [
        (format!("got {jwt}!"), "got [redacted]!"),
        (format!("sid-{jwt}"), "sid-[redacted]"),
        ("sent Bearer abc123".into(), "sent Bearer [redacted]"),
        ("BASIC dXNlcjpwYXNz".into(), "BASIC [redacted]"),
        ("h=Bearer%20abc123".into(), "h=Bearer%20[redacted]"),
        (
            "with sk_live_4eC39HqLyjWDarjtT1zdp7dc".into(),
            "with [redacted]",
        ),
        (
            "(ghp_16C7e42F292c6912E7710c838347Ae178B4a)".into(),
            "([redacted])",
        ),
        ("github_pat_11ABCDEFG0abcdefghij".into(), "[redacted]"),
        ("AKIAIOSFODNN7EXAMPLE".into(), "[redacted]"),
        (
            "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY".into(),
            "[redacted]",
        ),
        ("xoxb-123456789012-abcdef".into(), "[redacted]"),
        ("glpat-1234567890abcdefghij".into(), "[redacted]"),
        ("sk-proj-abcdefghij0123456789".into(), "[redacted]"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- x".into(),
            "[redacted]-----END RSA PRIVATE KEY----- x",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIE".into(), "[redacted]"),
    ] {
        redacted(&text, expected);
    }
}

#[test]
fn words_that_begin_like_credentials_stay() {
    kept("the basic plan, Basic Authentication and the bearer of it");
    kept("task-management-for-everybody-1 and desk_live_view");
    kept("risk_test_of_everything");
    kept("eyJust.a.word");
    kept("AKIA and eyJ and ghp_ and sk_live_");
    kept("-----BEGIN CERTIFICATE-----\nMIIE");
}

#[test]
fn addresses_lose_their_credentials() {
    redacted(
        "postgres://app:hunter2@db:5432/shop",
        "postgres://[redacted]@db:5432/shop",
    );
    redacted("ssh://git@host", "ssh://[redacted]@host");
    redacted(
        "https://shop.example/cb?code=1&access_token=abc&x=2#top",
        "https://shop.example/cb?code=1&access_token=[redacted]&x=2#top",
    );
    redacted(
        "/login?next=%2Fcb%3Ftoken%3Dabc%26x%3D1",
        "/login?next=%2Fcb%3Ftoken%3D[redacted]%26x%3D1",
    );
    redacted("?user%5Bpassword%5D=abc", "?user%5Bpassword%5D=[redacted]");
    redacted("?user[password]=abc&a=b", "?user[password]=[redacted]&a=b");
    redacted("?pass%77ord=abc", "?pass%77ord=[redacted]");
    kept("https://shop.example:8080/a@b?page=2&sort=asc");
}

#[test]
fn values_go_by_the_name_in_front_of_them() {
    for (text, expected) in [
        (
            "password=hunter2, user=ada",
            "password=[redacted], user=ada",
        ),
        ("password = hunter2", "password = [redacted]"),
        ("password==hunter2", "password==[redacted]"),
        ("'password'=>'hun ter2'", "'password'=>'[redacted]'"),
        ("invalid api key: abc", "invalid api key: [redacted]"),
        ("token: password: hunter2", "token: [redacted] [redacted]"),
        (
            r#"{"password": "hun\"ter2", "a": 1}"#,
            r#"{"password": "[redacted]", "a": 1}"#,
        ),
        (
            r#"{"password":"hunter2\\"}"#,
            r#"{"password":"[redacted]"}"#,
        ),
        (
            r#"{\"password\":\"hun ter2\",\"a\":1}"#,
            r#"{\"password\":\"[redacted]\",\"a\":1}"#,
        ),
        (
            r#"Login { password: Some("hun ter)2"), n: 1 }"#,
            "Login { password: [redacted], n: 1 }",
        ),
        ("token: 4111 1111 1111 1111", "token: [redacted]"),
        ("secret={a: {b: 1}, c", "secret=[redacted]"),
        (
            "Cookie: a=b; c=d\r\nHost: shop.example",
            "Cookie: [redacted]\r\nHost: shop.example",
        ),
        ("Authorization: Digest a, b", "Authorization: [redacted]"),
        ("DB_PASS=abc", "DB_PASS=[redacted]"),
        ("password=ünïcödé!", "password=[redacted]"),
    ] {
        redacted(text, expected);
    }
}

#[test]
fn names_that_are_no_secrets_keep_their_values() {
    for text in [
        "tokenizer_version=3 authored_by=ada",
        "at handler (src/auth/token.rs:12:5)",
        "crate::auth::token::verify: failed",
        "api_key: None, token: null, has_password=true",
        "unexpected token: }",
        "prompt_tokens=12, max_tokens: 100, token_count=7",
        "cookie_consent=all",
        "the password must be long",
        "password=",
        "a = b",
        "=:=:=",
    ] {
        kept(text);
    }
}

#[test]
fn mail_addresses_go_only_when_asked() {
    let text = "ada.lovelace@example.org, <bob@sub.example.co.uk>, q=ada%40example.org.";
    kept(text);
    let redaction = Redaction::default().emails(true);
    let expected = "[redacted], <[redacted]>, q=[redacted].";
    assert_eq!(redaction.text(text), expected);
    assert_eq!(redaction.text(expected), expected);
    for text in ["@decorator", "a@b", "user@", "git@localhost:x", "@ @ @"] {
        assert_eq!(redaction.text(text), text);
    }
}

#[test]
fn a_pattern_of_ones_own_takes_out_what_it_finds() {
    let iban = |text: &str| {
        let start = text.find("DE")?;
        let digits = text[start + 2..].bytes().take_while(u8::is_ascii_digit);
        Some(start..start + 2 + digits.count())
    };
    let redaction = Redaction::none().pattern("iban", iban);
    assert_eq!(redaction.text("DE8937 to DE12"), "[redacted] to [redacted]");
    assert_eq!(redaction.text("4111111111111111"), "4111111111111111");
    assert!(format!("{redaction:?}").contains("iban"));
}

#[test]
fn a_pattern_that_answers_nonsense_finds_nothing_and_ends() {
    for (start, end) in [(0, 0), (3, 2), (5, 500), (usize::MAX, usize::MAX), (1, 2)] {
        let redaction = Redaction::none().pattern("nonsense", move |_| Some(start..end));
        // the second byte is inside of a character
        assert_eq!(redaction.text("éé"), "éé");
        assert_eq!(redaction.panics(), 0);
    }
    let everything = Redaction::none().pattern("bytes", |_| Some(0..1));
    assert_eq!(everything.text(&"x".repeat(1 << 20)), "[redacted]");
    let apart = Redaction::none().pattern("x", |text| text.find('x').map(|at| at..at + 1));
    let text = apart.text(&"x-".repeat(100_000)).into_owned();
    assert!(
        text.len() < 20_000 && !text.contains('x'),
        "after 1,000 the rest goes"
    );
}

#[test]
fn a_pattern_that_panics_takes_the_whole_text_and_is_counted() {
    let redaction = Redaction::default().pattern("broken", |text| {
        assert!(!text.contains("boom"), "as intended");
        None
    });
    let shared = redaction.clone();
    assert_eq!(redaction.text("a boom b"), "[redacted]");
    assert_eq!(redaction.text("a b"), "a b");
    assert_eq!(shared.panics(), 1);
}

#[test]
fn rules_can_be_taken_away_one_by_one() {
    let text = "4111111111111111 Bearer abc123";
    let none = Redaction::none();
    assert!(none.is_none());
    assert_eq!(none.text(text), text);
    assert_eq!(
        Redaction::default().cards(false).text(text),
        "4111111111111111 Bearer [redacted]"
    );
    assert_eq!(
        Redaction::default().credentials(false).text(text),
        "[redacted] Bearer abc123"
    );
    let allowed = Redaction::default().allow_key("csrfToken");
    assert_eq!(
        allowed.text("csrf_token=a token=b"),
        "csrf_token=a token=[redacted]"
    );
}

#[test]
fn what_is_brought_together_by_taking_something_out_is_taken_out_too() {
    let redaction = Redaction::default();
    for text in [
        "PRIVATE KEY-----=%264111111111111111",
        "\"password0-----BEGIN =-----END \":\"PRIVATE KEY-----\"",
    ] {
        let once = redaction.text(text);
        assert_eq!(redaction.text(&once), once, "{text}");
    }
}
