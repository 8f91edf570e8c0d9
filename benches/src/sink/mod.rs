//! A loopback HTTP server that takes any POST, reads the body to its end, counts, and answers as told.
//! One thread, HTTP/1.1 with keep-alive.
//!
//! Options: `--board PATH`, `--status 202`, `--body TEXT` (`{n}` becomes the number of events in the
//! request), `--marker TEXT`, `--latency-ms N`, `--stall` (never answers), `--order` (looks at the order
//! in each session, which costs it time).

pub mod board;
mod process;
mod tally;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io::Read as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

pub use self::board::{Board, Counters};
pub use self::process::SinkProcess;
use self::tally::Tally;
use crate::args;
use crate::request::MARKER;

/// The first argument that makes a program a sink.
pub(crate) const ROLE: &str = "sink";

struct Sink {
    board: Board,
    counters: Cell<Counters>,
    tally: RefCell<Tally>,
    at_once: Cell<u64>,
    latency: Duration,
    stall: bool,
    status: StatusCode,
    body: String,
}

impl Sink {
    fn change(&self, change: impl FnOnce(&mut Counters)) {
        let mut counters = self.counters.get();
        change(&mut counters);
        self.counters.set(counters);
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Ok(body) = request.into_body().collect().await else {
            self.change(|counters| counters.errors += 1);
            return respond(StatusCode::BAD_REQUEST, String::new());
        };
        self.at_once.set(self.at_once.get() + 1);
        self.change(|counters| {
            counters.most_at_once = counters.most_at_once.max(self.at_once.get());
        });
        if self.stall {
            std::future::pending::<()>().await;
        }
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        let body = body.to_bytes();
        let mut counters = self.counters.get();
        let events = self.tally.borrow_mut().count(&body, &mut counters);
        counters.requests += 1;
        counters.bytes += body.len() as u64;
        counters.largest_body = counters.largest_body.max(body.len() as u64);
        self.counters.set(counters);
        self.at_once.set(self.at_once.get() - 1);
        if self.board.publish(counters).is_err() {
            return respond(StatusCode::INTERNAL_SERVER_ERROR, String::new());
        }
        respond(self.status, self.body.replace("{n}", &events.to_string()))
    }

    async fn serve(self: Rc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        self.change(|counters| counters.connections += 1);
        let answer = service_fn(|request| {
            let sink = Rc::clone(&self);
            async move { Ok::<_, Infallible>(sink.answer(request).await) }
        });
        let _ = http1::Builder::new()
            .max_buf_size(1 << 20)
            .serve_connection(TokioIo::new(stream), answer)
            .await;
    }
}

fn respond(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, json);
    response
}

/// Runs a sink with the options of the command line until standard input closes.
///
/// # Panics
///
/// If it cannot listen.
pub fn run() {
    // it ends with whoever started it
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let status: u16 = args::value_or("status", 202);
    let marker = args::value_or("marker", MARKER.to_owned());
    let board: PathBuf = args::value("board").expect("--board");
    let sink = Rc::new(Sink {
        board: Board::open(&board).expect("the board opens"),
        counters: Cell::default(),
        tally: RefCell::new(Tally::new(&marker, args::given("order"))),
        at_once: Cell::default(),
        latency: Duration::from_millis(args::value_or("latency-ms", 0)),
        stall: args::given("stall"),
        status: StatusCode::from_u16(status).expect("a status"),
        body: args::value_or("body", r#"{"accepted":{n},"rejected":0}"#.to_owned()),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("its address").port());
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                spawn_local(Rc::clone(&sink).serve(stream));
            }
        }
    });
}
