//! What runs write, and reads: each command takes the lock, and does its part of the state's work.

use async_trait::async_trait;
use serde_json::{Map, Value};
use tidegate_engine::canonical::BodyHash;
use tidegate_engine::idempotency::{KeyUse, Keyed};
use tidegate_engine::record::{Counts, Record};
use tidegate_engine::run::{Fence, LogLine, NewRun, Run, RunEnd, RunId};
use tidegate_engine::store::{
    Changes, Commit, Durable, EndSnapshot, Ended, ModelStats, ReadChanges, Records, RunFilter,
    SnapshotGuard, Started, Unseen,
};
use tidegate_engine::{ConnectionKey, ModelKey, Name, StoreError, SyncKey, Timestamp};

use crate::{MemoryStore, not_found};

#[async_trait]
impl Records for MemoryStore {
    async fn start_run(&self, run: NewRun) -> Result<Started, StoreError> {
        self.with(|state| state.start_run(run))
    }

    async fn start_run_early(&self, run: NewRun) -> Result<(Started, Durable), StoreError> {
        Ok((self.start_run(run).await?, Durable::already()))
    }

    async fn start_keyed_run(&self, run: NewRun, key: KeyUse) -> Result<Keyed, StoreError> {
        self.with(|state| state.start_keyed_run(run, &key))
    }

    async fn commit_page(
        &self,
        run: RunId,
        fence: Fence,
        commit: Commit,
    ) -> Result<Vec<Counts>, StoreError> {
        self.with(|state| state.commit_page(run, fence, commit))
    }

    async fn begin_snapshot(
        &self,
        run: RunId,
        fence: Fence,
        model: &Name,
        restart: bool,
    ) -> Result<bool, StoreError> {
        self.with(|state| state.begin_snapshot(run, fence, model, restart))
    }

    async fn unseen(
        &self,
        run: RunId,
        fence: Fence,
        model: &Name,
        guard: SnapshotGuard,
        after: u64,
        limit: usize,
    ) -> Result<Unseen, StoreError> {
        self.with(|state| state.unseen(run, fence, model, guard, after, limit))
    }

    async fn repeat_snapshot(
        &self,
        run: RunId,
        fence: Fence,
        model: &Name,
        checkpoint: Option<String>,
    ) -> Result<u64, StoreError> {
        self.with(|state| state.repeat_snapshot(run, fence, model, checkpoint))
    }

    async fn end_snapshot(
        &self,
        run: RunId,
        fence: Fence,
        model: &Name,
        end: EndSnapshot,
    ) -> Result<Ended, StoreError> {
        self.with(|state| state.end_snapshot(run, fence, model, end))
    }

    async fn merge_metadata(
        &self,
        run: RunId,
        fence: Fence,
        patch: Map<String, Value>,
        bytes_max: usize,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.with(|state| state.merge_metadata(run, fence, &patch, bytes_max, now))
    }

    async fn append_logs(&self, run: RunId, lines: Vec<LogLine>) -> Result<(), StoreError> {
        self.with(|state| state.append_logs(run, lines))
    }

    async fn finish_run(&self, run: RunId, fence: Fence, end: RunEnd) -> Result<Run, StoreError> {
        self.with(|state| state.finish_run(run, fence, end))
    }

    async fn finish_run_early(
        &self,
        run: RunId,
        fence: Fence,
        end: RunEnd,
    ) -> Result<Run, StoreError> {
        self.finish_run(run, fence, end).await
    }

    async fn finish_keyed_run(
        &self,
        run: RunId,
        fence: Fence,
        end: RunEnd,
        output: String,
    ) -> Result<Run, StoreError> {
        self.with(|state| state.finish_keyed_run(run, fence, end, output))
    }

    async fn run(&self, id: RunId) -> Result<Run, StoreError> {
        self.with(|state| {
            state
                .runs
                .get(&id)
                .cloned()
                .ok_or_else(|| not_found("run", &id))
        })
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>, StoreError> {
        self.with(|state| Ok(state.list_runs(&filter)))
    }

    async fn logs(&self, run: RunId, from: u64, limit: usize) -> Result<Vec<LogLine>, StoreError> {
        self.with(|state| state.read_logs(run, from, limit))
    }

    async fn read_changes(&self, read: ReadChanges) -> Result<Changes, StoreError> {
        self.with(|state| state.read_changes(&read))
    }

    async fn records_within(
        &self,
        model: &ModelKey,
        ids: &[String],
        bytes_max: u64,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.with(|state| state.records(model, ids, bytes_max))
    }

    async fn hashes(
        &self,
        model: &ModelKey,
        ids: &[String],
    ) -> Result<Vec<Option<(BodyHash, u64)>>, StoreError> {
        self.with(|state| state.hashes(model, ids))
    }

    async fn models(&self, key: &ConnectionKey) -> Result<Vec<(Name, ModelStats)>, StoreError> {
        self.with(|state| state.models(key))
    }

    async fn checkpoint(&self, key: &SyncKey) -> Result<Option<String>, StoreError> {
        self.with(|state| {
            state.connection(&key.connection)?;
            Ok(state.checkpoints.get(key).cloned())
        })
    }

    async fn checkpoints(&self, key: &ConnectionKey) -> Result<Vec<(SyncKey, String)>, StoreError> {
        self.with(|state| state.list_checkpoints(key))
    }
}
