//! Whether the store has answered lately.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long ago it may have answered, then. The server itself asks it every few seconds.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// When the store last answered that it can write.
#[derive(Debug, Default)]
pub(crate) struct Pulse(Mutex<Option<Instant>>);

impl Pulse {
    pub(crate) fn beats(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    pub(super) fn is_fresh(&self) -> bool {
        let last = *self.0.lock();
        last.is_some_and(|last| last.elapsed() < ANSWERED_WITHIN)
    }
}
