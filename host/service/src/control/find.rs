//! What a name means, or a problem that lists what there is.

use std::sync::Arc;

use tidegate_engine::integration::{Connection, Integration};
use tidegate_engine::store::{ModelError, check_model};
use tidegate_engine::{ConnectionKey, ModelKey, Name, StoreError, command};

use super::local::Local;
use super::model::KnownModel;
use crate::problem::{Problem, Result};

/// Most names listed in a hint.
const HINT_NAMES_MAX: usize = 20;

impl Local {
    /// An integration, or a problem that lists those there are.
    pub(super) async fn find_integration(&self, name: &Name) -> Result<Arc<Integration>> {
        match self.store.integration(name).await {
            Err(error @ StoreError::NotFound { .. }) => {
                let known = self.store.integrations(None, HINT_NAMES_MAX).await?;
                let problem = Problem::from(error);
                Err(match known.is_empty() {
                    true => problem.advise("deploy one with", command!("deploy FILE.wasm")),
                    false => problem.listing("integrations", known.iter().map(|i| i.name.as_str())),
                })
            }
            found => Ok(found?),
        }
    }

    /// A connection, or a problem that lists those there are.
    pub(super) async fn find_connection(&self, key: &ConnectionKey) -> Result<Connection> {
        match self.store.connection(key).await {
            Err(StoreError::NotFound { .. }) => {
                let integration = self.find_integration(&key.integration).await?;
                let known = self
                    .store
                    .connections(&integration.name, None, HINT_NAMES_MAX)
                    .await?;
                let problem = Problem::not_found(format!(
                    "integration {} has no connection {:?}",
                    key.integration,
                    key.connection.as_str()
                ));
                let names = known.iter().map(|c| c.key.connection.as_str());
                Err(match known.is_empty() {
                    true => problem.advise(
                        "add it with",
                        command!(
                            "connections add {integration} {connection} --base-url URL",
                            key.integration,
                            key.connection
                        ),
                    ),
                    false => problem.listing("connections", names),
                })
            }
            found => Ok(found?),
        }
    }

    /// A connection's config: the integration's with the connection's own over it.
    pub(super) fn config(
        integration: &Integration,
        connection: &Connection,
    ) -> serde_json::Map<String, serde_json::Value> {
        let mut config = integration.current.config.clone();
        tidegate_engine::integration::merge(&mut config, &connection.config);
        config
    }

    /// A model that the connection has, or may get, or a problem that lists those there are.
    pub(super) async fn known_model(&self, model: &ModelKey) -> Result<KnownModel> {
        match check_model(self.store(), model).await {
            Ok(()) => Ok(KnownModel::new(model.clone())),
            Err(ModelError::Unknown { known, .. }) => {
                let message = format!(
                    "integration {} has no model {:?}",
                    model.connection.integration,
                    model.model.as_str()
                );
                Err(Problem::not_found(message).listing("models", known.iter().map(Name::as_str)))
            }
            Err(ModelError::Store(error)) => {
                // If that is what is missing, these say what there is.
                self.find_integration(&model.connection.integration).await?;
                self.find_connection(&model.connection).await?;
                Err(error.into())
            }
        }
    }
}
