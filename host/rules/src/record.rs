//! Records, pages, changes and the rules that a page must keep before it reaches a store.

mod prepare;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::canonical::{BodyError, BodyHash};
use crate::{Blame, Name, Timestamp, is_default};

pub use prepare::{check_body, check_checkpoint, check_id, check_is_json, granted, prepare};

/// What last happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Saved for the first time, or again after a deletion.
    Added,
    /// Saved with another body.
    Updated,
    /// Gone at the source; the last body is kept.
    Deleted,
}

impl Action {
    /// The word for people and programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

/// A record as the change feed and `get` show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub id: String,
    /// JSON text as it was saved; `None` when retention pruned it.
    pub body: Option<String>,
    pub action: Action,
    pub first_seen_at: Timestamp,
    pub last_modified_at: Timestamp,
    /// When it was deleted, for a deleted record.
    pub deleted_at: Option<Timestamp>,
    /// Its place in the change feed.
    pub seq: u64,
}

/// A record to save.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Save {
    pub id: String,
    /// JSON text; an object.
    pub body: String,
    /// That of the body, once it was checked ([`prepare`]); it is in no cassette.
    #[serde(skip)]
    pub hash: Option<BodyHash>,
}

impl PartialEq for Save {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.body == other.body
    }
}

impl Eq for Save {}

/// A record of the outside API that can't be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// At its source, if it is known. A record without one could be any of those that are stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Which one of the page it was, from 0.
    pub position: u32,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            position,
            reason,
        } = self;
        match id {
            Some(id) => write!(f, "record {id:?} can't be stored: {reason}"),
            None => write!(f, "record {position} of the page can't be stored: {reason}"),
        }
    }
}

/// Changes of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    pub model: Name,
    pub save: Vec<Save>,
    /// Taken before the saves, so that an id in both ends up saved.
    pub delete: Vec<String>,
    /// What is left out, and counted. Of these ids open snapshots count those that are stored as seen; one
    /// without an id makes them not whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// How many of `save` may become `skipped` when the page is prepared.
    #[serde(default, skip_serializing_if = "is_default")]
    pub may_skip: u32,
}

impl Page {
    /// A page that changes nothing.
    #[must_use]
    pub fn of(model: Name) -> Self {
        Self {
            model,
            save: Vec::new(),
            delete: Vec::new(),
            skipped: Vec::new(),
            may_skip: 0,
        }
    }

    /// Whether it changes nothing, and says nothing of any record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Records that it saves, deletes or skips.
    #[must_use]
    pub fn len(&self) -> usize {
        self.save.len() + self.delete.len() + self.skipped.len()
    }
}

/// What a commit did to one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    pub added: u64,
    pub updated: u64,
    pub deleted: u64,
    pub unchanged: u64,
    /// Could not be stored, and was left out.
    pub skipped: u64,
}

impl Counts {
    /// Add another commit's counts.
    pub fn add(&mut self, other: Self) {
        self.added += other.added;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.unchanged += other.unchanged;
        self.skipped += other.skipped;
    }

    /// All that was looked at.
    #[must_use]
    pub fn total(self) -> u64 {
        self.added + self.updated + self.deleted + self.unchanged + self.skipped
    }
}

/// Why a page is refused. Nothing of its commit is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    #[error(
        "model {model}: record {index} has an empty id; each record needs the id it has at its source"
    )]
    EmptyId { model: Name, index: usize },
    #[error(
        "model {model}: the id of record {index} has {bytes} bytes; the limit record_id_bytes is {max}"
    )]
    LongId {
        model: Name,
        index: usize,
        bytes: usize,
        max: u64,
    },
    #[error("model {model}: the id of record {index}, {id:?}, has a control character")]
    ControlInId {
        model: Name,
        index: usize,
        id: String,
    },
    #[error(
        "model {model}: the body of record {id:?} has {bytes} bytes; the limit record_bytes is {max}"
    )]
    LongBody {
        model: Name,
        id: String,
        bytes: usize,
        max: u64,
    },
    #[error(
        "model {model}: the body of record {id:?} is not a JSON object that can be stored: {reason}"
    )]
    Body {
        model: Name,
        id: String,
        reason: BodyError,
    },
    #[error(
        "model {model}: the body of record {id:?} is nested deeper than the limit json_depth, {max}",
        max = crate::limits::JSON_DEPTH
    )]
    DeepBody { model: Name, id: String },
    #[error("{first} (and the page has more such records than the {most} that may be skipped)")]
    ManyBad { first: Box<PageError>, most: u32 },
    #[error(
        "model {model}: {first} (and the page has more such records than the {most} that may be skipped)"
    )]
    ManySkipped {
        model: Name,
        first: Box<Skipped>,
        /// The page has no record that can be stored, nor an id: whoever took it apart looked in the wrong
        /// place.
        none_fits: bool,
        most: u32,
    },
    #[error(
        "a commit of {records} records and deletions; the limit records_per_commit is {max}: commit smaller pages"
    )]
    ManyRecords { records: usize, max: u64 },
    #[error(
        "a commit of {bytes} bytes of bodies; the limit commit_bytes is {max}: commit smaller pages"
    )]
    ManyBytes { bytes: u64, max: u64 },
    #[error("the checkpoint has {bytes} bytes; the limit checkpoint_bytes is {max}")]
    LongCheckpoint { bytes: usize, max: u64 },
    #[error("the metadata would have {bytes} bytes when merged; the limit is {max}")]
    LongMetadata { bytes: usize, max: usize },
    #[error("the checkpoint is not JSON: {reason}")]
    Checkpoint { reason: String },
}

impl PageError {
    /// Who must act: a number out of range or an id that is too long came from the outside API; what is no
    /// JSON at all, or too much at once, is the plugin's own.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::LongId { .. }
            | Self::ControlInId { .. }
            | Self::LongBody { .. }
            | Self::DeepBody { .. } => Blame::Upstream,
            Self::Body { reason, .. } if reason.is_of_a_value() => Blame::Upstream,
            Self::ManyBad { first, .. } => first.blame(),
            Self::ManySkipped { none_fits, .. } if !none_fits => Blame::Upstream,
            _ => Blame::Guest,
        }
    }
}
