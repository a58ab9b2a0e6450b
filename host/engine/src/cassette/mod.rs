//! Cassettes: one run of one sync as lines of JSON, to be replayed without network or store.
//!
//! Pure: whoever records brings the bytes to a file, and whoever replays brings them back. What a
//! cassette holds, and what it leaves out, is described in `docs/cassettes.md`.
//!
//! # Layout
//!
//! | module | its one job |
//! |---|---|
//! | `shape` | the lines: head, calls, answers, readings of the clock, log lines, end |
//! | `body` | bytes as text, or as base64 when they are none |
//! | `write` | lines out, within limits; headers that are left out |
//! | `read` | lines in: every line checked, errors with its number |
//! | `player` | which recorded answer a call gets |
//! | `difference` | what a replay did otherwise than the recording, for people |
//! | `json_diff` | where two JSON texts differ |

mod body;
mod difference;
mod json_diff;
mod player;
mod read;
mod shape;
#[cfg(test)]
mod tests;
mod write;

pub use body::Body;
pub use difference::{Difference, differences, log_differences};
pub use player::{Playback, Player};
pub use read::CassetteError;
pub use shape::{
    Answer, Ask, Change, CommitAsk, End, Event, Exchange, Head, LoggedLine, Moment, PluginId,
    Refusal, RefusalKind, Response, Seed, VERSION,
};
pub use write::{HEADERS_LEFT_OUT, LineError, Writer, kept_headers};

/// Largest cassette that is written or read, in bytes: what one process can hold in memory.
pub const CASSETTE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Longest line, in bytes: the largest response or commit fits, even when half of it is escaped.
pub const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A whole recorded run, as [`Cassette::parse`] reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cassette {
    pub head: Head,
    /// In the order in which they were made.
    pub calls: Vec<Call>,
    /// What the guest read from its clock, in order.
    pub clock: Vec<Moment>,
    pub log: Vec<LoggedLine>,
    pub end: End,
}

/// A call of the guest, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub ask: Ask,
    /// With its place among all answers; `None` when the guest did not wait for it, or the run was
    /// cut before it came.
    pub answer: Option<(u64, Answer)>,
}

impl Cassette {
    /// What the run did to the store: commits, snapshots and metadata, in order.
    pub fn effects(&self) -> impl Iterator<Item = &Ask> {
        self.calls
            .iter()
            .map(|call| &call.ask)
            .filter(|ask| ask.is_effect())
    }

    /// Whether something outside the guest ended the run, at a moment that a replay can't repeat:
    /// a limit on time, the operator, or a host that ended.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        const LIMITS_ON_TIME: [&str; 2] = ["wall_ms", "cpu_ms"];
        self.end.outcome == crate::run::Outcome::Cancelled
            || self.end.failure.as_ref().is_some_and(|failure| {
                let limit = failure.limit.as_deref();
                limit.is_some_and(|limit| LIMITS_ON_TIME.contains(&limit))
            })
    }
}
