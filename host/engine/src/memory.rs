//! The store trait in memory: the obviously correct backend.
//!
//! Maps behind one mutex, everything cloned on its way in and out. Tests run against it, and the
//! conformance suite compares every other backend with it, so it has no cleverness: where this
//! module and another backend differ, this one is right or the trait's text is.

mod api_keys;
mod connections;
mod early;
mod jobs;
mod keyed;
mod records;
mod requests;
pub mod rules;
mod runs;
mod schedules;
mod snapshots;
mod transfer;
mod upkeep;
mod webhooks;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::api_key::{ApiKey, ApiKeyId};
use crate::board::Board;
use crate::canonical::BodyHash;
use crate::idempotency::{KeyUse, Keyed};
use crate::integration::{Connection, Digest, Integration, NewDeployment};
use crate::job::{Job, JobId, NewJob};
use crate::notifier::Notifier;
use crate::record::{Counts, Record};
use crate::request::{RequestKey, RequestRow};
use crate::run::{Failure, Fence, LogLine, NewRun, Run, RunEnd, RunId};
use crate::schedule::{Fire, ScheduleId};
use crate::store::{
    Changes, Commit, EndSnapshot, Ended, ModelStats, ReadChanges, RunFilter, SnapshotGuard,
    Started, Store, StoreError, Unseen,
};
use crate::transfer::{ImportId, ImportPart, Imported};
use crate::upkeep::{CheckReport, Dropped, Pruned, Scope, StoreStats};
use crate::{ConnectionKey, ConnectionName, ModelKey, Name, SyncKey, Timestamp};

/// A store that is gone when it is dropped.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    /// How many commands it was given.
    calls: AtomicU64,
    deliveries_changed: Notifier,
}

#[derive(Debug, Default)]
struct State {
    /// Goes into cursors.
    id: u64,
    closed: bool,
    components: HashMap<Digest, Vec<u8>>,
    integrations: BTreeMap<Name, Integration>,
    connections: BTreeMap<ConnectionKey, Connection>,
    runs: BTreeMap<RunId, Run>,
    logs: BTreeMap<RunId, BTreeMap<u64, LogLine>>,
    last_fence: u64,
    keys: keyed::Keys,
    checkpoints: HashMap<SyncKey, String>,
    feeds: BTreeMap<ModelKey, records::Feed>,
    last_feed: u64,
    imports: BTreeMap<ImportId, transfer::Import>,
    board: Board,
    /// Those that have ended included.
    jobs: BTreeMap<JobId, Job>,
    fires: BTreeMap<(ScheduleId, Timestamp), Fire>,
    webhooks: webhooks::Webhooks,
    api_keys: BTreeMap<ApiKeyId, ApiKey>,
    requests: BTreeMap<RequestKey, RequestRow>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(1)
    }
}

impl MemoryStore {
    /// An empty store whose cursors carry `id`.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self {
            state: Mutex::new(State {
                id,
                ..State::default()
            }),
            calls: AtomicU64::new(0),
            deliveries_changed: Notifier::default(),
        }
    }

    /// How many commands it was given: a backend elsewhere would be asked as often.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Run one command. A command that panicked in a test has broken nothing that matters there.
    fn with<T>(
        &self,
        command: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(StoreError::Backend("the store is closed".into()));
        }
        let done = command(&mut state);
        if std::mem::take(&mut state.webhooks.changed) {
            self.deliveries_changed.notify();
        }
        done
    }
}

fn not_found(what: &'static str, name: &impl ToString) -> StoreError {
    StoreError::NotFound {
        what,
        name: name.to_string(),
    }
}

impl State {
    fn deploy(&mut self, new: &NewDeployment) -> Result<Integration, StoreError> {
        if !self.components.contains_key(&new.digest) {
            return Err(not_found("component", &new.digest));
        }
        let old = self.integrations.get(&new.integration);
        let integration = rules::deployed(old, new);
        let is_new = old != Some(&integration);
        self.integrations
            .insert(integration.name.clone(), integration.clone());
        if is_new {
            self.lift_holds(&integration.name);
        }
        Ok(integration)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn put_component(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        let digest = Digest::of(&bytes);
        self.with(|state| {
            state.components.insert(digest, bytes);
            Ok(digest)
        })
    }

    async fn component(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        self.with(|state| {
            state
                .components
                .get(&digest)
                .cloned()
                .ok_or_else(|| not_found("component", &digest))
        })
    }

    async fn deploy(&self, deployment: NewDeployment) -> Result<Integration, StoreError> {
        self.with(|state| state.deploy(&deployment))
    }

    async fn integration(&self, name: &Name) -> Result<Arc<Integration>, StoreError> {
        self.with(|state| {
            let integration = state.integrations.get(name).cloned();
            let integration = integration.ok_or_else(|| not_found("integration", name));
            integration.map(Arc::new)
        })
    }

    async fn integrations(
        &self,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Integration>, StoreError> {
        self.with(|state| {
            let all = state.integrations.values();
            let rest = all.filter(|i| after.is_none_or(|after| i.name > *after));
            Ok(rest.take(limit).cloned().collect())
        })
    }

    async fn add_connections(
        &self,
        connections: Vec<Connection>,
        jobs: Vec<NewJob>,
    ) -> Result<(), StoreError> {
        self.with(|state| state.add_connections(connections, jobs))
    }

    async fn update_connections(&self, updates: Vec<Connection>) -> Result<Vec<bool>, StoreError> {
        self.with(|state| Ok(state.update_connections(&updates)))
    }

    async fn connection(&self, key: &ConnectionKey) -> Result<Connection, StoreError> {
        self.with(|state| state.connection(key).cloned())
    }

    async fn connections(
        &self,
        integration: &Name,
        after: Option<&ConnectionName>,
        limit: usize,
    ) -> Result<Vec<Connection>, StoreError> {
        self.with(|state| state.connections(integration, after, limit))
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

    async fn start_run(&self, run: NewRun) -> Result<Started, StoreError> {
        self.with(|state| state.start_run(run))
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

    async fn finish_run(&self, run: RunId, fence: Fence, end: RunEnd) -> Result<Run, StoreError> {
        self.with(|state| state.finish_run(run, fence, end))
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

    async fn recover_runs(&self, why: Failure, now: Timestamp) -> Result<Vec<RunId>, StoreError> {
        self.with(|state| Ok(state.recover_runs(&why, now)))
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

    async fn append_logs(&self, run: RunId, lines: Vec<LogLine>) -> Result<(), StoreError> {
        self.with(|state| state.append_logs(run, lines))
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

    async fn checkpoint(&self, key: &SyncKey) -> Result<Option<String>, StoreError> {
        self.with(|state| {
            state.connection(&key.connection)?;
            Ok(state.checkpoints.get(key).cloned())
        })
    }

    async fn models(&self, key: &ConnectionKey) -> Result<Vec<(Name, ModelStats)>, StoreError> {
        self.with(|state| state.models(key))
    }

    async fn checkpoints(&self, key: &ConnectionKey) -> Result<Vec<(SyncKey, String)>, StoreError> {
        self.with(|state| state.list_checkpoints(key))
    }

    async fn hashes(
        &self,
        model: &ModelKey,
        ids: &[String],
    ) -> Result<Vec<Option<(BodyHash, u64)>>, StoreError> {
        self.with(|state| state.hashes(model, ids))
    }

    async fn prune(&self, model: &ModelKey, before: Timestamp) -> Result<Pruned, StoreError> {
        self.with(|state| state.prune(model, before))
    }

    async fn drop_scope(&self, scope: &Scope) -> Result<Dropped, StoreError> {
        self.with(|state| state.drop_scope(scope))
    }

    async fn remove_connection(
        &self,
        key: &ConnectionKey,
        now: Timestamp,
    ) -> Result<Dropped, StoreError> {
        self.with(|state| state.remove_connection(key, now))
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.with(|_| Ok(()))
    }

    async fn settle(&self) -> Result<(), StoreError> {
        self.with(|_| Ok(()))
    }

    async fn stage_import(
        &self,
        import: ImportId,
        number: u64,
        part: ImportPart,
    ) -> Result<(), StoreError> {
        self.with(|state| state.stage_import(import, number, part))
    }

    async fn finish_import(&self, import: ImportId) -> Result<Imported, StoreError> {
        self.with(|state| state.finish_import(import))
    }

    async fn abort_import(&self, import: ImportId) -> Result<(), StoreError> {
        self.with(|state| {
            state.abort_import(import);
            Ok(())
        })
    }

    async fn check(&self) -> Result<CheckReport, StoreError> {
        self.with(|_| Ok(CheckReport::default()))
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.with(|state| Ok(state.store_stats()))
    }

    async fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.with(|_| Ok(0))
    }

    async fn close(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        Ok(())
    }
}
