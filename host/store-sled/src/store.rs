//! The store: the engine's trait on top of the writer thread and the readers beside it.

mod access;
mod catalog;
mod lanes;
mod maintenance;
mod outbox;
mod queue;
mod records;
mod requests;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tidegate_engine::StoreError;
use tidegate_engine::canonical::BodyHash;
use tidegate_engine::notifier::Notifier;
use tidegate_engine::store::{Commit, rules};

use crate::components::Components;
use crate::disk::Disk;
use crate::feeds::Feeds;
use crate::integrations::Integrations;
use crate::open::{self, DataDir, OpenError, Options};
use crate::read::Reader;
use crate::writer::{Queue, Writer};
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
