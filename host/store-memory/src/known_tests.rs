//! Whether a connection has a model (`check_model`), and how many reads that takes.

use futures::executor::block_on;
use serde_json::json;

use crate::MemoryStore;
use tidegate_engine::integration::{Connection, NewDeployment};
use tidegate_engine::manifest::Manifest;
use tidegate_engine::store::check_model;
use tidegate_engine::store::parts::*;

use tidegate_engine::{ConnectionKey, Timestamp};

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
