//! The trait of atomic commands that every backend implements.
//!
//! Each method is one command: it happens whole and durably, or not at all. It is not a key-value
//! API: a backend does one batch or one transaction for each. Ids are the caller's, so that
//! repeating a command whose answer was lost is harmless. Nothing here assumes that only one
//! process uses the store.

mod api_keys;
mod early;
mod jobs;
mod known;
mod requests;
mod runs;
mod schedules;
mod webhooks;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use webhooks::{DeliveryFilter, Due, DueDeliveries, DueDelivery, Replay, Replayed, Webhooks};

use crate::canonical::BodyHash;
use crate::cursor::{Cursor, CursorError};
use crate::idempotency::{IdempotencyKey, KeyUse, Keyed};
use crate::integration::{Connection, Digest, Integration, NewDeployment};
use crate::job::NewJob;
use crate::record::{Action, Counts, Page, PageError, Record};
use crate::run::{Failure, Fence, Figures, LogLine, NewRun, Run, RunEnd, RunId};
use crate::schedule::DefinitionError;
use crate::transfer::{ImportId, ImportPart, Imported};
use crate::upkeep::{CheckReport, Dropped, Pruned, Scope, StoreStats};
use crate::{ConnectionKey, ModelKey, Name, SyncKey, Timestamp};

pub use api_keys::ApiKeys;
pub use early::{Durable, EarlyAck};
pub use jobs::{Claim, Claimed, JobFilter, Jobs, QueueFigures, RetentionReport};
pub use known::{ModelError, check_model};
pub use requests::Requests;
pub use runs::{OUTCOMES, RunFilter};
pub use schedules::{Backfill, PutSchedule, RefirePolicy, ScheduleFilter, Schedules};
pub use tidegate_rules::snapshot::{
    EndSnapshot, Ended, Proof, SnapshotGuard, SnapshotRefusal, Unseen,
};

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

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// When the command returns, neither a crash nor a power cut loses it.
    #[default]
    Durable,
    /// A crash may lose the last moment's commits, each with its checkpoint.
    Relaxed,
}

/// Records, deletions and the checkpoint that goes with them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Commit {
    /// Checked by [`crate::record::prepare`].
    pub pages: Vec<Page>,
    /// JSON text; `None` leaves the checkpoint as it is.
    pub checkpoint: Option<String>,
    pub durability: Durability,
    /// The run's figures with this commit in them, but for `commits` and `counts`, which the
    /// store adds up.
    pub progress: Figures,
    pub now: Timestamp,
}

/// A started run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub fence: Fence,
    /// The sync's checkpoint, JSON text.
    pub checkpoint: Option<String>,
}

/// Which actions a reader wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionFilter {
    pub added: bool,
    pub updated: bool,
    pub deleted: bool,
}

impl ActionFilter {
    /// Everything.
    pub const ALL: Self = Self {
        added: true,
        updated: true,
        deleted: true,
    };

    /// Whether `action` passes.
    #[must_use]
    pub fn matches(self, action: Action) -> bool {
        match action {
            Action::Added => self.added,
            Action::Updated => self.updated,
            Action::Deleted => self.deleted,
        }
    }
}

/// A read of so many records, or fewer, is a small one: however many large ones go on, it waits for none of them.
pub const SMALL_READ: usize = 200;

/// A read of a change feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadChanges {
    pub model: ModelKey,
    /// `None` reads from the start.
    pub after: Option<Cursor>,
    pub filter: ActionFilter,
    /// At most this many records, at least 1.
    pub limit: usize,
    /// Stop after the record that reaches this many bytes of bodies.
    pub bytes_max: usize,
}

/// A page of a change feed, oldest first, each record once in its latest state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    pub records: Vec<Record>,
    /// Where to go on. Moves even when the filter left nothing.
    pub next: Cursor,
    /// Whether there was more when this was read.
    pub more: bool,
    /// The sequence of the feed's last change when this was read.
    pub newest: u64,
}

impl Changes {
    /// The cursor just after `record` of this page.
    #[must_use]
    pub fn cursor_after(&self, record: &Record) -> Cursor {
        Cursor {
            seq: record.seq,
            ..self.next
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
    #[serde(default)]
    pub pruned: u64,
}

/// What a backend must do. Commands that others want to hear of write their events in the same
/// transaction ([`Webhooks`]).
#[async_trait]
pub trait Store:
    ApiKeys + EarlyAck + Requests + Schedules + Jobs + Webhooks + Send + Sync + std::fmt::Debug
{
    /// Keep a component's bytes under their digest. Idempotent.
    async fn put_component(&self, bytes: Vec<u8>) -> Result<Digest, StoreError>;
    /// The bytes of a component, checked against their digest.
    async fn component(&self, digest: Digest) -> Result<Vec<u8>, StoreError>;

    /// Make a deployment the current one of its integration, which comes to be if it is new.
    /// Connections, checkpoints and records stay as they are. Returns the integration.
    async fn deploy(&self, deployment: NewDeployment) -> Result<Integration, StoreError>;
    async fn integration(&self, name: &Name) -> Result<Arc<Integration>, StoreError>;
    /// By name, at most `limit`, after `after`.
    async fn integrations(
        &self,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Integration>, StoreError>;

    /// Add a connection to an existing integration.
    async fn add_connection(&self, connection: Connection) -> Result<(), StoreError> {
        self.add_connections(vec![connection], Vec::new()).await
    }
    /// Add connections to an existing integration, all of them or none. One that is there just so,
    /// as when the answer was lost, is fine; `Exists` names another one. `jobs` are queued with those that are new, in
    /// the same step.
    async fn add_connections(
        &self,
        connections: Vec<Connection>,
        jobs: Vec<NewJob>,
    ) -> Result<(), StoreError>;
    /// Change each of these connections to what is given if its `revision` is still the one given,
    /// which then counts on. Says of each whether it is so now; the others stay as they are.
    async fn update_connections(&self, updates: Vec<Connection>) -> Result<Vec<bool>, StoreError>;
    async fn connection(&self, key: &ConnectionKey) -> Result<Connection, StoreError>;
    /// By name, at most `limit`, after `after`.
    async fn connections(
        &self,
        integration: &Name,
        after: Option<&crate::ConnectionName>,
        limit: usize,
    ) -> Result<Vec<Connection>, StoreError>;
    /// Merge `patch` into the metadata of the run's connection (RFC 7396); at most `bytes_max` when merged. Others
    /// than runs change it with [`Self::update_connections`].
    async fn merge_metadata(
        &self,
        run: RunId,
        fence: Fence,
        patch: Map<String, Value>,
        bytes_max: usize,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Record a run as running and hand out its fence. A sync runs once at a time for each key:
    /// `Busy` otherwise. Repeating it with the same id returns the same answer.
    async fn start_run(&self, run: NewRun) -> Result<Started, StoreError>;
    /// Like [`Self::start_run`], for an action under an idempotency key: take the key and start the
    /// run in one transaction, or hand out what an earlier run under the key came to. `Busy` while a
    /// run holds the key, `KeyConflict` with another input, `ManyKeys` when the connection has too many.
    async fn start_keyed_run(&self, run: NewRun, key: KeyUse) -> Result<Keyed, StoreError>;
    /// Store records, deletions, feed entries, checkpoint and progress in one transaction.
    /// Returns the counts for each page, in order.
    async fn commit_page(
        &self,
        run: RunId,
        fence: Fence,
        commit: Commit,
    ) -> Result<Vec<Counts>, StoreError>;
    /// Open a snapshot of `model`, or go on with the open one (true) unless `restart`.
    async fn begin_snapshot(
        &self,
        run: RunId,
        fence: Fence,
        model: &Name,
        restart: bool,
    ) -> Result<bool, StoreError>;
    /// Records that the open snapshot's pass has not seen: at most `limit`, in the order of the feed
    /// from the place `after` on, 0 at first. When the guard would refuse to delete all that are
    /// unseen, it does so now, and the snapshot is closed.
    async fn unseen(
        &self,
        run: RunId,
        fence: Fence,
        model: &Name,
        guard: SnapshotGuard,
        after: u64,
        limit: usize,
    ) -> Result<Unseen, StoreError>;
    /// Keep in mind what the open snapshot's pass has not seen, begin another pass, and store the
    /// checkpoint, in one step. Returns how many were unseen.
    async fn repeat_snapshot(
        &self,
        run: RunId,
        fence: Fence,
        model: &Name,
        checkpoint: Option<String>,
    ) -> Result<u64, StoreError>;
    /// Close the open snapshot, delete what it has not seen if the proof holds, and store the
    /// checkpoint, in one step. When the guard refuses, nothing is deleted and the
    /// snapshot is closed: what it saw may be the source's mistake, so the next one begins anew.
    async fn end_snapshot(
        &self,
        run: RunId,
        fence: Fence,
        model: &Name,
        end: EndSnapshot,
    ) -> Result<Ended, StoreError>;
    /// Write a run's end, and hand out the run. Only the first end of a run counts; a later one is `Fenced`.
    /// A run that holds an idempotency key lets go of it here.
    async fn finish_run(&self, run: RunId, fence: Fence, end: RunEnd) -> Result<Run, StoreError>;
    /// Like [`Self::finish_run`], for a run that succeeded under an idempotency key: with `output`,
    /// the JSON text that it returned, for those who repeat it.
    async fn finish_keyed_run(
        &self,
        run: RunId,
        fence: Fence,
        end: RunEnd,
        output: String,
    ) -> Result<Run, StoreError>;
    /// Forget the idempotency keys that have expired, and end all runs that are still `running` though nothing
    /// runs them, as `Interrupted` with `why`; returns those. Called once, when the only host starts.
    async fn recover_runs(&self, why: Failure, now: Timestamp) -> Result<Vec<RunId>, StoreError>;

    async fn run(&self, id: RunId) -> Result<Run, StoreError>;
    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>, StoreError>;
    /// Append to a run's log. Indexes are the caller's and increase: lines that don't come after the last one are
    /// there already, as when an answer was lost, and are passed over. A crash may lose the last
    /// moment's lines, but none of a run whose end is stored.
    async fn append_logs(&self, run: RunId, lines: Vec<LogLine>) -> Result<(), StoreError>;
    /// Lines with an index of at least `from`, at most `limit`.
    async fn logs(&self, run: RunId, from: u64, limit: usize) -> Result<Vec<LogLine>, StoreError>;

    async fn read_changes(&self, read: ReadChanges) -> Result<Changes, StoreError>;
    /// Records by id, deleted ones included, in the order asked: up to the one whose body (as it was saved) makes more
    /// than `bytes_max` bytes together, but of one id at least. Whoever gets fewer than there are ids asks for the rest.
    async fn records_within(
        &self,
        model: &ModelKey,
        ids: &[String],
        bytes_max: u64,
    ) -> Result<Vec<Option<Record>>, StoreError>;
    /// The same of all ids, whatever they take.
    async fn records(
        &self,
        model: &ModelKey,
        ids: &[String],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.records_within(model, ids, u64::MAX).await
    }
    async fn checkpoint(&self, key: &SyncKey) -> Result<Option<String>, StoreError>;
    /// The models that the connection has records of.
    async fn models(&self, key: &ConnectionKey) -> Result<Vec<(Name, ModelStats)>, StoreError>;

    /// The checkpoints of a connection's syncs, by name.
    async fn checkpoints(&self, key: &ConnectionKey) -> Result<Vec<(SyncKey, String)>, StoreError>;
    /// The canonical hashes of records and the bytes of their bodies as they were saved, in the
    /// order asked; of pruned and deleted records too.
    async fn hashes(
        &self,
        model: &ModelKey,
        ids: &[String],
    ) -> Result<Vec<Option<(BodyHash, u64)>>, StoreError>;

    /// Remove the bodies of the records that were last modified before `before`, deleted ones
    /// included. Hashes and times stay, so that a later pull finds them unchanged. Cursors that had
    /// not read them yet expire. Happens in steps from the oldest on: after a crash some bodies may
    /// be left, and repeating it goes on.
    async fn prune(&self, model: &ModelKey, before: Timestamp) -> Result<Pruned, StoreError>;
    /// Remove everything of `scope`. Readers see it gone at once, but for an integration, whose connections go some at a
    /// time, itself last: meanwhile nothing is added to it, and runs that begin end as cancelled. It returns when the space is
    /// free, and a crash on the way does not bring any of it back. `Busy` while a run of it has not
    /// ended.
    async fn drop_scope(&self, scope: &Scope) -> Result<Dropped, StoreError>;
    /// Drop a connection although runs of it have not ended: they end as cancelled in the same
    /// step, so that whatever they still write is `Fenced`, and go with it.
    async fn remove_connection(
        &self,
        key: &ConnectionKey,
        now: Timestamp,
    ) -> Result<Dropped, StoreError>;
    /// Whether what is written is stored. Once that has failed it does so until the store is opened again.
    async fn ready(&self) -> Result<(), StoreError>;
    /// Do now what was put off, compaction above all.
    async fn settle(&self) -> Result<(), StoreError>;

    /// Stage a part of an import, which the caller calls by `import`. Parts are numbered from 0; a
    /// part that was staged already is ignored.
    async fn stage_import(
        &self,
        import: ImportId,
        number: u64,
        part: ImportPart,
    ) -> Result<(), StoreError>;
    /// Make everything of an import visible in one step.
    async fn finish_import(&self, import: ImportId) -> Result<Imported, StoreError>;
    /// Forget what was staged. Fine if nothing was.
    async fn abort_import(&self, import: ImportId) -> Result<(), StoreError>;

    /// Compare everything stored with everything else that says something about it. Changes
    /// nothing. What is wrong is in the report; an error means that the check could not go on.
    async fn check(&self) -> Result<CheckReport, StoreError>;
    async fn stats(&self) -> Result<StoreStats, StoreError>;
    /// [`StoreStats::disk_bytes`] alone, which costs nothing.
    async fn disk_bytes(&self) -> Result<u64, StoreError>;

    /// Wait until everything that was acknowledged is on disk, and stop. Later commands fail.
    async fn close(&self) -> Result<(), StoreError>;
}
