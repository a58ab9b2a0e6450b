//! The native loop's store on redb.

use std::collections::HashSet;
use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use super::{ADDED, DELETED, Failure, Item, State, Store, UPDATED, id_hash};

const HEADS: TableDefinition<'_, &str, (&[u8], u64)> = TableDefinition::new("heads");
const BODIES: TableDefinition<'_, &str, &str> = TableDefinition::new("bodies");
const FEED: TableDefinition<'_, u64, (u8, &str)> = TableDefinition::new("feed");
const STATE: TableDefinition<'_, &str, u64> = TableDefinition::new("state");

pub(super) struct Redb(Database);

impl Redb {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let database = Database::create(path)?;
        let setup = database.begin_write()?;
        setup.open_table(HEADS)?;
        setup.open_table(BODIES)?;
        setup.open_table(FEED)?;
        setup.open_table(STATE)?;
        setup.commit()?;
        Ok(Self(database))
    }
}

impl Store for Redb {
    fn state(&self) -> Result<State, Failure> {
        let read = self.0.begin_read()?;
        let state = read.open_table(STATE)?;
        let get =
            |key| -> Result<u64, Failure> { Ok(state.get(key)?.map_or(0, |value| value.value())) };
        Ok(State {
            sequence: get("sequence")?,
            since: get("since")?,
        })
    }

    fn save(
        &mut self,
        page: &mut dyn Iterator<Item = Result<Item, Failure>>,
        state: &mut State,
    ) -> Result<(), Failure> {
        let write = self.0.begin_write()?;
        {
            let mut heads = write.open_table(HEADS)?;
            let mut bodies = write.open_table(BODIES)?;
            let mut feed = write.open_table(FEED)?;
            for item in page {
                let Item { id, text, hash } = item?;
                let id = id.as_str();
                let known = heads.get(id)?.map(|head| head.value().0 == hash);
                if known == Some(true) {
                    continue;
                }
                state.sequence += 1;
                let action = if known.is_some() { UPDATED } else { ADDED };
                heads.insert(id, (&hash[..], state.sequence))?;
                bodies.insert(id, text.as_str())?;
                feed.insert(state.sequence, (action, id))?;
            }
            let mut stored = write.open_table(STATE)?;
            stored.insert("sequence", state.sequence)?;
            stored.insert("since", state.since)?;
        }
        Ok(write.commit()?)
    }

    fn delete_others(&mut self, seen: &HashSet<u128>, state: &mut State) -> Result<(), Failure> {
        let write = self.0.begin_write()?;
        {
            let mut heads = write.open_table(HEADS)?;
            let mut feed = write.open_table(FEED)?;
            let mut gone = Vec::new();
            for item in heads.iter()? {
                let (id, _) = item?;
                if !seen.contains(&id_hash(id.value())) {
                    gone.push(id.value().to_owned());
                }
            }
            for id in &gone {
                heads.remove(id.as_str())?;
                state.sequence += 1;
                feed.insert(state.sequence, (DELETED, id.as_str()))?;
            }
            let mut stored = write.open_table(STATE)?;
            stored.insert("sequence", state.sequence)?;
        }
        Ok(write.commit()?)
    }

    fn count(&self) -> Result<usize, Failure> {
        let heads = self.0.begin_read()?.open_table(HEADS)?;
        Ok(heads.len()? as usize)
    }
}
