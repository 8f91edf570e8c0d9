//! Instants ahead that cannot overflow.

use std::time::Duration;

use tokio::time::Instant;

/// An instant that far ahead; what is beyond the clock's range is as good as never.
pub(crate) fn after(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time)
        .unwrap_or(now + Duration::from_secs(365 * 86_400))
}
