//! The ledger as one line of JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};

use productgraph::{Counts, Ledger, ProviderLedger, Reason};
use serde::Serialize;

#[derive(Serialize)]
struct Account<'a> {
    accepted: u64,
    refused: ByReason,
    providers: BTreeMap<&'a str, ProviderAccount>,
}

#[derive(Serialize)]
struct ProviderAccount {
    delivered: u64,
    rejected: ByReason,
    dropped: ByReason,
    pending: u64,
}

/// Reasons that did not occur are left out.
type ByReason = BTreeMap<&'static str, u64>;

/// Writes the whole ledger as one line.
pub(crate) fn print(ledger: &Ledger, mut out: impl Write) -> io::Result<()> {
    let account = Account {
        accepted: ledger.accepted,
        refused: by_reason(&ledger.refused),
        providers: ledger.providers.iter().map(provider).collect(),
    };
    let mut line = serde_json::to_vec(&account)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}

fn provider(ledger: &ProviderLedger) -> (&str, ProviderAccount) {
    let account = ProviderAccount {
        delivered: ledger.delivered,
        rejected: by_reason(&ledger.rejected),
        dropped: by_reason(&ledger.dropped),
        pending: ledger.pending,
    };
    (&ledger.name, account)
}

fn by_reason<R: Reason>(counts: &Counts<R>) -> ByReason {
    counts
        .iter()
        .map(|(reason, count)| (reason.as_str(), count))
        .collect()
}
