//! Receivers that take their time, and somebody who adds endpoints without end: what limits keep within bounds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::Served;
use crate::support::cli::{CONFLICT, Tidegate};
use crate::support::crm::{Source, contacts, reply};
use crate::support::server::{Gate, Reply, Server};
use crate::support::{PATIENCE, wait_until};

/// `webhook_endpoints`, `webhook_in_flight` and `webhook_endpoint_in_flight` of docs/limits.md.
const ENDPOINTS: usize = 100;
const IN_FLIGHT: usize = 64;
const ENDPOINT_IN_FLIGHT: usize = 16;

/// Deliveries at one time, by endpoint, and the most there ever were.
#[derive(Debug, Default)]
struct Flights {
    now: BTreeMap<String, usize>,
    most_of_one: usize,
    most_of_all: usize,
    taken: BTreeMap<String, usize>,
}

/// A receiver whose endpoints are all held but `/free`.
fn receiver(gate: &Gate) -> (Server, Arc<Mutex<Flights>>) {
    let flights = Arc::new(Mutex::new(Flights::default()));
    let (seen, gate) = (Arc::clone(&flights), gate.clone());
    let server = Server::start(move |request| {
        let path = request.path().to_owned();
        if path != "/free" {
            let mut flights = seen.lock().unwrap();
            *flights.now.entry(path.clone()).or_default() += 1;
            flights.most_of_one = flights.most_of_one.max(flights.now[&path]);
            let all = flights.now.values().sum();
            flights.most_of_all = flights.most_of_all.max(all);
            drop(flights);
            gate.pass();
            *seen.lock().unwrap().now.get_mut(&path).unwrap() -= 1;
        }
        *seen.lock().unwrap().taken.entry(path).or_default() += 1;
        Reply::text("thanks")
    });
    (server, flights)
}

/// A server with connections `c0` … and an endpoint for each of these paths.
fn served(connections: usize, receiver: &Server, paths: &[String]) -> (Served, Server) {
    let source = Server::start(|_| reply(&contacts(1..2, 1), None));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    for connection in 0..connections {
        tidegate.connect("crm", &format!("c{connection}"), &source.origin());
    }
    let served = Served::start_with(tidegate, "--webhook-allow-private 127.0.0.0/8");
    for path in paths {
        let add = format!("webhooks add {}{path}", receiver.origin());
        served.tidegate.cmd(&add).ok();
    }
    (served, source)
}

#[test]
fn a_slow_endpoint_keeps_no_more_than_its_share() {
    let gate = Gate::default();
    let (receiver, flights) = receiver(&gate);
    let connections = ENDPOINT_IN_FLIGHT + 2;
    let paths = ["/slow", "/free"].map(str::to_owned);
    let (served, _source) = served(connections, &receiver, &paths);
    for connection in 0..connections {
        served
            .tidegate
            .sync_ok("crm/contacts", &format!("c{connection}"));
    }
    // What the other endpoint has taken shows that everything was due, and looked at.
    wait_until("the other endpoint has all", PATIENCE, || {
        let taken = flights.lock().unwrap().taken.get("/free").copied();
        (taken == Some(connections)).then_some(())
    });
    wait_until("its share is on the way", PATIENCE, || {
        (flights.lock().unwrap().now["/slow"] == ENDPOINT_IN_FLIGHT).then_some(())
    });
    gate.open();
    wait_until("all is delivered", PATIENCE, || {
        (flights.lock().unwrap().taken.get("/slow") == Some(&connections)).then_some(())
    });
    assert_eq!(flights.lock().unwrap().most_of_one, ENDPOINT_IN_FLIGHT);
}

#[test]
fn slow_endpoints_together_keep_no_more_than_there_may_be() {
    let gate = Gate::default();
    let (receiver, flights) = receiver(&gate);
    let slow = IN_FLIGHT / ENDPOINT_IN_FLIGHT + 1;
    let paths: Vec<String> = (0..slow).map(|number| format!("/slow-{number}")).collect();
    let (served, _source) = served(ENDPOINT_IN_FLIGHT, &receiver, &paths);
    for connection in 0..ENDPOINT_IN_FLIGHT {
        served
            .tidegate
            .sync_ok("crm/contacts", &format!("c{connection}"));
    }
    wait_until("as many as may be are on the way", PATIENCE, || {
        let all: usize = flights.lock().unwrap().now.values().sum();
        (all >= IN_FLIGHT).then_some(())
    });
    gate.open();
    wait_until("all is delivered", PATIENCE, || {
        let all: usize = flights.lock().unwrap().taken.values().sum();
        (all == slow * ENDPOINT_IN_FLIGHT).then_some(())
    });
    assert_eq!(flights.lock().unwrap().most_of_all, IN_FLIGHT);
}

#[test]
fn endpoints_are_counted() {
    let served = Served::start(Tidegate::new());
    let add = |number: usize| {
        let words = format!("webhooks add https://hooks.example/{number}");
        served.tidegate.cmd(&words)
    };
    for number in 0..ENDPOINTS {
        add(number).ok();
    }
    add(ENDPOINTS).refused(CONFLICT, &["100", "endpoint"]);
    let listed = served.tidegate.cmd("webhooks list --json").ok().lines();
    assert_eq!(listed.len(), ENDPOINTS);
}
