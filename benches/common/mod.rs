//! What benchmarks of the store in their own process share: an integration with connections, and CPU.

use nix::sys::resource::{UsageWho, getrusage};
use tidegate_engine::integration::{Connection, Digest, NewDeployment};
use tidegate_engine::{ConnectionKey, Name, Store, Timestamp};

/// CPU of this process so far, user and system, in seconds.
pub(crate) fn cpu() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage");
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// The integration that all connections are of.
pub(crate) fn integration() -> Name {
    "bench".parse().expect("a name")
}

pub(crate) fn key(connection: &str) -> ConnectionKey {
    ConnectionKey {
        integration: integration(),
        connection: connection.parse().expect("a name"),
    }
}

/// Deploy a component that nobody runs.
pub(crate) async fn deploy(store: &dyn Store) {
    let component = b"bench".to_vec();
    let digest = store.put_component(component.clone()).await.expect("room");
    assert_eq!(digest, Digest::of(&component));
    let manifest = r#"{"manifest":1,"name":"bench","version":"1.0.0"}"#;
    let deployment = NewDeployment {
        integration: integration(),
        digest,
        manifest: serde_json::from_str(manifest).expect("a manifest"),
        grants: Default::default(),
        config: Default::default(),
        now: Timestamp(1),
    };
    store.deploy(deployment).await.expect("it deploys");
}

/// Add a connection; what it would be asked with is never used.
pub(crate) async fn connect(store: &dyn Store, key: ConnectionKey) {
    let connection = Connection {
        key,
        base_url: "https://api.example.com".parse().expect("a URL"),
        config: Default::default(),
        metadata: Default::default(),
        secret_names: Vec::new(),
        sealed_secrets: Vec::new(),
        created_at: Timestamp(1),
        updated_at: Timestamp(1),
        tags: Default::default(),
        external_id: None,
        revision: 0,
        auth_failed: None,
        health: Default::default(),
    };
    store.add_connection(connection).await.expect("it is new");
}
