//! The runtimes an engine brings along: one for its actors and one for the attempts of each lane.
//!
//! Each has one thread. Code of a provider runs on its lane's alone, so one that blocks its thread,
//! spins or encodes for seconds takes no time from anybody else. None of them is ever waited for: a
//! thread that is stuck in a provider's code is left behind, and ends when that code returns.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// Where the parts of an engine run.
#[derive(Debug)]
pub(crate) struct Runtimes {
    /// Where the actors run.
    pub(crate) actors: Handle,
    /// Where the attempts of each lane run, in the order of the lanes.
    pub(crate) attempts: Vec<Handle>,
    /// To be ended with the engine; empty if it is attached to a runtime of somebody else.
    own: Vec<Runtime>,
}

impl Runtimes {
    /// Everything on a runtime of somebody else.
    pub(crate) fn attached(runtime: &Handle, lanes: usize) -> Self {
        Self {
            actors: runtime.clone(),
            attempts: vec![runtime.clone(); lanes],
            own: Vec::new(),
        }
    }

    /// A runtime for the actors and one for each lane.
    pub(crate) fn start(lanes: usize) -> io::Result<Self> {
        let actors = single("productgraph")?;
        let mut runtimes = Self {
            actors: actors.handle().clone(),
            attempts: Vec::with_capacity(lanes),
            own: vec![actors],
        };
        for _ in 0..lanes {
            let lane = single("productgraph-lane")?;
            runtimes.attempts.push(lane.handle().clone());
            runtimes.own.push(lane);
        }
        Ok(runtimes)
    }

    /// Lets go of them where their threads are not: in a child process.
    pub(crate) fn forget(&mut self) {
        std::mem::forget(std::mem::take(&mut self.own));
    }
}

impl Drop for Runtimes {
    fn drop(&mut self) {
        for runtime in self.own.drain(..) {
            // waits for nothing, so it may be called on a thread of the runtime itself
            runtime.shutdown_background();
        }
    }
}

/// A runtime with one thread. Multi-threaded all the same: it needs nobody to drive it, ends without
/// being waited for, and code that calls `block_in_place` works on it.
fn single(name: &str) -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(name)
        .enable_all()
        .build()
}
