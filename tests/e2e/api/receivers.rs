//! Receivers that take their time, and somebody who adds endpoints without end: what limits keep within bounds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::Served;
use crate::support::cli::{CONFLICT, Tidegate};
use crate::support::crm::{Source, contacts, reply};
use crate::support::server::{Gate, Reply, Server};
use crate::support::{PATIENCE, wait_until};

/// `webhook_endpoints`, and of docs/limits.md what bounds deliveries on their way: `webhook_in_flight`,
/// `webhook_endpoint_in_flight`, `webhook_first_in_flight` and `webhook_slow_in_flight`.
const ENDPOINTS: usize = 100;
const IN_FLIGHT: usize = 64;
const ENDPOINT_IN_FLIGHT: usize = 16;
const FIRST_IN_FLIGHT: usize = 2;
const SLOW_IN_FLIGHT: usize = 32;
const LONG_AGO: &str = "2026-01-01T00:00:00Z";

/// Deliveries that are held at one time, by endpoint, and the most there ever were; and what was taken.
#[derive(Debug, Default)]
struct Flights {
    holds: bool,
    now: BTreeMap<String, usize>,
    most_of_one: usize,
    most_of_all: usize,
    taken: BTreeMap<String, usize>,
}

/// A receiver that holds, once it is told to, what comes to all endpoints but `/free`.
struct Receiver {
    server: Server,
    flights: Arc<Mutex<Flights>>,
    gate: Gate,
}

impl Receiver {
    fn start() -> Self {
        let flights = Arc::new(Mutex::new(Flights::default()));
        let gate = Gate::default();
        let (seen, held) = (Arc::clone(&flights), gate.clone());
        let server = Server::start(move |request| {
            let path = request.path().to_owned();
            let mut flights = seen.lock().unwrap();
            if flights.holds && path != "/free" {
                *flights.now.entry(path.clone()).or_default() += 1;
                flights.most_of_one = flights.most_of_one.max(flights.now[&path]);
                let all = flights.now.values().sum();
                flights.most_of_all = flights.most_of_all.max(all);
                drop(flights);
                held.pass();
                flights = seen.lock().unwrap();
                *flights.now.get_mut(&path).unwrap() -= 1;
            }
            *flights.taken.entry(path).or_default() += 1;
            Reply::text("thanks")
        });
        Self {
            server,
            flights,
            gate,
        }
    }

    /// From now on, until [`Self::answer`].
    fn hold(&self) {
        self.flights.lock().unwrap().holds = true;
    }

    fn answer(&self) {
        self.gate.open();
    }

    #[track_caller]
    fn wait_until(&self, what: &str, ready: impl Fn(&Flights) -> bool) {
        wait_until(what, PATIENCE, || {
            ready(&self.flights.lock().unwrap()).then_some(())
        });
    }
}

impl Flights {
    fn all(&self) -> usize {
        self.now.values().sum()
    }

    fn taken(&self, path: &str) -> usize {
        self.taken.get(path).copied().unwrap_or_default()
    }
}

/// A server with connections `c0` … and endpoints.
struct Sender {
    served: Served,
    connections: usize,
    /// In the order of their paths.
    endpoints: Vec<String>,
    _source: Server,
}

impl Sender {
    fn start(connections: usize, receiver: &Receiver, paths: &[String]) -> Self {
        let source = Server::start(|_| reply(&contacts(1..2, 1), None));
        let tidegate = Tidegate::new();
        Source::DemoCrm.set_up(&tidegate, &source.origin());
        for connection in 0..connections {
            tidegate.connect("crm", &format!("c{connection}"), &source.origin());
        }
        let served = Served::start_with(tidegate, "--webhook-allow-private 127.0.0.0/8");
        let add = |path: &String| {
            let add = format!("webhooks add {}{path} --json", receiver.server.origin());
            let made = served.tidegate.cmd(&add).ok().json();
            made["id"].as_str().unwrap().to_owned()
        };
        let endpoints = paths.iter().map(add).collect();
        Self {
            served,
            connections,
            endpoints,
            _source: source,
        }
    }

    /// One event of each connection for every endpoint.
    #[track_caller]
    fn sync(&self) {
        for connection in 0..self.connections {
            let connection = format!("c{connection}");
            self.served.tidegate.sync_ok("crm/contacts", &connection);
        }
    }

    /// Wait until nothing is pending.
    #[track_caller]
    fn delivered(&self) {
        for id in &self.endpoints {
            let pending = format!("webhooks deliveries {id} --state pending --json");
            wait_until("all is delivered", PATIENCE, || {
                let listed = self.served.tidegate.cmd(&pending).ok().lines();
                listed.is_empty().then_some(())
            });
        }
    }

    /// Deliver all to an endpoint again: it is due at once.
    #[track_caller]
    fn replay(&self, id: &str) {
        let replay = format!("webhooks replay {id} --all --since {LONG_AGO} --json");
        let replayed = self.served.tidegate.cmd(&replay).ok().json();
        assert_eq!(replayed["deliveries"], self.connections, "{replayed}");
    }
}

#[test]
fn a_slow_endpoint_keeps_no_more_than_its_share() {
    let receiver = Receiver::start();
    let connections = ENDPOINT_IN_FLIGHT + 2;
    let paths = ["/slow", "/free"].map(str::to_owned);
    let sender = Sender::start(connections, &receiver, &paths);
    // It has answered promptly so far.
    sender.sync();
    sender.delivered();
    receiver.hold();
    sender.replay(&sender.endpoints[0]);
    receiver.wait_until("its share is on the way", |flights| {
        flights.all() == ENDPOINT_IN_FLIGHT
    });
    sender.replay(&sender.endpoints[1]);
    receiver.wait_until("the other endpoint has all", |flights| {
        flights.taken("/free") == 2 * connections
    });
    receiver.answer();
    sender.delivered();
    let flights = receiver.flights.lock().unwrap();
    assert_eq!(flights.most_of_one, ENDPOINT_IN_FLIGHT);
}

#[test]
fn slow_endpoints_together_keep_no_more_than_there_may_be() {
    let receiver = Receiver::start();
    // The last quarter of the places is for endpoints with hardly anything on its way.
    let kept = IN_FLIGHT / 4;
    let slow = (IN_FLIGHT - kept) / ENDPOINT_IN_FLIGHT + kept / FIRST_IN_FLIGHT + 1;
    let paths: Vec<String> = (0..slow).map(|number| format!("/slow-{number}")).collect();
    let sender = Sender::start(ENDPOINT_IN_FLIGHT, &receiver, &paths);
    // All have answered promptly so far, and cease to one after another.
    sender.sync();
    sender.delivered();
    receiver.hold();
    let mut on_the_way = 0;
    for id in &sender.endpoints {
        let share = match on_the_way < IN_FLIGHT - kept {
            true => ENDPOINT_IN_FLIGHT,
            false => FIRST_IN_FLIGHT,
        };
        on_the_way = IN_FLIGHT.min(on_the_way + share);
        sender.replay(id);
        receiver.wait_until("as many as may be are on the way", |flights| {
            flights.all() >= on_the_way
        });
    }
    receiver.answer();
    sender.delivered();
    let flights = receiver.flights.lock().unwrap();
    assert_eq!(flights.most_of_all, IN_FLIGHT);
}

#[test]
fn new_endpoints_that_do_not_answer_leave_places_for_one_that_does() {
    let receiver = Receiver::start();
    receiver.hold();
    // They would like to have more than all of the slow may have together.
    let silent = SLOW_IN_FLIGHT / FIRST_IN_FLIGHT + 4;
    let mut paths: Vec<String> = (0..silent).map(|n| format!("/silent-{n}")).collect();
    paths.push("/free".to_owned());
    let sender = Sender::start(FIRST_IN_FLIGHT + 1, &receiver, &paths);
    sender.sync();
    receiver.wait_until("as many as may be are on the way", |flights| {
        flights.all() >= SLOW_IN_FLIGHT
    });
    receiver.wait_until("the one that answers has all", |flights| {
        flights.taken("/free") == FIRST_IN_FLIGHT + 1
    });
    // Until they answer: then they may have more.
    let flights = receiver.flights.lock().unwrap();
    let most = (flights.most_of_one, flights.most_of_all);
    drop(flights);
    assert_eq!(most, (FIRST_IN_FLIGHT, SLOW_IN_FLIGHT));
    receiver.answer();
    sender.delivered();
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
