//! What the ends of runs and deployments make of connections: what fails, and what is held.

use std::collections::BTreeSet;

use tidegate_engine::run::{RunEnd, Target};
use tidegate_engine::store::rules;
use tidegate_engine::webhook::{NewEvent, connection_failed};
use tidegate_engine::{ConnectionKey, Name, StoreError};

use crate::disk::{Writes, damaged};
use crate::layout::keys;
use crate::layout::rows::{self, ConnectionRow};

use super::{Writer, unless_damaged};

impl Writer {
    /// What a run's end says of its connection. Returns the events that tell of it.
    pub(super) fn put_health(
        &mut self,
        writes: &mut Writes,
        target: &Target,
        end: &RunEnd,
        goes_on: bool,
    ) -> Result<Vec<NewEvent>, StoreError> {
        let key = target.connection();
        let row = match self.connection_row(key) {
            // A run whose connection is gone or can't be read still has to end.
            Err(StoreError::NotFound { .. }) => None,
            row => unless_damaged(row.map(Some))?,
        };
        let Some(ConnectionRow { number, connection }) = row else {
            return Ok(Vec::new());
        };
        let Some(new) = rules::connection_after(&connection, target, end, goes_on) else {
            return Ok(Vec::new());
        };
        let events = connection_failed(&connection, &new);
        self.board.set_standing(&new);
        self.put_connection(writes, number, new)?;
        Ok(events)
    }

    /// A deployment lifts holds: of all connections of its integration, and of others as far as they have
    /// schedules, which is where holds matter.
    pub(super) fn lift_holds(
        &mut self,
        writes: &mut Writes,
        integration: &Name,
    ) -> Result<(), StoreError> {
        let mut rows: Vec<ConnectionRow> = Vec::new();
        let mut seen: BTreeSet<ConnectionKey> = BTreeSet::new();
        for item in self.view().prefix(&keys::connections(integration)) {
            let (key, value) = item?;
            let row: ConnectionRow = rows::decode(&value).map_err(|c| damaged(&key, c))?;
            if !row.connection.health.is_well() {
                seen.insert(row.connection.key.clone());
                rows.push(row);
            }
        }
        for key in self.board.unhealthy().filter(|key| !seen.contains(*key)) {
            rows.extend(unless_damaged(self.connection_row(key).map(Some))?);
        }
        for ConnectionRow { number, connection } in rows {
            if let Some(new) = rules::connection_deployed(&connection, integration) {
                self.board.set_standing(&new);
                self.put_connection(writes, number, new)?;
            }
        }
        Ok(())
    }
}
