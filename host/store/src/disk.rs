//! The sled tree with what it lacks: a commit that is on disk after one sync, long values in parts, batches
//! that readers never see half of, and errors that name the key.
//!
//! What commands write is gathered in memory, where every lookup finds it. [`Disk::flush`] makes it durable
//! in the write-ahead log; it goes into sled when somebody iterates over keys, or when there is much of it.

mod view;
mod wal;
mod writes;

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{
    Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
};

use tidegate_engine::StoreError;

use crate::layout::Corrupt;
use crate::layout::keys;
use crate::layout::wal::{Encoder, missing};
use crate::open::{Options, Tuning};
pub(crate) use view::{Rows, View, decode_part_key};
use wal::Wal;
pub(crate) use writes::Writes;
use writes::Written;

/// The longest record of the write-ahead log, in bytes. What writes more is flushed through sled: its own
/// log then costs less than writing everything twice.
const RECORD_MAX: usize = 64 * 1024;

/// The database of one data directory.
pub(crate) struct Disk {
    db: sled::Db,
    /// A second handle of sled's file: sled's own flush does not sync.
    file: File,
    /// Locked for writing while anything changes: sled shows batches half done to whoever reads beside
    /// them.
    state: RwLock<State>,
    wal: Mutex<Wal>,
    gather_bytes: usize,
}

/// Writes by key.
type Changed = HashMap<sled::IVec, Written>;

#[derive(Default)]
struct State {
    /// What is not in sled yet.
    changed: Changed,
    /// Bytes of it.
    bytes: usize,
    /// The number of the last write. Each one that is applied has the next.
    number: u64,
    /// The number up to which sled has them.
    settled: u64,
    /// What is not flushed yet.
    unflushed: Option<Unflushed>,
    /// A write that failed: nothing is written any more.
    failed: Option<StoreError>,
}

/// What the next flush makes durable.
struct Unflushed {
    /// The number of the first write in it.
    first: u64,
    /// `None` for more than a record may have.
    record: Option<Encoder>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
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
        sled::Error::Io(error) => io_failed(error),
        other => StoreError::Backend(other.to_string()),
    }
}

fn io_failed(error: &std::io::Error) -> StoreError {
    StoreError::Backend(format!("the database's files: {error}"))
}

/// Why a database can't be opened.
#[derive(Debug)]
pub(crate) enum OpenFailed {
    Sled(sled::Error),
    /// What is wrong with the write-ahead log.
    Wal(String),
}

impl<E: Into<sled::Error>> From<E> for OpenFailed {
    fn from(error: E) -> Self {
        Self::Sled(error.into())
    }
}

fn bad_log(corrupt: Corrupt) -> OpenFailed {
    OpenFailed::Wal(corrupt.to_string())
}

/// The number of the last write that a database has, if it ever had a log.
fn applied(db: &sled::Db) -> Result<Option<u64>, OpenFailed> {
    let stored = db.get(keys::applied())?;
    let decode = |stored: &sled::IVec| keys::decode_number(stored.get(1..).unwrap_or_default());
    stored.as_ref().map(decode).transpose().map_err(bad_log)
}

impl Disk {
    /// Open a database, with what its write-ahead log has and sled does not.
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Self, OpenFailed> {
        let db = sled::Config::new()
            .path(path)
            .cache_capacity(options.cache_bytes)
            // The writer flushes; a timer's flush would only come between.
            .flush_every_ms(None)
            .open()?;
        let file = File::options().write(true).open(path.join("db"))?;
        let Tuning {
            wal_bytes,
            gather_bytes,
            ..
        } = options.tuning;
        let applied = applied(&db)?;
        let wal = path.join("wal");
        if applied.is_some() && !wal.exists() {
            let gone = "it is not there; what was acknowledged last may be in it alone";
            return Err(OpenFailed::Wal(gone.into()));
        }
        let (wal, log) = Wal::open(&wal, wal_bytes)?;
        let disk = Self {
            db,
            file,
            state: RwLock::default(),
            wal: Mutex::new(wal),
            gather_bytes,
        };
        disk.catch_up(applied.unwrap_or(0), &log)?;
        Ok(disk)
    }

    /// Bring sled, which has the writes up to number `applied`, to where the log ends.
    fn catch_up(&self, applied: u64, log: &[u8]) -> Result<(), OpenFailed> {
        let mut state = self.change();
        (state.number, state.settled) = (applied, applied);
        for record in missing(log, applied).map_err(bad_log)? {
            let mut batch = sled::Batch::default();
            for entry in record.entries() {
                match entry.map_err(bad_log)? {
                    (key, Some(value)) => batch.insert(key, value),
                    (key, None) => batch.remove(key),
                }
            }
            self.put(batch, record.last)?;
            (state.number, state.settled) = (record.last, record.last);
        }
        if !log.is_empty() {
            // The log begins anew, so what it has must not be in sled's buffers only; nor what sled itself
            // has found in pages that a crash left unsynced.
            self.db.flush()?;
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Put a batch into sled, which then has the writes up to `number`.
    fn put(&self, mut batch: sled::Batch, number: u64) -> sled::Result<()> {
        let stored = [&[view::WHOLE][..], &keys::encode_number(number)].concat();
        batch.insert(keys::applied().as_ref(), stored);
        self.db.apply_batch(batch)
    }

    /// A view for readers.
    pub(crate) fn view(&self) -> View<'_> {
        let state = self.look();
        if state.changed.is_empty() {
            return View::of(self, Some(state));
        }
        drop(state);
        let mut state = self.change();
        // If it fails, whoever writes next is told.
        let _ = self.settle_state(&mut state);
        View::of(self, Some(RwLockWriteGuard::downgrade(state)))
    }

    /// Rows for readers.
    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows::of(self, Some(self.look()))
    }

    /// Rows for readers, unless something is being changed.
    pub(crate) fn rows_at_once(&self) -> Option<Rows<'_>> {
        match self.state.try_read() {
            Ok(state) => Some(Rows::of(self, Some(state))),
            Err(TryLockError::Poisoned(poisoned)) => {
                Some(Rows::of(self, Some(poisoned.into_inner())))
            }
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// A view for the writer thread, which is the only one to apply writes.
    pub(crate) fn writer_view(&self) -> View<'_> {
        View::of(self, None)
    }

    /// Write all of it or nothing.
    pub(crate) fn apply(&self, writes: Writes) -> Result<(), StoreError> {
        if writes.is_empty() {
            return Ok(());
        }
        let mut state = self.change();
        if let Some(failed) = &state.failed {
            return Err(failed.clone());
        }
        state.number += 1;
        state.gather(writes);
        match state.bytes > self.gather_bytes {
            true => self.settle_state(&mut state),
            false => Ok(()),
        }
    }

    /// Put everything applied into sled, so that it can be iterated over.
    pub(crate) fn settle(&self) -> Result<(), StoreError> {
        self.settle_state(&mut self.change())
    }

    fn look(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle_state(&self, state: &mut State) -> Result<(), StoreError> {
        if let Some(failed) = &state.failed {
            return Err(failed.clone());
        }
        // Even if nothing is left to put: the number is what the log is compared with.
        if state.settled == state.number {
            return Ok(());
        }
        let mut batch = sled::Batch::default();
        for (key, value) in state.changed.drain() {
            match value.value() {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        state.bytes = 0;
        let put = self
            .put(batch, state.number)
            .map_err(|error| failed(&error));
        state.failed = put.clone().err();
        state.settled = state.number;
        put
    }

    /// Wait until everything applied is on disk.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        let mut wal = self.wal();
        let (unflushed, last) = {
            let mut state = self.change();
            if let Some(failed) = &state.failed {
                return Err(failed.clone());
            }
            (state.unflushed.take(), state.number)
        };
        let Some(Unflushed { first, record }) = unflushed else {
            return Ok(());
        };
        // Readers go on meanwhile.
        let flushed = match record {
            Some(record) if wal.fits(record.len()) => wal
                .append(&record.finish(first, last))
                .map_err(|error| io_failed(&error)),
            _ => self.settle().and_then(|()| {
                self.sync().map_err(|error| io_failed(&error))?;
                wal.rewind();
                Ok(())
            }),
        };
        if let Err(error) = &flushed {
            self.change().failed.get_or_insert_with(|| error.clone());
        }
        flushed
    }

    fn wal(&self) -> MutexGuard<'_, Wal> {
        self.wal.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Wait until what is in sled is on disk.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        self.db.flush().map_err(|error| match error {
            sled::Error::Io(error) => error,
            other => std::io::Error::other(other),
        })?;
        self.file.sync_data()
    }

    pub(crate) fn bytes(&self) -> sled::Result<u64> {
        Ok(self.db.size_on_disk()? + self.wal().len())
    }
}

impl State {
    fn gather(&mut self, writes: Writes) {
        let first = self.number;
        let unflushed = self.unflushed.get_or_insert_with(|| Unflushed {
            first,
            record: Some(Encoder::default()),
        });
        for (key, written) in writes.0 {
            let value = written.value();
            if let Some(record) = &mut unflushed.record {
                record.add(&key, value.map(AsRef::as_ref));
            }
            self.bytes += key.len() + value.map_or(0, |value| value.len());
            let written = match self.changed.get(&key) {
                Some(before) => before.then(written),
                None => Some(written),
            };
            match written {
                Some(written) => self.changed.insert(key, written),
                None => self.changed.remove(&key),
            };
        }
        if let Some(record) = &unflushed.record
            && record.len() > RECORD_MAX
        {
            unflushed.record = None;
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It is durable as it is; the next opening has less to do, and sees what failed.
        let _ = self.settle().and_then(|()| {
            let synced = self.sync();
            synced.map_err(|error| io_failed(&error))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gathered_does_not_grow_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let tuning = Tuning {
            gather_bytes: 5_000,
            ..Tuning::default()
        };
        let options = Options {
            tuning,
            ..Options::default()
        };
        let disk = Disk::open(dir.path(), &options).unwrap();
        for number in 0..100 {
            let mut writes = Writes::default();
            writes.put_new(keys::checkpoint(number), &[0; 500]);
            disk.apply(writes).unwrap();
            assert!(disk.look().bytes <= 5_000);
        }
        let found = disk.rows().get(&keys::checkpoint(7)).unwrap();
        assert_eq!(found.unwrap(), [0; 500]);
    }

    fn write(disk: &Disk, with: impl FnOnce(&mut Writes)) {
        let mut writes = Writes::default();
        with(&mut writes);
        disk.apply(writes).unwrap();
        disk.flush().unwrap();
    }

    #[test]
    fn what_comes_and_goes_never_reaches_sled_and_the_log_still_follows_on() {
        let dir = tempfile::tempdir().unwrap();
        let tuning = Tuning {
            wal_bytes: 4_000,
            ..Tuning::default()
        };
        let options = Options {
            tuning,
            ..Options::default()
        };
        let key = || keys::checkpoint(1);
        for _ in 0..3 {
            let disk = Disk::open(dir.path(), &options).unwrap();
            // Through several logs.
            for _ in 0..200 {
                write(&disk, |writes| writes.put_first(key(), b"comes"));
                let found = disk.rows().get(&key()).unwrap();
                assert_eq!(found.as_deref(), Some(&b"comes"[..]));
                write(&disk, |writes| writes.remove_short(key()));
                assert_eq!(disk.rows().get(&key()).unwrap(), None);
                assert!(disk.look().changed.is_empty());
            }
        }
    }

    #[test]
    fn what_sled_has_heard_of_is_removed_there() {
        let dir = tempfile::tempdir().unwrap();
        let key = || keys::checkpoint(1);
        let disk = Disk::open(dir.path(), &Options::default()).unwrap();
        write(&disk, |writes| writes.put_first(key(), b"1"));
        disk.settle().unwrap();
        // It is there, so it may not be forgotten.
        write(&disk, |writes| writes.remove_short(key()));
        write(&disk, |writes| writes.put_first(key(), b"2"));
        write(&disk, |writes| writes.remove_short(key()));
        disk.settle().unwrap();
        assert_eq!(disk.db.get(key()).unwrap(), None);

        write(&disk, |writes| writes.put_first(key(), b"3"));
        write(&disk, |writes| writes.put_new(key(), b"4"));
        let found = disk.rows().get(&key()).unwrap();
        assert_eq!(found.as_deref(), Some(&b"4"[..]));
        write(&disk, |writes| writes.remove_short(key()));
        assert!(disk.look().changed.is_empty());
        drop(disk);
        let disk = Disk::open(dir.path(), &Options::default()).unwrap();
        assert_eq!(disk.rows().get(&key()).unwrap(), None);
    }
}
