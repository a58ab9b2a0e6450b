//! Whether a connection has a model: the one rule of all who read records.

use std::collections::BTreeSet;

use super::{Store, StoreError};
use crate::{ModelKey, Name, integration};

/// Why a model can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The connection has none of this name.
    #[error("{} has no model {}; it has: {}", model.connection, model.model, names(known))]
    Unknown {
        model: ModelKey,
        known: BTreeSet<Name>,
    },
    /// The integration or the connection is not there, or the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn names(names: &BTreeSet<Name>) -> String {
    let names: Vec<&str> = names.iter().map(Name::as_str).collect();
    names.join(", ")
}

/// That the connection has the model, or may get it: the manifest describes it, a sync of the connection fills it, or there
/// are records of it, whatever the manifest says now. Two reads; a third one only for a model of the last kind.
pub async fn check_model(store: &dyn Store, model: &ModelKey) -> Result<(), ModelError> {
    let key = &model.connection;
    let integration = store.integration(&key.integration).await?;
    let connection = store.connection(key).await?;
    let mut config = integration.current.config.clone();
    integration::merge(&mut config, &connection.config);
    let manifest = &integration.current.manifest;
    let described = manifest.models.iter().map(|model| model.name.clone());
    let synced = manifest.syncs_for(&config).into_iter();
    let synced = synced.flat_map(|sync| sync.models);
    let mut known: BTreeSet<Name> = described.chain(synced).collect();
    if known.contains(&model.model) {
        return Ok(());
    }
    known.extend(store.models(key).await?.into_iter().map(|(name, _)| name));
    if known.contains(&model.model) {
        return Ok(());
    }
    Err(ModelError::Unknown {
        model: model.clone(),
        known,
    })
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use serde_json::json;

    use super::*;
    use crate::integration::{Connection, NewDeployment};
    use crate::manifest::Manifest;
    use crate::memory::MemoryStore;
    use crate::{ConnectionKey, Timestamp};

    fn key() -> ConnectionKey {
        ConnectionKey {
            integration: "crm".parse().unwrap(),
            connection: "acme".parse().unwrap(),
        }
    }

    /// A connection whose manifest describes a model, has a sync of another one, and one for each key of the config.
    async fn store() -> MemoryStore {
        let store = MemoryStore::default();
        let manifest = json!({
            "manifest": 1, "name": "crm", "version": "0.1.0",
            "models": [{"name": "Described"}, {"name": "Synced"}],
            "syncs": [
                {"name": "all", "models": ["Synced"]},
                {"name": "*", "models": ["*"], "each": "/models"},
            ],
        });
        let deployment = NewDeployment {
            integration: key().integration,
            digest: store.put_component(b"component".to_vec()).await.unwrap(),
            manifest: Manifest::parse(&manifest.to_string()).unwrap(),
            grants: Default::default(),
            config: Default::default(),
            now: Timestamp(1),
        };
        store.deploy(deployment).await.unwrap();
        let connection: Connection = serde_json::from_value(json!({
            "key": key(), "base_url": "https://api.example/", "config": {"models": {"Configured": {}}},
            "metadata": {}, "secret_names": [], "sealed_secrets": [], "created_at": 1, "updated_at": 1,
        }))
        .unwrap();
        store.add_connection(connection).await.unwrap();
        store
    }

    #[test]
    fn a_model_is_known_by_manifest_or_config_in_two_reads() {
        let store = block_on(store());
        for (model, is_known, reads) in [
            ("Described", true, 2),
            ("Synced", true, 2),
            ("Configured", true, 2),
            // Perhaps there are records of it.
            ("Nobody", false, 3),
        ] {
            let before = store.calls();
            let checked = block_on(check_model(&store, &key().model(model.parse().unwrap())));
            assert_eq!(checked.is_ok(), is_known, "{model}: {checked:?}");
            assert_eq!(store.calls() - before, reads, "{model}");
        }
        let model = key().model("Nobody".parse().unwrap());
        let error = block_on(check_model(&store, &model)).unwrap_err();
        assert!(
            error.to_string().ends_with("Configured, Described, Synced"),
            "{error}"
        );
    }

    #[test]
    fn a_thousand_ids_are_looked_up_in_one_read() {
        let store = block_on(store());
        let model = key().model("Synced".parse().unwrap());
        let ids: Vec<String> = (0..1000).map(|number| format!("id-{number}")).collect();
        let before = store.calls();
        let found = block_on(store.records_within(&model, &ids, 1)).unwrap();
        assert_eq!((found.len(), store.calls() - before), (1000, 1));
    }
}
