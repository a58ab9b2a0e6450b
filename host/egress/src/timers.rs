//! Time and chance, which tests set, and the longest wait that a server may ask for.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use futures::future::BoxFuture;

/// Longest that a request waits for one word of the upstream; beyond it the run ends, and the
/// scheduler waits instead.
pub(crate) const UPSTREAM_WAIT_MAX: Duration = Duration::from_secs(60);

/// Time and chance, so that tests need neither.
pub trait Timers: fmt::Debug + Send + Sync {
    /// What `Retry-After` dates are compared with.
    fn now(&self) -> SystemTime;
    /// What waiting is measured with: it never jumps.
    fn instant(&self) -> Instant;
    /// Ends after `time`.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
    /// A time between 0 and `most`, evenly spread.
    fn jitter(&self, most: Duration) -> Duration;
}

/// The machine's clock and a fast random generator: back-off needs no secrecy.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemTimers;

impl Timers for SystemTimers {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn jitter(&self, most: Duration) -> Duration {
        most.mul_f64(fastrand::f64())
    }
}
