//! The reconciliation: the ledger, what the engine was told, and what the receivers hold.

use productgraph::{DropReason, Ledger, ProviderLedger};

use crate::bits::Bits;
use crate::receiver::Stored;
use crate::traffic::may_be_refused;
use crate::witness::Told;

/// Everything that is known about one receiver.
pub(crate) struct Evidence<'a> {
    pub(crate) number: usize,
    pub(crate) account: &'a ProviderLedger,
    pub(crate) told: &'a Told,
    pub(crate) stored: &'a Stored,
}

struct Check {
    what: &'static str,
    /// Events for which it does not hold.
    unexplained: u64,
}

/// Prints the account of one receiver; how many events nobody can explain.
pub(crate) fn print(evidence: &Evidence<'_>, accepted: &Bits, ledger: &Ledger) -> u64 {
    let Evidence {
        account, stored, ..
    } = evidence;
    let missing = accepted.count(&[&stored.ids], |accepted, o| accepted & !o[0]);
    println!(
        "{}: delivered {}, filtered {}, rejected {}, dropped {} (overflow {}, expired {}, deadline {}), pending {}",
        account.name,
        account.delivered,
        account.filtered.total(),
        account.rejected.total(),
        account.dropped.total(),
        account.dropped.get(DropReason::Overflow),
        account.dropped.get(DropReason::Expired),
        account.dropped.get(DropReason::Deadline),
        account.pending,
    );
    println!(
        "  the receiver holds {} events, {} of them once more; {missing} never arrived",
        stored.events,
        stored
            .events
            .saturating_sub(stored.ids.total() + stored.unknown),
    );
    let mut unexplained = 0;
    for check in checks(evidence, accepted, ledger, missing) {
        unexplained += check.unexplained;
        match check.unexplained {
            0 => println!("  ok      {}", check.what),
            n => println!("  FAILED  {}: {n} events", check.what),
        }
    }
    unexplained
}

fn checks(evidence: &Evidence<'_>, accepted: &Bits, ledger: &Ledger, missing: u64) -> Vec<Check> {
    let Evidence {
        number,
        account,
        told,
        stored,
    } = evidence;
    let check = |what, unexplained| Check { what, unexplained };
    let given_up = account.dropped.total() + account.filtered.total();
    let missing_and_refused = accepted.count(&[&stored.ids, &told.refused], |accepted, o| {
        accepted & !o[0] & o[1]
    });
    vec![
        check(
            "the account adds up and nothing is pending",
            account
                .settled()
                .abs_diff(ledger.accepted + account.redriven),
        ),
        check(
            "what was called delivered is there",
            told.delivered.count(&[&stored.ids], |told, o| told & !o[0]),
        ),
        check(
            "no more is accounted as delivered than was called so",
            account.delivered.saturating_sub(told.delivered.total()),
        ),
        check(
            "what never arrived was refused for good, or given up and counted",
            (missing - missing_and_refused).saturating_sub(given_up),
        ),
        check(
            "no more is accounted as rejected than was refused",
            account
                .rejected
                .total()
                .saturating_sub(told.refused.total()),
        ),
        check(
            "only what nobody can digest was refused",
            refused_for_no_reason(*number, &told.refused, accepted),
        ),
        check(
            "nothing is there that was not accepted and sent",
            stored.unknown
                + stored.ids.count(&[accepted, &told.attempted], |stored, o| {
                    stored & !(o[0] & o[1])
                }),
        ),
    ]
}

fn refused_for_no_reason(receiver: usize, refused: &Bits, accepted: &Bits) -> u64 {
    let mut base = 0;
    refused.count(&[accepted], |word, _| {
        let innocent = (0..64).filter(|bit| !may_be_refused(receiver, base + bit));
        let mask = innocent.fold(0, |mask, bit| mask | 1 << bit);
        base += 64;
        word & mask
    })
}

#[cfg(test)]
mod tests {
    use productgraph::RejectReason;

    use super::*;

    /// Ten events: all accepted and sent, 0 to 7 delivered, 8 refused for the reason planted in its
    /// number, 9 given up.
    struct Case {
        accepted: Bits,
        ledger: Ledger,
        told: Told,
        stored: Stored,
    }

    const POISONOUS: usize = 17;

    fn case() -> Case {
        let mut case = Case {
            accepted: Bits::new(64),
            ledger: Ledger::default(),
            told: Told::new(64),
            stored: Stored {
                ids: Bits::new(64),
                events: 8,
                unknown: 0,
            },
        };
        for n in (0..9).chain([POISONOUS]) {
            case.accepted.set(n);
            case.told.attempted.set(n);
        }
        for n in 0..8 {
            case.told.delivered.set(n);
            case.stored.ids.set(n);
        }
        case.told.refused.set(POISONOUS);
        case.ledger.accepted = 10;
        let mut account = ProviderLedger::default();
        account.delivered = 8;
        account.rejected.add(RejectReason::Poison, 1);
        account.dropped.add(DropReason::Overflow, 1);
        case.ledger.providers.push(account);
        case
    }

    impl Case {
        fn unexplained(&self) -> u64 {
            let evidence = Evidence {
                number: POISONOUS % 3,
                account: &self.ledger.providers[0],
                told: &self.told,
                stored: &self.stored,
            };
            print(&evidence, &self.accepted, &self.ledger)
        }
    }

    #[test]
    fn an_account_that_is_true_leaves_nothing_unexplained() {
        assert_eq!(case().unexplained(), 0);
    }

    #[test]
    fn an_event_called_delivered_that_is_not_there_is_found() {
        let case = case();
        case.told.delivered.set(8);
        assert_eq!(case.unexplained(), 1);
    }

    #[test]
    fn an_event_that_the_account_forgot_is_found() {
        let mut case = case();
        case.ledger.providers[0].dropped = productgraph::Counts::default();
        assert!(case.unexplained() > 0);
    }

    #[test]
    fn an_event_that_vanished_behind_a_false_delivery_is_found() {
        let mut case = case();
        case.ledger.providers[0].dropped = productgraph::Counts::default();
        case.ledger.providers[0].delivered += 1;
        assert!(case.unexplained() > 0);
    }

    #[test]
    fn an_event_that_was_refused_without_reason_is_found() {
        let mut case = case();
        case.told.refused.set(8);
        case.ledger.providers[0].dropped = productgraph::Counts::default();
        case.ledger.providers[0]
            .rejected
            .add(RejectReason::Invalid, 1);
        assert_eq!(case.unexplained(), 1);
    }

    #[test]
    fn an_event_that_nobody_sent_is_found() {
        let case = case();
        case.stored.ids.set(30);
        assert_eq!(case.unexplained(), 1);
        let mut case = self::case();
        case.stored.unknown = 1;
        case.stored.events += 1;
        assert_eq!(case.unexplained(), 1);
    }
}
