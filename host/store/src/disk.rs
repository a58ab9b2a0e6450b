//! The sled tree with what it lacks: long values in parts, batches that readers never see half of,
//! a flush that reaches the disk, and errors that name the key.

use std::fs::File;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use tidegate_engine::StoreError;

use crate::layout::Corrupt;
use crate::layout::codec::{Reader, put_number};
use crate::layout::keys::{self, Key, Tag};

/// Longest value that is stored in one piece. A leaf of sled's tree has up to 20 values and is
/// written whole; above 128 KiB it would go to a file of its own, which 0.34 refuses to write a
/// second time after a crash.
pub(crate) const PART_BYTES: usize = 6000;

const WHOLE: u8 = 0;
const IN_PARTS: u8 = 1;

/// The database of one data directory.
pub(crate) struct Disk {
    db: sled::Db,
    /// A second handle of sled's file: sled's own flush does not sync.
    file: File,
    /// Held for writing while a batch is applied: sled shows batches half done to whoever reads
    /// beside them.
    applying: RwLock<()>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

/// Writes that happen together.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    batch: sled::Batch,
    any: bool,
}

/// A consistent view between two batches. Short-lived: writing waits for it.
#[derive(Debug)]
pub(crate) struct View<'a> {
    disk: &'a Disk,
    _guard: Option<RwLockReadGuard<'a, ()>>,
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
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> sled::Result<Self> {
        let db = sled::Config::new()
            .path(path)
            .cache_capacity(cache_bytes)
            // The writer flushes; a timer's flush would only come between.
            .flush_every_ms(None)
            .open()?;
        let file = File::options().write(true).open(path.join("db"))?;
        Ok(Self {
            db,
            file,
            applying: RwLock::new(()),
        })
    }

    /// A view for readers.
    pub(crate) fn view(&self) -> View<'_> {
        let guard = self.applying.read().unwrap_or_else(PoisonError::into_inner);
        View {
            disk: self,
            _guard: Some(guard),
        }
    }

    /// A view for the writer thread, which is the only one to apply batches.
    pub(crate) fn writer_view(&self) -> View<'_> {
        View {
            disk: self,
            _guard: None,
        }
    }

    pub(crate) fn apply(&self, writes: Writes) -> Result<(), StoreError> {
        if !writes.any {
            return Ok(());
        }
        let _guard = self
            .applying
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        self.db
            .apply_batch(writes.batch)
            .map_err(|error| failed(&error))
    }

    /// Wait until everything applied is on disk.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
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

impl<'a> View<'a> {
    pub(crate) fn get(&self, key: &Key) -> Result<Option<sled::IVec>, StoreError> {
        let stored = self.disk.db.get(key).map_err(|error| failed(&error))?;
        stored
            .map(|stored| self.whole(key.as_ref(), &stored))
            .transpose()
    }

    /// Decode the value at `key`.
    pub(crate) fn row<T>(
        &self,
        key: &Key,
        decode: impl FnOnce(&[u8]) -> Result<T, Corrupt>,
    ) -> Result<Option<T>, StoreError> {
        let value = self.get(key)?;
        value
            .map(|value| decode(&value).map_err(|c| damaged(key.as_ref(), c)))
            .transpose()
    }

    /// Keys from `first` to before `end`, in order.
    pub(crate) fn range<'v>(
        &'v self,
        first: &Key,
        end: &Key,
    ) -> impl DoubleEndedIterator<Item = Result<(sled::IVec, sled::IVec), StoreError>> + use<'a, 'v>
    {
        self.disk
            .db
            .range(first.as_ref()..end.as_ref())
            .map(|item| {
                let (key, stored) = item.map_err(|error| failed(&error))?;
                let value = self.whole(&key, &stored)?;
                Ok((key, value))
            })
    }

    /// Keys that begin with `prefix`.
    pub(crate) fn prefix<'v>(
        &'v self,
        prefix: &Key,
    ) -> impl DoubleEndedIterator<Item = Result<(sled::IVec, sled::IVec), StoreError>> + use<'a, 'v>
    {
        self.range(prefix, &prefix.after_prefix())
    }

    /// The last key of `prefix` that is not after `key`.
    pub(crate) fn at_or_before(
        &self,
        prefix: &Key,
        key: &Key,
    ) -> Result<Option<(sled::IVec, sled::IVec)>, StoreError> {
        let found = self
            .disk
            .db
            .range(prefix.as_ref()..=key.as_ref())
            .next_back();
        let Some(found) = found else { return Ok(None) };
        let (key, stored) = found.map_err(|error| failed(&error))?;
        let value = self.whole(&key, &stored)?;
        Ok(Some((key, value)))
    }

    /// Stored values as they are, long ones not put together; for looking at each by itself.
    pub(crate) fn raw<'v>(
        &'v self,
        first: &Key,
        end: &Key,
    ) -> impl Iterator<Item = Result<(sled::IVec, sled::IVec), StoreError>> + use<'a, 'v> {
        let items = self.disk.db.range(first.as_ref()..end.as_ref());
        items.map(|item| item.map_err(|error| failed(&error)))
    }

    /// The value that was stored, put together if it is in parts, with its checksum.
    pub(crate) fn whole(&self, key: &[u8], stored: &sled::IVec) -> Result<sled::IVec, StoreError> {
        match stored.first() {
            Some(&WHOLE) => Ok(stored.subslice(1, stored.len() - 1)),
            Some(&IN_PARTS) => {
                let parts = Parts::decode(stored).map_err(|c| damaged(key, c))?;
                let mut value = Vec::new();
                for part in 0..parts.count {
                    let part = self
                        .disk
                        .db
                        .get(part_key(key, part))
                        .map_err(|e| failed(&e))?;
                    value.extend_from_slice(&part.unwrap_or_default());
                }
                if crc32fast::hash(&value) != parts.crc {
                    return Err(damaged(
                        key,
                        Corrupt("a long value does not have its checksum"),
                    ));
                }
                Ok(value.into())
            }
            _ => Err(damaged(key, Corrupt("a value of an unknown kind"))),
        }
    }

    /// Parts that the value at `key` has; 0 for one in one piece, or none.
    pub(crate) fn parts(&self, key: &Key) -> Result<u64, StoreError> {
        let stored = self.disk.db.get(key).map_err(|error| failed(&error))?;
        match stored {
            Some(stored) if stored.first() == Some(&IN_PARTS) => {
                let parts = Parts::decode(&stored).map_err(|c| damaged(key.as_ref(), c))?;
                Ok(parts.count)
            }
            _ => Ok(0),
        }
    }
}

struct Parts {
    count: u64,
    crc: u32,
}

impl Parts {
    fn decode(stored: &[u8]) -> Result<Self, Corrupt> {
        let mut reader = Reader(stored);
        reader.version(IN_PARTS)?;
        Ok(Self {
            count: reader.number()?,
            crc: u32::from_le_bytes(reader.array()?),
        })
    }
}

fn part_key(key: &[u8], part: u64) -> Key {
    // The key has no fixed length, so its length comes first: no two keys share parts.
    Key::new(Tag::Part)
        .number(key.len() as u64)
        .raw(key)
        .number(part)
}

/// What [`part_key`] made: the key whose value it is a part of, and which part.
pub(crate) fn decode_part_key(key: &[u8]) -> Result<(Key, u64), Corrupt> {
    let bad = Corrupt("a key without the key it should have");
    let (len, rest) = keys::split_number(keys::rest(key, &Key::new(Tag::Part))?)?;
    let len = usize::try_from(len).map_err(|_| bad)?;
    let (key, rest) = rest.split_at_checked(len).ok_or(bad)?;
    let (part, _) = keys::split_number(rest)?;
    Ok((Key::stored(key), part))
}

impl Writes {
    /// Put a value that is known to be short, or whose key is new.
    pub(crate) fn put_new(&mut self, key: Key, value: &[u8]) {
        self.any = true;
        if value.len() < PART_BYTES {
            let mut stored = Vec::with_capacity(value.len() + 1);
            stored.push(WHOLE);
            stored.extend_from_slice(value);
            self.batch.insert(key, stored);
            return;
        }
        let parts = value.chunks(PART_BYTES);
        let mut stored = vec![IN_PARTS];
        put_number(&mut stored, parts.len() as u64);
        stored.extend_from_slice(&crc32fast::hash(value).to_le_bytes());
        for (number, part) in parts.enumerate() {
            self.batch
                .insert(part_key(key.as_ref(), number as u64), part);
        }
        self.batch.insert(key, stored);
    }

    /// Put a value over one that may have been longer.
    pub(crate) fn put(
        &mut self,
        view: &View<'_>,
        key: Key,
        value: &[u8],
    ) -> Result<(), StoreError> {
        self.remove_parts(view, &key)?;
        self.put_new(key, value);
        Ok(())
    }

    pub(crate) fn remove(&mut self, view: &View<'_>, key: Key) -> Result<(), StoreError> {
        self.remove_parts(view, &key)?;
        self.any = true;
        self.batch.remove(key);
        Ok(())
    }

    /// Remove all keys that begin with `prefix`.
    pub(crate) fn remove_prefix(
        &mut self,
        view: &View<'_>,
        prefix: &Key,
    ) -> Result<(), StoreError> {
        for item in view
            .disk
            .db
            .range(prefix.as_ref()..prefix.after_prefix().as_ref())
        {
            let (key, _) = item.map_err(|error| failed(&error))?;
            self.remove(view, Key::stored(&key))?;
        }
        Ok(())
    }

    /// Remove a value whatever it is, even one whose parts can't be told; returns the bytes that
    /// its parts take at most.
    pub(crate) fn remove_any(&mut self, view: &View<'_>, key: Key) -> Result<usize, StoreError> {
        let parts = match view.parts(&key) {
            Err(StoreError::Damaged { .. }) => 0,
            parts => parts?,
        };
        for part in 0..parts {
            self.batch.remove(part_key(key.as_ref(), part));
        }
        self.any = true;
        self.batch.remove(key);
        Ok(usize::try_from(parts).map_or(usize::MAX, |parts| parts.saturating_mul(PART_BYTES)))
    }

    /// Remove a value that is known to be short.
    pub(crate) fn remove_short(&mut self, key: Key) {
        self.any = true;
        self.batch.remove(key);
    }

    fn remove_parts(&mut self, view: &View<'_>, key: &Key) -> Result<(), StoreError> {
        for part in 0..view.parts(key)? {
            self.any = true;
            self.batch.remove(part_key(key.as_ref(), part));
        }
        Ok(())
    }
}
