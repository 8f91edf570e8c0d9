//! A receiver in a process of its own, with a schedule of faults, and the parent's hold on it.
//!
//! The child prints its endpoint and then the name of each fault as it begins. The parent writes
//! `calm` to end all faults and `ids` to be told what is stored.

use std::error::Error;
use std::io::{self, Write};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use productgraph_collector::{Answer, Collector, Fault, FaultPlan, RetryAfter, When};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::bits::Bits;
use crate::traffic::{number_of, poison_marker, reject_marker};

type Problem = Box<dyn Error + Send + Sync>;

/// The child's part: runs until its standard input ends.
pub(crate) async fn run(number: usize, seed: u64) -> Result<(), Problem> {
    let collector = Collector::builder()
        .ids_only()
        .max_stored_events(usize::MAX)
        .max_records(1)
        .faults(plan(number))
        .start()
        .await?;
    say(&format!("endpoint {}", collector.endpoint()))?;
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    let mut schedule = Schedule::new(seed.wrapping_mul(31).wrapping_add(number as u64));
    let mut until = Instant::now();
    let mut calm = false;
    let mut down = None;
    loop {
        tokio::select! {
            order = orders.next_line() => match order?.as_deref() {
                Some("calm") => {
                    calm = true;
                    drop(down.take());
                    collector.faults().set(plan(number));
                    collector.faults().release();
                    say("fault none")?;
                }
                Some("ids") => tell_ids(&collector.event_ids())?,
                Some(_) => {}
                None => return Ok(()),
            },
            () = sleep_until(until), if !calm => {
                drop(down.take());
                let (name, disturbance, lasts) = schedule.next();
                collector.faults().release();
                match disturbance {
                    Disturbance::None => collector.faults().set(plan(number)),
                    Disturbance::Faults(faults) => collector.faults().set(faults(plan(number))),
                    Disturbance::Down => down = Some(collector.faults().down()),
                }
                say(&format!("fault {name}"))?;
                until = Instant::now() + lasts;
            }
        }
    }
}

/// What is always wrong with this receiver.
fn plan(number: usize) -> FaultPlan {
    FaultPlan::new()
        .poison(poison_marker(number))
        .reject(reject_marker(number))
}

enum Disturbance {
    None,
    Faults(fn(FaultPlan) -> FaultPlan),
    Down,
}

/// What else goes wrong, by a seeded sequence.
struct Schedule(fastrand::Rng);

impl Schedule {
    fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    fn next(&mut self) -> (&'static str, Disturbance, Duration) {
        let calm = self.0.bool();
        let lasts = Duration::from_millis(self.0.u64(100..1500));
        if calm {
            return ("none", Disturbance::None, lasts);
        }
        let (name, disturbance) = &FAULTS[self.0.usize(..FAULTS.len())];
        (name, disturbance(), lasts)
    }
}

type Named = (&'static str, fn() -> Disturbance);

macro_rules! faults {
    ($($name:literal: $plan:expr;)*) => {
        &[$(($name, || Disturbance::Faults($plan)),)* ("down", || Disturbance::Down)]
    };
}

const FAULTS: &[Named] = faults! {
    "503": |plan| plan.standing(Fault::status(503), When::Always);
    "503 often": |plan| plan.standing(Fault::status(503), When::Every(2));
    "429 with a wait": |plan| {
        plan.standing(Answer::new(429).retry_after(RetryAfter::Seconds(1)), When::Every(3))
    };
    "401": |plan| plan.standing(Fault::status(401), When::Always);
    "proxy page": |plan| plan.standing(Fault::html(502), When::Always);
    "rubbish": |plan| plan.standing(Fault::rubbish(), When::Every(2));
    "stored, then reset": |plan| plan.standing(Fault::store_then_reset(), When::Every(3));
    "stored, then 500": |plan| plan.standing(Fault::store_then_500(), When::Every(3));
    "stored, then silent": |plan| plan.standing(Fault::store_then_never_answer(), When::Every(9));
    "silent": |plan| plan.standing(Fault::never_answer(), When::Always);
    "reset": |plan| plan.standing(Fault::reset_before_body(), When::Every(2));
    "reset late": |plan| plan.standing(Fault::reset_after_body(), When::Every(2));
    "redirect": |plan| plan.standing(Fault::redirect(307, "http://127.0.0.1:9/"), When::Every(4));
    "huge answer": |plan| plan.standing(Fault::Huge { status: 500, bytes: 50_000_000 }, When::Every(4));
    "slow": |plan| plan.latency(Duration::from_millis(40));
    "small bodies only": |plan| plan.secret_body_limit(40_000);
};

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn tell_ids(ids: &[String]) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for number in ids.iter().map(|id| number_of(id)) {
        writeln!(
            out,
            "id {}",
            number.map_or_else(|| "?".to_owned(), |n| n.to_string())
        )?;
    }
    writeln!(out, "end")?;
    out.flush()
}

/// What a receiver holds.
pub(crate) struct Stored {
    pub(crate) ids: Bits,
    /// Including those that came more than once.
    pub(crate) events: u64,
    /// Ids that nobody gave out.
    pub(crate) unknown: u64,
}

/// The parent's part.
pub(crate) struct Receiver {
    pub(crate) name: String,
    pub(crate) endpoint: String,
    /// What is going on there, for the line each second.
    pub(crate) fault: Arc<Mutex<String>>,
    orders: ChildStdin,
    stored: oneshot::Receiver<io::Result<Stored>>,
    /// Ends the child when it is dropped.
    child: Child,
}

impl Receiver {
    pub(crate) async fn start(number: usize, seed: u64, events: usize) -> Result<Self, Problem> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([
                "--receiver",
                &number.to_string(),
                "--seed",
                &seed.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(orders), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a receiver without pipes".into());
        };
        let mut lines = BufReader::new(output).lines();
        let first = lines.next_line().await?.unwrap_or_default();
        let endpoint = first
            .strip_prefix("endpoint ")
            .ok_or("a receiver did not start")?;
        let fault = Arc::new(Mutex::new("none".to_owned()));
        let (tell, stored) = oneshot::channel();
        let shown = Arc::clone(&fault);
        tokio::spawn(async move {
            // nobody may be waiting any more
            let _ = tell.send(listen(lines, &shown, events).await);
        });
        Ok(Self {
            name: format!("receiver-{number}"),
            endpoint: endpoint.to_owned(),
            fault,
            orders,
            stored,
            child,
        })
    }

    /// Ends all faults but the ones that are in the events.
    pub(crate) async fn calm(&mut self) -> io::Result<()> {
        self.orders.write_all(b"calm\n").await?;
        self.orders.flush().await
    }

    /// What is stored there; the receiver is ended.
    pub(crate) async fn stored(mut self) -> Result<Stored, Problem> {
        self.orders.write_all(b"ids\n").await?;
        self.orders.flush().await?;
        let stored = self.stored.await??;
        self.child.kill().await?;
        Ok(stored)
    }
}

async fn listen(
    mut lines: Lines<BufReader<ChildStdout>>,
    fault: &Mutex<String>,
    events: usize,
) -> io::Result<Stored> {
    let mut stored = Stored {
        ids: Bits::new(events),
        events: 0,
        unknown: 0,
    };
    while let Some(line) = lines.next_line().await? {
        if let Some(name) = line.strip_prefix("fault ") {
            name.clone_into(&mut fault.lock().unwrap_or_else(PoisonError::into_inner));
        } else if let Some(id) = line.strip_prefix("id ") {
            stored.events += 1;
            match id.parse::<usize>() {
                Ok(n) if n < events => stored.ids.set(n),
                _ => stored.unknown += 1,
            }
        } else if line == "end" {
            return Ok(stored);
        }
    }
    Err(io::Error::other("a receiver ended early"))
}
