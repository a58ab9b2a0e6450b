//! Components, integrations and connections: each command takes the lock, and does its part of the state's work.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_engine::integration::{Connection, Digest, Integration, NewDeployment};
use tidegate_engine::job::NewJob;
use tidegate_engine::store::Catalog;
use tidegate_engine::upkeep::Dropped;
use tidegate_engine::{ConnectionKey, ConnectionName, Name, StoreError, Timestamp};

use crate::{MemoryStore, not_found};

#[async_trait]
impl Catalog for MemoryStore {
    async fn put_component(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        let digest = Digest::of(&bytes);
        self.with(|state| {
            state.components.insert(digest, bytes);
            Ok(digest)
        })
    }

    async fn component(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        self.with(|state| {
            state
                .components
                .get(&digest)
                .cloned()
                .ok_or_else(|| not_found("component", &digest))
        })
    }

    async fn deploy(&self, deployment: NewDeployment) -> Result<Integration, StoreError> {
        self.with(|state| state.deploy(&deployment))
    }

    async fn integration(&self, name: &Name) -> Result<Arc<Integration>, StoreError> {
        self.with(|state| {
            let integration = state.integrations.get(name).cloned();
            let integration = integration.ok_or_else(|| not_found("integration", name));
            integration.map(Arc::new)
        })
    }

    async fn integrations(
        &self,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Integration>, StoreError> {
        self.with(|state| {
            let all = state.integrations.values();
            let rest = all.filter(|i| after.is_none_or(|after| i.name > *after));
            Ok(rest.take(limit).cloned().collect())
        })
    }

    async fn add_connections(
        &self,
        connections: Vec<Connection>,
        jobs: Vec<NewJob>,
    ) -> Result<(), StoreError> {
        self.with(|state| state.add_connections(connections, jobs))
    }

    async fn update_connections(&self, updates: Vec<Connection>) -> Result<Vec<bool>, StoreError> {
        self.with(|state| Ok(state.update_connections(&updates)))
    }

    async fn remove_connection(
        &self,
        key: &ConnectionKey,
        now: Timestamp,
    ) -> Result<Dropped, StoreError> {
        self.with(|state| state.remove_connection(key, now))
    }

    async fn connection(&self, key: &ConnectionKey) -> Result<Connection, StoreError> {
        self.with(|state| state.connection(key).cloned())
    }

    async fn connections(
        &self,
        integration: &Name,
        after: Option<&ConnectionName>,
        limit: usize,
    ) -> Result<Vec<Connection>, StoreError> {
        self.with(|state| state.connections(integration, after, limit))
    }
}
