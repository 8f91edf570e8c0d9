//! Two receivers, one of each generation of the service; the second has bad days.

use std::time::Duration;

use productgraph::providers::ProductGraph;
use productgraph_collector::{
    Answer, Collector, Fault, FaultPlan, Generation, RetryAfter, StartError, When,
};

/// The second receiver answers 400 to any request with such an event in it.
pub(crate) const POISON: &str = "coupon.poisonous";
/// The second receiver takes the request and rejects such an event by its index.
pub(crate) const UNREADABLE: &str = "coupon.unreadable";

pub(crate) struct Receivers {
    pub(crate) steady: Collector,
    pub(crate) rough: Collector,
}

impl Receivers {
    pub(crate) const STEADY: &str = "steady-v02";
    pub(crate) const ROUGH: &str = "rough-v03";

    pub(crate) async fn start() -> Result<Self, StartError> {
        let steady = Collector::builder().generation(Generation::V0_2);
        let rough = Collector::builder()
            .generation(Generation::V0_3)
            .faults(bad_days());
        Ok(Self {
            steady: steady.start().await?,
            rough: rough.start().await?,
        })
    }

    pub(crate) fn steady_provider(&self) -> ProductGraph {
        ProductGraph::new(self.steady.endpoint()).name(Self::STEADY)
    }

    pub(crate) fn rough_provider(&self) -> ProductGraph {
        ProductGraph::new(self.rough.endpoint()).name(Self::ROUGH)
    }

    pub(crate) fn print_pages(&self) {
        for (name, receiver) in [(Self::STEADY, &self.steady), (Self::ROUGH, &self.rough)] {
            let pages = format!("{}/_collector", receiver.base_url());
            println!("  {name:<12} {pages}/stats");
            println!("  {:<12} {pages}/events?type=journey.step&limit=8", "");
            println!("  {:<12} {pages}/requests", "");
        }
    }

    pub(crate) async fn shutdown(self) {
        self.steady.shutdown().await;
        self.rough.shutdown().await;
    }
}

fn bad_days() -> FaultPlan {
    let busy = Answer::new(503).retry_after(RetryAfter::Seconds(1));
    FaultPlan::new()
        .latency(Duration::from_millis(15))
        .standing(busy, When::Every(19))
        // the events are stored and the answer is lost: they come again, as "at least once" says
        .standing(Fault::store_then_reset(), When::Every(11))
        .standing(Fault::reset_before_body(), When::Every(13))
        .poison(POISON)
        .reject(UNREADABLE)
}
