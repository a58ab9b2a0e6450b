//! Every limit at the largest value that may be set: a plugin runs with it as with any other. One more
//! is refused by each way in.

use tidegate_engine::limits::{LimitValues, TABLE};
use tidegate_engine::run::Outcome;
use tidegate_service::control::{DeployRequest, GrantChanges, Management};

use crate::case::{Case, Does};
use crate::house::House;
use crate::support::server::{Reply, Server};

const HEADERS: usize = 900;

/// A page of records with nearly as many headers as may be granted.
fn answer() -> Reply {
    let page = crate::support::crm::reply(&crate::support::crm::contacts(0..20, 1), None);
    (0..HEADERS).fold(page, |reply, n| reply.header(&format!("x-{n}"), "1"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_runs_at_each_ceiling_and_nobody_gets_more() {
    let house = House::open().await;
    let plain = Server::start(|_| {
        crate::support::crm::reply(&crate::support::crm::contacts(0..20, 1), None)
    });
    let wordy = Server::start(|_| answer());
    for row in TABLE {
        let server = match row.name {
            "http_headers" => &wordy,
            _ => &plain,
        };
        let case = Case::new(row.name, Does::Sync("contacts")).with(row.name, row.ceiling);
        let integration = format!("at-{}", row.name.replace('_', "-"));
        let origin = server.origin();
        let deployed = house.deploy(&integration, house.demo(), &origin, &case);
        deployed.await.unwrap();
        house.connect(&integration, "acme", &origin).await;
        let end = house.sync(&integration, "acme", "contacts").await.end;
        let end = end.unwrap();
        let failure = end.failure;
        assert_eq!(end.outcome, Outcome::Success, "{}: {failure:?}", row.name);

        for value in [row.ceiling + 1, u64::MAX] {
            let case = Case::new(row.name, Does::Sync("contacts")).with(row.name, value);
            let refused = house.deploy(&integration, house.demo(), &origin, &case);
            let (kind, message) = refused.await.unwrap_err();
            assert_eq!(kind, "Invalid", "{message}");
            let says = format!("limit {} can't be {value}", row.name);
            assert!(message.contains(&says), "{message}");
        }
    }
    // All of them in one run.
    let request = DeployRequest {
        signed: None,
        component: house.demo(),
        name: Some("at-all".parse().unwrap()),
        grants: GrantChanges {
            hosts: Some(vec![wordy.origin().parse().unwrap()]),
            private: Some(vec!["127.0.0.0/8".parse().unwrap()]),
            limits: Some(limits(|row| row.ceiling)),
            ..GrantChanges::default()
        },
    };
    house.local.deploy(request).await.unwrap();
    house.connect("at-all", "acme", &wordy.origin()).await;
    let end = house.sync("at-all", "acme", "contacts").await.end.unwrap();
    assert_eq!(end.outcome, Outcome::Success, "{:?}", end.failure);
    house.close().await;
}

fn limits(value: impl Fn(&tidegate_engine::limits::LimitInfo) -> u64) -> LimitValues {
    let values = TABLE.iter().map(|row| (row.name.to_owned(), value(row)));
    values.collect()
}
