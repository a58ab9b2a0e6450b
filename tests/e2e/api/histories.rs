//! Random histories of actions of `plugins/rest` at an API that redirects, answers texts, pages, errors with 200 and statuses for each
//! item, loses answers and does not know idempotency keys: under one key nothing is done twice, and nothing counts as done
//! that is not. `TIDEGATE_HISTORIES=20000` plays more of them.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::Served;
use crate::support::cli::Tidegate;
use crate::support::http::Request;
use crate::support::plugins;
use crate::support::server::{Reply, Server};

const SEND: &str = "/v1/integrations/api/connections/acme/actions/send";

/// By idempotency key: how often the API was asked, and did it.
type Done = Arc<Mutex<BTreeMap<String, (u64, u64)>>>;

/// Spreads a number over all others (splitmix64).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Whether the API does it, and what it answers.
fn answer(chance: u64) -> (bool, Reply) {
    let made = Reply::json(&json!({"id": "n1"})).with_status(201);
    match chance % 18 {
        0 => (true, Reply::text("OK")),
        1 => (true, Reply::text("{\"id\": \"n")),
        2 => (true, Reply::json(&json!({"status": "created"}))),
        3 => (true, Reply::status(204)),
        4 => (true, made.cut()),
        5 => (true, Reply::status(502)),
        6 => (true, Reply::status(504)),
        7 => (true, Reply::status(303).header("Location", "/done")),
        8 => (
            true,
            Reply::json(&json!({"results": [{"status": 201}]})).with_status(207),
        ),
        9 => (
            false,
            Reply::json(&json!({"results": [{"status": 422}]})).with_status(207),
        ),
        10 => (
            false,
            Reply::json(&json!({"ok": false, "error": "invalid"})),
        ),
        11 => (false, Reply::json(&json!({"status": "rejected"}))),
        12 => (
            false,
            Reply::text("<!doctype html><html>We'll be back</html>"),
        ),
        13 => (false, Reply::status(302).header("Location", "/login")),
        14 => (false, Reply::status(503)),
        15 => (false, Reply::status(500)),
        16 => (false, Reply::status(422)),
        _ => (true, made),
    }
}

#[test]
fn under_one_key_nothing_is_done_twice() {
    let done = Done::default();
    let seen = Arc::clone(&done);
    let server = Server::start(move |request: &Request| {
        let key = request
            .header("idempotency-key")
            .unwrap_or_default()
            .to_owned();
        let mut seen = seen.lock().unwrap();
        let (asked, acted) = seen.entry(key.clone()).or_default();
        *asked += 1;
        let number: u64 = key.trim_start_matches("order-").parse().unwrap();
        let (acts, reply) = answer(mixed(number * 8 + *asked));
        *acted += u64::from(acts);
        reply
    });
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::rest(), "api", &server.origin());
    let config = tidegate.data().with_file_name("api.json");
    let models = json!({ "Item": { "path": "/items" } });
    let actions = json!({ "send": { "method": "POST", "path": "/messages", "model": "Item" } });
    fs::write(
        &config,
        json!({ "models": models, "actions": actions }).to_string(),
    )
    .unwrap();
    let words = format!(
        "connections add api acme --base-url {} --config",
        server.origin()
    );
    tidegate
        .cmd(&words)
        .arg(format!("@{}", config.display()))
        .ok();
    let served = Served::start(tidegate);

    let count = std::env::var("TIDEGATE_HISTORIES").ok();
    let count: u64 = count.map_or(1_000, |count| count.parse().unwrap());
    for number in 1..=count {
        let key = format!("order-{number}");
        let call = served
            .call("POST", SEND)
            .json(&json!({"body": {"text": "hello"}}));
        let call = call.header("Idempotency-Key", &key);
        let mut succeeded = false;
        for _ in 0..=mixed(number) % 3 {
            succeeded |= call.send().status == 200;
            let (_, acted) = done.lock().unwrap().get(&key).copied().unwrap_or_default();
            assert!(acted <= 1, "{key} was done {acted} times");
            assert!(acted == 1 || !succeeded, "{key} counts as done and is not");
        }
    }
    assert!(done.lock().unwrap().len() as u64 == count);
}
