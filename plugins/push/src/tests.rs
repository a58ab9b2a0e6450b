//! Natively, on the fake host: what is sent, what is kept of it, and everything that can be wrong.

mod answers;
mod config;
mod destination;
mod failures;
mod histories;
mod jq;
mod numbers;
mod pages;
mod pushes;
mod unsure;

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{Change, ChangeAction, FakeHost, Outcome};

use self::destination::Destination;
use crate::plugin;

/// A feed, a destination, and one push, `people`, between them.
#[derive(Clone)]
struct Bench {
    host: FakeHost,
    to: Destination,
    changes: std::rc::Rc<std::cell::Cell<u64>>,
}

impl Bench {
    /// A push with these keys over the usual ones.
    fn new(keys: Value) -> Self {
        let to = Destination::default();
        let host = FakeHost::new()
            .base_url("https://api.example.com/v1")
            .config(json!({ "pushes": { "people": push(keys) } }))
            .on(to.answers());
        let bench = Bench {
            host,
            to,
            changes: std::rc::Rc::default(),
        };
        bench.clone()
    }

    /// A record of the source is new or has changed.
    fn save(&self, id: &str, body: Value) -> &Self {
        self.change(id, ChangeAction::Updated, Some(body))
    }

    /// A record of the source is deleted.
    fn delete(&self, id: &str) -> &Self {
        self.change(id, ChangeAction::Deleted, Some(json!({ "id": id })))
    }

    fn change(&self, id: &str, action: ChangeAction, body: Option<Value>) -> &Self {
        let number = self.changes.get() + 1;
        self.changes.set(number);
        let change = Change {
            id: id.to_owned(),
            action,
            body: body.map(|body| body.to_string()),
            first_seen_at: 1,
            last_modified_at: number,
            cursor: format!("cursor-{number}"),
        };
        let host = self.host.clone();
        drop(host.feed_change("crm", "Contact", change));
        self
    }

    fn run(&self) -> Outcome<()> {
        self.host.run_sync(plugin(), "people")
    }

    /// What was acknowledged, as the push's model holds it.
    fn known(&self) -> Value {
        let mut known = self.host.records("people");
        known.retain(|_, record| record.get("tidegate/sending").is_none());
        json!(known)
    }
}

/// The keys of a push: by default each record goes to `/people/{id}` as it is.
fn push(keys: Value) -> Value {
    let mut push = json!({
        "from": { "integration": "crm", "model": "Contact" },
        "save": { "method": "PUT", "path": "/people/{id}" },
        "delete": { "method": "DELETE", "path": "/people/{id}" },
    });
    for (key, value) in keys.as_object().unwrap() {
        push[key] = value.clone();
    }
    push
}

/// The cursor that a run has left.
fn cursor(outcome: &Outcome<()>) -> Option<&str> {
    outcome.checkpoint()?["cursor"].as_str()
}

/// The config of `examples/NAME.json`.
fn example(name: &str) -> Value {
    let text = match name {
        "kinto" => include_str!("../examples/kinto.json"),
        "lists" => include_str!("../examples/lists.json"),
        _ => panic!("there is no example {name}"),
    };
    serde_json::from_str(text).unwrap()
}
