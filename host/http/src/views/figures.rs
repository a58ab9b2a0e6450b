//! What a run did and took, as it is shown: rows leave out what is zero, this does not.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_engine::record;
use tidegate_engine::run;
use utoipa::ToSchema;

/// What a run did and took so far.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Figures {
    commits: u64,
    /// By model.
    counts: BTreeMap<String, Counts>,
    /// Requests sent, retries included.
    requests: u64,
    retries: u64,
    /// Answers by status; requests without one got none.
    #[schema(value_type = BTreeMap<String, u64>)]
    statuses: BTreeMap<u16, u64>,
    waited: WaitTimes,
    bytes_out: u64,
    /// Bodies after decompression.
    bytes_in: u64,
    /// CPU time of the guest.
    cpu_ms: u64,
    wall_ms: u64,
    /// Peak linear memory of the guest.
    memory_bytes: u64,
    log_lines: u64,
    log_lines_dropped: u64,
}

/// How many records.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecordCounts)]
pub(crate) struct Counts {
    added: u64,
    updated: u64,
    deleted: u64,
    unchanged: u64,
    /// They could not be stored, and were left out.
    skipped: u64,
}

impl From<record::Counts> for Counts {
    fn from(counts: record::Counts) -> Self {
        Self {
            added: counts.added,
            updated: counts.updated,
            deleted: counts.deleted,
            unchanged: counts.unchanged,
            skipped: counts.skipped,
        }
    }
}

/// How long its requests waited before they were sent, all of them together, and what for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WaitTimes {
    /// The connection's own rate limit.
    rate_limit_ms: u64,
    /// What the API had said to a request before: a quota that is used up, a pause.
    pace_ms: u64,
    /// `Retry-After`, before the same request was sent again.
    retry_after_ms: u64,
    /// Our own back-off, before it was sent again.
    backoff_ms: u64,
    /// Requests that were not sent again because the retry budget was spent.
    retries_unpaid: u64,
}

impl From<&run::WaitTimes> for WaitTimes {
    fn from(waited: &run::WaitTimes) -> Self {
        Self {
            rate_limit_ms: waited.rate_limit_ms,
            pace_ms: waited.pace_ms,
            retry_after_ms: waited.retry_after_ms,
            backoff_ms: waited.backoff_ms,
            retries_unpaid: waited.retries_unpaid,
        }
    }
}

impl From<&run::Figures> for Figures {
    fn from(figures: &run::Figures) -> Self {
        let counts = figures.counts.iter();
        Self {
            commits: figures.commits,
            counts: counts
                .map(|(model, counts)| (model.to_string(), (*counts).into()))
                .collect(),
            requests: figures.requests,
            retries: figures.retries,
            statuses: figures.statuses.clone(),
            waited: (&figures.waited).into(),
            bytes_out: figures.bytes_out,
            bytes_in: figures.bytes_in,
            cpu_ms: figures.cpu_ms,
            wall_ms: figures.wall_ms,
            memory_bytes: figures.memory_bytes,
            log_lines: figures.log_lines,
            log_lines_dropped: figures.log_lines_dropped,
        }
    }
}
