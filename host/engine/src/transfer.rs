//! What an import brings into a store, part by part.
//!
//! An import is staged: nothing of it is seen before it is finished, and then all of it is. One
//! that is not finished, as when the process ends, leaves nothing behind.

use crate::canonical::{self, BodyHash};
use crate::error::StoreError;
use crate::integration::{Connection, Digest, Integration};
use crate::limits::Limits;
use crate::record::{self, Action};
use crate::{ModelKey, Name, SyncKey, Timestamp};

/// Names an import while it is staged; the caller chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImportId(pub u128);

/// A part of an import. Whatever it brings must not be there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportPart {
    /// With deployments whose components are stored.
    Integration(Box<Integration>),
    /// Of an integration that is there or in this import.
    Connection(Box<Connection>),
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

impl ImportedRecord {
    /// Check that it is a record of `model` as a commit could have stored it, and undamaged: its
    /// body has the hash and the length that come with it. `index` is for errors: its place among
    /// the records that came with it.
    pub fn check(&self, model: &Name, index: usize) -> Result<(), StoreError> {
        record::check_id(model, index, &self.id, &Limits::default())?;
        let damaged = |reason: String| StoreError::Damaged {
            place: format!("record {:?} of model {model}", self.id),
            reason,
        };
        let Some(body) = &self.body else {
            return Ok(());
        };
        if body.len() as u64 != self.body_len {
            return Err(damaged(format!(
                "its body has {} bytes, and comes with a size of {}",
                body.len(),
                self.body_len
            )));
        }
        match canonical::hash_and_repeats(body, false) {
            Ok((hash, false)) if hash == self.hash => Ok(()),
            Ok((_, true)) => Err(damaged(
                "a member of its body occurs more than once".to_owned(),
            )),
            Ok(_) => Err(damaged(
                "its body does not have the hash that comes with it".to_owned(),
            )),
            Err(error) => Err(damaged(format!("its body is no record's: {error}"))),
        }
    }

    /// Leave of members that occur more than once in an object of the body only the last, as a commit does:
    /// a file from elsewhere may have them.
    pub fn settle(&mut self) {
        let Some(body) = &mut self.body else {
            return;
        };
        // Whether it is as long as it says is still to be checked.
        let before = body.len() as u64;
        // What can't be hashed is refused by the check.
        let _ = canonical::settle(body);
        let after = body.len() as u64;
        if after != before && before == self.body_len {
            self.body_len = after;
        }
    }
}

/// The components that an integration's deployments need.
pub fn components(integration: &Integration) -> impl Iterator<Item = Digest> {
    let deployments = std::iter::once(&integration.current).chain(&integration.earlier);
    deployments.map(|deployment| deployment.digest)
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
