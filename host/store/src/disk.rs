//! The sled tree with what it lacks: long values in parts, batches that readers never see half of,
//! a flush that reaches the disk, and errors that name the key.

mod view;
mod writes;

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use tidegate_engine::StoreError;

use crate::layout::Corrupt;
use crate::layout::keys;
use crate::open::Options;
pub(crate) use view::{View, decode_part_key};
pub(crate) use writes::Writes;

/// Bytes of writes that are gathered at most: a group of large pages is not held in memory twice.
const GATHERED_MAX: usize = 1 << 20;

/// The database of one data directory.
pub(crate) struct Disk {
    db: sled::Db,
    /// A second handle of sled's file: sled's own flush does not sync.
    file: File,
    /// Held for writing while a batch is applied: sled shows batches half done to whoever reads
    /// beside them.
    applying: RwLock<()>,
    /// What the writer thread has written since the last batch. Each batch costs sled two writes to
    /// its file, however small it is, so the commands of a group share one.
    gathered: Mutex<Gathered>,
    gather_until_read: bool,
}

/// Writes that are on their way into one batch, by key; `None` removes.
type Changed = HashMap<sled::IVec, Option<sled::IVec>>;

#[derive(Default)]
struct Gathered {
    changed: Changed,
    bytes: usize,
    /// A batch that could not be applied: nothing is written any more.
    failed: Option<StoreError>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

/// Say where something is wrong.
pub(crate) fn damaged(key: &[u8], corrupt: Corrupt) -> StoreError {
    StoreError::Damaged {
        place: keys::describe(key),
        reason: corrupt.to_string(),
    }
}

/// What sled's failure means.
pub(crate) fn failed(error: &sled::Error) -> StoreError {
    match error {
        sled::Error::Corruption { .. } => StoreError::Damaged {
            place: "the database's own pages".into(),
            reason: "a page does not have its checksum; keep the directory, and restore a backup or ask for help"
                .into(),
        },
        sled::Error::Io(error) => StoreError::Backend(format!("the database's files: {error}")),
        other => StoreError::Backend(other.to_string()),
    }
}

impl Disk {
    pub(crate) fn open(path: &Path, options: &Options) -> sled::Result<Self> {
        let db = sled::Config::new()
            .path(path)
            .cache_capacity(options.cache_bytes)
            // The writer flushes; a timer's flush would only come between.
            .flush_every_ms(None)
            .open()?;
        let file = File::options().write(true).open(path.join("db"))?;
        Ok(Self {
            db,
            file,
            applying: RwLock::new(()),
            gathered: Mutex::default(),
            gather_until_read: options.tuning.gather_until_read,
        })
    }

    /// A view for readers.
    pub(crate) fn view(&self) -> View<'_> {
        self.settle_for_reader();
        let guard = self.applying.read().unwrap_or_else(PoisonError::into_inner);
        View {
            disk: self,
            guard: Some(guard),
        }
    }

    /// A view for readers, unless a batch is being applied.
    pub(crate) fn view_at_once(&self) -> Option<View<'_>> {
        self.settle_for_reader();
        let guard = match self.applying.try_read() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(View {
            disk: self,
            guard: Some(guard),
        })
    }

    /// A view for the writer thread, which is the only one to apply batches.
    pub(crate) fn writer_view(&self) -> View<'_> {
        View {
            disk: self,
            guard: None,
        }
    }

    /// Write all of it or nothing. Until [`Self::settle`], only the writer thread sees it.
    pub(crate) fn apply(&self, writes: Writes) -> Result<(), StoreError> {
        let mut gathered = self.gathered();
        if let Some(failed) = &gathered.failed {
            return Err(failed.clone());
        }
        for (key, value) in writes.0 {
            gathered.bytes += key.len() + value.as_ref().map_or(0, |value| value.len());
            gathered.changed.insert(key, value);
        }
        match gathered.bytes > GATHERED_MAX {
            true => self.settle_gathered(&mut gathered),
            false => Ok(()),
        }
    }

    /// Let readers see what a group of commands has applied.
    pub(crate) fn settle_group(&self) -> Result<(), StoreError> {
        match self.gather_until_read {
            true => Ok(()),
            false => self.settle(),
        }
    }

    /// Put everything applied into the database.
    pub(crate) fn settle(&self) -> Result<(), StoreError> {
        self.settle_gathered(&mut self.gathered())
    }

    fn settle_for_reader(&self) {
        if self.gather_until_read {
            // Whoever writes next is told.
            let _ = self.settle();
        }
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle_gathered(&self, gathered: &mut Gathered) -> Result<(), StoreError> {
        if let Some(failed) = &gathered.failed {
            return Err(failed.clone());
        }
        if gathered.changed.is_empty() {
            return Ok(());
        }
        let mut batch = sled::Batch::default();
        for (key, value) in gathered.changed.drain() {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        gathered.bytes = 0;
        let _guard = self
            .applying
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let applied = self.db.apply_batch(batch).map_err(|error| failed(&error));
        gathered.failed = applied.clone().err();
        applied
    }

    /// Wait until everything applied is on disk.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.settle_group()?;
        self.db.flush().map_err(|error| failed(&error))?;
        self.file
            .sync_data()
            .map_err(|error| StoreError::Backend(error.to_string()))
    }

    /// Bytes of files on disk.
    pub(crate) fn size(&self) -> Result<u64, StoreError> {
        self.bytes().map_err(|error| failed(&error))
    }

    /// Every key with its value as stored, in order; for copying it all.
    pub(crate) fn everything(&self) -> sled::Iter {
        self.db.iter()
    }

    /// Write what [`Self::everything`] gave.
    pub(crate) fn apply_raw(&self, batch: sled::Batch) -> sled::Result<()> {
        self.db.apply_batch(batch)
    }

    pub(crate) fn sync(&self) -> std::io::Result<()> {
        self.db.flush().map_err(|error| match error {
            sled::Error::Io(error) => error,
            other => std::io::Error::other(other),
        })?;
        self.file.sync_data()
    }

    pub(crate) fn bytes(&self) -> sled::Result<u64> {
        self.db.size_on_disk()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.settle_for_reader();
    }
}
