//! Running futures and closures with a correlation, here or elsewhere.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::context::Carrier;
use super::{Correlation, store};

impl Correlation {
    /// Runs `future` with this correlation as the current one, whichever thread polls it.
    ///
    /// It is current in the future itself and in everything awaited there, also while the future is
    /// dropped. It does not reach tasks and threads that are spawned inside: see [`spawn`],
    /// [`spawn_blocking`] and [`capture`].
    pub fn scope<F>(self, future: F) -> Scoped<F> {
        Scoped {
            slot: Some(self),
            carrier: Carrier::copying(),
            future: Some(future),
        }
    }

    /// Makes a future, or whatever `make` makes, inside the scope it will run in.
    #[cfg(feature = "tower")]
    pub(crate) fn scope_with<T>(self, make: impl FnOnce() -> T) -> Scoped<T> {
        let mut slot = Some(self);
        let mut carrier = Carrier::copying();
        let future = {
            let _attached = carrier.attach(slot.as_ref());
            store::swapped(&mut slot, make)
        };
        Scoped {
            slot,
            carrier,
            future: Some(future),
        }
    }

    /// Runs `f` with this correlation as the current one, on this thread and without a runtime.
    ///
    /// For threads and synchronous jobs. In async code use [`scope`](Self::scope): a future that `f`
    /// returns runs without the correlation.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        let _attached = Carrier::copying().attach(Some(self));
        store::swapped(&mut Some(self.clone()), f)
    }
}

pin_project! {
    /// A future that runs with a correlation; made by [`Correlation::scope`] and [`Captured::scope`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Scoped<F> {
        // what was current outside while the future is polled
        slot: Option<Correlation>,
        carrier: Carrier,
        // empty only once dropped
        #[pin]
        future: Option<F>,
    }

    impl<F> PinnedDrop for Scoped<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            store::swapped(this.slot, || this.future.set(None));
        }
    }
}

#[cfg(feature = "tower")]
impl<T> Scoped<T> {
    /// Holds a value without a correlation.
    pub(crate) fn unscoped(value: T) -> Self {
        Self {
            slot: None,
            carrier: Carrier::copying(),
            future: Some(value),
        }
    }

    /// What is held; none once handed over.
    pub(crate) fn get_ref(&self) -> Option<&T> {
        self.future.as_ref()
    }

    /// Drops what is held and gives its scope to `value`, which spares it the set-up.
    pub(crate) fn hand_over<U>(self: Pin<&mut Self>, value: U) -> Scoped<U> {
        let mut this = self.project();
        store::swapped(this.slot, || this.future.set(None));
        Scoped {
            slot: this.slot.take(),
            carrier: std::mem::replace(this.carrier, Carrier::copying()),
            future: Some(value),
        }
    }
}

impl<T> Scoped<T> {
    /// Lends what is held to `f`, inside the scope; none once handed over.
    pub(crate) fn with<R>(self: Pin<&mut Self>, f: impl FnOnce(Pin<&mut T>) -> R) -> Option<R> {
        let this = self.project();
        let held = this.future.as_pin_mut()?;
        let _attached = this.carrier.attach(this.slot.as_ref());
        Some(store::swapped(this.slot, || f(held)))
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.with(|future| future.poll(cx)).unwrap_or(Poll::Pending)
    }
}

/// Takes the current correlation and OpenTelemetry context along to another task or thread.
///
/// ```
/// use productgraph::correlation::{Correlation, capture};
///
/// let request = Correlation::builder().build();
/// let worker = request.enter(|| {
///     let captured = capture();
///     std::thread::spawn(move || captured.enter(Correlation::current))
/// });
/// assert_eq!(worker.join().unwrap(), Some(request));
/// ```
pub fn capture() -> Captured {
    let correlation = Correlation::current();
    let carrier = Carrier::capture(correlation.as_ref());
    Captured {
        correlation,
        carrier,
    }
}

/// What was current where [`capture`] was called.
///
/// It restores exactly that: if there was no correlation, there is none inside either.
#[derive(Clone, Debug)]
pub struct Captured {
    correlation: Option<Correlation>,
    carrier: Carrier,
}

impl Captured {
    /// The correlation that was current.
    pub fn correlation(&self) -> Option<&Correlation> {
        self.correlation.as_ref()
    }

    /// Runs `f` as if it ran where [`capture`] was called.
    pub fn enter<R>(mut self, f: impl FnOnce() -> R) -> R {
        let _attached = self.carrier.attach(None);
        store::swapped(&mut self.correlation, f)
    }

    /// Runs `future` as if it were polled where [`capture`] was called, for example in a `JoinSet`.
    pub fn scope<F>(self, future: F) -> Scoped<F> {
        Scoped {
            slot: self.correlation,
            carrier: self.carrier,
            future: Some(future),
        }
    }
}

/// [`tokio::spawn`] that takes the current correlation and OpenTelemetry context along.
///
/// # Panics
///
/// Outside a tokio runtime, as `tokio::spawn` does.
#[track_caller]
pub fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(capture().scope(future))
}

/// [`tokio::task::spawn_blocking`] that takes the current correlation and OpenTelemetry context along.
///
/// # Panics
///
/// Outside a tokio runtime, as `tokio::task::spawn_blocking` does.
#[track_caller]
pub fn spawn_blocking<F, R>(f: F) -> tokio::task::JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let captured = capture();
    tokio::task::spawn_blocking(move || captured.enter(f))
}
