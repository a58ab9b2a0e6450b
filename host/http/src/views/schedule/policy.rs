//! What becomes of fires that overlap, are missed, or fail.

use serde::{Deserialize, Serialize};
use tidegate_engine::{job, schedule};
use utoipa::ToSchema;

use super::super::word::words;

/// What happens to a fire while an earlier one's job has not ended.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(tag = "policy", rename_all = "snake_case")]
pub(crate) enum Overlap {
    /// Nothing, and that is recorded. It is what holds unless another is given.
    #[default]
    Skip,
    /// One waits; further ones are skipped.
    QueueOne,
    /// The earlier one is cancelled.
    CancelPrevious,
    /// Up to `max` run at the same time; a sync still runs once at a time.
    Allow {
        #[schema(minimum = 1)]
        max: u32,
    },
}

impl From<schedule::Overlap> for Overlap {
    fn from(overlap: schedule::Overlap) -> Self {
        match overlap {
            schedule::Overlap::Skip => Self::Skip,
            schedule::Overlap::QueueOne => Self::QueueOne,
            schedule::Overlap::CancelPrevious => Self::CancelPrevious,
            schedule::Overlap::Allow { max } => Self::Allow { max },
        }
    }
}

impl From<Overlap> for schedule::Overlap {
    fn from(overlap: Overlap) -> Self {
        match overlap {
            Overlap::Skip => Self::Skip,
            Overlap::QueueOne => Self::QueueOne,
            Overlap::CancelPrevious => Self::CancelPrevious,
            Overlap::Allow { max } => Self::Allow { max },
        }
    }
}

words! {
    /// What happens to fires that were due while nothing could fire them.
    pub(crate) enum Misfire: Default of schedule::Misfire, and back {
        /// The latest is made up for, if it lies within the catch-up window.
        Latest = "latest" default,
        /// None is.
        Skip = "skip",
        /// The latest `max_catchup` of the window are.
        All = "all",
    }
}

/// How often and how fast a failure that may pass is tried again.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retry {
    /// Attempts in a row that get no further, the first included; 5 unless it is given.
    #[schema(minimum = 1)]
    max_attempts: u32,
    /// The wait before the second attempt, 5000 unless it is given; each further one is twice as long, give or take a fifth.
    #[schema(minimum = 100)]
    first_ms: u64,
    /// The longest wait; 3600000 unless it is given.
    max_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        job::Retry::default().into()
    }
}

impl From<job::Retry> for Retry {
    fn from(retry: job::Retry) -> Self {
        Self {
            max_attempts: retry.max_attempts,
            first_ms: retry.first_ms,
            max_ms: retry.max_ms,
        }
    }
}

impl From<Retry> for job::Retry {
    fn from(retry: Retry) -> Self {
        Self {
            max_attempts: retry.max_attempts,
            first_ms: retry.first_ms,
            max_ms: retry.max_ms,
        }
    }
}

words! {
    /// Who made a schedule.
    pub(crate) enum ScheduleOrigin of schedule::Origin {
        /// The manifest's default, for each connection.
        Manifest = "manifest",
        /// A person or an application.
        User = "user",
    }
}
