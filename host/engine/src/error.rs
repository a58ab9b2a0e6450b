//! Why a command of a store did not happen.

use crate::cursor::CursorError;
use crate::idempotency_key::IdempotencyKey;
use crate::record::PageError;
use crate::run::RunId;
use crate::schedule::DefinitionError;
use crate::{ConnectionKey, Name};
use tidegate_rules::snapshot::SnapshotRefusal;

/// Why a command did not happen. Nothing of it was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("no {what} {name:?}")]
    NotFound { what: &'static str, name: String },
    #[error("{what} {name:?} exists already")]
    Exists { what: &'static str, name: String },
    /// There are as many as the fixed limit `limit` allows.
    #[error(
        "there are {most} {what} already, the most there may be (limit {limit}): remove one first"
    )]
    Full {
        what: &'static str,
        limit: &'static str,
        most: u64,
    },
    /// Another run holds what this one needs.
    #[error("{what} is busy: {by} is running")]
    Busy { what: String, by: String },
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// The key was used for something else.
    #[error(
        "the idempotency key {key} was used with another input, by {by}: a key stands for one input, so \
         take a new key for a new one"
    )]
    KeyConflict { key: IdempotencyKey, by: String },
    #[error(
        "connection {connection} has {keys} idempotency keys of the last 24 hours, the most that are kept; none \
         is forgotten early, as its action might then act twice"
    )]
    ManyKeys {
        connection: ConnectionKey,
        keys: u64,
    },
    /// This run ended, was removed with its connection, or another took over: it may not write.
    #[error("run {run} may no longer write: it has ended, is gone, or another run took over")]
    Fenced { run: RunId },
    #[error("no snapshot of {model} is open: begin-snapshot comes first")]
    NoSnapshot { model: Name },
    #[error(transparent)]
    Guard(#[from] SnapshotRefusal),
    /// A schedule can't be as it is asked for.
    #[error("the schedule: {0}")]
    Definition(DefinitionError),
    /// Somebody has changed it since the caller read it.
    #[error("{what} {name} has been changed: its revision is {revision} now")]
    Stale {
        what: &'static str,
        name: String,
        revision: u64,
    },
    /// It is not in the state that this needs.
    #[error("{what} {name} is {state}, and has to be {wanted}")]
    State {
        what: &'static str,
        name: String,
        state: &'static str,
        wanted: &'static str,
    },
    /// Something stored does not have its checksum, or contradicts itself. It is never served.
    #[error("damaged data at {place}: {reason}")]
    Damaged { place: String, reason: String },
    /// The backend failed: disk full, an I/O error.
    #[error("the store failed: {0}")]
    Backend(String),
}
