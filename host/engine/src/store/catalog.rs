//! Components, integrations and connections.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::integration::{Connection, Digest, Integration, NewDeployment};
use crate::job::NewJob;
use crate::upkeep::Dropped;
use crate::{ConnectionKey, ConnectionName, Name, Timestamp};

/// What is deployed and connected. Any host changes it; a change is seen by all hosts when the command returns.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// Keep a component's bytes under their digest. Idempotent by the bytes. Every host can read them from then on.
    async fn put_component(&self, bytes: Vec<u8>) -> Result<Digest, StoreError>;
    /// The bytes of a component, checked against their digest.
    async fn component(&self, digest: Digest) -> Result<Vec<u8>, StoreError>;

    /// Make a deployment the current one of its integration, which comes to be if it is new.
    /// Connections, checkpoints and records stay as they are; runs that have begun, on whatever host, stay with the deployment
    /// that they began with. Returns the integration. Idempotent by what is deployed; of two that differ, the later one counts.
    async fn deploy(&self, deployment: NewDeployment) -> Result<Integration, StoreError>;
    async fn integration(&self, name: &Name) -> Result<Arc<Integration>, StoreError>;
    /// By name, at most `limit`, after `after`.
    async fn integrations(
        &self,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Integration>, StoreError>;

    /// Add a connection to an existing integration.
    async fn add_connection(&self, connection: Connection) -> Result<(), StoreError> {
        self.add_connections(vec![connection], Vec::new()).await
    }
    /// Add connections to an existing integration, all of them or none. `jobs` are queued with those that are new, in the
    /// same step. Idempotent by what is added: one that is there just so is fine, `Exists` names another one.
    async fn add_connections(
        &self,
        connections: Vec<Connection>,
        jobs: Vec<NewJob>,
    ) -> Result<(), StoreError>;
    /// Change each of these connections to what is given if its `revision` is still the one given,
    /// which then counts on. Says of each whether it is so now; the others stay as they are. The revision makes it
    /// idempotent, and keeps the changes of several hosts apart.
    async fn update_connections(&self, updates: Vec<Connection>) -> Result<Vec<bool>, StoreError>;
    /// Drop a connection although runs of it have not ended: they end as cancelled in the same
    /// step, so that whatever they still write, on whatever host, is `Fenced`, and go with it.
    async fn remove_connection(
        &self,
        key: &ConnectionKey,
        now: Timestamp,
    ) -> Result<Dropped, StoreError>;
    async fn connection(&self, key: &ConnectionKey) -> Result<Connection, StoreError>;
    /// By name, at most `limit`, after `after`.
    async fn connections(
        &self,
        integration: &Name,
        after: Option<&ConnectionName>,
        limit: usize,
    ) -> Result<Vec<Connection>, StoreError>;
}
