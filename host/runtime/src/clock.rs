//! Time, as hosts and guests see it. A guest has one clock, in milliseconds, behind all the
//! interfaces that tell the time; a recording keeps what it read, and a replay gives it again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_engine::Timestamp;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use crate::tape::Tape;

/// How fine a guest's clock is.
const RESOLUTION: Duration = Duration::from_millis(1);

/// Says what time it is; injected so that tests decide.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that answers with `now`.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            Timestamp(since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
        })
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The clock of one run's guest.
#[derive(Clone)]
pub(crate) struct GuestClock {
    pub(crate) clock: Clock,
    pub(crate) tape: Option<Arc<Tape>>,
}

impl GuestClock {
    /// Now, as the guest is told.
    pub(crate) fn now(&self) -> Timestamp {
        match &self.tape {
            None => self.clock.now(),
            Some(tape) => tape.clock(|| self.clock.now()),
        }
    }
}

/// `wasi:clocks/wall-clock`.
pub(crate) struct WallClock(pub(crate) GuestClock);

impl HostWallClock for WallClock {
    fn resolution(&self) -> Duration {
        RESOLUTION
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.now().0)
    }
}

/// `wasi:clocks/monotonic-clock`: since the run's start, and never backwards.
pub(crate) struct MonotonicClock {
    clock: GuestClock,
    started_at: Timestamp,
    latest_ns: AtomicU64,
}

impl MonotonicClock {
    pub(crate) fn new(clock: GuestClock, started_at: Timestamp) -> Self {
        Self {
            clock,
            started_at,
            latest_ns: AtomicU64::new(0),
        }
    }
}

impl HostMonotonicClock for MonotonicClock {
    fn resolution(&self) -> u64 {
        u64::try_from(RESOLUTION.as_nanos()).unwrap_or(u64::MAX)
    }

    fn now(&self) -> u64 {
        let since = self.clock.now().since(self.started_at);
        let ns = since.saturating_mul(self.resolution());
        self.latest_ns.fetch_max(ns, Ordering::Relaxed).max(ns)
    }
}
