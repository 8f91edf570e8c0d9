//! Whether the accounts are true: what the receivers hold against what the ledger says.

use std::collections::HashSet;

use productgraph::{Ledger, ProviderLedger, Report};
use productgraph_collector::Collector;

use crate::manners::belong_together;
use crate::receivers::Receivers;
use crate::witness::{Seen, Witness};

/// Ids named when two sets differ.
const SHOWN: usize = 5;

struct Check {
    what: String,
    problem: Option<String>,
}

/// Prints every check and says whether all passed.
pub(crate) fn print(report: &Report, witness: &Witness, receivers: &Receivers) -> bool {
    let ledger = &report.ledger;
    let seen = witness.seen();
    let checks = [
        balance(ledger),
        all_seen(ledger, &seen),
        holds_the_delivered(ledger, &seen, Receivers::STEADY, &receivers.steady, false),
        holds_the_delivered(ledger, &seen, Receivers::ROUGH, &receivers.rough, true),
        no_mix_up(Receivers::STEADY, &receivers.steady),
    ];
    for check in &checks {
        match &check.problem {
            None => println!("ok      {}", check.what),
            Some(problem) => println!("FAILED  {}: {problem}", check.what),
        }
    }
    checks.iter().all(|check| check.problem.is_none())
}

fn balance(ledger: &Ledger) -> Check {
    let off = ledger
        .providers
        .iter()
        .find(|p| !p.balances(ledger.accepted));
    Check {
        what: "every accepted event is in exactly one place at each provider".to_owned(),
        problem: off.map(|p| format!("{} does not add up to {}", p.name, ledger.accepted)),
    }
}

fn all_seen(ledger: &Ledger, seen: &Seen) -> Check {
    let (accepted, ids) = (ledger.accepted, seen.ids.len() as u64);
    Check {
        what: format!("{accepted} accepted events have ids of their own"),
        problem: (accepted != ids).then(|| format!("the witness was given {ids} ids")),
    }
}

/// The receiver's ids are those that were accepted, less those that it never got: by name the ones
/// that it cannot digest, by number what the engine had to drop.
fn holds_the_delivered(
    ledger: &Ledger,
    seen: &Seen,
    name: &str,
    receiver: &Collector,
    refuses_spoiled: bool,
) -> Check {
    let stored: HashSet<String> = receiver.event_ids().into_iter().collect();
    let again = receiver.stats().duplicates;
    let Some(account) = ledger.providers.iter().find(|p| p.name == name) else {
        let problem = Some("is not in the ledger".to_owned());
        return Check {
            what: name.to_owned(),
            problem,
        };
    };
    let missing: HashSet<_> = seen.ids.difference(&stored).cloned().collect();
    let nothing = HashSet::new();
    let spoiled = if refuses_spoiled {
        &seen.spoiled
    } else {
        &nothing
    };
    let problem = strangers(&stored, &seen.ids)
        .or_else(|| counts(account, stored.len() as u64, missing.len() as u64))
        .or_else(|| wrong_ones(account, &missing, spoiled));
    let more = match again {
        0 => String::new(),
        again => format!(" ({again} came twice after lost answers)"),
    };
    let what = format!(
        "{name} holds exactly the {} delivered events{more}",
        account.delivered
    );
    Check { what, problem }
}

fn strangers(stored: &HashSet<String>, accepted: &HashSet<String>) -> Option<String> {
    let strangers: Vec<_> = stored.difference(accepted).collect();
    (!strangers.is_empty()).then(|| format!("it holds ids never accepted: {}", some(&strangers)))
}

fn counts(account: &ProviderLedger, stored: u64, missing: u64) -> Option<String> {
    let given_up = account.rejected.total() + account.dropped.total() + account.pending;
    let right = stored == account.delivered && missing == given_up;
    (!right).then(|| {
        format!(
            "it holds {stored} and lacks {missing}; the ledger says {} and {given_up}",
            account.delivered
        )
    })
}

fn wrong_ones(
    account: &ProviderLedger,
    missing: &HashSet<String>,
    spoiled: &HashSet<String>,
) -> Option<String> {
    // what was dropped or left could be any event
    if account.dropped.total() + account.pending > 0 {
        return None;
    }
    let wrong: Vec<_> = missing.symmetric_difference(spoiled).collect();
    (!wrong.is_empty()).then(|| format!("rejected the wrong events: {}", some(&wrong)))
}

/// Shoppers send request ids that name their session: every event must carry a pair.
fn no_mix_up(name: &str, receiver: &Collector) -> Check {
    let events = receiver.events();
    let mixed_up = events.iter().filter(|event| {
        let session = event["session.id"].as_str().unwrap_or_default();
        let request = event["metadata"]["request_id"].as_str();
        request.is_none_or(|request| !belong_together(session, request))
    });
    let count = mixed_up.count();
    Check {
        what: format!("{name}: every event carries its own request and session"),
        problem: (count > 0).then(|| format!("{count} do not")),
    }
}

fn some(ids: &[&String]) -> String {
    let shown: Vec<_> = ids.iter().take(SHOWN).map(|id| id.as_str()).collect();
    let more = ids.len().saturating_sub(SHOWN);
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
