//! How often and how fast a job is tried again.

use serde::{Deserialize, Serialize};

use super::{ATTEMPTS_MAX, BACKOFF_MS_MAX, JobId};
use crate::backoff::{Exponential, jittered_ms};
use crate::limits::RETRY_AFTER_MAX_MS;
use crate::schedule::{DefinitionError, bounds};

/// How often and how fast a failure that may pass is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Attempts in a row that get no further, the first included.
    pub max_attempts: u32,
    /// The wait before the second attempt; each further one is twice as long, give or take a fifth.
    pub first_ms: u64,
    /// The longest wait.
    pub max_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 5,
            first_ms: 5_000,
            max_ms: 60 * 60 * 1000,
        }
    }
}

impl Retry {
    pub(crate) fn check(self) -> Result<(), DefinitionError> {
        bounds(
            "retry.max_attempts",
            self.max_attempts.into(),
            1,
            ATTEMPTS_MAX.into(),
        )?;
        bounds("retry.first_ms", self.first_ms, 100, BACKOFF_MS_MAX)?;
        bounds("retry.max_ms", self.max_ms, self.first_ms, BACKOFF_MS_MAX)
    }

    /// The wait after the failure `attempt` (from 1) in a row of `job`. What the source asked for is the
    /// least, as far as that is believed.
    #[must_use]
    pub fn wait_ms(self, job: JobId, attempt: u32, asked_ms: Option<u64>) -> u64 {
        let backoff = Exponential {
            first_ms: self.first_ms,
            max_ms: self.max_ms,
        };
        let wait = jittered_ms(backoff.wait_ms(attempt), &format!("{job} {attempt}"));
        wait.max(asked_ms.unwrap_or_default().min(RETRY_AFTER_MAX_MS))
    }
}
