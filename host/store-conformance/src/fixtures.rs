//! What tests of stores share: a store with something deployed, and short ways to say things.

use std::path::Path;

use tidegate_engine::integration::{Connection, NewDeployment};
use tidegate_engine::manifest::Manifest;
use tidegate_engine::record::{Page, Save};
use tidegate_engine::run::{Fence, Figures, NewRun, Outcome, RunEnd, RunId, Target, Trigger};
pub use tidegate_engine::store::parts::*;
use tidegate_engine::store::{ActionFilter, Commit, Durability, ReadChanges};
use tidegate_engine::webhook::{Endpoint, EndpointId, SealedSecret};
use tidegate_engine::{ConnectionKey, ModelKey, Name, Store, SyncKey, Timestamp};

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn connection(connection: &str) -> ConnectionKey {
    ConnectionKey {
        integration: name("crm"),
        connection: connection.parse().unwrap(),
    }
}

pub fn model(connection_name: &str, model: &str) -> ModelKey {
    connection(connection_name).model(name(model))
}

pub fn sync(connection_name: &str, sync: &str) -> SyncKey {
    SyncKey {
        connection: connection(connection_name),
        sync: name(sync),
        variant: name("base"),
    }
}

pub fn run_id(number: u64) -> RunId {
    RunId::from_parts(Timestamp(number), u128::from(number))
}

pub async fn deployment(store: &dyn Store, version: &str, now: u64) -> NewDeployment {
    let digest = store
        .put_component(version.as_bytes().to_vec())
        .await
        .unwrap();
    let manifest = format!(r#"{{"manifest": 1, "name": "crm", "version": "{version}"}}"#);
    NewDeployment {
        integration: name("crm"),
        digest,
        manifest: serde_json::from_str::<Manifest>(&manifest).unwrap(),
        grants: tidegate_engine::grant::Grants::default(),
        config: serde_json::Map::new(),
        now: Timestamp(now),
    }
}

pub fn new_connection(connection_name: &str) -> Connection {
    Connection {
        key: connection(connection_name),
        base_url: "https://api.example.com/".parse().unwrap(),
        config: serde_json::Map::new(),
        metadata: serde_json::Map::new(),
        secret_names: vec!["token".into()],
        sealed_secrets: vec![1, 2, 3],
        created_at: Timestamp(5),
        updated_at: Timestamp(5),
        tags: std::collections::BTreeMap::new(),
        external_id: None,
        revision: 0,
        auth_failed: None,
        health: Default::default(),
    }
}

pub fn endpoint_id(number: u64) -> EndpointId {
    EndpointId::from_parts(Timestamp(number), number.into())
}

/// An endpoint that wants everything.
pub fn new_endpoint(number: u64) -> Endpoint {
    Endpoint {
        id: endpoint_id(number),
        url: format!("https://hook-{number}.example/").parse().unwrap(),
        description: String::new(),
        events: [].into(),
        integration: None,
        connection: None,
        secrets: vec![SealedSecret {
            sealed: vec![1, 2, 3],
            created_at: Timestamp(5),
            expires_at: None,
        }],
        disabled: None,
        first_failure_at: None,
        probe_at: None,
        created_at: Timestamp(5),
        revision: 0,
    }
}

/// Deploy `crm` and connect `acme` and `bolt`.
pub async fn set_up(store: &dyn Store) {
    let deployment = deployment(store, "1.0.0", 5).await;
    store.deploy(deployment).await.unwrap();
    for connection in ["acme", "bolt"] {
        store
            .add_connection(new_connection(connection))
            .await
            .unwrap();
    }
}

pub fn new_run(number: u64, target: Target) -> NewRun {
    NewRun {
        id: run_id(number),
        target,
        plugin: tidegate_engine::integration::Digest::of(b"plugin"),
        plugin_version: "1.0.0".into(),
        trigger: Trigger::Manual,
        attempt: 1,
        job: None,
        reset: false,
        now: Timestamp(number),
    }
}

/// Start a run of `acme`'s sync `contacts`.
pub async fn start(store: &dyn Store, number: u64) -> (RunId, Fence) {
    let run = new_run(number, Target::Sync(sync("acme", "contacts")));
    let started = store.start_run(run).await.unwrap();
    (run_id(number), started.fence)
}

pub fn end(at: u64) -> RunEnd {
    RunEnd {
        at: Timestamp(at),
        outcome: Outcome::Success,
        failure: None,
        figures: Figures::default(),
    }
}

pub fn page(model: &str, save: &[(&str, &str)], delete: &[&str]) -> Page {
    let saved = |(id, body): &(&str, &str)| Save {
        id: (*id).into(),
        body: (*body).into(),
        hash: None,
    };
    Page {
        save: save.iter().map(saved).collect(),
        delete: delete.iter().map(|id| (*id).into()).collect(),
        ..Page::of(name(model))
    }
}

pub fn commit(pages: Vec<Page>, now: u64) -> Commit {
    Commit {
        pages,
        checkpoint: None,
        durability: Durability::Durable,
        progress: Figures::default(),
        now: Timestamp(now),
    }
}

pub fn read(model: ModelKey) -> ReadChanges {
    ReadChanges {
        model,
        after: None,
        filter: ActionFilter::ALL,
        limit: 1000,
        bytes_max: usize::MAX,
    }
}

/// Copy a data directory's files as they are at this moment.
pub fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_files(&path, &to),
            // sled removes files of its own at any time.
            false => drop(std::fs::copy(&path, to)),
        }
    }
}

/// Run async code to its end.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}
