//! The yardstick of whole clients: JSON by hand through reqwest, one thread. What this machine can move
//! when nothing stands in the way.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use uuid::Uuid;

use crate::request::{Req, write_json};

/// In options and tables.
pub const NAME: &str = "pipe";

/// Batches of events, one after another in each of some lanes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pipe {
    /// Requests in flight.
    pub(super) flight: u64,
    /// Events in a request.
    pub(super) batch: u64,
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    Passed(Duration),
    Sent(u64),
}

impl Pipe {
    /// Sends and waits for the answers.
    pub(super) fn run(self, url: &str, until: Until) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let client = reqwest::Client::builder()
            .no_proxy()
            .tcp_nodelay(true)
            .build()
            .expect("a client");
        let url = format!("{url}/v1/events");
        runtime.block_on(async {
            let mut lanes = JoinSet::new();
            for lane in 0..self.flight {
                lanes.spawn(self.lane(client.clone(), url.clone(), lane * 1_000_000_000, until));
            }
            while let Some(ended) = lanes.join_next().await {
                ended.expect("a lane of the pipe");
            }
        });
    }

    async fn lane(self, client: reqwest::Client, url: String, first: u64, until: Until) {
        let start = Instant::now();
        let mut request = Req::new(1);
        let mut number = first;
        while match until {
            Until::Passed(time) => start.elapsed() < time,
            Until::Sent(events) => number - first < events / self.flight,
        } {
            let body = self.body(&mut request, &mut number);
            let post = client
                .post(&url)
                .header("content-type", "application/json")
                .body(body);
            let answer = post.send().await.expect("the sink answers");
            assert_eq!(answer.status(), 202);
            let _ = answer.bytes().await;
        }
    }

    fn body(self, request: &mut Req, number: &mut u64) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.batch as usize * 400);
        body.extend_from_slice(b"{\"events\":[");
        for index in 0..self.batch {
            if index > 0 {
                body.push(b',');
            }
            request.set_number(*number);
            let id = Uuid::from_u128((1 << 80) | u128::from(*number));
            *number += 1;
            write_json(&mut body, request, id, "2026-01-01T00:00:00.000Z");
        }
        body.extend_from_slice(b"]}");
        body
    }
}
