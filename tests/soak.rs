//! `examples/soak`, short, as a newcomer runs it.

mod example_support;

use example_support::{Running, command};

fn soak(arguments: &[&str]) {
    let ended = Running::start(command("soak").args(arguments)).finish();
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    assert_eq!(
        ended.last_line(),
        "unexplained events: 0",
        "{}",
        ended.stdout
    );
    let checks = ended.stdout.lines().filter(|l| l.starts_with("  ok  "));
    assert_eq!(checks.count(), 3 * 7, "{}", ended.stdout);
    let accepted = ended.stdout.lines().find(|l| l.starts_with("accepted "));
    assert!(!accepted.is_none_or(|line| line.starts_with("accepted 0,")));
}

#[test]
fn a_short_soak_leaves_no_event_unexplained() {
    soak(&["--seconds", "4", "--events", "20000", "--seed", "2"]);
}

#[test]
fn under_a_ceiling_that_is_too_small_every_loss_is_counted() {
    let arguments = ["--seconds", "4", "--events", "30000", "--seed", "3"];
    soak(&[&arguments[..], &["--ceiling-mib", "1"]].concat());
}
