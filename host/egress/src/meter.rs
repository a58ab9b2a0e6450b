//! What a run has sent and received so far, and what is left of its budgets.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use tidegate_engine::limits::Limits;
use tidegate_engine::run::WaitTimes;

use crate::error::EgressError;

/// What a session has sent and received.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// Requests sent, retries and redirects included.
    pub requests: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Response bodies after decompression, in bytes.
    pub bytes_in: u64,
    /// Request bodies, in bytes.
    pub bytes_out: u64,
    /// Answers by status. Requests without one got none.
    pub statuses: BTreeMap<u16, u64>,
    pub waited: WaitTimes,
}

/// Why a request waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitReason {
    RateLimit,
    Pace,
    RetryAfter,
    Backoff,
}

/// The counters of one session.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Calls of `send`, which the budget counts.
    calls: AtomicU64,
    requests: AtomicU64,
    retries: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    statuses: Mutex<BTreeMap<u16, u64>>,
    waited: Mutex<WaitTimes>,
}

impl Meter {
    /// One more call, if the budgets allow it.
    pub(crate) fn call(&self, limits: &Limits) -> Result<(), EgressError> {
        if self.calls.fetch_add(1, Ordering::Relaxed) >= limits.http_requests {
            return Err(EgressError::exhausted(
                "http_requests",
                "requests",
                limits.http_requests,
            ));
        }
        self.received(0, limits)
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// A request has its answer's head.
    pub(crate) fn answered(&self, status: StatusCode) {
        let mut statuses = self.statuses.lock();
        *statuses.entry(status.as_u16()).or_default() += 1;
    }

    /// A request has waited for so long.
    pub(crate) fn waited(&self, why: WaitReason, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut waited = self.waited.lock();
        let sum = match why {
            WaitReason::RateLimit => &mut waited.rate_limit_ms,
            WaitReason::Pace => &mut waited.pace_ms,
            WaitReason::RetryAfter => &mut waited.retry_after_ms,
            WaitReason::Backoff => &mut waited.backoff_ms,
        };
        *sum = sum.saturating_add(ms);
    }

    /// A request was not repeated, as the retry budget is spent.
    pub(crate) fn unpaid(&self) {
        let mut waited = self.waited.lock();
        waited.retries_unpaid += 1;
    }

    /// `bytes` more of a response's body.
    pub(crate) fn received(&self, bytes: usize, limits: &Limits) -> Result<(), EgressError> {
        let before = self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
        let all = limits.http_total_bytes;
        if before >= all || before.saturating_add(bytes as u64) > all {
            return Err(EgressError::exhausted(
                "http_total_bytes",
                "response bytes",
                all,
            ));
        }
        Ok(())
    }

    pub(crate) fn figures(&self) -> Figures {
        Figures {
            requests: self.requests.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            statuses: self.statuses.lock().clone(),
            waited: *self.waited.lock(),
        }
    }
}
