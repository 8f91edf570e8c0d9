use super::*;

fn hit(key: &str) -> Option<Hit> {
    KeyRules::standard().hit(b"", key.as_bytes())
}

#[test]
fn secrets_are_found_in_every_style_of_writing() {
    for key in [
        "password",
        "userPassword",
        "USER_PASSWORD",
        "password2",
        "new-password-confirmation",
        "x-api-key",
        "X-API-Key",
        "apiKey",
        "APIKey",
        "xAPIKeyId",
        "auth_token",
        "authToken",
        "oauth2Token",
        "card.number",
        "cardNumber",
        "Set-Cookie",
        "Proxy-Authorization",
        "aws_secret_access_key",
        "sessionCookie",
        "CVV2",
        "ssn",
        "PHPSESSID",
        "user[password]",
        "passWord",
    ] {
        assert_eq!(hit(key), Some(Hit::One), "{key}");
    }
}

#[test]
fn words_that_only_contain_a_secrets_name_are_not_found() {
    for key in [
        "tokenizer_version",
        "authored_by",
        "author",
        "passenger",
        "compass",
        "secretary",
        "cookiecutter",
        "keyboard",
        "api",
        "apiary_key_ring",
        "card",
        "number",
        "password_strength",
        "token_count",
        "promptTokenCount",
        "cookie_consent",
        "",
        "___",
        "pаssword", // with a Cyrillic letter: another word
    ] {
        assert_eq!(hit(key), None, "{key}");
    }
}

#[test]
fn in_the_plural_there_are_several() {
    assert_eq!(hit("prompt_tokens"), Some(Hit::Many));
    assert_eq!(hit("apiKeys"), Some(Hit::Many));
    assert_eq!(hit("tokens_password"), Some(Hit::One));
}

#[test]
fn a_name_counts_together_with_the_name_around_it() {
    let rules = KeyRules::standard();
    assert_eq!(rules.hit(b"card", b"number"), Some(Hit::One));
    assert_eq!(rules.hit(b"customer_card", b"NumberMasked"), Some(Hit::One));
    assert_eq!(rules.hit(b"token_usage", b"prompt"), None);
    assert_eq!(rules.hit(b"password", b"hint"), None, "judged before");
}

#[test]
fn at_the_end_of_running_text_only_numbers_may_follow() {
    let rules = KeyRules::standard();
    for (text, found) in [
        ("invalid api key", true),
        ("theApiKey", true),
        ("APIKey", true),
        ("userJWT", true),
        ("Key", false),
        ("12", false),
        ("", false),
        ("password2", true),
        ("token.rs", false),
        ("src.token.js", false),
        ("password reset", false),
    ] {
        assert_eq!(rules.hit_at_end(text.as_bytes()).is_some(), found, "{text}");
    }
}

#[test]
fn own_rules_add_and_allowed_names_are_the_whole_name() {
    let mut rules = KeyRules::standard();
    rules.add("IBAN");
    rules.add("map-pin code");
    rules.add("--");
    rules.allow("csrf_token");
    assert_eq!(rules.hit(b"", b"customerIban"), Some(Hit::One));
    assert_eq!(rules.hit(b"", b"mapPinCode"), Some(Hit::One));
    assert!(rules.is_allowed(b"csrfToken"));
    assert!(rules.is_allowed(b"CSRF-Token"));
    assert!(!rules.is_allowed(b"old_csrf_token"));
    assert!(!rules.is_allowed(b"csrf_token_password"));
    assert!(!rules.is_allowed(b""));
}

#[test]
fn each_default_rule_matches_itself() {
    for name in SECRET {
        assert_eq!(hit(name), Some(Hit::One), "{name}");
        let capitals = name.replace(' ', "-").to_uppercase();
        assert_eq!(hit(&capitals), Some(Hit::One));
        let rules = KeyRules::standard();
        for text in [(*name).to_owned(), capitals, format!("the {name}2")] {
            let found = rules.hit_at_end(text.as_bytes());
            assert_eq!(found, Some(Hit::One), "{text}");
        }
        let plural = rules.hit_at_end(format!("{name}s").as_bytes());
        assert_eq!(plural, Some(Hit::Many), "{name}s");
    }
    assert!(SECRET.is_sorted());
}
