//! Records and change feeds of the memory store.

use std::collections::BTreeMap;

use tidegate_engine::canonical::BodyHash;
use tidegate_engine::record::{Action, Counts, Page, Record, Save, Skipped};
use tidegate_engine::run::{Fence, RunId};
use tidegate_engine::store::{Changes, Commit, ModelStats, ReadChanges, StoreError};
use tidegate_engine::transfer::ImportedRecord;
use tidegate_engine::upkeep::Pruned;
use tidegate_engine::{ConnectionKey, ModelKey, Name, SyncKey, Timestamp};

use super::State;
use super::rules::{self, FeedEnd};
use super::snapshots::Snapshot;

/// A record, and what it takes to tell whether it changes.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) record: Record,
    pub(super) hash: BodyHash,
    /// Bytes of the body as it was saved, pruned or not.
    pub(super) body_len: u64,
}

/// The change feed of a model, with its records.
#[derive(Debug, Default)]
pub(super) struct Feed {
    number: u64,
    last_seq: u64,
    /// The highest sequence of an entry, not a deletion, whose body was pruned.
    pruned_seq: u64,
    pub(super) records: BTreeMap<String, Stored>,
    /// By the sync that has it open.
    pub(super) snapshots: BTreeMap<SyncKey, Snapshot>,
}

impl Feed {
    /// Of no store.
    fn end(&self) -> FeedEnd {
        FeedEnd {
            feed: self.number,
            last_seq: self.last_seq,
            pruned_seq: self.pruned_seq,
            ..FeedEnd::default()
        }
    }

    pub(super) fn next_seq(&mut self) -> u64 {
        self.last_seq += 1;
        self.last_seq
    }

    fn see(&mut self, id: &str) {
        for snapshot in self.snapshots.values_mut() {
            snapshot.seen.insert(id.to_owned());
        }
    }

    fn skip(&mut self, skipped: &Skipped, counts: &mut Counts) {
        counts.skipped += 1;
        match &skipped.id {
            Some(id) => self.see(id),
            None => {
                for snapshot in self.snapshots.values_mut() {
                    snapshot.holes = true;
                }
            }
        }
    }

    fn save(&mut self, save: Save, hash: BodyHash, now: Timestamp, counts: &mut Counts) {
        self.see(&save.id);
        let (action, first_seen_at) = match self.records.get(&save.id) {
            None => (Action::Added, now),
            Some(old) if old.record.action == Action::Deleted => {
                (Action::Added, old.record.first_seen_at)
            }
            Some(old) if old.hash == hash => {
                counts.unchanged += 1;
                return;
            }
            Some(old) => (Action::Updated, old.record.first_seen_at),
        };
        match action {
            Action::Added => counts.added += 1,
            _ => counts.updated += 1,
        }
        let body_len = save.body.len() as u64;
        let record = Record {
            id: save.id.clone(),
            body: Some(save.body),
            action,
            first_seen_at,
            last_modified_at: now,
            deleted_at: None,
            seq: self.next_seq(),
        };
        let stored = Stored {
            record,
            hash,
            body_len,
        };
        self.records.insert(save.id, stored);
    }

    pub(super) fn delete(&mut self, id: &str, now: Timestamp, counts: &mut Counts) {
        let seq = self.last_seq + 1;
        match self.records.get_mut(id) {
            Some(Stored { record, .. }) if record.action != Action::Deleted => {
                record.action = Action::Deleted;
                record.last_modified_at = now;
                record.deleted_at = Some(now);
                record.seq = seq;
                self.last_seq = seq;
                counts.deleted += 1;
            }
            _ => counts.unchanged += 1,
        }
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Record> {
        self.records
            .values()
            .map(|stored| &stored.record)
            .filter(|r| r.action != Action::Deleted)
    }

    /// The feed of imported records, in their order.
    pub(super) fn imported(number: u64, records: &[ImportedRecord]) -> Self {
        let mut feed = Self {
            number,
            ..Self::default()
        };
        for new in records {
            let deleted = new.action == Action::Deleted;
            let record = Record {
                id: new.id.clone(),
                body: new.body.clone(),
                action: new.action,
                first_seen_at: new.first_seen_at,
                last_modified_at: new.last_modified_at,
                deleted_at: deleted.then_some(new.last_modified_at),
                seq: feed.next_seq(),
            };
            if new.body.is_none() && !deleted {
                feed.pruned_seq = record.seq;
            }
            let stored = Stored {
                record,
                hash: new.hash,
                body_len: new.body_len,
            };
            feed.records.insert(new.id.clone(), stored);
        }
        feed
    }

    /// Remove the bodies of the records that were last modified before `before`.
    pub(super) fn prune(&mut self, before: Timestamp) -> Pruned {
        let mut pruned = Pruned::default();
        for Stored { record, .. } in self.records.values_mut() {
            if record.last_modified_at >= before {
                continue;
            }
            let Some(body) = record.body.take() else {
                continue;
            };
            pruned.records += 1;
            pruned.bytes += body.len() as u64;
            if record.action != Action::Deleted {
                self.pruned_seq = self.pruned_seq.max(record.seq);
            }
        }
        pruned
    }

    pub(super) fn stats(&self) -> ModelStats {
        let live = self.live().count() as u64;
        ModelStats {
            live,
            deleted: self.records.len() as u64 - live,
            live_bytes: self
                .live()
                .map(|r| r.body.as_ref().map_or(0, String::len) as u64)
                .sum(),
            pruned: self
                .records
                .values()
                .filter(|stored| stored.record.body.is_none())
                .count() as u64,
        }
    }
}

impl State {
    /// The feed of a model, made if there is none.
    pub(super) fn feed(&mut self, model: ModelKey) -> &mut Feed {
        let last_feed = &mut self.last_feed;
        self.feeds.entry(model).or_insert_with(|| {
            *last_feed += 1;
            Feed {
                number: *last_feed,
                ..Feed::default()
            }
        })
    }

    /// A run is about to write to a model for the first time, or again.
    pub(super) fn note_start(&mut self, id: RunId, key: ModelKey) {
        let (store, model) = (self.id, key.model.clone());
        let end = FeedEnd {
            store,
            ..self.feed(key).end()
        };
        if let Some(run) = self.runs.get_mut(&id) {
            run.note_start(&model, end.cursor());
        }
    }

    pub(super) fn commit_page(
        &mut self,
        id: RunId,
        fence: Fence,
        mut commit: Commit,
    ) -> Result<Vec<Counts>, StoreError> {
        // All that can fail comes before the first change, and first what depends on nothing stored.
        let hashes: Vec<Vec<BodyHash>> = commit
            .pages
            .iter_mut()
            .map(rules::hash_page)
            .collect::<Result<_, _>>()?;
        let connection = self.writing(id, fence)?.target.connection().clone();
        if commit.checkpoint.is_some() {
            self.writing_sync(id, fence)?;
        }

        for page in commit.pages.iter().filter(|page| !Page::is_empty(page)) {
            self.note_start(id, connection.model(page.model.clone()));
        }
        let mut all = Vec::new();
        let models: Vec<Name> = commit.pages.iter().map(|page| page.model.clone()).collect();
        for (page, hashes) in commit.pages.into_iter().zip(hashes) {
            let mut counts = Counts::default();
            if !page.is_empty() {
                let feed = self.feed(connection.model(page.model));
                for id in &page.delete {
                    feed.delete(id, commit.now, &mut counts);
                }
                for (save, hash) in page.save.into_iter().zip(hashes) {
                    feed.save(save, hash, commit.now, &mut counts);
                }
                for skipped in &page.skipped {
                    feed.skip(skipped, &mut counts);
                }
            }
            all.push(counts);
        }
        if let Some(checkpoint) = commit.checkpoint {
            let sync = self.writing_sync(id, fence)?;
            self.checkpoints.insert(sync, checkpoint);
        }
        let run = self.writing(id, fence)?;
        rules::add_progress(&mut run.progress, &commit.progress, models.iter().zip(&all));
        Ok(all)
    }

    pub(super) fn read_changes(&self, read: &ReadChanges) -> Result<Changes, StoreError> {
        self.connection(&read.model.connection)?;
        let feed = self.feeds.get(&read.model);
        let end = feed.map_or(FeedEnd::default(), Feed::end);
        let end = FeedEnd {
            store: self.id,
            ..end
        };
        let mut place = rules::start_of(read.after, end)?;
        let in_order: BTreeMap<u64, &Record> = feed
            .into_iter()
            .flat_map(|feed| feed.records.values())
            .map(|stored| (stored.record.seq, &stored.record))
            .collect();
        let mut records = Vec::new();
        let mut bytes = 0;
        for (seq, record) in in_order.range(place.seq + 1..) {
            place.seq = *seq;
            if read.filter.matches(record.action) {
                bytes += record.body.as_ref().map_or(0, String::len);
                records.push((*record).clone());
            }
            if records.len() >= read.limit.max(1) || (bytes >= read.bytes_max && bytes > 0) {
                break;
            }
        }
        let more = in_order.range(place.seq + 1..).next().is_some();
        Ok(Changes {
            records,
            next: place.cursor(end.pruned_seq),
            more,
            newest: end.last_seq,
        })
    }

    pub(super) fn records(
        &self,
        model: &ModelKey,
        ids: &[String],
        bytes_max: u64,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.connection(&model.connection)?;
        let feed = self.feeds.get(model);
        let (mut bytes, mut records) = (0_u64, Vec::new());
        for id in ids {
            let stored = feed.and_then(|feed| feed.records.get(id));
            bytes = bytes.saturating_add(stored.map_or(0, |stored| stored.body_len));
            if stored.is_some() && bytes > bytes_max && !records.is_empty() {
                break;
            }
            records.push(stored.map(|stored| stored.record.clone()));
        }
        Ok(records)
    }

    pub(super) fn models(
        &self,
        key: &ConnectionKey,
    ) -> Result<Vec<(Name, ModelStats)>, StoreError> {
        self.connection(key)?;
        let own = self
            .feeds
            .iter()
            .filter(|(model, _)| model.connection == *key);
        let filled = own.filter(|(_, feed)| !feed.records.is_empty());
        Ok(filled
            .map(|(model, feed)| (model.model.clone(), feed.stats()))
            .collect())
    }
}
