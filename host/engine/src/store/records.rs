//! What runs write, and what readers read of it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Durable, EndSnapshot, Ended, RunFilter, SnapshotGuard, Unseen};
use crate::canonical::BodyHash;
use crate::error::StoreError;
use crate::feed::{Changes, ReadChanges};
use crate::idempotency::{KeyUse, Keyed};
use crate::record::{Counts, Page, Record};
use crate::run::{Fence, Figures, LogLine, NewRun, Run, RunEnd, RunId, Started};
use crate::upkeep::ModelStats;
use crate::{ConnectionKey, ModelKey, Name, SyncKey, Timestamp};

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

/// Runs with what they write, fenced; and reads, which need no fence.
///
/// Whoever has a run's fence may be on any host. Events that endpoints want are written in the same transaction
/// ([`Outbox`](super::Outbox)).
#[async_trait]
pub trait Records: Send + Sync {
    /// Record a run as running and hand out its fence. Any host calls it, for a run that no job is for. A sync runs once at a
    /// time for each key, on all hosts together: `Busy` otherwise. Idempotent by the run's id: the same answer again.
    async fn start_run(&self, run: NewRun) -> Result<Started, StoreError>;
    /// Like [`Self::start_run`], but answered before it is on disk (docs/decisions/0010). Every host sees the run at once;
    /// nothing that it does may leave its host before [`Durable::wait`] returns.
    async fn start_run_early(&self, run: NewRun) -> Result<(Started, Durable), StoreError>;
    /// Like [`Self::start_run`], for an action under an idempotency key: take the key and start the
    /// run in one transaction, or hand out what an earlier run under the key came to. Of two hosts that start at the same
    /// moment one takes the key. `Busy` while a run holds it, `KeyConflict` with another input, `ManyKeys` when the
    /// connection has too many.
    async fn start_keyed_run(&self, run: NewRun, key: KeyUse) -> Result<Keyed, StoreError>;

    /// Store records, deletions, feed entries, checkpoint and progress in one transaction, fenced. Sequences of a feed are
    /// given out in the order of commits, so no reader passes one that appears later. Returns the counts for each page, in
    /// order. Not idempotent: whoever lost the answer reads the checkpoint.
    async fn commit_page(
        &self,
        run: RunId,
        fence: Fence,
        commit: Commit,
    ) -> Result<Vec<Counts>, StoreError>;
    /// Open a snapshot of `model`, or go on with the open one (true) unless `restart`. Fenced. A snapshot belongs to the
    /// sync, so its next run goes on with it, on whatever host.
    async fn begin_snapshot(
        &self,
        run: RunId,
        fence: Fence,
        model: &Name,
        restart: bool,
    ) -> Result<bool, StoreError>;
    /// Records that the open snapshot's pass has not seen: at most `limit`, in the order of the feed
    /// from the place `after` on, 0 at first. When the guard would refuse to delete all that are
    /// unseen, it does so now, and the snapshot is closed. Fenced.
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
    /// checkpoint, in one step, fenced. Returns how many were unseen.
    async fn repeat_snapshot(
        &self,
        run: RunId,
        fence: Fence,
        model: &Name,
        checkpoint: Option<String>,
    ) -> Result<u64, StoreError>;
    /// Close the open snapshot, delete what it has not seen if the proof holds, and store the
    /// checkpoint, in one step, fenced. When the guard refuses, nothing is deleted and the
    /// snapshot is closed: what it saw may be the source's mistake, so the next one begins anew.
    async fn end_snapshot(
        &self,
        run: RunId,
        fence: Fence,
        model: &Name,
        end: EndSnapshot,
    ) -> Result<Ended, StoreError>;
    /// Merge `patch` into the metadata of the run's connection (RFC 7396); at most `bytes_max` when merged. Fenced. It
    /// counts as a change of the connection: others than runs use
    /// [`Catalog::update_connections`](super::Catalog::update_connections).
    async fn merge_metadata(
        &self,
        run: RunId,
        fence: Fence,
        patch: Map<String, Value>,
        bytes_max: usize,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Append to a run's log. Only the host that has the run does so; not fenced, as a run may say why it lost its fence.
    /// Idempotent by index: lines that don't come after the last one are there already, and are passed over. A crash may
    /// lose the last moment's lines, but none of a run whose end is stored.
    async fn append_logs(&self, run: RunId, lines: Vec<LogLine>) -> Result<(), StoreError>;

    /// Write a run's end, and hand out the run. Fenced: of several ends, from whatever hosts, the first counts. In the same
    /// transaction the run lets go of its idempotency key, its job takes the end in, and events are written.
    async fn finish_run(&self, run: RunId, fence: Fence, end: RunEnd) -> Result<Run, StoreError>;
    /// Like [`Self::finish_run`], but answered before it is on disk. A crash in the next moments may
    /// lose it: the run is then one that nothing runs, and ends as `Interrupted`.
    async fn finish_run_early(
        &self,
        run: RunId,
        fence: Fence,
        end: RunEnd,
    ) -> Result<Run, StoreError>;
    /// Like [`Self::finish_run`], for a run that succeeded under an idempotency key: with `output`,
    /// the JSON text that it returned, for those who repeat it.
    async fn finish_keyed_run(
        &self,
        run: RunId,
        fence: Fence,
        end: RunEnd,
        output: String,
    ) -> Result<Run, StoreError>;

    async fn run(&self, id: RunId) -> Result<Run, StoreError>;
    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>, StoreError>;
    /// Lines with an index of at least `from`, at most `limit`.
    async fn logs(&self, run: RunId, from: u64, limit: usize) -> Result<Vec<LogLine>, StoreError>;

    /// What no crash can take back any more: a cursor that one host gave out is good on all others.
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
    /// The canonical hashes of records and the bytes of their bodies as they were saved, in the
    /// order asked; of pruned and deleted records too.
    async fn hashes(
        &self,
        model: &ModelKey,
        ids: &[String],
    ) -> Result<Vec<Option<(BodyHash, u64)>>, StoreError>;
    /// The models that the connection has records of.
    async fn models(&self, key: &ConnectionKey) -> Result<Vec<(Name, ModelStats)>, StoreError>;
    async fn checkpoint(&self, key: &SyncKey) -> Result<Option<String>, StoreError>;
    /// The checkpoints of a connection's syncs, by name.
    async fn checkpoints(&self, key: &ConnectionKey) -> Result<Vec<(SyncKey, String)>, StoreError>;
}
