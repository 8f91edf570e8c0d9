//! Where the lanes of one format find what another one wrote, and agree on who writes next.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::content::{CHUNK, Content, Set};
use super::{Place, Sharing};

/// What belongs to one batch: a cell for each shared format and chunk, made when the first lane asks.
#[derive(Default)]
pub(crate) struct Fragments(OnceLock<Arc<[Cell]>>);

impl Fragments {
    /// Those of a batch that only one lane gets: there is nobody to share with.
    pub(crate) fn none() -> Self {
        Self(OnceLock::from(Arc::from([])))
    }

    /// The cells of a batch of `events` events, and which of them is for `chunk`.
    pub(super) fn of(
        &self,
        events: usize,
        chunk: usize,
        sharing: &Sharing,
    ) -> Option<(&Arc<[Cell]>, usize)> {
        let chunks = events.div_ceil(CHUNK);
        let cells = self.0.get_or_init(|| {
            let cells = (0..chunks * sharing.formats).map(|_| Cell::default());
            cells.collect()
        });
        let at = sharing.format * chunks + chunk;
        (at < cells.len()).then_some((cells, at))
    }

    /// Whether anything is kept now.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let mut cells = self.0.get().into_iter().flat_map(|cells| cells.iter());
        cells.all(|cell| cell.lock().content.is_none())
    }
}

impl fmt::Debug for Fragments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fragments").finish_non_exhaustive()
    }
}

/// One chunk in one format. Its lock is held for some instructions, and nothing else happens under it.
#[derive(Debug, Default)]
pub(super) struct Cell(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    content: Option<Arc<Content>>,
    /// The lane that writes what is missing; 0 is none.
    writer: u64,
    /// Lanes that need nothing of this any more.
    passed: u64,
}

/// What a lane finds.
#[derive(Debug)]
pub(super) enum Found {
    /// Everything it wants.
    Ready(Arc<Content>),
    /// Not everything, and it is this lane's to write what is missing, and to put it here.
    Claimed(Option<Arc<Content>>),
    /// Not everything, and nobody would read what this lane wrote.
    Alone(Option<Arc<Content>>),
    /// Another lane is writing.
    Busy,
}

impl Cell {
    /// Looks for the events `wanted`. With `insist` another lane's claim counts for nothing.
    pub(super) fn find(&self, place: Place, wanted: Set, insist: bool) -> Found {
        let mut state = self.lock();
        let has = state.content.as_ref().map_or(0, |content| content.has());
        match &state.content {
            Some(content) if wanted & !has == 0 => return Found::Ready(Arc::clone(content)),
            _ => {}
        }
        let known = state.content.clone();
        if state.passed | place.mine == place.everyone {
            return Found::Alone(known);
        }
        if state.writer != 0 && !insist {
            return Found::Busy;
        }
        state.writer = place.mine;
        Found::Claimed(known)
    }

    /// Ends this lane's claim.
    pub(super) fn disclaim(&self, place: Place) {
        let mut state = self.lock();
        if state.writer == place.mine {
            state.writer = 0;
        }
    }

    /// Puts `content` here, unless another lane has put as much.
    pub(super) fn put(&self, content: &Arc<Content>) -> bool {
        let mut state = self.lock();
        let here = state.content.as_ref().map_or(0, |here| here.has());
        let is_more = content.has() & here == here && content.has() != here;
        if is_more {
            let replaced = state.content.replace(Arc::clone(content));
            drop(state);
            drop(replaced);
        }
        is_more
    }

    /// The last event of the chunk is in a body of this lane. The last lane to pass takes everything with it.
    pub(super) fn pass(&self, place: Place) {
        let mut state = self.lock();
        state.passed |= place.mine;
        if state.passed == place.everyone {
            let content = state.content.take();
            drop(state);
            drop(content);
        }
    }

    /// Takes out what `is_it` recognises.
    pub(super) fn evict(&self, is_it: impl FnOnce(&Arc<Content>) -> bool) {
        let mut state = self.lock();
        let content = state.content.take_if(|content| is_it(content));
        drop(state);
        drop(content);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
