//! Components, integrations and connections.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_engine::integration::{Connection, Digest, Integration, NewDeployment};
use tidegate_engine::job::NewJob;
use tidegate_engine::store::Catalog;
use tidegate_engine::upkeep::Dropped;
use tidegate_engine::{ConnectionKey, ConnectionName, Name, StoreError, Timestamp};

use super::SledStore;
use super::access::blocking;
use crate::lists;
use crate::read;

#[async_trait]
impl Catalog for SledStore {
    async fn put_component(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        self.check_open()?;
        let components = self.components.clone();
        blocking(move || components.put(&bytes)).await
    }

    async fn component(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        self.check_open()?;
        let components = self.components.clone();
        blocking(move || components.get(digest)).await
    }

    async fn deploy(&self, deployment: NewDeployment) -> Result<Integration, StoreError> {
        let components = self.components.clone();
        self.write(move |writer| {
            if !components.has(deployment.digest) {
                let name = deployment.digest.to_string();
                return Err(StoreError::NotFound {
                    what: "component",
                    name,
                });
            }
            writer.deploy(&deployment)
        })
        .await
    }

    async fn integration(&self, name: &Name) -> Result<Arc<Integration>, StoreError> {
        let name = name.clone();
        let integrations = Arc::clone(&self.reader.integrations);
        self.row(move |view| integrations.get(view, &name)).await
    }

    async fn integrations(
        &self,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Integration>, StoreError> {
        let after = after.cloned();
        self.view(move |view| lists::integrations(view, after.as_ref(), limit))
            .await
    }

    async fn add_connections(
        &self,
        connections: Vec<Connection>,
        jobs: Vec<NewJob>,
    ) -> Result<(), StoreError> {
        self.write(move |writer| writer.add_connections(connections, jobs))
            .await
    }

    async fn update_connections(&self, updates: Vec<Connection>) -> Result<Vec<bool>, StoreError> {
        self.write(move |writer| writer.update_connections(&updates))
            .await
    }

    async fn remove_connection(
        &self,
        key: &ConnectionKey,
        now: Timestamp,
    ) -> Result<Dropped, StoreError> {
        self.remove_by_steps(key, now).await
    }

    async fn connection(&self, key: &ConnectionKey) -> Result<Connection, StoreError> {
        let key = key.clone();
        self.row(move |view| Ok(read::connection(view, &key)?.connection))
            .await
    }

    async fn connections(
        &self,
        integration: &Name,
        after: Option<&ConnectionName>,
        limit: usize,
    ) -> Result<Vec<Connection>, StoreError> {
        let (integration, after) = (integration.clone(), after.cloned());
        self.view(move |view| lists::connections(view, &integration, after.as_ref(), limit))
            .await
    }
}
