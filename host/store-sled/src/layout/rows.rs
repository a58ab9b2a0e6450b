//! The small rows: counters, connections, syncs and open snapshots.

use serde::{Deserialize, Serialize};
use tidegate_engine::integration::Connection;
use tidegate_engine::run::RunId;
use tidegate_engine::{Name, Timestamp};

use super::Corrupt;

/// The last numbers given out. None is ever given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Counters {
    pub(crate) fence: u64,
    pub(crate) feed: u64,
    pub(crate) connection: u64,
    pub(crate) sync: u64,
    pub(crate) event: u64,
}

/// A connection with the number that keys call it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConnectionRow {
    pub(crate) number: u64,
    pub(crate) connection: Connection,
}

/// A sync of a connection, in one variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SyncRow {
    pub(crate) number: u64,
}

/// An open snapshot of a model by a sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotRow {
    /// The feed's last sequence when the pass began: whatever has a later one has been saved since.
    pub(crate) begin_seq: u64,
    /// The number of the next delta of seen sequences.
    pub(crate) next_delta: u64,
    /// A record without an id was skipped, so that nothing may be deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) holes: bool,
    /// There was a pass before, and what it did not see is stored.
    pub(crate) repeated: bool,
    /// Set once its end is decided: what is unseen is being deleted, and an interruption must not
    /// stop that.
    pub(crate) ending: Option<Ending>,
}

/// What the end of a snapshot has left to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ending {
    pub(crate) run: RunId,
    pub(crate) model: Name,
    /// How many there were to delete.
    pub(crate) deletes: u64,
    pub(crate) checkpoint: Option<String>,
    pub(crate) now: Timestamp,
}

/// A row as it is stored.
pub(crate) fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, Corrupt> {
    // Most rows are no longer.
    let mut bytes = Vec::with_capacity(512);
    let written = serde_json::to_writer(&mut bytes, row);
    written.map_err(|_| Corrupt("a row can't be written as JSON"))?;
    Ok(bytes)
}

/// The row of [`encode`].
pub(crate) fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, Corrupt> {
    serde_json::from_slice(bytes).map_err(|_| Corrupt("a row is not the JSON it should be"))
}
