//! The sled tree with what it lacks: a commit that is on disk after one sync, long values in parts, batches
//! that readers never see half of, and errors that name the key.
//!
//! What commands write is gathered in memory, where every lookup finds it. [`Disk::flush`] makes it durable
//! in the write-ahead log; it goes into sled when somebody iterates over keys, or when there is much of it.

mod mark;
#[cfg(test)]
mod tests;
mod view;
mod wal;
mod writes;

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tidegate_engine::StoreError;

use crate::identity::Identity;
use crate::layout::Corrupt;
use crate::layout::keys;
use crate::layout::wal::{Encoder, missing};
use crate::open::{Options, Tuning, patiently};
pub(crate) use view::{Rows, View, decode_part_key};
use wal::Wal;
pub(crate) use writes::Writes;
use writes::WrittenValue;

/// The longest record of the write-ahead log, in bytes. What writes more is flushed through sled.
const RECORD_MAX: usize = 1024 * 1024;

/// A value of so many bytes is long, and a record has at most so many bytes of them: pages of records. sled
/// alone costs less than writing them twice; with short rows, such as those of jobs, it is the other way.
const LONG: usize = 1024;
const LONG_MAX: usize = 64 * 1024;

/// How long sled's own lock is waited for: a database of this process that was closed a moment ago may have
/// threads of sled still ending. No other process can have it, for the data directory's lock is taken first.
const SLED_PATIENCE: Duration = Duration::from_secs(10);

/// Whether somebody has sled's lock, which it only says in words.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

/// The database of one data directory.
pub(crate) struct Disk {
    db: sled::Db,
    /// A second handle of sled's file: sled's own flush does not sync.
    file: File,
    /// Locked for writing while anything changes: sled shows batches half done to whoever reads beside
    /// them.
    state: RwLock<State>,
    wal: Mutex<Wal>,
    /// Where it is noted how far the writes on disk have come; a copy in the making has none.
    identity: OnceLock<Identity>,
    gather_bytes: usize,
}

/// Writes by key.
type Changed = HashMap<sled::IVec, WrittenValue>;

#[derive(Default)]
struct State {
    /// What is not in sled yet: what was written lately.
    changed: Changed,
    /// Bytes of it.
    bytes: usize,
    /// What was written before that and not since. It is flushed, and goes into sled next. So what comes and
    /// goes, or changes again soon, as jobs do, does so without sled.
    older: Changed,
    /// The number of the last write when that was set apart.
    older_number: u64,
    /// The number of the last write. Each one that is applied has the next.
    number: u64,
    /// The number up to which sled has them.
    settled: u64,
    /// The number up to which they are on disk, in the log or in sled.
    flushed: u64,
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
    /// Bytes of the long values in it.
    long: usize,
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

fn batch<'a>(changed: impl Iterator<Item = (&'a sled::IVec, &'a WrittenValue)>) -> sled::Batch {
    let mut batch = sled::Batch::default();
    for (key, written) in changed {
        match written.value() {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        }
    }
    batch
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
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(options.cache_bytes)
            // The writer flushes; a timer's flush would only come between.
            .flush_every_ms(None);
        let db = patiently(SLED_PATIENCE, || config.open(), is_locked)?;
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
            identity: OnceLock::new(),
            gather_bytes,
        };
        disk.catch_up(applied.unwrap_or(0), &log)?;
        Ok(disk)
    }

    /// Bring sled, which has the writes up to number `applied`, to where the log ends.
    fn catch_up(&self, applied: u64, log: &[u8]) -> Result<(), OpenFailed> {
        let mut state = self.change();
        state.settled_at(applied);
        state.flushed = applied;
        for record in missing(log, applied).map_err(bad_log)? {
            let mut batch = sled::Batch::default();
            for entry in record.entries() {
                match entry.map_err(bad_log)? {
                    (key, Some(value)) => batch.insert(key, value),
                    (key, None) => batch.remove(key),
                }
            }
            self.put(batch, record.last)?;
            state.settled_at(record.last);
            state.flushed = record.last;
        }
        // The log begins anew, so what it has must not be in sled's buffers only; nor what sled itself has found
        // in pages that a crash left unsynced, which may be so though the log is empty.
        self.db.flush()?;
        self.file.sync_data()?;
        Ok(())
    }

    /// Put a batch into sled, which then has the writes up to `number`.
    fn put(&self, mut batch: sled::Batch, number: u64) -> sled::Result<()> {
        let stored = [&[view::WHOLE][..], &keys::encode_number(number)].concat();
        batch.insert(keys::applied().as_ref(), stored);
        self.db.apply_batch(batch)
    }

    /// The same, key by key in their order, which costs sled less. After a crash it may have some without
    /// the others; the log has them all.
    fn put_each<'a>(
        &self,
        changed: impl Iterator<Item = (&'a sled::IVec, &'a WrittenValue)>,
        number: u64,
    ) -> sled::Result<()> {
        let mut changed: Vec<_> = changed.collect();
        changed.sort_unstable_by_key(|(key, _)| *key);
        for (key, written) in changed {
            match written.value() {
                Some(value) => self.db.insert(key, value)?,
                None => self.db.remove(key)?,
            };
        }
        self.put(sled::Batch::default(), number)
    }

    /// A view for readers.
    pub(crate) fn view(&self) -> View<'_> {
        let state = self.look();
        if state.is_settled() {
            return View::of(self, Some(state));
        }
        drop(state);
        let mut state = self.change();
        let failed = self.settle_state(&mut state).err();
        let view = View::of(self, Some(RwLockWriteGuard::downgrade(state)));
        view.lacking(failed)
    }

    /// Rows for readers.
    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows::of(self, Some(self.look()))
    }

    /// Rows for readers, unless something is being changed.
    pub(crate) fn rows_at_once(&self) -> Option<Rows<'_>> {
        let state = self.state.try_read()?;
        Some(Rows::of(self, Some(state)))
    }

    /// A view for the writer thread, which is the only one to apply writes; and of rows that it leaves alone.
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
        // Otherwise the next flush sees to it, when it costs less.
        match state.bytes > self.gather_bytes {
            true => self.settle_state(&mut state),
            false => Ok(()),
        }
    }

    /// Put everything applied into sled, so that it can be iterated over.
    pub(crate) fn settle(&self) -> Result<(), StoreError> {
        self.settle_state(&mut self.change())
    }

    /// Put what has not changed for a while into sled, once there is much and all is flushed: what was
    /// written over since is in the log.
    fn settle_older(&self, state: &mut State) -> Result<(), StoreError> {
        if let Some(failed) = &state.failed {
            return Err(failed.clone());
        }
        if state.bytes <= self.gather_bytes / 2 || !state.is_flushed() {
            return Ok(());
        }
        if state.older_number > state.settled {
            let put = self.put_each(state.older.iter(), state.older_number);
            state.noted(put)?;
            state.settled = state.older_number;
        }
        state.older = std::mem::take(&mut state.changed);
        (state.older_number, state.bytes) = (state.number, 0);
        Ok(())
    }

    fn look(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    fn change(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write()
    }

    fn settle_state(&self, state: &mut State) -> Result<(), StoreError> {
        if let Some(failed) = &state.failed {
            return Err(failed.clone());
        }
        // Even if nothing is left to put: the number is what the log is compared with.
        if state.settled == state.number {
            return Ok(());
        }
        let changed = state.older.iter().chain(&state.changed);
        let put = match state.is_flushed() {
            true => self.put_each(changed, state.number),
            // What a crash leaves half of is nowhere else.
            false => self.put(batch(changed), state.number),
        };
        // If it failed, lookups go on finding what sled may lack.
        state.noted(put)?;
        state.older.clear();
        state.changed.clear();
        state.settled_at(state.number);
        Ok(())
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
        let Some(Unflushed { first, record, .. }) = unflushed else {
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
        let flushed = flushed.and_then(|()| self.note(last));
        let mut state = self.change();
        match flushed {
            Ok(()) => state.flushed = last,
            Err(error) => state.failed = Some(state.failed.take().unwrap_or(error)),
        }
        self.settle_older(&mut state)
    }

    fn wal(&self) -> MutexGuard<'_, Wal> {
        self.wal.lock()
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
    /// What is written at a key, if sled may not have it.
    fn get(&self, key: &[u8]) -> Option<&WrittenValue> {
        self.changed.get(key).or_else(|| self.older.get(key))
    }

    /// Whether sled has everything.
    fn is_settled(&self) -> bool {
        self.changed.is_empty() && self.older.is_empty()
    }

    /// Whether everything is on disk.
    fn is_flushed(&self) -> bool {
        self.flushed == self.number
    }

    /// Take in how a write went: nothing is written after one that failed.
    fn noted(&mut self, put: sled::Result<()>) -> Result<(), StoreError> {
        let put = put.map_err(|error| failed(&error));
        self.failed = put.clone().err();
        put
    }

    /// The last write has this number, and sled has everything.
    fn settled_at(&mut self, number: u64) {
        (self.number, self.settled, self.older_number) = (number, number, number);
        self.bytes = 0;
    }

    fn gather(&mut self, writes: Writes) {
        let first = self.number;
        let unflushed = self.unflushed.get_or_insert_with(|| Unflushed {
            first,
            record: Some(Encoder::default()),
            long: 0,
        });
        for (key, written) in writes.0 {
            let value = written.value();
            if let Some(record) = &mut unflushed.record {
                record.add(&key, value.map(AsRef::as_ref));
            }
            let len = value.map_or(0, |value| value.len());
            self.bytes += key.len() + len;
            unflushed.long += if len < LONG { 0 } else { len };
            let older = self.older.remove(&key);
            let written = match self.changed.get(&key).or(older.as_ref()) {
                Some(before) => before.then(written),
                None => Some(written),
            };
            match written {
                Some(written) => self.changed.insert(key, written),
                None => self.changed.remove(&key),
            };
        }
        if let Some(record) = &unflushed.record
            && (record.len() > RECORD_MAX || unflushed.long > LONG_MAX)
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
