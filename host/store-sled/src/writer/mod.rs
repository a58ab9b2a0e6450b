//! The writer thread: it alone changes the database, so it is what gives everything an order.
//!
//! Commands wait in a queue. The thread takes all that are there, plans and applies each, makes them durable
//! by one flush, publishes what readers may now see, and only then answers.

mod api_keys;
mod catalog;
mod changes;
mod commit;
mod compact;
mod drop;
mod ending;
mod feed;
mod health;
mod import;
pub(crate) mod jobs;
mod keyed;
mod keyed_jobs;
mod numbers;
mod outbox;
mod pass;
mod prune;
mod purge;
mod queue;
mod requests;
mod runs;
pub(crate) mod schedules;
mod settle;
mod snapshot;
mod webhooks;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use tidegate_engine::board::Board;
use tidegate_engine::integration::Connection;
use tidegate_engine::notifier::Notifier;
use tidegate_engine::run::{Fence, Run, RunId};
use tidegate_engine::transfer::ImportId;
use tidegate_engine::upkeep::Dropped;
use tidegate_engine::{ConnectionKey, Name, StoreError, SyncKey};

pub(crate) use ending::End;
pub(crate) use prune::Pruning;
pub(crate) use queue::Queue;
pub(crate) use settle::Settling;

use crate::disk::{Disk, View, Writes, damaged};
use crate::feeds::{Feeds, Publication};
use crate::integrations::Integrations;
use crate::layout::keys::{self, Key};
use crate::layout::rows::{self, ConnectionRow, Counters};
use crate::open::Tuning;
use crate::turns::Held;

/// Feeds kept in memory; above it, those that nobody used lately are forgotten.
const FEEDS_MAX: usize = 2_000;

/// Everything that the writer thread owns.
#[derive(Debug)]
pub(crate) struct Writer {
    disk: Arc<Disk>,
    published: Arc<Feeds>,
    integrations: Arc<Integrations>,
    /// Goes into cursors.
    store_id: u64,
    counters: Counters,
    numbers: RefCell<numbers::Numbers>,
    /// Runs that have not ended.
    running: BTreeMap<RunId, Running>,
    feeds: HashMap<u64, feed::FeedState>,
    /// Imports that are staged, and those of this process that are done.
    imports: BTreeMap<ImportId, import::Import>,
    keys: keyed::Keys,
    requests: requests::Requests,
    /// Schedules, and jobs that wait or run.
    board: Board,
    hooks: outbox::Hooks,
    /// Rung once something is flushed that makes a delivery due.
    deliveries_changed: Arc<Notifier>,
    /// What whoever opened it should know.
    pub(crate) notes: Vec<String>,
    /// What was dropped and still has keys.
    purges: VecDeque<purge::Purge>,
    /// Integrations that are being dropped, with what they had so far, and those that are gone until somebody asks.
    going: BTreeMap<Name, Dropped>,
    gone: BTreeMap<Name, Dropped>,
    /// Integrations of imports that are being finished: their connections are nobody's yet.
    unfinished: BTreeSet<Name>,
    /// Feeds that somebody works on, by number.
    holds: HashMap<u64, Held>,
    /// Snapshots that end in steps.
    endings: VecDeque<ending::Deleting>,
    /// Those that are done, and what they are to be told once it is flushed.
    ended: Vec<(ending::Deleting, Result<u64, StoreError>)>,
    /// Applied, not flushed.
    pending: Vec<Publication>,
    unflushed: bool,
    /// A batch that could not be applied: memory and disk may differ.
    failure: Option<StoreError>,
    tuning: Tuning,
    /// Counts uses of feeds, to tell the ones not used lately.
    clock: u64,
}

/// A run that has not ended.
#[derive(Debug)]
struct Running {
    run: Run,
    /// The number of its connection.
    connection: u64,
    /// Of a sync: its key and number.
    sync: Option<(SyncKey, u64)>,
    /// The row of the idempotency key that it holds.
    key: Option<Key>,
    /// The feeds of the models that it wrote.
    feeds: HashMap<Name, u64>,
}

fn not_found(what: &'static str, name: &impl ToString) -> StoreError {
    StoreError::NotFound {
        what,
        name: name.to_string(),
    }
}

/// What is read only to go on with something else; whoever asks for it itself is told that it is damaged.
fn unless_damaged<T>(read: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(StoreError::Damaged { .. }) => Ok(None),
        read => read,
    }
}

impl Writer {
    /// Take up a database where it was left.
    pub(crate) fn open(
        disk: Arc<Disk>,
        published: Arc<Feeds>,
        integrations: Arc<Integrations>,
        store_id: u64,
        deliveries_changed: Arc<Notifier>,
        tuning: Tuning,
    ) -> Result<Self, StoreError> {
        let counters = disk
            .view()
            .row(&keys::counters(), rows::decode)?
            .unwrap_or_default();
        let mut writer = Self {
            disk,
            published,
            integrations,
            store_id,
            counters,
            numbers: RefCell::default(),
            running: BTreeMap::new(),
            feeds: HashMap::new(),
            imports: BTreeMap::new(),
            keys: keyed::Keys::default(),
            requests: requests::Requests::default(),
            board: Board::default(),
            hooks: outbox::Hooks::default(),
            deliveries_changed,
            notes: Vec::new(),
            purges: VecDeque::new(),
            going: BTreeMap::new(),
            gone: BTreeMap::new(),
            unfinished: BTreeSet::new(),
            holds: HashMap::new(),
            endings: VecDeque::new(),
            ended: Vec::new(),
            pending: Vec::new(),
            unflushed: false,
            failure: None,
            tuning,
            clock: 0,
        };
        writer.load_purges()?;
        writer.load_board()?;
        writer.load_hooks()?;
        writer.load_running()?;
        writer.finish_endings()?;
        writer.flush()?;
        Ok(writer)
    }

    fn view(&self) -> View<'_> {
        self.disk.writer_view()
    }

    fn apply(&mut self, writes: Writes) -> Result<(), StoreError> {
        self.unflushed |= !writes.is_empty();
        let applied = self.disk.apply(writes);
        self.failure = applied.clone().err();
        applied
    }

    fn take_failure(&mut self) -> Option<StoreError> {
        self.failure.take()
    }

    /// Make everything applied durable, then show it to readers.
    pub(crate) fn flush(&mut self) -> Result<(), StoreError> {
        if self.unflushed {
            self.disk.flush()?;
            self.unflushed = false;
        }
        if self.hooks.take_changed() {
            self.deliveries_changed.notify();
        }
        for publication in self.pending.drain(..) {
            self.published.publish(&publication);
        }
        self.answer_endings();
        if self.feeds.len() > FEEDS_MAX || self.published.count() > 2 * FEEDS_MAX {
            self.forget_feeds();
        }
        Ok(())
    }

    fn wants_upkeep(&self) -> bool {
        self.wants_ending()
            || self.wants_purge()
            || self.wants_expiry()
            || self.wants_request_expiry()
            || self.wants_compaction()
    }

    /// A bounded part of the work that was put off; but for endings, which somebody waits for, only if nothing is
    /// unpublished.
    fn upkeep_step(&mut self) -> Result<(), StoreError> {
        if self.wants_ending() {
            return self.ending_step();
        }
        if !self.pending.is_empty() {
            return Ok(());
        }
        if self.wants_expiry() {
            return self.expiry_step();
        }
        if self.wants_request_expiry() {
            return self.request_expiry_step();
        }
        if !self.wants_purge() {
            return self.compact_step();
        }
        match self.purge_step() {
            // Whoever waits for it is told.
            Err(StoreError::Damaged { .. }) => Ok(()),
            purged => purged.map(|_| ()),
        }
    }

    fn put_counters(&self, writes: &mut Writes) -> Result<(), StoreError> {
        let key = keys::counters();
        let row = encode(key.as_ref(), &self.counters)?;
        writes.put_new(key, &row);
        Ok(())
    }

    fn connection_row(&self, key: &ConnectionKey) -> Result<ConnectionRow, StoreError> {
        if self.unfinished.contains(&key.integration) {
            return Err(not_found("connection", key));
        }
        let stored = keys::connection(&key.integration, &key.connection);
        self.view()
            .row(&stored, rows::decode)?
            .ok_or_else(|| not_found("connection", key))
    }

    fn connection_number(&self, key: &ConnectionKey) -> Result<u64, StoreError> {
        if let Some(number) = self.numbers.borrow_mut().get(key) {
            return Ok(number);
        }
        let number = self.connection_row(key)?.number;
        self.numbers.borrow_mut().put(key.clone(), number);
        Ok(number)
    }

    fn put_connection(
        &self,
        writes: &mut Writes,
        number: u64,
        connection: Connection,
    ) -> Result<(), StoreError> {
        let key = keys::connection(&connection.key.integration, &connection.key.connection);
        let row = encode(key.as_ref(), &ConnectionRow { number, connection })?;
        writes.put(&self.view(), key, &row)
    }

    /// The run, if it may still write.
    fn writing(&self, id: RunId, fence: Fence) -> Result<&Running, StoreError> {
        match self.running.get(&id) {
            Some(running) if running.run.fence == fence => Ok(running),
            _ => Err(StoreError::Fenced { run: id }),
        }
    }

    /// The sync of a run that may still write, and its number.
    fn writing_sync(&self, id: RunId, fence: Fence) -> Result<(SyncKey, u64), StoreError> {
        let running = self.writing(id, fence)?;
        running
            .sync
            .clone()
            .ok_or_else(|| not_found("sync that is run by", &id))
    }
}

fn encode<T: serde::Serialize>(key: &[u8], row: &T) -> Result<Vec<u8>, StoreError> {
    rows::encode(row).map_err(|corrupt| damaged(key, corrupt))
}
