//! Master keys that are rotated while runs use credentials, and while others are given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Map;
use tidegate_egress::Secret;
use tidegate_engine::run::Outcome;
use tidegate_service::control::{ConnectionUpdate, Management, RotateKeys};

use crate::case::{Case, Does};
use crate::house::{House, key};
use crate::support::crm::{contacts, reply};
use crate::support::server::{Reply, Server};

const CONNECTIONS: usize = 12;
const ROTATIONS: usize = 25;
const TOKEN: &str = "a token that opens the API";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rotations_lose_no_credentials_of_runs_and_updates_beside_them() {
    let server = Server::start(|request| match request.header("authorization") {
        Some(value) if value == format!("Bearer {TOKEN}") => reply(&contacts(0..3, 1), None),
        _ => Reply::text("who are you?").with_status(401),
    });
    let house = Arc::new(House::open().await);
    let case = Case::new("nothing", Does::Sync("contacts"));
    house
        .deploy("shop", house.demo(), &server.origin(), &case)
        .await
        .unwrap();
    let connect = async |name: &str| {
        let (config, secrets) = (Map::new(), [("token", TOKEN)]);
        house
            .connect_with("shop", name, &server.origin(), config, &secrets)
            .await;
    };
    for number in 0..CONNECTIONS {
        connect(&format!("c{number}")).await;
    }

    let (over, runs) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let beside = (0..3).map(|worker| {
        let (house, over, runs) = (Arc::clone(&house), Arc::clone(&over), Arc::clone(&runs));
        tokio::spawn(async move {
            let mut number = worker;
            while !over.load(Ordering::Relaxed) {
                let name = format!("c{}", number % CONNECTIONS);
                if worker == 0 {
                    let update = ConnectionUpdate {
                        secrets: BTreeMap::from([(
                            "token".to_owned(),
                            Secret::new(TOKEN.to_owned()),
                        )]),
                        ..ConnectionUpdate::default()
                    };
                    let key = key("shop", &name);
                    house.local.update_connection(&key, update).await.unwrap();
                } else {
                    let run = house.sync("shop", &name, "contacts").await;
                    let end = run.end.unwrap();
                    assert_eq!(end.outcome, Outcome::Success, "{:?}", end.failure);
                    runs.fetch_add(1, Ordering::Relaxed);
                }
                // Each run worker has its own half of the connections: no two runs of one at once.
                number += if worker == 0 { 1 } else { 2 };
            }
        })
    });
    let beside: Vec<_> = beside.collect();
    for rotation in 0..ROTATIONS {
        let request = RotateKeys {
            step: 5,
            ..RotateKeys::default()
        };
        let rotated = house.local.rotate_keys(request).await.unwrap();
        assert_ne!(rotated.from, rotated.to);
        connect(&format!("new-{rotation}")).await;
    }
    over.store(true, Ordering::Relaxed);
    for worker in beside {
        worker.await.unwrap();
    }
    assert!(runs.load(Ordering::Relaxed) > 0);
    let status = house.local.keys_status().await.unwrap();
    assert_eq!(status.unreadable, [], "{status:?}");
    let sealed: u64 = status.keys.iter().map(|key| key.connections).sum();
    assert_eq!(sealed, (CONNECTIONS + ROTATIONS) as u64, "{status:?}");
    for number in 0..CONNECTIONS {
        let run = house.sync("shop", &format!("c{number}"), "contacts").await;
        assert_eq!(run.end.unwrap().outcome, Outcome::Success);
    }
    house.close().await;
}
