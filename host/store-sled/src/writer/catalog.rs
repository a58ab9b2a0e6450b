//! The commands on integrations and connections.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tidegate_engine::connection::updated;
use tidegate_engine::integration::{Connection, Integration, NewDeployment};
use tidegate_engine::job::NewJob;
use tidegate_engine::run::{Fence, RunId};
use tidegate_engine::store::rules;
use tidegate_engine::webhook::connection_failed;
use tidegate_engine::{ConnectionKey, StoreError, Timestamp};

use crate::disk::Writes;
use crate::layout::keys;
use crate::layout::rows::{self, ConnectionRow};

use super::{Writer, encode, not_found};

impl Writer {
    /// Deploy a component that is stored.
    pub(crate) fn deploy(&mut self, new: &NewDeployment) -> Result<Integration, StoreError> {
        self.check_stays(&new.integration)?;
        let key = keys::integration(&new.integration);
        let old: Option<Integration> = self.view().row(&key, rows::decode)?;
        let integration = rules::deployed(old.as_ref(), new);
        let mut writes = Writes::default();
        let value = encode(key.as_ref(), &integration)?;
        writes.put(&self.view(), key, &value)?;
        if old.as_ref() != Some(&integration) {
            self.lift_holds(&mut writes, &integration.name)?;
        }
        self.apply(writes)?;
        Ok(integration)
    }

    /// One batch for all of them.
    pub(crate) fn add_connections(
        &mut self,
        connections: Vec<Connection>,
        jobs: Vec<NewJob>,
    ) -> Result<(), StoreError> {
        let mut new: BTreeMap<ConnectionKey, Connection> = BTreeMap::new();
        for connection in connections {
            let integration = &connection.key.integration;
            self.check_stays(integration)?;
            if self.view().get(&keys::integration(integration))?.is_none() {
                return Err(not_found("integration", integration));
            }
            let key = keys::connection(integration, &connection.key.connection);
            let stored: Option<ConnectionRow> = self.view().row(&key, rows::decode)?;
            let stored = stored.map(|row| row.connection);
            match stored.as_ref().or_else(|| new.get(&connection.key)) {
                Some(same) if *same == connection => {}
                Some(_) => {
                    let name = connection.key.to_string();
                    return Err(StoreError::Exists {
                        what: "connection",
                        name,
                    });
                }
                None => {
                    new.insert(connection.key.clone(), connection);
                }
            }
        }
        let of_new = |job: &NewJob| new.contains_key(job.target.connection());
        let jobs: Vec<NewJob> = jobs.into_iter().filter(of_new).collect();
        let mut writes = Writes::default();
        for connection in new.into_values() {
            self.counters.connection += 1;
            let (key, number) = (connection.key.clone(), self.counters.connection);
            self.put_connection(&mut writes, number, connection)?;
            if !jobs.is_empty() {
                // The rows of its jobs need it, and are in the same batch.
                self.numbers.borrow_mut().put(key, number);
            }
        }
        self.put_counters(&mut writes)?;
        let queued = self.board.enqueue_all(jobs);
        if queued.is_err() {
            self.numbers.borrow_mut().forget();
        }
        self.put_changes(&mut writes, &queued?)?;
        self.apply(writes)
    }

    /// One batch for all that still have the revision that their update has seen.
    pub(crate) fn update_connections(
        &mut self,
        updates: &[Connection],
    ) -> Result<Vec<bool>, StoreError> {
        let mut new: BTreeMap<&ConnectionKey, ConnectionRow> = BTreeMap::new();
        let mut done = Vec::with_capacity(updates.len());
        let mut events = Vec::new();
        for update in updates {
            let row = match new.get(&update.key) {
                Some(row) => Ok(row.clone()),
                None => self.connection_row(&update.key),
            };
            let row = match row {
                Err(StoreError::NotFound { .. }) => None,
                row => Some(row?),
            };
            let changed = row.and_then(|row| {
                let number = row.number;
                let connection = updated(&row.connection, update)?;
                events.extend(connection_failed(&row.connection, &connection));
                Some(ConnectionRow { number, connection })
            });
            done.push(changed.is_some());
            new.extend(changed.map(|row| (&update.key, row)));
        }
        let mut writes = Writes::default();
        for ConnectionRow { number, connection } in new.into_values() {
            self.board.set_standing(&connection);
            self.put_connection(&mut writes, number, connection)?;
        }
        self.apply_telling(writes, events, None)?;
        Ok(done)
    }

    pub(crate) fn merge_metadata(
        &mut self,
        run: RunId,
        fence: Fence,
        patch: &Map<String, Value>,
        bytes_max: usize,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let running = self.writing(run, fence)?;
        let ConnectionRow {
            number,
            mut connection,
        } = self.connection_row(running.run.target.connection())?;
        connection.metadata = rules::merged_metadata(&connection, patch, bytes_max)?;
        connection.updated_at = now;
        connection.revision += 1;
        let mut writes = Writes::default();
        self.put_connection(&mut writes, number, connection)?;
        self.apply(writes)
    }
}
