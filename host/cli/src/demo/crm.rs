//! The fictional CRM: contacts and companies, a clock of its own, and what changes in between.
//!
//! The clock ticks with every write, so that "changed since" is exact: no two writes share a time,
//! and nothing has happened yet at the time that a page's `as_of` names.

use std::collections::{BTreeMap, HashMap};

use fastrand::Rng;
use serde_json::{Map, Value, json};
use tidegate_engine::record::Counts;

use super::people;

/// Everything follows from it.
const SEED: u64 = 2026;
/// 2026-01-01T00:00:00Z, tick 0 of the CRM's clock; a tick is a second.
const EPOCH_SECONDS: i64 = 1_767_225_600;
/// So many saves come between the deletions at the end of a day.
const LATE_SAVES: usize = 4;

/// What the CRM has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Contacts,
    Companies,
}

/// A moment of the CRM's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u64);

impl Tick {
    /// Before everything.
    pub(super) const START: Self = Self(0);

    /// RFC 3339.
    pub(super) fn time(self) -> String {
        let seconds = i64::try_from(self.0)
            .unwrap_or(i64::MAX)
            .saturating_add(EPOCH_SECONDS);
        jiff::Timestamp::from_second(seconds)
            .map_or_else(|_| String::new(), |time| time.to_string())
    }

    /// The first tick that is not before a time; `None` for what is no time.
    pub(super) fn from_time(time: &str) -> Option<Self> {
        let time: jiff::Timestamp = time.parse().ok()?;
        let seconds = time.as_second() + i64::from(time.subsec_nanosecond() > 0);
        Some(Self(u64::try_from(seconds - EPOCH_SECONDS).unwrap_or(0)))
    }

    /// As an opaque cursor.
    pub(super) fn cursor(self) -> String {
        format!("p{:x}", self.0)
    }

    /// From an opaque cursor.
    pub(super) fn from_cursor(cursor: &str) -> Option<Self> {
        u64::from_str_radix(cursor.strip_prefix('p')?, 16)
            .ok()
            .map(Self)
    }
}

/// Part of a listing.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) items: Vec<Value>,
    /// Where the next page begins, if there is one.
    pub(super) next: Option<Tick>,
    /// When this page was made.
    pub(super) as_of: Tick,
}

/// The CRM's data.
#[derive(Debug)]
pub(super) struct Crm {
    /// The time of the next write.
    now: Tick,
    rng: Rng,
    contacts: Collection,
    companies: Collection,
}

#[derive(Debug, Default)]
struct Collection {
    /// By the time of their last change.
    items: BTreeMap<Tick, Item>,
    /// That time, by id, of those that are not deleted.
    live: HashMap<String, Tick>,
    /// How many there have ever been; the next one's number follows.
    created: usize,
}

#[derive(Debug)]
struct Item {
    id: String,
    /// `None` when it was deleted.
    body: Option<Map<String, Value>>,
}

enum Write {
    Add,
    Change(String),
    Delete(String),
}

impl Crm {
    /// A CRM with so many contacts, and three companies for 40 of them.
    pub(super) fn new(contacts: usize) -> Self {
        let mut crm = Self {
            now: Tick(1),
            rng: Rng::with_seed(SEED),
            contacts: Collection::default(),
            companies: Collection::default(),
        };
        for _ in 0..(contacts * 3).div_ceil(40) {
            crm.write(Kind::Companies, Write::Add);
        }
        for _ in 0..contacts {
            crm.write(Kind::Contacts, Write::Add);
        }
        crm
    }

    /// How many there are of a kind.
    pub(super) fn count(&self, kind: Kind) -> u64 {
        self.of(kind).live.len() as u64
    }

    /// At most `limit` items whose last change is not before `from`, oldest change first. Deleted
    /// ones are listed on demand.
    pub(super) fn page(&self, kind: Kind, from: Tick, deleted: bool, limit: usize) -> Page {
        let items = self.of(kind).items.range(from..);
        let mut items = items.filter(|(_, item)| deleted || item.body.is_some());
        let page = items
            .by_ref()
            .take(limit)
            .map(|(tick, item)| item.shown(*tick))
            .collect();
        Page {
            items: page,
            next: items.next().map(|(tick, _)| *tick),
            as_of: self.now,
        }
    }

    /// Let a day go by: some are new, some changed, some gone. Says how many. Of 2,000 it is 40,
    /// 60 and 25.
    pub(super) fn change(&mut self, kind: Kind) -> Counts {
        let count = self.count(kind);
        let counts = Counts {
            added: count.div_ceil(50),
            updated: (count * 3).div_ceil(100),
            deleted: count.div_ceil(80),
            ..Counts::default()
        };
        let mut ids: Vec<String> = self.of(kind).live.keys().cloned().collect();
        // A HashMap's order is not the same from run to run.
        ids.sort();
        self.rng.shuffle(&mut ids);
        let mut ids = ids.into_iter();
        let mut take = |count: u64| {
            ids.by_ref()
                .take(usize::try_from(count).unwrap_or(0))
                .collect::<Vec<_>>()
        };
        let (changed, deleted) = (take(counts.updated), take(counts.deleted));
        let mut saves: Vec<Write> = changed.into_iter().map(Write::Change).collect();
        saves.extend((0..counts.added).map(|_| Write::Add));
        self.rng.shuffle(&mut saves);
        // Deletions come late, with some saves between: the end of the change feed shows each kind.
        let mut late = saves.split_off(saves.len().saturating_sub(LATE_SAVES));
        late.extend(deleted.into_iter().map(Write::Delete));
        self.rng.shuffle(&mut late);
        for write in saves.into_iter().chain(late) {
            self.write(kind, write);
        }
        counts
    }

    fn write(&mut self, kind: Kind, write: Write) {
        let tick = self.now;
        self.now = Tick(tick.0 + 1);
        let companies = self.companies.created;
        let collection = match kind {
            Kind::Contacts => &mut self.contacts,
            Kind::Companies => &mut self.companies,
        };
        let item = match write {
            Write::Add => {
                collection.created += 1;
                let number = collection.created;
                let (id, body) = match kind {
                    Kind::Contacts => people::contact(number, companies, &mut self.rng),
                    Kind::Companies => people::company(number),
                };
                Item {
                    id,
                    body: Some(body),
                }
            }
            Write::Change(id) => {
                let mut body = collection
                    .take(&id)
                    .and_then(|item| item.body)
                    .unwrap_or_default();
                people::change(&mut body, &mut self.rng);
                Item {
                    id,
                    body: Some(body),
                }
            }
            Write::Delete(id) => {
                collection.take(&id);
                Item { id, body: None }
            }
        };
        collection.put(tick, item);
    }

    fn of(&self, kind: Kind) -> &Collection {
        match kind {
            Kind::Contacts => &self.contacts,
            Kind::Companies => &self.companies,
        }
    }
}

impl Collection {
    fn put(&mut self, tick: Tick, item: Item) {
        if item.body.is_some() {
            self.live.insert(item.id.clone(), tick);
        }
        self.items.insert(tick, item);
    }

    fn take(&mut self, id: &str) -> Option<Item> {
        let tick = self.live.remove(id)?;
        self.items.remove(&tick)
    }
}

impl Item {
    /// As the API shows it.
    fn shown(&self, tick: Tick) -> Value {
        let mut shown = self.body.clone().unwrap_or_default();
        shown.insert("id".to_owned(), json!(self.id));
        shown.insert("updated_at".to_owned(), json!(tick.time()));
        if self.body.is_none() {
            shown.insert("deleted".to_owned(), json!(true));
        }
        Value::Object(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn all(crm: &Crm, kind: Kind, from: Tick, deleted: bool) -> Vec<Value> {
        let (mut items, mut next) = (Vec::new(), Some(from));
        while let Some(from) = next {
            let page = crm.page(kind, from, deleted, 7);
            assert!(page.items.len() == 7 || page.next.is_none());
            items.extend(page.items);
            next = page
                .next
                .map(|tick| Tick::from_cursor(&tick.cursor()).unwrap());
        }
        items
    }

    #[test]
    fn the_same_every_time() {
        let (mut one, mut other) = (Crm::new(300), Crm::new(300));
        for _ in 0..3 {
            for kind in [Kind::Contacts, Kind::Companies] {
                assert_eq!(
                    all(&one, kind, Tick::START, true),
                    all(&other, kind, Tick::START, true)
                );
                assert_eq!(one.change(kind), other.change(kind));
            }
        }
    }

    #[test]
    fn a_day_changes_what_it_says() {
        let mut crm = Crm::new(2000);
        assert_eq!(
            (crm.count(Kind::Contacts), crm.count(Kind::Companies)),
            (2000, 150)
        );
        let since = crm.page(Kind::Contacts, Tick::START, false, 1).as_of;
        assert!(all(&crm, Kind::Contacts, since, true).is_empty());
        let before: BTreeSet<String> = all(&crm, Kind::Contacts, Tick::START, false)
            .iter()
            .map(|item| item["id"].to_string())
            .collect();
        assert_eq!(before.len(), 2000);

        let counts = crm.change(Kind::Contacts);
        assert_eq!((counts.added, counts.updated, counts.deleted), (40, 60, 25));
        assert_eq!(crm.count(Kind::Contacts), 2015);
        let changes = all(
            &crm,
            Kind::Contacts,
            Tick::from_time(&since.time()).unwrap(),
            true,
        );
        let gone = changes
            .iter()
            .filter(|item| item["deleted"] == true)
            .count();
        let new = changes
            .iter()
            .filter(|item| !before.contains(&item["id"].to_string()))
            .count();
        assert_eq!((changes.len(), gone, new), (125, 25, 40));
        assert_eq!(all(&crm, Kind::Contacts, Tick::START, false).len(), 2015);
    }

    #[test]
    fn times_are_exact() {
        let tick = Tick(90);
        assert_eq!(tick.time(), "2026-01-01T00:01:30Z");
        assert_eq!(Tick::from_time("2026-01-01T00:01:30Z"), Some(tick));
        assert_eq!(Tick::from_time("2026-01-01T00:01:29.5Z"), Some(tick));
        assert_eq!(Tick::from_time("1999-01-01T00:00:00Z"), Some(Tick::START));
        assert_eq!(Tick::from_time("yesterday"), None);
        assert_eq!(Tick::from_cursor("90"), None);
    }
}
