//! What upkeep commands take and say: retention, dropping, checking and sizes.

use serde::{Deserialize, Serialize};

use crate::{ConnectionKey, ModelKey, Name};

/// What to remove, with everything that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// An integration: its deployments and connections.
    Integration(Name),
    /// A connection: its models, checkpoints, runs and their logs.
    Connection(ConnectionKey),
    /// A model: its records, change feed and open snapshots. Checkpoints stay.
    Model(ModelKey),
}

impl Scope {
    /// Whether work for the connection `key` may touch what is in the scope.
    #[must_use]
    pub fn is_touched_by(&self, key: &ConnectionKey) -> bool {
        match self {
            Self::Integration(name) => key.integration == *name,
            Self::Connection(own) => key == own,
            Self::Model(model) => model.connection == *key,
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integration(name) => write!(f, "integration {name}"),
            Self::Connection(key) => write!(f, "connection {key}"),
            Self::Model(key) => write!(f, "model {} of {}", key.model, key.connection),
        }
    }
}

/// How many records a model has, exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModelStats {
    /// Not deleted.
    pub live: u64,
    pub deleted: u64,
    /// Bytes of the bodies that live records have, as they were saved.
    pub live_bytes: u64,
    /// Records, live or deleted, whose bodies retention removed.
    pub pruned: u64,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Dropped {
    pub connections: u64,
    /// Models that had records.
    pub models: u64,
    /// Deleted records included.
    pub records: u64,
    pub runs: u64,
}

/// What pruning did to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pruned {
    /// Records whose bodies were removed now, deleted ones included.
    pub records: u64,
    /// Bytes of these bodies.
    pub bytes: u64,
}

/// How large a store is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoreStats {
    /// Bytes of the database's files; 0 for a store that has none.
    pub disk_bytes: u64,
    /// Component files, and their bytes.
    pub components: u64,
    pub component_bytes: u64,
    pub integrations: u64,
    pub connections: u64,
    pub runs: u64,
    /// Models that have records.
    pub models: u64,
    /// All models together.
    pub total: ModelSize,
    /// The models that take most space, largest first, at most [`Self::LARGEST`].
    pub largest: Vec<(ModelKey, ModelSize)>,
}

impl StoreStats {
    /// Models listed one by one.
    pub const LARGEST: usize = 20;
}

/// How large a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModelSize {
    #[serde(flatten)]
    pub stats: ModelStats,
    /// Entries in segments, superseded ones included. The live share is records (live and deleted)
    /// of entries.
    pub entries: u64,
    pub segments: u64,
    /// Bytes of segments as stored.
    pub segment_bytes: u64,
}

impl ModelSize {
    /// Add another model's size.
    pub fn add(&mut self, other: &Self) {
        self.stats.live += other.stats.live;
        self.stats.deleted += other.stats.deleted;
        self.stats.live_bytes += other.stats.live_bytes;
        self.stats.pruned += other.stats.pruned;
        self.entries += other.entries;
        self.segments += other.segments;
        self.segment_bytes += other.segment_bytes;
    }
}

/// Something in a store that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The key, feed, run or file.
    pub place: String,
    pub what: String,
}

/// What a check of a whole store looked at and found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckReport {
    pub keys: u64,
    pub models: u64,
    /// Records whose index entry, feed entry and body were compared.
    pub records: u64,
    pub runs: u64,
    pub components: u64,
    /// All that is wrong; more than are listed.
    pub wrong: u64,
    /// The first [`Self::FINDINGS_MAX`] of them.
    pub findings: Vec<Finding>,
    /// What is not wrong but worth knowing: unused component files, unfinished removals.
    pub notes: Vec<String>,
}

impl CheckReport {
    /// Findings listed.
    pub const FINDINGS_MAX: usize = 100;

    /// Note something wrong.
    pub fn wrong(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.wrong += 1;
        if self.findings.len() < Self::FINDINGS_MAX {
            let (place, what) = (place.into(), what.into());
            self.findings.push(Finding { place, what });
        }
    }

    /// Add what another part of the check looked at and found.
    pub fn add(&mut self, other: Self) {
        let Self {
            keys,
            models,
            records,
            runs,
            components,
            wrong,
            findings,
            notes,
        } = other;
        self.keys += keys;
        self.models += models;
        self.records += records;
        self.runs += runs;
        self.components += components;
        self.wrong += wrong;
        let room = Self::FINDINGS_MAX.saturating_sub(self.findings.len());
        self.findings.extend(findings.into_iter().take(room));
        self.notes.extend(notes);
    }
}
