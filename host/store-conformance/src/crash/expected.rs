//! What must be stored after a kill, given what the children had acknowledged.

use tidegate_engine::record::Action;

use super::*;

/// What the children have asked for and what was acknowledged.
#[derive(Default)]
pub(crate) struct Asked {
    commit: u64,
    /// The highest time up to which pruning was asked for, and acknowledged.
    pub(crate) prune: u64,
    pruned: u64,
    /// What the other connection's model may have: nothing, or all of one of these generations.
    filled: Vec<Option<u64>>,
}

impl Asked {
    pub(crate) fn learn(&mut self, words: &[&str]) {
        let number = || words[1].parse::<u64>().unwrap();
        match words[0] {
            "acked" => self.commit = number(),
            "prune" => self.prune = self.prune.max(number()),
            "pruned" => self.pruned = self.pruned.max(number()),
            "drop" => self.filled.push(None),
            "dropped" => self.filled = vec![None],
            "fill" => self.filled.push(Some(number())),
            "filled" => self.filled = vec![Some(number())],
            _ => {}
        }
    }
}

/// What should be stored after commit `last`: for each id the last commit that saved it, the last
/// one that changed it, and whether that deleted it.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) last: u64,
    records: BTreeMap<String, Record>,
    /// What was found stored.
    stored: BTreeMap<String, (u64, String)>,
}

#[derive(Clone, Copy)]
struct Record {
    saved: u64,
    modified: u64,
    deleted: bool,
}

impl Expected {
    fn advance(&mut self, last: u64) {
        for number in self.last + 1..=last {
            if number % SNAPSHOT_EVERY == 1 && number > 1 {
                let live = self.records.values_mut().filter(|record| !record.deleted);
                for record in live.skip(SNAPSHOT_SEES) {
                    (record.deleted, record.modified) = (true, number);
                }
                continue;
            }
            let record = Record {
                saved: number,
                modified: number,
                deleted: false,
            };
            self.records.extend(ids_of(number).map(|n| (id(n), record)));
        }
        self.last = last;
    }

    pub(crate) async fn check(&mut self, store: &dyn Store, asked: &mut Asked) {
        let last = stored_commit(store).await;
        assert!(
            last >= asked.commit.max(self.last),
            "commit {} was acknowledged, and the last one stored is {last}",
            asked.commit
        );
        asked.commit = last;
        self.advance(last);
        // Whole commits and nothing else: the checkpoint says which one was the last.
        let ids: Vec<String> = (0..IDS).map(id).collect();
        let contact = model("acme", "Contact");
        let records = store.records(&contact, &ids).await.unwrap();
        self.stored.clear();
        let (mut live, mut deleted, mut live_bytes, mut pruned) = (0, 0, 0, 0);
        for (n, record) in (0..IDS).zip(records) {
            let Some(record) = record else { continue };
            let want = self.records[&record.id];
            let gone = record.action == Action::Deleted;
            let found = (record.last_modified_at.0, gone);
            assert_eq!(
                found,
                (want.modified, want.deleted),
                "{} after {last}",
                record.id
            );
            match &record.body {
                Some(found) => {
                    assert_eq!(*found, body(n, want.saved), "{} after {last}", record.id);
                    assert!(want.modified >= asked.pruned, "{} was pruned", record.id);
                    live_bytes += if gone { 0 } else { found.len() as u64 };
                }
                None => {
                    // Of a deleted one the body may have been pruned before.
                    assert!(want.saved < asked.prune, "{} has lost its body", record.id);
                    assert!(gone || want.modified < asked.prune);
                    pruned += 1;
                }
            }
            *(if gone { &mut deleted } else { &mut live }) += 1;
            let state = (want.modified, record.action.as_str().to_owned());
            self.stored.insert(record.id, state);
        }
        assert_eq!(self.stored.len(), self.records.len());
        let models = store.models(&connection("acme")).await.unwrap();
        let counted = models.first().map(|(_, stats)| *stats).unwrap_or_default();
        assert_eq!((counted.live, counted.deleted), (live, deleted));
        assert_eq!((counted.live_bytes, counted.pruned), (live_bytes, pruned));
        check_filled(store, asked).await;
    }

    /// Whoever followed the feed knows the same.
    pub(crate) fn check_consumer(&self, consumer: &Consumer) {
        assert_eq!(
            consumer.records, self.stored,
            "the consumer missed something before commit {}",
            self.last
        );
    }
}

/// The model that is dropped and filled again is whole or gone, and never comes back.
async fn check_filled(store: &dyn Store, asked: &mut Asked) {
    let read = read(model("bolt", "Contact"));
    let records = match store.read_changes(read).await {
        Ok(changes) => changes.records,
        Err(error) => {
            assert!(error.to_string().contains("connection"), "{error}");
            Vec::new()
        }
    };
    assert!(
        records.is_empty() || records.len() as u64 == FILLED,
        "{} records are neither all nor none",
        records.len()
    );
    let generation = records.first().map(|record| record.last_modified_at.0);
    assert!(
        records
            .iter()
            .all(|r| Some(r.last_modified_at.0) == generation)
    );
    assert!(
        asked.filled.contains(&generation) || (asked.filled.is_empty() && generation.is_none()),
        "{generation:?} is stored, which should be one of {:?}",
        asked.filled
    );
    asked.filled = vec![generation];
}
