//! What a run did and took, as it is shown: rows leave out what is zero, this does not.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_engine::record::Counts;
use tidegate_engine::run;
use utoipa::ToSchema;

/// What a run did and took so far.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Figures {
    commits: u64,
    /// By model: records `added`, `updated`, `deleted` and `unchanged`.
    #[schema(value_type = Object)]
    counts: BTreeMap<String, Counts>,
    /// Requests sent, retries included.
    requests: u64,
    retries: u64,
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

impl From<&run::Figures> for Figures {
    fn from(figures: &run::Figures) -> Self {
        let counts = figures.counts.iter();
        Self {
            commits: figures.commits,
            counts: counts
                .map(|(model, counts)| (model.to_string(), *counts))
                .collect(),
            requests: figures.requests,
            retries: figures.retries,
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
