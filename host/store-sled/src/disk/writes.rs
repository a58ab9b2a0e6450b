//! Writes that happen together, long values in parts.

use tidegate_engine::StoreError;

use super::Changed;
use super::view::{IN_PARTS, View, WHOLE, between, part_key};
use crate::layout::codec::put_number;
use crate::layout::keys::Key;

/// Longest value that is stored in one piece. A leaf of sled's tree has up to 20 values and is
/// written whole; above 128 KiB it would go to a file of its own, which 0.34 refuses to write a
/// second time after a crash.
pub(crate) const PART_BYTES: usize = 6000;

/// What is written at a key.
#[derive(Debug, Clone)]
pub(super) enum WrittenValue {
    /// A value where sled has none.
    First(sled::IVec),
    Value(sled::IVec),
    Removed,
}

impl WrittenValue {
    pub(super) fn value(&self) -> Option<&sled::IVec> {
        match self {
            Self::First(value) | Self::Value(value) => Some(value),
            Self::Removed => None,
        }
    }

    /// This, and then `next`; `None` if sled need not hear of it.
    pub(super) fn then(&self, next: Self) -> Option<Self> {
        match (self, next) {
            (Self::First(_), Self::Removed) => None,
            (Self::First(_), Self::Value(value)) => Some(Self::First(value)),
            (Self::Value(_) | Self::Removed, Self::First(value)) => Some(Self::Value(value)),
            (_, next) => Some(next),
        }
    }
}

/// Writes that happen together.
#[derive(Debug, Default)]
pub(crate) struct Writes(pub(super) Changed);

impl Writes {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Put a value that is known to be short, or whose key is new.
    pub(crate) fn put_new(&mut self, key: Key, value: &[u8]) {
        if value.len() < PART_BYTES {
            let mut stored = Vec::with_capacity(value.len() + 1);
            stored.push(WHOLE);
            stored.extend_from_slice(value);
            self.insert(key, stored);
            return;
        }
        let parts = value.chunks(PART_BYTES);
        let mut stored = vec![IN_PARTS];
        put_number(&mut stored, parts.len() as u64);
        stored.extend_from_slice(&crc32fast::hash(value).to_le_bytes());
        for (number, part) in parts.enumerate() {
            self.insert(part_key(key.as_ref(), number as u64), part);
        }
        self.insert(key, stored);
    }

    /// Put a short value where none is and none was gathered. Removed soon, sled never hears of it.
    pub(crate) fn put_first(&mut self, key: Key, value: &[u8]) {
        let stored = [&[WHOLE], value].concat();
        self.0
            .insert(key.into(), WrittenValue::First(stored.into()));
    }

    fn insert(&mut self, key: Key, stored: impl Into<sled::IVec>) {
        self.0
            .insert(key.into(), WrittenValue::Value(stored.into()));
    }

    /// Remove a value that is known to be short.
    pub(crate) fn remove_short(&mut self, key: Key) {
        self.0.insert(key.into(), WrittenValue::Removed);
    }

    /// Put a value over one that may have been longer.
    pub(crate) fn put(
        &mut self,
        view: &View<'_>,
        key: Key,
        value: &[u8],
    ) -> Result<(), StoreError> {
        let parts = view.parts(&key)?;
        self.put_over(parts, key, value);
        Ok(())
    }

    /// Put a value over one that has so many parts.
    pub(crate) fn put_over(&mut self, parts: u64, key: Key, value: &[u8]) {
        self.remove_parts(parts, &key);
        self.put_new(key, value);
    }

    pub(crate) fn remove(&mut self, view: &View<'_>, key: Key) -> Result<(), StoreError> {
        self.remove_parts(view.parts(&key)?, &key);
        self.remove_short(key);
        Ok(())
    }

    /// Remove all keys that begin with `prefix`.
    pub(crate) fn remove_prefix(
        &mut self,
        view: &View<'_>,
        prefix: &Key,
    ) -> Result<(), StoreError> {
        let end = prefix.after_prefix();
        for item in view.items(between(prefix, &end)) {
            let (key, _) = item?;
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
        self.remove_parts(parts, &key);
        self.remove_short(key);
        Ok(usize::try_from(parts).map_or(usize::MAX, |parts| parts.saturating_mul(PART_BYTES)))
    }

    fn remove_parts(&mut self, parts: u64, key: &Key) {
        for part in 0..parts {
            self.remove_short(part_key(key.as_ref(), part));
        }
    }
}
