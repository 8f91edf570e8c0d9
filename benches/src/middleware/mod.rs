//! What the layers cost a request: a bare axum handler with and without them, taking turns.
//!
//! In the process, without sockets, for the precise number; over loopback connections with keep-alive
//! for the whole request, and with many of them for requests a second.

mod inproc;
mod sockets;

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use productgraph::Engine;

use crate::hotpath::peer::wait;
use crate::ours::{self, Null};
use crate::records::Records;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Turns of each side.
    pub turns: usize,
    /// Requests in a turn, where they are timed one by one.
    pub requests: usize,
    /// Length of a turn at saturation.
    pub turn: Duration,
}

/// Without the layers, and with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Bare,
    Layered,
}

impl Side {
    const BOTH: [Self; 2] = [Self::Bare, Self::Layered];

    const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Layered => "with the layers",
        }
    }
}

/// Who asks: a browser that sends its session and a request id, or somebody unknown.
#[derive(Clone, Copy, Debug)]
enum Caller {
    Frontend,
    Unknown,
}

impl Caller {
    const BOTH: [Self; 2] = [Self::Frontend, Self::Unknown];

    const fn name(self) -> &'static str {
        match self {
            Self::Frontend => "ids in headers",
            Self::Unknown => "no ids",
        }
    }

    fn headers(self) -> Vec<(&'static str, String)> {
        match self {
            Self::Frontend => vec![
                ("x-session-id", crate::request::session_id(7)),
                ("x-request-id", crate::request::request_id(7)),
            ],
            Self::Unknown => Vec::new(),
        }
    }
}

const PATH: &str = "/api/v1/orders/00042/items";
const ANSWER: &str = "ok";

fn bare() -> Router {
    Router::new().route("/api/v1/orders/{order}/items", get(async || ANSWER))
}

/// The two services and the engine of one of them.
struct Services {
    engine: Engine,
    bare: Router,
    layered: Router,
}

impl Services {
    fn new() -> Self {
        let engine = ours::roomy()
            .batch_size(1000)
            .batch_interval(Duration::from_millis(50))
            .provider(Null::default())
            .spawn()
            .expect("the engine starts");
        let layered = bare().layer(engine.layer());
        Self {
            engine,
            bare: bare(),
            layered,
        }
    }

    fn of(&self, side: Side) -> Router {
        match side {
            Side::Bare => self.bare.clone(),
            Side::Layered => self.layered.clone(),
        }
    }
}

/// Measures all three ways.
pub fn run(plan: Plan) -> Records {
    let services = Services::new();
    let mut records = Records::default();
    for caller in Caller::BOTH {
        inproc::run(&services, caller, plan, &mut records);
    }
    sockets::run(&services, Caller::Frontend, plan, &mut records);
    // what is not tracked is cheaper than what is measured
    let refused = services.engine.ledger().refused.total();
    assert_eq!(refused, 0, "events were refused");
    // the last event may be tracked after its answer was read
    wait("the engine behind the layers", || {
        services.engine.ledger().is_clean()
    });
    records
}

/// Adds what the layers add, from the sides of each turn.
fn compare(
    records: &mut Records,
    row: &str,
    unit: &str,
    bare: &[f64],
    layered: &[f64],
    share: bool,
) {
    for (bare, layered) in bare.iter().zip(layered) {
        records.add(row, &format!("{} {unit}", Side::Bare.name()), *bare);
        records.add(row, &format!("{} {unit}", Side::Layered.name()), *layered);
        records.add(row, &format!("added {unit}"), layered - bare);
        if share {
            records.add(row, "added %", (layered - bare) / bare * 100.0);
        }
    }
}
