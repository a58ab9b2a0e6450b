//! What runs write, and reads.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tidegate_engine::canonical::BodyHash;
use tidegate_engine::idempotency::{KeyUse, Keyed};
use tidegate_engine::record::{Counts, Record};
use tidegate_engine::run::{Fence, LogLine, NewRun, Run, RunEnd, RunId};
use tidegate_engine::store::{
    Changes, Commit, Durability, Durable, EndSnapshot, Ended, ModelStats, ReadChanges, Records,
    RunFilter, SnapshotGuard, Started, Unseen,
};
use tidegate_engine::{ConnectionKey, ModelKey, Name, StoreError, SyncKey, Timestamp};

use super::HASH_INLINE_BYTES;
use super::SledStore;
use super::access::blocking;
use super::hash_pages;
use crate::lists;
use crate::writer::End;
use crate::writer::Writer;

#[async_trait]
impl Records for SledStore {
    async fn start_run(&self, run: NewRun) -> Result<Started, StoreError> {
        self.write(move |writer| writer.start_run(run)).await
    }

    async fn start_run_early(&self, run: NewRun) -> Result<(Started, Durable), StoreError> {
        self.check_open()?;
        let start = move |writer: &mut Writer| writer.start_run(run);
        let started = self.queue.send(Durability::Relaxed, start)?;
        // Right behind it, so that one flush is for both.
        let stored = self.queue.send(Durability::Durable, |_| Ok(()))?;
        let started = started.answer().await?;
        Ok((started, Durable::when(stored.answer())))
    }

    async fn start_keyed_run(&self, run: NewRun, key: KeyUse) -> Result<Keyed, StoreError> {
        self.write(move |writer| writer.start_keyed_run(run, &key))
            .await
    }

    async fn commit_page(
        &self,
        run: RunId,
        fence: Fence,
        mut commit: Commit,
    ) -> Result<Vec<Counts>, StoreError> {
        let durability = commit.durability;
        let bytes = commit
            .pages
            .iter()
            .flat_map(|p| &p.save)
            .filter(|s| s.hash.is_none())
            .map(|s| s.body.len())
            .sum::<usize>();
        let hashed = move || Ok((hash_pages(&mut commit)?, commit));
        let hashed = match bytes <= HASH_INLINE_BYTES {
            true => hashed()?,
            false => blocking(hashed).await?,
        };
        let hashed = Arc::new(hashed);
        self.in_turn(durability, move |writer| {
            let (hashes, commit) = &*hashed;
            writer.commit_page(run, fence, commit, hashes)
        })
        .await
    }

    async fn begin_snapshot(
        &self,
        run: RunId,
        fence: Fence,
        model: &Name,
        restart: bool,
    ) -> Result<bool, StoreError> {
        let model = model.clone();
        self.in_turn(Durability::Durable, move |writer| {
            writer.begin_snapshot(run, fence, &model, restart)
        })
        .await
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
        let model = model.clone();
        self.in_turn(Durability::Durable, move |writer| {
            writer.unseen(run, fence, &model, guard, after, limit)
        })
        .await
    }

    async fn repeat_snapshot(
        &self,
        run: RunId,
        fence: Fence,
        model: &Name,
        checkpoint: Option<String>,
    ) -> Result<u64, StoreError> {
        let model = model.clone();
        self.in_turn(Durability::Durable, move |writer| {
            writer.repeat_snapshot(run, fence, &model, checkpoint.clone())
        })
        .await
    }

    async fn end_snapshot(
        &self,
        run: RunId,
        fence: Fence,
        model: &Name,
        end: EndSnapshot,
    ) -> Result<Ended, StoreError> {
        let model = model.clone();
        let end = move |writer: &mut Writer| writer.end_snapshot(run, fence, &model, end.clone());
        let later = match self.in_turn(Durability::Durable, end).await? {
            End::Now(ended) => return Ok(ended),
            End::Later(later) => later,
        };
        match later.await {
            Ok(ended) => ended.map(|deleted| Ended { deleted, kept: 0 }),
            // It was given up with its connection; or nothing is written any more, which this finds out.
            Err(_) => self
                .write(|_| Ok(()))
                .await
                .and(Err(StoreError::Fenced { run })),
        }
    }

    async fn merge_metadata(
        &self,
        run: RunId,
        fence: Fence,
        patch: Map<String, Value>,
        bytes_max: usize,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |writer| writer.merge_metadata(run, fence, &patch, bytes_max, now))
            .await
    }

    async fn append_logs(&self, run: RunId, lines: Vec<LogLine>) -> Result<(), StoreError> {
        self.check_open()?;
        let append = move |writer: &mut Writer| writer.append_logs(run, &lines);
        self.queue.send(Durability::Relaxed, append)?.answer().await
    }

    async fn finish_run(&self, run: RunId, fence: Fence, end: RunEnd) -> Result<Run, StoreError> {
        self.in_turn(Durability::Durable, move |writer| {
            writer.finish_run(run, fence, end.clone())
        })
        .await
    }

    async fn finish_run_early(
        &self,
        run: RunId,
        fence: Fence,
        end: RunEnd,
    ) -> Result<Run, StoreError> {
        let finish = move |writer: &mut Writer| writer.finish_run(run, fence, end.clone());
        self.in_turn(Durability::Relaxed, finish).await
    }

    async fn finish_keyed_run(
        &self,
        run: RunId,
        fence: Fence,
        end: RunEnd,
        output: String,
    ) -> Result<Run, StoreError> {
        self.write(move |writer| writer.finish_keyed_run(run, fence, end, &output))
            .await
    }

    async fn run(&self, id: RunId) -> Result<Run, StoreError> {
        self.row(move |view| lists::run(view, id)).await
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>, StoreError> {
        let (before, limit) = (filter.before, filter.limit);
        self.list(before, limit, move |view, before, wanted| {
            lists::some_runs(view, &filter, before, wanted)
        })
        .await
    }

    async fn logs(&self, run: RunId, from: u64, limit: usize) -> Result<Vec<LogLine>, StoreError> {
        self.view(move |view| lists::logs(view, run, from, limit))
            .await
    }

    async fn read_changes(&self, read: ReadChanges) -> Result<Changes, StoreError> {
        self.changes_in_parts(read).await
    }

    async fn records_within(
        &self,
        model: &ModelKey,
        ids: &[String],
        bytes_max: u64,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let (model, ids) = (model.clone(), ids.to_vec());
        self.found(move |reader| reader.records(&model, &ids, bytes_max))
            .await
    }

    async fn hashes(
        &self,
        model: &ModelKey,
        ids: &[String],
    ) -> Result<Vec<Option<(BodyHash, u64)>>, StoreError> {
        let (model, ids) = (model.clone(), ids.to_vec());
        self.found(move |reader| reader.hashes(&model, &ids)).await
    }

    async fn models(&self, key: &ConnectionKey) -> Result<Vec<(Name, ModelStats)>, StoreError> {
        let key = key.clone();
        self.read(move |reader| reader.models(&key)).await
    }

    async fn checkpoint(&self, key: &SyncKey) -> Result<Option<String>, StoreError> {
        let key = key.clone();
        self.row(move |view| lists::checkpoint(view, &key)).await
    }

    async fn checkpoints(&self, key: &ConnectionKey) -> Result<Vec<(SyncKey, String)>, StoreError> {
        let key = key.clone();
        self.view(move |view| lists::checkpoints(view, &key)).await
    }
}
