//! The commands on integrations and connections.

use serde_json::{Map, Value};
use tidegate_engine::integration::{Connection, Integration, NewDeployment};
use tidegate_engine::memory::rules;
use tidegate_engine::{ConnectionKey, StoreError, Timestamp};

use crate::disk::Writes;
use crate::layout::keys;
use crate::layout::rows::{self, ConnectionRow};

use super::{Writer, encode, not_found};

impl Writer {
    /// Deploy a component that is stored.
    pub(crate) fn deploy(&mut self, new: &NewDeployment) -> Result<Integration, StoreError> {
        let key = keys::integration(&new.integration);
        let old = self.view().row(&key, rows::decode)?;
        let integration = rules::deployed(old.as_ref(), new);
        let mut writes = Writes::default();
        let value = encode(key.as_ref(), &integration)?;
        writes.put(&self.view(), key, &value)?;
        self.apply(writes)?;
        Ok(integration)
    }

    pub(crate) fn add_connection(&mut self, connection: Connection) -> Result<(), StoreError> {
        let integration = &connection.key.integration;
        if self.view().get(&keys::integration(integration))?.is_none() {
            return Err(not_found("integration", integration));
        }
        let key = keys::connection(integration, &connection.key.connection);
        let stored: Option<ConnectionRow> = self.view().row(&key, rows::decode)?;
        match stored {
            Some(same) if same.connection == connection => return Ok(()),
            Some(_) => {
                let name = connection.key.to_string();
                return Err(StoreError::Exists {
                    what: "connection",
                    name,
                });
            }
            None => {}
        }
        self.counters.connection += 1;
        let mut writes = Writes::default();
        self.put_counters(&mut writes)?;
        self.put_connection(&mut writes, self.counters.connection, connection)?;
        self.apply(writes)
    }

    pub(crate) fn merge_metadata(
        &mut self,
        key: &ConnectionKey,
        patch: &Map<String, Value>,
        bytes_max: usize,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let ConnectionRow {
            number,
            mut connection,
        } = self.connection_row(key)?;
        connection.metadata = rules::merged_metadata(&connection, patch, bytes_max)?;
        connection.updated_at = now;
        let mut writes = Writes::default();
        self.put_connection(&mut writes, number, connection)?;
        self.apply(writes)
    }
}
