//! The parts of the engine's `Store` in memory: the obviously correct backend, for tests only.
//!
//! Maps behind one mutex, everything cloned on its way in and out. Tests run against it, and the
//! conformance suite compares every other backend with it, so it has no cleverness: where this
//! crate and another backend differ, this one is right or the trait's text is.

mod connections;
mod jobs;
mod keyed;
#[cfg(test)]
mod known_tests;
mod parts;
mod records;
mod runs;
mod schedules;
mod snapshots;
mod transfer;
mod upkeep;
mod webhooks;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tidegate_engine::api_key::{ApiKey, ApiKeyId};
use tidegate_engine::board::Board;
use tidegate_engine::integration::{Connection, Digest, Integration, NewDeployment};
use tidegate_engine::job::{Job, JobId};
use tidegate_engine::notifier::Notifier;
use tidegate_engine::request::{RequestKey, RequestRow};
use tidegate_engine::run::{LogLine, Run, RunId};
use tidegate_engine::schedule::{Fire, ScheduleId};
use tidegate_engine::store::rules;
use tidegate_engine::transfer::ImportId;
use tidegate_engine::{ConnectionKey, ModelKey, Name, StoreError, SyncKey, Timestamp};

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
        let mut state = self.state.lock();
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
