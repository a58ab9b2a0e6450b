//! Rows of several lists as one, the newest first. A list's keys are its own, then the 16 bytes of an id.

use std::collections::BinaryHeap;

use tidegate_engine::{Name, StoreError};

use crate::disk::{View, damaged};
use crate::layout::keys::{self, Key, Tag};

type Rows<'v> = Box<dyn Iterator<Item = Result<(sled::IVec, sled::IVec), StoreError>> + 'v>;

/// Ids in several lists, the newest first.
pub(crate) struct Newest<'v> {
    lists: Vec<(Key, Rows<'v>)>,
    /// The next id of each list that has one.
    heads: BinaryHeap<([u8; 16], usize)>,
    failed: Option<StoreError>,
}

impl<'v> Newest<'v> {
    /// What `lists` have from before `before` on.
    pub(crate) fn of(view: &'v View<'_>, lists: Vec<Key>, before: Option<[u8; 16]>) -> Self {
        let rows = lists.into_iter().map(|list| {
            let end = match before {
                Some(id) => list.clone().raw(&id),
                None => list.after_prefix(),
            };
            let rows: Rows<'v> = Box::new(view.range(&list, &end).rev());
            (list, rows)
        });
        let mut all = Self {
            lists: rows.collect(),
            heads: BinaryHeap::new(),
            failed: None,
        };
        for number in 0..all.lists.len() {
            all.pull(number);
        }
        all
    }

    /// Take the next id of a list.
    fn pull(&mut self, number: usize) {
        let Some((list, rows)) = self.lists.get_mut(number) else {
            return;
        };
        let id = rows.next().map(|row| {
            let (key, _) = row?;
            let id = keys::rest(&key, list).and_then(keys::decode_id);
            id.map_err(|corrupt| damaged(&key, corrupt))
        });
        match id {
            Some(Ok(id)) => self.heads.push((id, number)),
            Some(Err(error)) => self.failed = Some(error),
            None => {}
        }
    }
}

impl Iterator for Newest<'_> {
    type Item = Result<[u8; 16], StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            self.heads.clear();
            return Some(Err(error));
        }
        let (id, number) = self.heads.pop()?;
        self.pull(number);
        Some(Ok(id))
    }
}

/// The lists of all integrations.
pub(crate) fn of_integrations(
    view: &View<'_>,
    list: impl Fn(&Name) -> Key,
) -> Result<Vec<Key>, StoreError> {
    let prefix = Key::new(Tag::Integration);
    let mut lists = Vec::new();
    for item in view.raw(&prefix, &prefix.after_prefix()) {
        let (key, _) = item?;
        let name = keys::rest(&key, &prefix).and_then(keys::decode_name);
        lists.push(list(&name.map_err(|corrupt| damaged(&key, corrupt))?));
    }
    Ok(lists)
}

/// Each of these lists for each of these ends ([`crate::layout::ends`]).
pub(crate) fn by_end(lists: &[Key], ends: &[u8]) -> Vec<Key> {
    let each = |list: &Key| {
        ends.iter()
            .map(|end| list.clone().end(*end))
            .collect::<Vec<_>>()
    };
    lists.iter().flat_map(each).collect()
}
