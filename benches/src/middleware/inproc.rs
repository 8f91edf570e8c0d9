//! A request through the router and its answer's body to the end, in one task, without sockets.

use std::time::Instant;

use axum::Router;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use tower::Service as _;

use super::{Caller, PATH, Plan, Services, Side, compare};
use crate::clock::nanos_since;
use crate::records::Records;
use crate::stats::{median, quantile};

pub(super) fn run(services: &Services, caller: Caller, plan: Plan, records: &mut Records) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let headers = caller.headers();
    let mut p50 = [Vec::new(), Vec::new()];
    // the first turn warms up
    for turn in 0..=plan.turns {
        for (side, p50) in Side::BOTH.into_iter().zip(&mut p50) {
            let mut each = runtime.block_on(turn_of(services.of(side), &headers, plan.requests));
            crate::ours::settle(&services.engine);
            each.sort_unstable();
            if turn > 0 {
                p50.push(f64::from(quantile(&each, 0.5)));
            }
        }
    }
    let row = format!("in the process, {}, p50", caller.name());
    compare(records, &row, "ns", &p50[0], &p50[1], false);
    eprintln!(
        "{row}: {} and {} ns",
        median(&mut p50[0]),
        median(&mut p50[1])
    );
}

async fn turn_of(mut router: Router, headers: &[(&str, String)], count: usize) -> Vec<u32> {
    let mut each = Vec::with_capacity(count);
    for _ in 0..count {
        let mut request = Request::get(PATH);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Body::empty()).expect("a request");
        let start = Instant::now();
        // a router is always ready and never fails
        let Ok(response) = router.call(request).await;
        let body = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        each.push(nanos_since(start));
        assert_eq!(body, super::ANSWER);
    }
    each
}
