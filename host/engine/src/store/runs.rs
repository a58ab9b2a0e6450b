//! Which runs to list.

use serde::{Deserialize, Serialize};

use crate::run::{Run, RunId};
use crate::{ConnectionKey, Name};

/// The words for what a run has come to, as [`Run::outcome`] has them.
pub const OUTCOMES: [&str; 7] = [
    "running",
    "success",
    "failed",
    "interrupted",
    "stalled",
    "cancelled",
    "skipped",
];

/// Which runs to list, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunFilter {
    pub integration: Option<Name>,
    pub connection: Option<ConnectionKey>,
    /// One of [`OUTCOMES`].
    #[serde(default)]
    pub outcome: Option<String>,
    /// Only runs older than this one.
    pub before: Option<RunId>,
    pub limit: usize,
}

impl RunFilter {
    /// Whether `run` is one of those, apart from `before` and `limit`.
    #[must_use]
    pub fn matches(&self, run: &Run) -> bool {
        let key = run.target.connection();
        self.integration
            .as_ref()
            .is_none_or(|name| key.integration == *name)
            && self.connection.as_ref().is_none_or(|wanted| key == wanted)
            && self
                .outcome
                .as_ref()
                .is_none_or(|wanted| run.outcome() == wanted)
    }
}
