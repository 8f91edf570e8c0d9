//! `examples/storefront` as a newcomer runs it.

mod example_support;

use std::io::{BufRead, BufReader, Read};

use example_support::{Ended, Running, command};
use serde_json::Value;

/// Checks what the example says of itself, and what can be told from its account alone.
fn assert_the_accounts_are_true(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    let passed = ended.stdout.lines().filter(|line| line.starts_with("ok  "));
    assert_eq!(passed.count(), 5, "{}", ended.stdout);

    let ledger: Value = serde_json::from_str(ended.last_line()).expect("the account is JSON");
    let accepted = ledger["accepted"].as_u64().expect("a count");
    assert!(accepted > 0, "{ledger}");
    let providers = ledger["providers"].as_object().expect("the providers");
    assert_eq!(providers.len(), 3, "{ledger}");
    for (name, account) in providers {
        let settled = ["delivered", "pending"].map(|key| account[key].as_u64().expect("a count"));
        let given_up = ["rejected", "dropped"].map(|key| by_reason(&account[key]));
        let all = settled.into_iter().chain(given_up).sum::<u64>();
        assert_eq!(all, accepted, "{name}: {ledger}");
        if name != "rough-v03" {
            assert_eq!(account["delivered"], accepted, "{name}: {ledger}");
        }
    }
}

fn by_reason(counts: &Value) -> u64 {
    let counts = counts.as_object().expect("counts by reason").values();
    counts.map(|count| count.as_u64().expect("a count")).sum()
}

#[test]
fn two_seconds_of_business_end_with_accounts_that_are_true() {
    let shop = Running::start(command("storefront").args(["--seconds", "2", "--json"]));
    assert_the_accounts_are_true(&shop.finish());
}

#[test]
fn a_signal_closes_the_shop_and_nothing_is_lost() {
    let mut shop = Running::start(command("storefront").args(["--seconds", "3600", "--json"]));
    let mut output = BufReader::new(shop.take_stdout());
    let mut text = String::new();
    while !text.contains("   1 s ") {
        let read = output.read_line(&mut text).expect("output is text");
        assert!(read > 0, "it ended: {text}");
    }
    shop.signal("TERM");
    output.read_to_string(&mut text).expect("output is text");
    let ended = shop.finish();
    assert!(text.contains("asked to stop"), "{text}");
    assert_the_accounts_are_true(&Ended {
        stdout: text,
        ..ended
    });
}

#[test]
fn a_wrong_flag_is_a_mistake() {
    let ended = Running::start(command("storefront").arg("--forever")).finish();
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("usage: storefront"), "{ended:?}");
}
