//! Two hundred runs at once whose connections' tokens have all expired: one renewal each.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tidegate_egress::Secret;
use tidegate_engine::run::Outcome;
use tidegate_service::control::{DeployRequest, GrantChanges, Management, NewConnection};

use crate::house::{House, key};
use crate::support::oidc::{Oidc, secret};
use crate::support::{PATIENCE, plugins, wait_until};

const CONNECTIONS: usize = 10;
const RUNS: usize = 200;

fn client(number: usize) -> String {
    format!("slow-{}", number % CONNECTIONS)
}

fn sync(number: usize) -> String {
    format!("Item{number}")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_runs_at_once_renew_each_token_once() {
    let Some(oidc) = tokio::task::spawn_blocking(|| Oidc::start("two-hundred"))
        .await
        .unwrap()
    else {
        return;
    };
    let component = tokio::task::spawn_blocking(|| fs::read(plugins::rest()).unwrap());
    let house = Arc::new(House::open().await);
    let deploy = DeployRequest {
        signed: None,
        component: component.await.unwrap(),
        name: Some("crm".parse().unwrap()),
        grants: GrantChanges {
            hosts: Some(vec![oidc.origin().parse().unwrap()]),
            token_hosts: Some(vec![oidc.origin().parse().unwrap()]),
            private: Some(vec!["127.0.0.0/8".parse().unwrap()]),
            ..GrantChanges::default()
        },
    };
    house.local.deploy(deploy).await.unwrap();
    // One run of a sync at a time: each connection has as many syncs as runs at once.
    let models: Map<String, Value> = (0..RUNS / CONNECTIONS)
        .map(|number| (sync(number), json!({"path": "items"})))
        .collect();
    for client in (0..CONNECTIONS).map(client) {
        let config = json!({
            "models": models,
            "auth": {"token_url": format!("{}/token", oidc.origin())},
        });
        let refresh = oidc.issue(&client);
        let secrets = [
            ("client_id", client.clone()),
            ("client_secret", secret(&client)),
            ("refresh_token", refresh),
        ];
        let secrets = secrets.map(|(name, text)| (name.to_owned(), Secret::new(text)));
        let connection = NewConnection {
            key: key("crm", &client),
            base_url: format!("{}/api", oidc.origin()).parse().unwrap(),
            config: config.as_object().unwrap().clone(),
            metadata: Map::new(),
            tags: BTreeMap::new(),
            external_id: None,
            secrets: secrets.into(),
        };
        house.local.add_connection(connection).await.unwrap();
        let run = house.sync("crm", &client, &sync(0)).await;
        let end = run.end.unwrap();
        assert_eq!(end.outcome, Outcome::Success, "{:?}", end.failure);
        assert_eq!(oidc.counted(&client).given, 1);
    }
    let oidc = tokio::task::spawn_blocking(move || {
        wait_until("all tokens to expire", PATIENCE, || {
            let live = (0..CONNECTIONS).map(|n| oidc.counted(&client(n)).live);
            (live.sum::<u64>() == 0).then_some(())
        });
        oidc
    })
    .await
    .unwrap();

    let runs: Vec<_> = (0..RUNS)
        .map(|number| {
            let house = Arc::clone(&house);
            let sync = sync(number / CONNECTIONS);
            tokio::spawn(async move { house.sync("crm", &client(number), &sync).await })
        })
        .collect();
    for run in runs {
        let end = run.await.unwrap().end.unwrap();
        assert_eq!(end.outcome, Outcome::Success, "{:?}", end.failure);
    }
    for client in (0..CONNECTIONS).map(client) {
        let counted = oidc.counted(&client);
        assert_eq!(
            (counted.given, counted.refused),
            (2, 0),
            "{client}: {counted:?}"
        );
        assert_eq!(counted.let_in, 1 + (RUNS / CONNECTIONS) as u64, "{client}");
    }
    house.close().await;
}
