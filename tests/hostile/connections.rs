//! Connections that are changed at the same time, and one that is removed under a run in flight.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use serde_json::{Value, json};
use tidegate_engine::store::RunFilter;
use tidegate_service::control::{ConnectionUpdate, Management, ObjectChange};

use crate::house::{House, key};
use crate::support::crm::{contacts, reply};
use crate::support::server::{Gate, Server};

#[tokio::test(flavor = "multi_thread")]
async fn updates_at_once_lose_nothing_of_one_another() {
    const COUNT: usize = 30;
    let house = Arc::new(House::open().await);
    house.connect("crm", "acme", "http://127.0.0.1:9").await;
    let updates = (0..COUNT).map(|n| {
        let house = Arc::clone(&house);
        tokio::spawn(async move {
            let patch = json!({ format!("m{n}"): n }).as_object().unwrap().clone();
            let update = ConnectionUpdate {
                tags: BTreeMap::from([(format!("t{n}"), String::new())]),
                metadata: ObjectChange::Merge(patch),
                ..ConnectionUpdate::default()
            };
            let key = key("crm", "acme");
            house.local.update_connection(&key, update).await.unwrap();
        })
    });
    for update in join_all(updates).await {
        update.unwrap();
    }
    let stored = house.local.connection(&key("crm", "acme")).await.unwrap();
    assert_eq!((stored.tags.len(), stored.metadata.len()), (COUNT, COUNT));
    assert_eq!(stored.metadata["m7"], Value::from(7));
    assert_eq!(stored.revision, COUNT as u64);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_in_flight_stops_when_its_connection_is_removed() {
    let gate = Gate::default();
    let held = gate.clone();
    let server = Server::start(move |request| match request.query("cursor") {
        None => reply(&contacts(0..5, 1), Some("next")),
        Some(_) => reply(&contacts(5..9, 1), None).behind(&held),
    });
    let house = Arc::new(House::open().await);
    let (origin, crm) = (
        server.origin(),
        crate::case::Case::new("nothing", crate::case::Does::Sync("contacts")),
    );
    house
        .deploy("shop", house.demo(), &origin, &crm)
        .await
        .unwrap();
    house.connect("shop", "acme", &origin).await;
    let running = tokio::spawn({
        let house = Arc::clone(&house);
        async move { house.try_sync("shop", "acme", "contacts").await }
    });
    tokio::task::spawn_blocking({
        let gate = gate.clone();
        move || gate.arrived()
    })
    .await
    .unwrap();
    assert_eq!(house.records("shop", "acme", "Contact").await.len(), 5);

    let key = key("shop", "acme");
    let dropped = house.local.remove_connection(&key).await.unwrap();
    assert_eq!((dropped.records, dropped.runs), (5, 1));
    // The API never answers: the run ends because it is told to.
    let ended = running.await.unwrap().unwrap_err().to_string();
    assert!(
        ended.contains("its connection was removed while it ran"),
        "{ended}"
    );
    gate.open();
    assert!(house.local.connection(&key).await.is_err());
    let runs = house
        .local
        .runs(RunFilter {
            limit: 10,
            ..RunFilter::default()
        })
        .await
        .unwrap();
    assert!(
        runs.iter().all(|run| *run.target.connection() != key),
        "{runs:?}"
    );
    assert_eq!(house.local.check().await.unwrap().wrong, 0);
    house.close().await;
}
