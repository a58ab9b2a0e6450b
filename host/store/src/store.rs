//! The store: the engine's trait on top of the writer thread and the readers beside it.

mod access;
mod early;
mod jobs;
mod lanes;
mod schedules;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde_json::{Map, Value};
use tidegate_engine::canonical::BodyHash;
use tidegate_engine::idempotency::{KeyUse, Keyed};
use tidegate_engine::integration::{Connection, Digest, Integration, NewDeployment};
use tidegate_engine::job::NewJob;
use tidegate_engine::memory::rules;
use tidegate_engine::notifier::Notifier;
use tidegate_engine::record::{Counts, Record};
use tidegate_engine::run::{Failure, Fence, LogLine, NewRun, Run, RunEnd, RunId};
use tidegate_engine::store::{
    Changes, Commit, Durability, EndSnapshot, Ended, ModelStats, ReadChanges, RunFilter,
    SnapshotGuard, Started, Unseen,
};
use tidegate_engine::transfer::{ImportId, ImportPart, Imported};
use tidegate_engine::upkeep::{CheckReport, Dropped, Pruned, Scope, StoreStats};
use tidegate_engine::{
    ConnectionKey, ConnectionName, ModelKey, Name, Store, StoreError, SyncKey, Timestamp,
};

use crate::check;
use crate::components::Components;
use crate::disk::Disk;
use crate::feeds::Feeds;
use crate::integrations::Integrations;
use crate::lists;
use crate::open::{self, DataDir, OpenError, Options};
use crate::read::Reader;
use crate::stats;
use crate::writer::{End, Queue, Writer};
use access::blocking;
use lanes::Lanes;

/// Bodies of a commit that are hashed without leaving the async thread: less than 0.1 ms of work.
const HASH_INLINE_BYTES: usize = 32 * 1024;

/// A store in a data directory, which belongs to this process as long as it lives.
#[derive(Debug)]
pub struct SledStore {
    // In the order in which they are dropped: the lock goes last.
    queue: Queue,
    reader: Arc<Reader>,
    lanes: Lanes,
    components: Components,
    closed: AtomicBool,
    pub(crate) deliveries_changed: Arc<Notifier>,
    notes: Vec<String>,
    _lock: File,
}

impl SledStore {
    /// Open the data directory `root`, or make one where nothing is. Blocks: up to seconds for a
    /// large store, or one that was killed.
    pub fn open(root: &Path, options: Options) -> Result<Self, OpenError> {
        let DataDir {
            disk,
            id: store_id,
            components,
            lock,
            mut notes,
        } = open::open(root, &options)?;
        let disk = Arc::new(disk);
        let feeds = Arc::new(Feeds::default());
        let deliveries_changed = Arc::new(Notifier::default());
        let integrations = Arc::new(Integrations::default());
        let writer = Writer::open(
            Arc::clone(&disk),
            Arc::clone(&feeds),
            Arc::clone(&integrations),
            store_id,
            Arc::clone(&deliveries_changed),
            options.tuning,
        );
        let mut writer = writer.map_err(|error| OpenError::of_store(root.join("db"), error))?;
        notes.append(&mut writer.notes);
        let queue = Queue::start(writer).map_err(|error| OpenError::Io {
            path: root.to_owned(),
            error,
        })?;
        Ok(Self {
            queue,
            reader: Arc::new(Reader {
                disk,
                feeds,
                store_id,
                integrations,
            }),
            lanes: Lanes::of_this_machine(),
            components: Components::new(components),
            closed: AtomicBool::new(false),
            deliveries_changed,
            notes,
            _lock: lock,
        })
    }

    /// What opening had to put right, for the log.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Bytes that the database's files take on disk, components aside.
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.reader.disk.size()
    }

    pub(crate) fn disk(&self) -> Arc<Disk> {
        Arc::clone(&self.reader.disk)
    }

    pub(crate) fn components(&self) -> &Components {
        &self.components
    }
}

fn hash_pages(commit: &mut Commit) -> Result<Vec<Vec<BodyHash>>, StoreError> {
    let pages = commit.pages.iter_mut().map(rules::hash_page);
    Ok(pages.collect::<Result<_, _>>()?)
}

#[async_trait]
impl Store for SledStore {
    async fn put_component(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        self.check_open()?;
        let components = self.components.clone();
        blocking(move || components.put(&bytes)).await
    }

    async fn component(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        self.check_open()?;
        let components = self.components.clone();
        blocking(move || components.get(digest)).await
    }

    async fn deploy(&self, deployment: NewDeployment) -> Result<Integration, StoreError> {
        let components = self.components.clone();
        self.write(move |writer| {
            if !components.has(deployment.digest) {
                let name = deployment.digest.to_string();
                return Err(StoreError::NotFound {
                    what: "component",
                    name,
                });
            }
            writer.deploy(&deployment)
        })
        .await
    }

    async fn integration(&self, name: &Name) -> Result<Arc<Integration>, StoreError> {
        let name = name.clone();
        let integrations = Arc::clone(&self.reader.integrations);
        self.row(move |view| integrations.get(view, &name)).await
    }

    async fn integrations(
        &self,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Integration>, StoreError> {
        let after = after.cloned();
        self.view(move |view| lists::integrations(view, after.as_ref(), limit))
            .await
    }

    async fn add_connections(
        &self,
        connections: Vec<Connection>,
        jobs: Vec<NewJob>,
    ) -> Result<(), StoreError> {
        self.write(move |writer| writer.add_connections(connections, jobs))
            .await
    }

    async fn update_connections(&self, updates: Vec<Connection>) -> Result<Vec<bool>, StoreError> {
        self.write(move |writer| writer.update_connections(&updates))
            .await
    }

    async fn connection(&self, key: &ConnectionKey) -> Result<Connection, StoreError> {
        let key = key.clone();
        self.row(move |view| Ok(crate::read::connection(view, &key)?.connection))
            .await
    }

    async fn connections(
        &self,
        integration: &Name,
        after: Option<&ConnectionName>,
        limit: usize,
    ) -> Result<Vec<Connection>, StoreError> {
        let (integration, after) = (integration.clone(), after.cloned());
        self.view(move |view| lists::connections(view, &integration, after.as_ref(), limit))
            .await
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

    async fn start_run(&self, run: NewRun) -> Result<Started, StoreError> {
        self.write(move |writer| writer.start_run(run)).await
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

    async fn finish_run(&self, run: RunId, fence: Fence, end: RunEnd) -> Result<Run, StoreError> {
        self.in_turn(Durability::Durable, move |writer| {
            writer.finish_run(run, fence, end.clone())
        })
        .await
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

    async fn recover_runs(&self, why: Failure, now: Timestamp) -> Result<Vec<RunId>, StoreError> {
        self.write(move |writer| writer.recover_runs(&why, now))
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

    async fn append_logs(&self, run: RunId, lines: Vec<LogLine>) -> Result<(), StoreError> {
        self.check_open()?;
        let append = move |writer: &mut Writer| writer.append_logs(run, &lines);
        self.queue.send(Durability::Relaxed, append)?.answer().await
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

    async fn checkpoint(&self, key: &SyncKey) -> Result<Option<String>, StoreError> {
        let key = key.clone();
        self.row(move |view| lists::checkpoint(view, &key)).await
    }

    async fn models(&self, key: &ConnectionKey) -> Result<Vec<(Name, ModelStats)>, StoreError> {
        let key = key.clone();
        self.read(move |reader| reader.models(&key)).await
    }

    async fn checkpoints(&self, key: &ConnectionKey) -> Result<Vec<(SyncKey, String)>, StoreError> {
        let key = key.clone();
        self.view(move |view| lists::checkpoints(view, &key)).await
    }

    async fn hashes(
        &self,
        model: &ModelKey,
        ids: &[String],
    ) -> Result<Vec<Option<(BodyHash, u64)>>, StoreError> {
        let (model, ids) = (model.clone(), ids.to_vec());
        self.found(move |reader| reader.hashes(&model, &ids)).await
    }

    async fn prune(&self, model: &ModelKey, before: Timestamp) -> Result<Pruned, StoreError> {
        self.prune_by_steps(model, before).await
    }

    async fn drop_scope(&self, scope: &Scope) -> Result<Dropped, StoreError> {
        self.drop_by_steps(scope).await
    }

    async fn remove_connection(
        &self,
        key: &ConnectionKey,
        now: Timestamp,
    ) -> Result<Dropped, StoreError> {
        self.remove_by_steps(key, now).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        // From memory: whoever asks this again and again is not to wait behind what is being written.
        self.check_open()?;
        self.queue.ready()
    }

    async fn settle(&self) -> Result<(), StoreError> {
        self.settle_by_steps().await
    }

    async fn stage_import(
        &self,
        import: ImportId,
        number: u64,
        part: ImportPart,
    ) -> Result<(), StoreError> {
        let components = self.components.clone();
        self.write(move |writer| writer.stage_import(import, number, part, &components))
            .await
    }

    async fn finish_import(&self, import: ImportId) -> Result<Imported, StoreError> {
        loop {
            let components = self.components.clone();
            let step = move |writer: &mut Writer| writer.finish_import(import, &components);
            if let Some(imported) = self.write(step).await? {
                return Ok(imported);
            }
        }
    }

    async fn abort_import(&self, import: ImportId) -> Result<(), StoreError> {
        self.write(move |writer| {
            writer.abort_import(import);
            Ok(())
        })
        .await
    }

    async fn check(&self) -> Result<CheckReport, StoreError> {
        self.check_open()?;
        check::all(self).await
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let components = self.components.clone();
        let reader = Arc::clone(&self.reader);
        self.large(move || stats::stats(&reader, &components)).await
    }

    async fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.read(|reader| reader.disk.size()).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.closed.store(true, Ordering::Release);
        self.queue.stop().await
    }
}
