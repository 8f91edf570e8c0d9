//! One client in one scenario: what the process under measurement does.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::clients::Spec;
use super::loops::{HeapUse, Producer};
use super::pipe::{self, Pipe, Until};
use super::{Client, Scenario};
use crate::records::Records;
use crate::sink::{Board, Counters};
use crate::{args, usage};

/// Longer than any run takes.
const GIVEN_UP: Duration = Duration::from_secs(100);
const WARM_UP: Duration = Duration::from_secs(1);
/// Events that are tracked before a shutdown.
pub(super) const SHUTDOWN_EVENTS: u64 = 10_000;
/// Events that are queued while the sink does not answer.
const QUEUED: u64 = 50_000;
/// Calls to learn what surrounds one of them.
const CONTEXTS: u64 = 200_000;
/// From the last events until everything they woke has gone to sleep: the batch's age, and the ten
/// seconds after which a runtime ends a thread that it needs no longer.
const WOUND_DOWN: Duration = Duration::from_secs(25);
const IDLE: Duration = Duration::from_secs(5);

/// Set by programs whose allocator counts.
pub static HEAP: OnceLock<HeapUse> = OnceLock::new();

fn heap() -> (u64, i64) {
    HEAP.get()
        .expect("this program does not count allocations: use `heap`")()
}

/// Runs the client that the command line names and prints what it measured.
pub fn child() {
    std::thread::spawn(|| {
        std::thread::sleep(GIVEN_UP);
        eprintln!("a run took more than {GIVEN_UP:?}: given up");
        std::process::exit(1);
    });
    let name: String = args::value("client").expect("--client");
    let scenario: String = args::value("scenario").expect("--scenario");
    let scenario = Scenario::called(&scenario).expect("a scenario");
    let spec = Spec::called(&name).expect("a client");
    let board: PathBuf = args::value("board").expect("--board");
    let board = Board::open(&board).expect("the board opens");
    let url: String = args::value("url").expect("--url");
    let time = Duration::from_secs(args::value_or("seconds", 4));

    let mut out = Run {
        name: &name,
        records: Records::default(),
    };
    let mut client = spec.start(&url);
    match &mut client {
        Some(client) => out.client(scenario, &spec, client.as_mut(), &board, time),
        None if name == pipe::NAME => out.pipe(scenario, &url, &board, time),
        None => panic!("this program was built without {name}"),
    }
    print!("{}", out.records.lines(scenario.name()));
    // before the client is dropped: some would go on trying
    std::process::exit(0);
}

struct Run<'a> {
    name: &'a str,
    records: Records,
}

impl Run<'_> {
    fn add(&mut self, column: &str, number: f64) {
        self.records.add(self.name, column, number);
    }

    fn client(
        &mut self,
        scenario: Scenario,
        spec: &Spec,
        client: &mut dyn Client,
        board: &Board,
        time: Duration,
    ) {
        let mut producer = Producer::new(client, board, spec);
        match scenario {
            Scenario::Sustained | Scenario::Latency => {
                producer.closed_loop(WARM_UP);
                let begin = (Instant::now(), usage::cpu_seconds(), producer.arrived());
                producer.closed_loop(time);
                self.rate(begin, producer.arrived());
                producer.settle();
                let before = usage::cpu_seconds();
                producer.contexts(CONTEXTS);
                let context = (usage::cpu_seconds() - before) / (CONTEXTS as f64 / 1e6);
                self.add("cpu of the context s/M", context);
            }
            Scenario::Allocations => {
                producer.closed_loop(WARM_UP);
                producer.settle();
                let before = heap().0;
                producer.contexts(CONTEXTS);
                let context = (heap().0 - before) as f64 / CONTEXTS as f64;
                let begin = (heap().0, producer.arrived(), producer.made);
                producer.closed_loop(time);
                let events = producer.arrived() - begin.1;
                let contexts = context * (producer.made - begin.2) as f64;
                self.add("of the context", context);
                self.add(
                    "allocations/event",
                    ((heap().0 - begin.0) as f64 - contexts) / events as f64,
                );
            }
            Scenario::Shutdown => producer.send(SHUTDOWN_EVENTS),
            Scenario::Idle => {
                producer.send(10);
                std::thread::sleep(WOUND_DOWN);
                let before = usage::switches_of_other_threads();
                std::thread::sleep(IDLE);
                self.add(
                    "wake-ups in 5 s",
                    (usage::switches_of_other_threads() - before) as f64,
                );
            }
            Scenario::Memory => return self.memory(&mut producer),
        }
        let (made, refused) = (producer.made, producer.refused);
        let start = Instant::now();
        client.shutdown();
        self.add("shutdown ms", start.elapsed().as_secs_f64() * 1e3);
        // an answer may be on its way
        std::thread::sleep(Duration::from_millis(300));
        let counters = board.read();
        self.add("made", made as f64);
        self.add("refused", refused as f64);
        self.add(
            "lost",
            made.saturating_sub(counters.unique + refused) as f64,
        );
        self.add(
            "repeated",
            counters
                .events
                .saturating_sub(counters.unique * spec.copies) as f64,
        );
        self.sink(counters);
    }

    fn pipe(&mut self, scenario: Scenario, url: &str, board: &Board, time: Duration) {
        let one = Pipe {
            flight: 1,
            batch: 1000,
        };
        match scenario {
            Scenario::Sustained | Scenario::Latency => {
                let flight = args::value_or("flight", 1);
                let pipe = Pipe {
                    flight,
                    batch: args::value_or("batch", 1000),
                };
                pipe.run(url, Until::Passed(WARM_UP));
                let begin = (Instant::now(), usage::cpu_seconds(), board.read().events);
                pipe.run(url, Until::Passed(time));
                self.rate(begin, board.read().events);
            }
            Scenario::Shutdown => {
                let start = Instant::now();
                one.run(url, Until::Sent(SHUTDOWN_EVENTS));
                self.add("shutdown ms", start.elapsed().as_secs_f64() * 1e3);
            }
            Scenario::Idle | Scenario::Allocations | Scenario::Memory => {}
        }
        self.sink(board.read());
    }

    fn rate(&mut self, (start, cpu, arrived): (Instant, f64, u64), now: u64) {
        let seconds = start.elapsed().as_secs_f64();
        let events = (now - arrived) as f64;
        self.add("events/s", events / seconds);
        self.add("cpu s/M", (usage::cpu_seconds() - cpu) / (events / 1e6));
    }

    fn memory(&mut self, producer: &mut Producer<'_>) {
        // something to stall on
        producer.send(2000);
        std::thread::sleep(WARM_UP);
        let (resident, _) = usage::resident_kib();
        let (_, held) = heap();
        producer.send(QUEUED);
        std::thread::sleep(WARM_UP);
        let each = |bytes: f64| bytes / QUEUED as f64;
        self.add("heap bytes/event", each((heap().1 - held) as f64));
        let grown = usage::resident_kib().0.saturating_sub(resident) * 1024;
        self.add("resident bytes/event", each(grown as f64));
        self.add("refused", producer.refused as f64);
    }

    fn sink(&mut self, counters: Counters) {
        let Counters {
            requests,
            events,
            bytes,
            disordered,
            most_at_once,
            ..
        } = counters;
        self.add("requests", requests as f64);
        self.add("events/request", events as f64 / requests.max(1) as f64);
        self.add("most at once", most_at_once as f64);
        self.add("bytes/event", bytes as f64 / events.max(1) as f64);
        self.add("out of order", disordered as f64);
        self.add("peak MiB", usage::resident_kib().1 as f64 / 1024.0);
    }
}
