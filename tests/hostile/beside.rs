//! Actions beside a sync of their connection and beside each other, in one process; and a key that
//! is in use meanwhile.

use std::fs;
use std::sync::Arc;

use serde_json::json;
use tidegate_engine::run::Outcome;

use crate::case::{Case, Does};
use crate::house::House;
use crate::support::plugins;
use crate::support::server::{Gate, Reply, Server};

#[tokio::test(flavor = "multi_thread")]
async fn actions_run_beside_a_sync_and_beside_each_other() {
    let component = tokio::task::spawn_blocking(|| plugins::component("tests/plugins/acts"));
    let component = fs::read(component.await.unwrap()).unwrap();
    let (pulling, held) = (Gate::default(), Gate::default());
    let (at_pull, at_hold) = (pulling.clone(), held.clone());
    let server = Server::start(move |request| {
        match (request.method.as_str(), request.path()) {
            // The sync waits for the page that it asked for.
            ("GET", _) => Reply::json(&json!([{"id": "old"}])).behind(&at_pull),
            (_, "/hold") => Reply::status(204).behind(&at_hold),
            _ => Reply::json(&json!({"id": "new"})),
        }
    });
    let house = Arc::new(House::open().await);
    let nothing = Case::new("beside", Does::Action("create"));
    let origin = server.origin();
    let deployed = house.deploy("acts", component, &origin, &nothing).await;
    deployed.unwrap();
    house.connect("acts", "acme", &origin).await;

    let sync = tokio::spawn({
        let house = Arc::clone(&house);
        async move { house.sync("acts", "acme", "items").await }
    });
    let holding = tokio::spawn({
        let house = Arc::clone(&house);
        async move { house.invoke_with("acts", "acme", "hold", Some("k")).await }
    });
    let arrived = (pulling.clone(), held.clone());
    tokio::task::spawn_blocking(move || {
        arrived.0.arrived();
        arrived.1.arrived();
    })
    .await
    .unwrap();

    // A third run beside both of them.
    let created = house.invoke_with("acts", "acme", "create", None).await;
    let end = created.unwrap().run.end.unwrap();
    assert_eq!(end.outcome, Outcome::Success, "{:?}", end.failure);
    assert_eq!(
        house.records("acts", "acme", "Item").await,
        [json!({"id": "new"})]
    );
    // The key is in use, and that of another connection is another.
    let busy = house.invoke_with("acts", "acme", "hold", Some("k")).await;
    let busy = busy.unwrap_err();
    assert!(busy.contains("idempotency key k is busy"), "{busy}");
    assert!(!sync.is_finished() && !holding.is_finished());

    pulling.open();
    held.open();
    let synced = sync.await.unwrap().end.unwrap();
    assert_eq!(synced.outcome, Outcome::Success, "{:?}", synced.failure);
    assert!(!holding.await.unwrap().unwrap().repeated);
    let again = house.invoke_with("acts", "acme", "hold", Some("k")).await;
    assert!(again.unwrap().repeated);
    let records = house.records("acts", "acme", "Item").await;
    assert_eq!(records, [json!({"id": "new"}), json!({"id": "old"})]);
    house.close().await;
}
