//! Idempotency keys of the memory store.

use std::collections::{BTreeMap, HashMap};

use crate::idempotency::{IdempotencyKey, KEYS_MAX, Kept, KeyRow, KeyUse, Keyed, Use};
use crate::run::{Fence, NewRun, RunEnd, RunId};
use crate::store::StoreError;
use crate::{ConnectionKey, Name, Timestamp};

use super::{State, not_found, rules};

/// What is remembered of keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    rows: BTreeMap<(ConnectionKey, Name, IdempotencyKey), KeyRow>,
    /// What runs returned.
    outputs: HashMap<RunId, String>,
}

impl Keys {
    /// Let go of the key that `run` holds.
    pub(super) fn settle(&mut self, run: RunId, end: &RunEnd) {
        let held = |row: &&mut KeyRow| row.run == run && row.expires_at.is_none();
        if let Some(row) = self.rows.values_mut().find(held) {
            *row = row.settled(end);
        }
    }

    fn holds(&self, run: RunId) -> bool {
        let mut rows = self.rows.values();
        rows.any(|row| row.run == run && row.expires_at.is_none())
    }

    pub(super) fn forget_expired(&mut self, now: Timestamp) {
        self.rows.retain(|_, row| !row.is_expired(now));
        let kept: Vec<RunId> = self.rows.values().map(|row| row.run).collect();
        self.outputs.retain(|run, _| kept.contains(run));
    }

    pub(super) fn forget_connection(&mut self, connection: &ConnectionKey) {
        self.rows.retain(|(own, _, _), _| own != connection);
    }
}

impl State {
    pub(super) fn start_keyed_run(
        &mut self,
        new: NewRun,
        wanted: &KeyUse,
    ) -> Result<Keyed, StoreError> {
        let (connection, action) = rules::action_of(&new)?;
        self.connection(connection)?;
        let place = (connection.clone(), action.clone(), wanted.key.clone());
        if self.runs.contains_key(&new.id) {
            return self.start_run(new).map(Keyed::Started);
        }
        self.keys.forget_expired(new.now);
        match self.keys.rows.get(&place) {
            Some(row) => {
                if let Use::Answer(run) = row.judge(wanted)? {
                    let kept = self.runs.get(&run).ok_or_else(|| not_found("run", &run))?;
                    return Ok(Keyed::Kept(Box::new(Kept {
                        run: kept.clone(),
                        output: self.keys.outputs.get(&run).cloned(),
                    })));
                }
            }
            None => {
                let own = self.keys.rows.keys();
                let keys = own.filter(|(own, _, _)| own == connection).count() as u64;
                rules::check_room(connection, keys, KEYS_MAX)?;
            }
        }
        let row = KeyRow::taken(new.id, wanted.input);
        let started = self.start_run(new)?;
        self.keys.rows.insert(place, row);
        Ok(Keyed::Started(started))
    }

    pub(super) fn finish_keyed_run(
        &mut self,
        id: RunId,
        fence: Fence,
        end: RunEnd,
        output: String,
    ) -> Result<(), StoreError> {
        let holds = self.keys.holds(id);
        self.finish_run(id, fence, end)?;
        if holds {
            self.keys.outputs.insert(id, output);
        }
        Ok(())
    }
}
