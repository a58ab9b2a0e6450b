//! What the config points at and a run never came across: a misspelt pointer fails nothing, and is told.

use std::cell::{Cell, RefCell};

/// A pointer of the config, and whether anything was ever there.
#[derive(Debug)]
struct Place {
    key: String,
    pointer: String,
    seen: Cell<bool>,
}

/// A run's memory of what its config points at within records.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// In the order of the finder's pointers.
    places: Vec<Place>,
    /// That of the tombstone, which many APIs send with what is deleted only.
    tombstone: Option<usize>,
    records: Cell<u64>,
    ids: Cell<u64>,
    times: Cell<u64>,
    /// How many times could not be read, and the first of them.
    unread: RefCell<(u64, String)>,
    assumed_utc: Cell<bool>,
    /// A next URL that was asked for at another origin.
    moved: RefCell<Option<String>>,
    details: Cell<bool>,
    /// Whether a tombstone's field had a value, and one of the kind of that in the config.
    tombstones: Cell<(bool, bool)>,
    /// A record that changed before what was asked for, and since when.
    older: RefCell<Option<String>>,
}

impl Watch {
    pub(crate) fn new(places: Vec<(String, String)>, tombstone: Option<usize>) -> Self {
        let place = |(key, pointer)| Place {
            key,
            pointer,
            seen: Cell::new(false),
        };
        Watch {
            places: places.into_iter().map(place).collect(),
            tombstone,
            ..Watch::default()
        }
    }

    /// A record was taken apart: whether there was something at each pointer.
    pub(crate) fn record(&self, found: impl Iterator<Item = bool>) {
        self.records.set(self.records.get() + 1);
        for (place, found) in self.places.iter().zip(found) {
            if found {
                place.seen.set(true);
            }
        }
    }

    pub(crate) fn id(&self) {
        self.ids.set(self.ids.get() + 1);
    }

    /// Whether a record of this run had an id.
    pub(crate) fn has_ids(&self) -> bool {
        self.ids.get() > 0
    }

    /// Times were read.
    pub(crate) fn times(&self, count: u64, assumed_utc: bool) {
        self.times.set(self.times.get() + count);
        if assumed_utc {
            self.assumed_utc.set(true);
        }
    }

    /// Whether a time of this run could be read.
    pub(crate) fn has_times(&self) -> bool {
        self.times.get() > 0
    }

    /// A time could not be read.
    pub(crate) fn unread(&self, raw: &str) {
        let mut unread = self.unread.borrow_mut();
        if unread.0 == 0 {
            unread.1 = raw.chars().take(80).collect();
        }
        unread.0 += 1;
    }

    /// This next URL is asked for at the origin of the base URL.
    pub(crate) fn moved(&self, url: &str) {
        let mut moved = self.moved.borrow_mut();
        moved.get_or_insert_with(|| url.chars().take(200).collect());
    }

    /// The field of a tombstone has a value, which may be of the kind that the config has.
    pub(crate) fn tombstone(&self, is_of_kind: bool) {
        let (_, was_of_kind) = self.tombstones.get();
        self.tombstones.set((true, was_of_kind || is_of_kind));
    }

    /// Changes since a time were asked for, and a record is older.
    pub(crate) fn older(&self, says: impl FnOnce() -> String) {
        self.older.borrow_mut().get_or_insert_with(says);
    }

    /// A detail was there.
    pub(crate) fn detail(&self) {
        self.details.set(true);
    }

    /// Whether a record of this run had its detail.
    pub(crate) fn has_details(&self) -> bool {
        self.details.get()
    }

    /// What an operator should know of the config of `model`, once a run is over.
    pub(crate) fn findings(&self, model: &str, is_full: bool) -> Vec<String> {
        let mut findings = Vec::new();
        if let Some(url) = &*self.moved.borrow() {
            findings.push(format!(
                "`models.{model}.pagination.next_url_origin`: the API names next pages at another origin, such as \
                 {url}; they are asked for at that of the base URL"
            ));
        }
        let records = self.records.get();
        if records == 0 {
            return findings;
        }
        for (index, place) in self.places.iter().enumerate() {
            let Place { key, pointer, seen } = place;
            if seen.get() {
                continue;
            }
            let is_tombstone = self.tombstone == Some(index);
            if is_tombstone && !is_full {
                continue;
            }
            let note = match is_tombstone {
                true => "; that is fine if this API sends it with deleted records only",
                false => "",
            };
            findings.push(format!(
                "`{key}`: none of {records} records has anything at `{pointer}`{note}"
            ));
        }
        if self.tombstones.get() == (true, false) {
            findings.push(format!(
                "`models.{model}.tombstone.value`: none of {records} records has a value of that type in \
                 `tombstone.field`, such as a text where the value is true or false"
            ));
        }
        if let Some(older) = &*self.older.borrow() {
            findings.push(format!(
                "`models.{model}.incremental.parameter`: {older}: the API does not heed it, or goes by another time"
            ));
        }
        let (unread, example) = &*self.unread.borrow();
        if *unread > 0 {
            findings.push(format!(
                "`models.{model}.incremental.field`: {unread} times could not be read, such as {example}; \
                 their records are stored, and count for nothing in how far the API has been read"
            ));
        }
        if self.assumed_utc.get() {
            findings.push(format!(
                "`models.{model}.incremental.field`: times have no offset and are taken for UTC; name their \
                 zone with `models.{model}.incremental.zone`"
            ));
        }
        findings
    }
}
