//! What an import brings into a store, part by part.
//!
//! An import is staged: nothing of it is seen before it is finished, and then all of it is. One
//! that is not finished, as when the process ends, leaves nothing behind.

use crate::canonical::BodyHash;
use crate::integration::{Connection, Integration};
use crate::record::Action;
use crate::{ModelKey, SyncKey, Timestamp};

/// Names an import while it is staged; the caller chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImportId(pub u128);

/// A part of an import. Whatever it brings must not be there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportPart {
    /// With deployments whose components are stored.
    Integration(Integration),
    /// Of an integration that is there or in this import.
    Connection(Connection),
    /// The next records of a model, in the order of their feed. The connection is there or in this
    /// import; the model has no records but those of this import.
    Records {
        model: ModelKey,
        records: Vec<ImportedRecord>,
    },
    /// Of a connection in this import.
    Checkpoint { key: SyncKey, checkpoint: String },
}

/// A record with the metadata that it had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedRecord {
    pub id: String,
    /// JSON text; `None` when retention pruned it.
    pub body: Option<String>,
    /// The canonical hash of the body; without it a pruned record could not be told from a changed
    /// one.
    pub hash: BodyHash,
    /// Bytes of the body as it was saved, pruned or not.
    pub body_len: u64,
    pub action: Action,
    pub first_seen_at: Timestamp,
    pub last_modified_at: Timestamp,
}

/// What an import brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    pub integrations: u64,
    pub connections: u64,
    pub models: u64,
    pub records: u64,
    pub checkpoints: u64,
}
