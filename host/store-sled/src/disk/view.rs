//! Looking at the database: rows, ranges, and long values put together from their parts.

use std::ops::Bound;

use parking_lot::RwLockReadGuard;
use tidegate_engine::StoreError;

use super::{Disk, State, damaged, failed};
use crate::layout::Corrupt;
use crate::layout::codec::Reader;
use crate::layout::keys::{self, Key, Tag};

/// The first byte of a value in one piece.
pub(super) const WHOLE: u8 = 0;
/// The first byte of what stands for a value in parts.
pub(super) const IN_PARTS: u8 = 1;

/// Rows by their keys, all of the same moment, with what is not in sled yet. Short-lived: writing waits for
/// them.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    disk: &'a Disk,
    /// `None` for the writer thread, beside which nothing changes, and for whoever looks at what the writer leaves
    /// alone meanwhile.
    state: Option<RwLockReadGuard<'a, State>>,
}

/// Rows that can also be iterated over: everything is in sled.
#[derive(Debug)]
pub(crate) struct View<'a> {
    rows: Rows<'a>,
    /// Why not everything is in sled: then nothing can be iterated over. Lookups find it all.
    failed: Option<StoreError>,
}

impl<'a> std::ops::Deref for View<'a> {
    type Target = Rows<'a>;

    fn deref(&self) -> &Rows<'a> {
        &self.rows
    }
}

impl<'a> Rows<'a> {
    pub(super) fn of(disk: &'a Disk, state: Option<RwLockReadGuard<'a, State>>) -> Self {
        Self { disk, state }
    }

    pub(crate) fn get(&self, key: &Key) -> Result<Option<sled::IVec>, StoreError> {
        self.stored(key.as_ref())?
            .map(|stored| self.whole(key.as_ref(), &stored))
            .transpose()
    }

    /// The value at `key` as it is stored.
    fn stored(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        let changed = match &self.state {
            Some(state) => state.get(key).cloned(),
            None => self.disk.look().get(key).cloned(),
        };
        match changed {
            Some(written) => Ok(written.value().cloned()),
            None => self.disk.db.get(key).map_err(|error| failed(&error)),
        }
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

    /// The value that was stored, put together if it is in parts, with its checksum.
    pub(crate) fn whole(&self, key: &[u8], stored: &sled::IVec) -> Result<sled::IVec, StoreError> {
        match stored.first() {
            Some(&WHOLE) => Ok(stored.subslice(1, stored.len() - 1)),
            Some(&IN_PARTS) => {
                let parts = Parts::decode(stored).map_err(|c| damaged(key, c))?;
                let mut value = Vec::new();
                for part in 0..parts.count {
                    let part = self.stored(part_key(key, part).as_ref())?;
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
        Ok(self.found(key)?.unwrap_or(0))
    }

    /// The same, if there is a value.
    pub(crate) fn found(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        match self.stored(key.as_ref())? {
            Some(stored) if stored.first() == Some(&IN_PARTS) => {
                let parts = Parts::decode(&stored).map_err(|c| damaged(key.as_ref(), c))?;
                Ok(Some(parts.count))
            }
            stored => Ok(stored.map(|_| 0)),
        }
    }
}

impl<'a> View<'a> {
    /// With a `state` of which everything is in sled.
    pub(super) fn of(disk: &'a Disk, state: Option<RwLockReadGuard<'a, State>>) -> Self {
        Self {
            rows: Rows::of(disk, state),
            failed: None,
        }
    }

    pub(super) fn lacking(self, failed: Option<StoreError>) -> Self {
        Self { failed, ..self }
    }

    /// What may be iterated over.
    pub(super) fn tree(&self) -> Result<&'a sled::Tree, StoreError> {
        match (&self.failed, &self.state) {
            (Some(failed), _) => return Err(failed.clone()),
            (None, Some(_)) => {}
            (None, None) => self.disk.settle()?,
        }
        Ok(&self.disk.db)
    }

    /// Keys in a range with what is stored there, or why there is nothing to be had.
    pub(super) fn items(
        &self,
        range: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> impl DoubleEndedIterator<Item = Result<(sled::IVec, sled::IVec), StoreError>> + use<'a>
    {
        let (items, lacking) = match self.tree() {
            Ok(tree) => (Some(tree.range::<&[u8], _>(range)), None),
            Err(error) => (None, Some(Err(error))),
        };
        let items = items.into_iter().flatten();
        items
            .map(|item| item.map_err(|error| failed(&error)))
            .chain(lacking)
    }

    /// Keys from `first` to before `end`, in order.
    pub(crate) fn range<'v>(
        &'v self,
        first: &Key,
        end: &Key,
    ) -> impl DoubleEndedIterator<Item = Result<(sled::IVec, sled::IVec), StoreError>> + use<'a, 'v>
    {
        self.items(between(first, end)).map(|item| {
            let (key, stored) = item?;
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
        let range = (
            Bound::Included(prefix.as_ref()),
            Bound::Included(key.as_ref()),
        );
        let Some(found) = self.items(range).next_back() else {
            return Ok(None);
        };
        let (key, stored) = found?;
        let value = self.whole(&key, &stored)?;
        Ok(Some((key, value)))
    }

    /// Stored values as they are, long ones not put together; for looking at each by itself.
    pub(crate) fn raw<'v>(
        &'v self,
        first: &Key,
        end: &Key,
    ) -> impl Iterator<Item = Result<(sled::IVec, sled::IVec), StoreError>> + use<'a, 'v> {
        self.items(between(first, end))
    }
}

/// From `first` to before `end`.
pub(super) fn between<'k>(first: &'k Key, end: &'k Key) -> (Bound<&'k [u8]>, Bound<&'k [u8]>) {
    (
        Bound::Included(first.as_ref()),
        Bound::Excluded(end.as_ref()),
    )
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

pub(super) fn part_key(key: &[u8], part: u64) -> Key {
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
