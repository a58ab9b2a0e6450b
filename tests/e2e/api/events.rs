//! What a plugin is told of its connections, by a plugin that subscribes to an API and ends that.

use serde_json::{Value, json};

use super::Served;
use crate::support::cli::Tidegate;
use crate::support::plugins::component;
use crate::support::server::{Gate, Reply, Server};
use crate::support::{PATIENCE, wait_until};

/// A Tidegate with the subscriber.
fn deployed(origin: &str) -> Tidegate {
    let tidegate = Tidegate::new();
    let grants =
        format!("--allow-host {origin} --allow-private 127.0.0.0/8 --allow-metadata-write");
    tidegate
        .cmd("deploy")
        .arg(component("tests/plugins/subscriber"))
        .words(&format!("--as crm --yes {grants}"))
        .ok();
    tidegate
}

/// Answers each subscription with the number of the request for one.
fn subscriptions() -> Server {
    let count = std::sync::atomic::AtomicU32::new(0);
    Server::start(move |request| match request.method.as_str() {
        "POST" => {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Reply::json(&json!({ "id": format!("s{number}") }))
        }
        _ => Reply::status(204),
    })
}

/// The requests so far, like `POST /subscriptions`, sorted.
fn asked(server: &Server) -> Vec<String> {
    let requests = server.requests();
    let mut asked: Vec<String> = requests
        .iter()
        .map(|request| format!("{} {}", request.method, request.target))
        .collect();
    asked.sort();
    asked
}

impl Served {
    /// The job that tells of the connection, once it has succeeded.
    #[track_caller]
    fn told(&self, connection: &str) -> Value {
        let place = format!("/v1/jobs?integration=crm&connection={connection}");
        wait_until(&format!("{connection} is told of"), PATIENCE, || {
            let jobs = self.get(&place);
            let job = jobs["jobs"][0].clone();
            (job["state"] == "succeeded").then_some(job)
        })
    }
}

#[test]
fn a_plugin_is_told_when_a_connection_comes_and_goes() {
    let server = subscriptions();
    let served = Served::start(deployed(&server.origin()));
    served.tidegate.connect("crm", "acme", &server.origin());
    let job = served.told("acme");
    assert_eq!(
        (&job["kind"], &job["name"]),
        (&json!("event"), &json!("connection-created")),
        "{job}"
    );
    let place = "/v1/integrations/crm/connections/acme";
    assert_eq!(
        served.get(place)["metadata"],
        json!({ "subscription": "s0" })
    );
    served.call("DELETE", place).send();
    assert_eq!(
        asked(&server),
        ["DELETE /subscriptions/s0", "POST /subscriptions"]
    );
    assert_eq!(served.call("GET", place).send().status, 404);
}

#[test]
fn what_fails_for_the_moment_is_tried_again() {
    let is_first = std::sync::atomic::AtomicBool::new(true);
    let server =
        Server::start(
            move |_| match is_first.swap(false, std::sync::atomic::Ordering::SeqCst) {
                true => Reply::status(503),
                false => Reply::json(&json!({ "id": "s" })),
            },
        );
    let served = Served::start(deployed(&server.origin()));
    served.tidegate.connect("crm", "acme", &server.origin());
    served.told("acme");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn without_a_server_it_waits_for_one() {
    let server = subscriptions();
    let tidegate = deployed(&server.origin());
    tidegate.connect("crm", "acme", &server.origin());
    assert!(asked(&server).is_empty());
    let served = Served::start(tidegate);
    served.told("acme");
    assert_eq!(asked(&server), ["POST /subscriptions"]);
}

#[test]
fn a_removal_does_not_wait_for_ever() {
    let gate = Gate::default();
    let held = gate.clone();
    let server = Server::start(move |request| match request.method.as_str() {
        "DELETE" => Reply::status(204).behind(&held),
        _ => Reply::json(&json!({ "id": "s" })),
    });
    let served = Served::start(deployed(&server.origin()));
    served.tidegate.connect("crm", "acme", &server.origin());
    served.told("acme");
    served
        .tidegate
        .cmd("connections remove crm acme --yes")
        .ok();
    gate.arrived();
    let gone = served.call("GET", "/v1/integrations/crm/connections/acme");
    assert_eq!(gone.send().status, 404);
    gate.open();
    let log = served.running.kill().stdout;
    assert!(log.contains("event_removed_ms"), "{log}");
}

#[test]
fn all_connections_of_an_integration_that_is_dropped_hear_of_it() {
    let server = subscriptions();
    let served = Served::start(deployed(&server.origin()));
    for name in ["a", "b", "c"] {
        served.tidegate.connect("crm", name, &server.origin());
        served.told(name);
    }
    served.tidegate.cmd("data drop crm --yes").ok();
    let deleted: Vec<String> = (0..3)
        .map(|n| format!("DELETE /subscriptions/s{n}"))
        .collect();
    assert_eq!(asked(&server)[..3], deleted);
}

/// Eight are told at a time, and each of them is waited for.
#[test]
fn an_integration_goes_whatever_its_plugin_does() {
    const CONNECTIONS: usize = 26;
    let gate = Gate::default();
    let held = gate.clone();
    let server = Server::start(move |request| match request.method.as_str() {
        "DELETE" => Reply::status(204).behind(&held),
        _ => Reply::json(&json!({ "id": "s" })),
    });
    let served = Served::start(deployed(&server.origin()));
    let names: Vec<String> = (0..CONNECTIONS).map(|n| format!("c{n}")).collect();
    for name in &names {
        served.tidegate.connect("crm", name, &server.origin());
    }
    for name in &names {
        served.told(name);
    }
    served.tidegate.cmd("data drop crm --yes").ok();
    gate.open();
    let asked = asked(&server);
    let told = asked.iter().filter(|line| line.starts_with("DELETE"));
    let told = told.count();
    assert!((8..CONNECTIONS).contains(&told), "{told}");
    let log = served.running.kill().stdout;
    let untold = format!("{} connections go without", CONNECTIONS - told);
    assert!(
        log.contains(&untold) && log.contains("events_removed_ms"),
        "{log}"
    );
}
