//! productgraph: the engine with its hooks on and providers that encode nothing.
//!
//! Each request's correlation is there before the call, as behind the middleware, and is entered around
//! it. Only `track` and the making of the event are timed one by one; the mean includes the entering.

use std::sync::Arc;
use std::time::Duration;

use productgraph::{Correlation, Engine, Event, Handle, Text};

use super::peer::{Call, POOL, Peer, wait};
use crate::ours::{self, Null};
use crate::request::Req;

/// The row that the goals are about.
pub(super) const RESPONSE: &str = "productgraph api.response";

struct Shared {
    engine: Engine,
    requests: Arc<[Req]>,
    correlations: Arc<[Correlation]>,
}

thread_local! {
    /// The middleware keeps the text of each route once for each thread.
    static ROUTES: [Text; 8] = ours::routes();
}

impl Shared {
    fn new(
        requests: &Arc<[Req]>,
        correlations: &Arc<[Correlation]>,
        providers: usize,
    ) -> Arc<Self> {
        let mut builder = ours::roomy()
            .batch_size(1000)
            .batch_interval(Duration::from_millis(50));
        for number in 0..providers {
            builder = builder.provider(Null::named(format!("null{number}")));
        }
        Arc::new(Self {
            engine: builder.spawn().expect("the engine starts"),
            requests: Arc::clone(requests),
            correlations: Arc::clone(correlations),
        })
    }
}

/// One way of making an event.
struct Row<F> {
    name: &'static str,
    shared: Arc<Shared>,
    handle: Handle,
    make: F,
}

/// The rows: kinds of events, and api.response with more providers.
pub(super) fn rows(requests: &Arc<[Req]>) -> Vec<Box<dyn Peer>> {
    let correlations: Arc<[Correlation]> = requests.iter().map(ours::correlation).collect();
    let one = Shared::new(requests, &correlations, 1);
    let two = Shared::new(requests, &correlations, 2);
    let ten = Shared::new(requests, &correlations, 10);
    let response = |shared: &Shared, index: usize| {
        ROUTES.with(|routes| ours::response_to(&shared.requests[index], &routes[index % 8]))
    };
    vec![
        Row::boxed(RESPONSE, &one, response),
        Row::boxed("productgraph error, static type", &one, |_, _| {
            ours::error()
        }),
        Row::boxed("productgraph journey step, static ids", &one, |_, _| {
            ours::journey_step()
        }),
        Row::boxed("productgraph api.response, 2 providers", &two, response),
        Row::boxed("productgraph api.response, 10 providers", &ten, response),
    ]
}

impl<F: Fn(&Shared, usize) -> Event + Sync + 'static> Row<F> {
    fn boxed(name: &'static str, shared: &Arc<Shared>, make: F) -> Box<dyn Peer> {
        let handle = shared.engine.handle();
        Box::new(Self {
            name,
            shared: Arc::clone(shared),
            handle,
            make,
        })
    }
}

impl<F: Fn(&Shared, usize) -> Event + Sync> Call for Row<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    #[inline]
    fn call(&self, index: usize) -> bool {
        self.handle.track((self.make)(&self.shared, index));
        true
    }

    #[inline]
    fn within<R>(&self, index: usize, f: impl FnOnce() -> R) -> R {
        self.shared.correlations[index % POOL].enter(f)
    }

    fn drain(&self) {
        wait(self.name, || ours::pending(&self.shared.engine) == 0);
        let refused = self.shared.engine.ledger().refused.total();
        assert_eq!(refused, 0, "a refusal is cheaper than what is measured");
    }
}
