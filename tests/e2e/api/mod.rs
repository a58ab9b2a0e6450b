//! `tidegate serve`: the API over loopback, as applications and as hostile clients use it.

mod actions;
mod actions_async;
mod client;
mod commands;
mod connections;
mod crowds;
mod deploys;
mod document;
mod events;
mod histories;
mod hostile;
mod keys;
mod lists;
mod memory;
mod once;
mod readme;
mod receivers;
mod records;
mod repeats;
mod repeats_configured;
mod retries;
mod runs;
mod schemathesis;
mod serving;
mod stopping;
mod syncs;
mod upgrades;
mod upkeep;
mod watching;
mod webhooks;
mod work;

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::cli::{Running, Tidegate};
use crate::support::http::Response;

use client::Call;

/// A server that runs, with a key that may do everything.
struct Served {
    tidegate: Tidegate,
    running: Running,
    address: SocketAddr,
    manage: String,
}

impl Served {
    /// Serve what a test has prepared.
    #[track_caller]
    fn start(tidegate: Tidegate) -> Self {
        Self::start_with(tidegate, "")
    }

    /// With more options.
    #[track_caller]
    fn start_with(tidegate: Tidegate, words: &str) -> Self {
        // Tests look again and again.
        let manage = make_key(&tidegate, "manage", "--rate-limit 100000/1s");
        let (running, address) = serve(&tidegate, words);
        Self {
            tidegate,
            running,
            address,
            manage,
        }
    }

    /// Serve again what an ended server has left, for the key of its time.
    #[track_caller]
    fn again(tidegate: Tidegate, manage: String) -> Self {
        let (running, address) = serve(&tidegate, "");
        Self {
            tidegate,
            running,
            address,
            manage,
        }
    }

    /// A request with the key that may do everything.
    fn call(&self, method: &str, target: &str) -> Call {
        self.bare(method, target).key(&self.manage)
    }

    /// One without a key.
    fn bare(&self, method: &str, target: &str) -> Call {
        Call::new(self.address, method, target)
    }

    #[track_caller]
    fn get(&self, target: &str) -> Value {
        self.call("GET", target).ok(200)
    }

    #[track_caller]
    fn post(&self, target: &str, body: &Value, status: u16) -> Value {
        self.call("POST", target).json(body).ok(status)
    }
}

/// Start a server, and wait until it listens.
#[track_caller]
fn serve(tidegate: &Tidegate, words: &str) -> (Running, SocketAddr) {
    let cmd = tidegate.cmd("serve --listen 127.0.0.1:0").words(words);
    let running = cmd.start();
    let url = running.wait_for_url();
    let (_, address) = url.split_once("://").unwrap();
    let address = address.parse().unwrap();
    (running, address)
}

/// A new key; `words` are more options.
#[track_caller]
fn make_key(tidegate: &Tidegate, scope: &str, words: &str) -> String {
    let words = format!("api-keys create --name {scope} --scope {scope} --json {words}");
    let made = tidegate.cmd(&words).ok().json();
    made["api_key"].as_str().unwrap().to_owned()
}

/// It is a problem of this type; its body.
#[track_caller]
fn expect_problem(response: &Response, slug: &str, status: u16) -> Value {
    let said = String::from_utf8_lossy(&response.body);
    assert_eq!(response.status, status, "{said}");
    let kind = response.header("content-type");
    assert_eq!(kind, Some("application/problem+json"), "{said}");
    let problem = response.json();
    let wanted = json!(format!("https://tidegate.dev/problems/{slug}"));
    assert_eq!(problem["type"], wanted, "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    let id = response.header("x-request-id").unwrap();
    assert_eq!(problem["instance"], id, "{problem}");
    for member in ["title", "detail"] {
        assert!(
            problem[member].as_str().is_some_and(|text| text.len() > 5),
            "{problem}"
        );
    }
    problem
}
