//! The producers' end of a pipeline.

use std::fmt;
use std::sync::Arc;

use crate::hooks;
use crate::ingress::Place;
use crate::ledger::RefuseReason;
use crate::stages::Stages;

/// Puts events into a pipeline, from any thread, with or without a runtime. A clone is one `Arc`.
pub struct Sender<E: Send + Sync + 'static> {
    stages: Arc<Stages<E>>,
}

/// An event that was not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused<E> {
    /// The event, given back.
    pub event: E,
    /// Why it was refused.
    pub reason: RefuseReason,
}

impl<E: Send + Sync + 'static> Sender<E> {
    pub(crate) fn new(stages: Arc<Stages<E>>) -> Self {
        Self { stages }
    }

    /// Puts one event in, or says at once that it cannot. Takes no lock and never waits.
    ///
    /// # Errors
    /// [`Refused`] with the event, when there is no room, the pipeline is closed, the event alone is
    /// larger than everything the pipeline may hold, or a hook sends it. It has been counted.
    #[inline]
    pub fn try_send(&self, event: E) -> Result<(), Refused<E>> {
        let ingress = &self.stages.ingress;
        let result = if hooks::is_running() {
            Err(ingress.refuse(event, RefuseReason::InHook))
        } else {
            ingress.try_push(event)
        };
        result.map_err(|refused| Refused {
            event: refused.event,
            reason: refused.reason,
        })
    }

    /// A place for this event, if it can be taken in without further ado: there is room, nothing has to
    /// be evicted, the pipeline is open and no hook is running.
    ///
    /// The event itself moves only once, into its place. Without one, [`Sender::try_send`] says why and
    /// counts.
    #[inline]
    pub fn reserve(&self, event: &E) -> Option<Place<'_, E>> {
        if hooks::is_running() {
            return None;
        }
        self.stages.ingress.reserve(event)
    }

    /// Puts one event in and waits for room if there is none. Works on any executor; dropping the
    /// future gives the event up before it was accepted.
    ///
    /// # Errors
    /// [`Refused`] when the pipeline is or gets closed, the event can never fit, or a hook sends it.
    pub async fn send(&self, event: E) -> Result<(), Refused<E>> {
        let ingress = &self.stages.ingress;
        let result = if hooks::is_running() {
            // it would wait for room that nobody can make while the hook runs
            Err(ingress.refuse(event, RefuseReason::InHook))
        } else {
            ingress.push_wait(event).await
        };
        result.map_err(|refused| Refused {
            event: refused.event,
            reason: refused.reason,
        })
    }

    /// Whether events are refused because the pipeline was closed.
    pub fn is_closed(&self) -> bool {
        self.stages.ingress.is_closed()
    }
}

impl<E: Send + Sync + 'static> Clone for Sender<E> {
    fn clone(&self) -> Self {
        Self {
            stages: Arc::clone(&self.stages),
        }
    }
}

impl<E: Send + Sync + 'static> fmt::Debug for Sender<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
