//! What a run's requests waited for.

use serde::{Deserialize, Serialize};

use crate::is_default;

/// How long a run's requests waited before they were sent, all of them together, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WaitTimes {
    /// The connection's own rate limit.
    #[serde(skip_serializing_if = "is_default")]
    pub rate_limit_ms: u64,
    /// What the API had said to a request before: a quota that is used up, a pause.
    #[serde(skip_serializing_if = "is_default")]
    pub pace_ms: u64,
    /// `Retry-After`, before the same request was sent again.
    #[serde(skip_serializing_if = "is_default")]
    pub retry_after_ms: u64,
    /// Our own back-off, before it was sent again.
    #[serde(skip_serializing_if = "is_default")]
    pub backoff_ms: u64,
    /// Requests that were not sent again because the retry budget was spent.
    #[serde(skip_serializing_if = "is_default")]
    pub retries_unpaid: u64,
}
