//! Connections of the memory store.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use tidegate_engine::connection::updated;
use tidegate_engine::integration::Connection;
use tidegate_engine::job::NewJob;
use tidegate_engine::run::{Fence, RunEnd, RunId, Target};
use tidegate_engine::store::StoreError;
use tidegate_engine::upkeep::Dropped;
use tidegate_engine::webhook::{self, NewEvent};
use tidegate_engine::{ConnectionKey, ConnectionName, Name, Timestamp};

use tidegate_engine::store::rules;

use super::{State, not_found};

impl State {
    /// Whether it is to be added; false when it is there just so.
    fn is_new(&self, connection: &Connection) -> Result<bool, StoreError> {
        let key = &connection.key;
        if !self.integrations.contains_key(&key.integration) {
            return Err(not_found("integration", &key.integration));
        }
        match self.connections.get(key) {
            Some(same) if same == connection => Ok(false),
            Some(_) => Err(StoreError::Exists {
                what: "connection",
                name: key.to_string(),
            }),
            None => Ok(true),
        }
    }

    pub(super) fn add_connections(
        &mut self,
        connections: Vec<Connection>,
        jobs: Vec<NewJob>,
    ) -> Result<(), StoreError> {
        let before = self.connections.clone();
        let mut new = BTreeSet::new();
        for connection in connections {
            match self.is_new(&connection) {
                Ok(true) => {
                    new.insert(connection.key.clone());
                    self.connections.insert(connection.key.clone(), connection);
                }
                Ok(false) => {}
                Err(error) => {
                    self.connections = before;
                    return Err(error);
                }
            }
        }
        let of_new = |job: &NewJob| new.contains(job.target.connection());
        let queued = self
            .board
            .enqueue_all(jobs.into_iter().filter(of_new).collect());
        match queued {
            Ok(changes) => self.apply_changes(changes),
            Err(error) => {
                self.connections = before;
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) fn update_connections(&mut self, updates: &[Connection]) -> Vec<bool> {
        let mut events = Vec::new();
        let update = |update: &Connection| {
            let stored = self.connections.get_mut(&update.key)?;
            let new = updated(stored, update)?;
            events.extend(webhook::connection_failed(stored, &new));
            self.board.set_standing(&new);
            *stored = new;
            Some(())
        };
        let done = updates.iter().map(update);
        let done = done.map(|done| done.is_some()).collect();
        self.write_events(events);
        done
    }

    pub(super) fn connection(&self, key: &ConnectionKey) -> Result<&Connection, StoreError> {
        self.connections
            .get(key)
            .ok_or_else(|| not_found("connection", key))
    }

    pub(super) fn connections(
        &self,
        integration: &Name,
        after: Option<&ConnectionName>,
        limit: usize,
    ) -> Result<Vec<Connection>, StoreError> {
        if !self.integrations.contains_key(integration) {
            return Err(not_found("integration", integration));
        }
        let own = self
            .connections
            .values()
            .filter(|c| c.key.integration == *integration);
        let rest = own.filter(|c| after.is_none_or(|after| c.key.connection > *after));
        Ok(rest.take(limit).cloned().collect())
    }

    pub(super) fn merge_metadata(
        &mut self,
        run: RunId,
        fence: Fence,
        patch: &Map<String, Value>,
        bytes_max: usize,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = self.writing(run, fence)?.target.connection().clone();
        let connection = self
            .connections
            .get_mut(&key)
            .ok_or_else(|| not_found("connection", &key))?;
        connection.metadata = rules::merged_metadata(connection, patch, bytes_max)?;
        connection.updated_at = now;
        connection.revision += 1;
        Ok(())
    }

    /// What a run's end says of its connection. Returns the events that tell of it.
    pub(super) fn take_in_health(
        &mut self,
        target: &Target,
        end: &RunEnd,
        goes_on: bool,
    ) -> Vec<NewEvent> {
        let Some(stored) = self.connections.get_mut(target.connection()) else {
            return Vec::new();
        };
        let Some(new) = rules::connection_after(stored, target, end, goes_on) else {
            return Vec::new();
        };
        let events = webhook::connection_failed(stored, &new);
        self.board.set_standing(&new);
        *stored = new;
        events
    }

    /// A deployment lifts holds.
    pub(super) fn lift_holds(&mut self, integration: &Name) {
        for connection in self.connections.values_mut() {
            if let Some(new) = rules::connection_deployed(connection, integration) {
                self.board.set_standing(&new);
                *connection = new;
            }
        }
    }

    /// Its runs end and go with it, so that there is nothing left to fence.
    pub(super) fn remove_connection(
        &mut self,
        key: &ConnectionKey,
        now: Timestamp,
    ) -> Result<Dropped, StoreError> {
        self.connection(key)?;
        let running = self.runs.values();
        let running = running.filter(|run| run.end.is_none() && run.target.connection() == key);
        let ended = running.filter_map(|run| {
            let end = rules::removed(run.progress.clone(), now);
            self.run_ended(run, &end, None)
        });
        let events = ended.collect();
        self.write_events(events);
        let mut dropped = Dropped::default();
        self.drop_connection(key, &mut dropped)?;
        Ok(dropped)
    }
}
