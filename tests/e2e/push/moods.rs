//! A destination that answers 429 and 500 now and then, with the whole binary in between: no record
//! is skipped, and none acknowledged twice, whether they go one by one or in lists.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{connect, deploy, push, source};
use crate::support::cli::{RUN_FAILED, Tidegate};
use crate::support::http::Request;
use crate::support::server::{Reply, Server};

const TOTAL: usize = 60;
/// More runs than this are not needed.
const RUNS_MAX: usize = 60;

/// Of the destination: what it has, and how often it acknowledged each version of each record.
#[derive(Debug, Default)]
struct Moody {
    requests: u32,
    people: BTreeMap<String, Value>,
    acknowledged: BTreeMap<(String, String), u32>,
}

impl Moody {
    /// Every third request fails.
    fn answer(&mut self, request: &Request) -> Reply {
        self.requests += 1;
        match self.requests % 6 {
            2 => return Reply::status(500),
            5 => return Reply::status(429).header("Retry-After", "0"),
            _ => {}
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match (request.path(), body) {
            ("/people", Value::Array(list)) => {
                for record in list {
                    self.acknowledge(record["id"].as_str().unwrap(), record.clone());
                }
            }
            ("/forget", Value::Array(list)) => {
                for id in list {
                    self.acknowledge(id.as_str().unwrap(), Value::Null);
                }
            }
            (path, body) => self.acknowledge(path.strip_prefix("/people/").unwrap(), body),
        }
        Reply::json(&json!({}))
    }

    fn acknowledge(&mut self, id: &str, record: Value) {
        let version = (id.to_owned(), record.to_string());
        *self.acknowledged.entry(version).or_default() += 1;
        if record.is_null() {
            self.people.remove(id);
        } else {
            self.people.insert(id.to_owned(), record);
        }
    }
}

#[test]
fn one_by_one() {
    check(&json!({ "concurrency": 4, "page_size": 10 }));
}

#[test]
fn in_lists() {
    check(&json!({
        "page_size": 10,
        "save": { "method": "POST", "path": "/people", "per": "page" },
        "delete": { "method": "POST", "path": "/forget", "per": "page" },
    }));
}

fn check(keys: &Value) {
    let contacts = Arc::new(Mutex::new(BTreeMap::new()));
    let listed = Arc::clone(&contacts);
    let api = Server::start(move |_| {
        let contacts: Vec<Value> = listed.lock().unwrap().values().cloned().collect();
        Reply::json(&json!(contacts))
    });
    let moody = Arc::new(Mutex::new(Moody::default()));
    let answers = Arc::clone(&moody);
    let to = Server::start(move |request| answers.lock().unwrap().answer(request));
    let tidegate = Tidegate::new();
    source(&tidegate, &api.origin());
    deploy(&tidegate, &to.origin(), "--allow-feed crm/Contact");
    connect(
        &tidegate,
        "acme",
        &to.origin(),
        &json!({ "people": push(keys) }),
    );

    for version in 1..=3 {
        let mut now = contacts.lock().unwrap();
        for number in (0..TOTAL).filter(|number| number % version == 0) {
            let id = format!("c{number}");
            now.insert(id.clone(), json!({ "id": id, "version": version }));
        }
        now.retain(|_, contact| version < 3 || contact["version"] != 2);
        let want = now.clone();
        drop(now);
        tidegate.sync_ok("crm/Contact", "acme");
        let succeeds = |_: &usize| {
            let finished = tidegate.sync("out/people", "acme");
            if finished.code == Some(RUN_FAILED) {
                let run = finished.json();
                assert_eq!(run["failure"]["class"], "transient", "{run}");
                return false;
            }
            finished.expect_code(0);
            true
        };
        assert!(
            (0..RUNS_MAX).any(|run| succeeds(&run)),
            "it never came to its end"
        );
        assert_eq!(moody.lock().unwrap().people, want, "version {version}");
    }
    let moody = moody.lock().unwrap();
    let twice: Vec<_> = moody
        .acknowledged
        .iter()
        .filter(|(_, times)| **times != 1)
        .collect();
    assert!(twice.is_empty(), "acknowledged twice: {twice:?}");
}
