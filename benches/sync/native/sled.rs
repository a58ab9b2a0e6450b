//! The native loop's store on sled, naively: one key for each head, body and change.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use super::{ADDED, DELETED, Failure, Item, State, Store, UPDATED, id_hash};

const STATE: &[u8] = b"s";

pub(super) struct Sled {
    db: sled::Db,
    /// sled's flush does not sync.
    file: File,
}

impl Sled {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let db = sled::Config::new().path(path).flush_every_ms(None).open()?;
        let file = File::options().write(true).open(path.join("db"))?;
        Ok(Self { db, file })
    }

    fn commit(&self, mut batch: sled::Batch, state: State) -> Result<(), Failure> {
        let mut stored = state.sequence.to_be_bytes().to_vec();
        stored.extend(state.since.to_be_bytes());
        batch.insert(STATE, stored);
        self.db.apply_batch(batch)?;
        self.db.flush()?;
        Ok(self.file.sync_data()?)
    }
}

fn key(tag: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = vec![tag];
    key.extend_from_slice(rest);
    key
}

fn change(action: u8, id: &str) -> Vec<u8> {
    key(action, id.as_bytes())
}

impl Store for Sled {
    fn state(&self) -> Result<State, Failure> {
        let Some(stored) = self.db.get(STATE)? else {
            return Ok(State::default());
        };
        Ok(State {
            sequence: u64::from_be_bytes(stored[..8].try_into()?),
            since: u64::from_be_bytes(stored[8..].try_into()?),
        })
    }

    fn save(
        &mut self,
        page: &mut dyn Iterator<Item = Result<Item, Failure>>,
        state: &mut State,
    ) -> Result<(), Failure> {
        let mut batch = sled::Batch::default();
        for item in page {
            let Item { id, text, hash } = item?;
            let head = key(b'h', id.as_bytes());
            let known = self.db.get(&head)?.map(|stored| stored[..16] == hash);
            if known == Some(true) {
                continue;
            }
            state.sequence += 1;
            let action = if known.is_some() { UPDATED } else { ADDED };
            let mut value = hash.to_vec();
            value.extend(state.sequence.to_be_bytes());
            batch.insert(head, value);
            batch.insert(key(b'b', id.as_bytes()), text.as_bytes());
            batch.insert(
                key(b'f', &state.sequence.to_be_bytes()),
                change(action, &id),
            );
        }
        self.commit(batch, *state)
    }

    fn delete_others(&mut self, seen: &HashSet<u128>, state: &mut State) -> Result<(), Failure> {
        let mut batch = sled::Batch::default();
        for item in self.db.scan_prefix(b"h") {
            let (head, _) = item?;
            let id = std::str::from_utf8(&head[1..])?;
            if !seen.contains(&id_hash(id)) {
                state.sequence += 1;
                batch.insert(
                    key(b'f', &state.sequence.to_be_bytes()),
                    change(DELETED, id),
                );
                batch.remove(head);
            }
        }
        self.commit(batch, *state)
    }

    fn count(&self) -> Result<usize, Failure> {
        Ok(self.db.scan_prefix(b"h").count())
    }
}
