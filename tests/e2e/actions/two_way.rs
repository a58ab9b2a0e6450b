//! Both ways with a real Kinto: 500 synced, 50 changed and 10 deleted through actions, synced again;
//! by the plugin written for it and by the configured one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::REJECTED;
use crate::support::cli::{Cmd, OK, Tidegate};
use crate::support::kinto::{Kinto, PASSWORD, USER};
use crate::support::plugins;

const TOTAL: usize = 500;

/// A plugin that reads and writes a collection, and how its actions are spoken to.
struct Case {
    name: &'static str,
    component: PathBuf,
    config: Vec<String>,
    sync: &'static str,
    create: fn(Value) -> Value,
    update: fn(&str, Value) -> Value,
    /// Where a conflict has the server's record.
    current: &'static str,
}

#[test]
fn both_ways_with_the_kinto_plugin() {
    check(&Case {
        name: "kinto",
        component: plugins::kinto(),
        config: vec!["bucket=crm".to_owned(), "collection=contacts".to_owned()],
        sync: "kinto/records",
        create: |record| json!({ "record": record }),
        update: |id, changes| json!({ "id": id, "changes": changes }),
        current: "/current",
    });
}

#[test]
fn both_ways_with_the_rest_plugin() {
    let example = crate::support::root().join("plugins/rest/examples/kinto.json");
    check(&Case {
        name: "rest",
        component: plugins::rest(),
        config: vec![format!("@{}", example.display())],
        sync: "rest/Record",
        create: |record| json!({ "body": { "data": record } }),
        update: |id, changes| json!({ "id": id, "body": { "data": changes } }),
        current: "/details/existing",
    });
}

fn id(number: usize) -> String {
    format!("c{number:04}")
}

fn check(case: &Case) {
    let Some(kinto) = Kinto::start(&format!("two-way-{}", case.name)) else {
        return;
    };
    let two = TwoWay::new(case, kinto);
    let records: Vec<Value> = (0..TOTAL)
        .map(|number| json!({"id": id(number), "name": format!("Contact № {number}"), "round": 1}))
        .collect();
    two.kinto.save(&records);
    two.sync();
    let (first, cursor) = two.changes(None);
    assert_eq!(first.len(), TOTAL);

    for number in 0..50 {
        let changes = json!({ "round": 2 });
        let made = two.act("update", &(case.update)(&id(number), changes));
        assert_eq!(
            (&made["id"], &made["round"]),
            (&json!(id(number)), &json!(2))
        );
    }
    for number in 50..60 {
        two.act("delete", &json!({ "id": id(number) }));
    }
    let new = two.act(
        "create",
        &(case.create)(json!({ "name": "New", "round": 1 })),
    );
    let new = new["id"].as_str().unwrap().to_owned();

    // All of it is here already, and the next sync finds it unchanged.
    let (acted, after_actions) = two.changes(Some(&cursor));
    let mut wanted: BTreeSet<String> = (0..60).map(id).collect();
    wanted.insert(new);
    assert_eq!(once_each(&acted), wanted);
    two.expect_equal();
    two.sync();
    let (reported, after_sync) = two.changes(Some(&after_actions));
    assert_eq!(reported, Vec::<Value>::new(), "reported twice");
    two.expect_equal();

    // What changed at the server since is not undone: the caller is told, and nothing is written.
    two.kinto
        .save(&[json!({"id": id(100), "name": "theirs", "round": 3})]);
    two.kinto.delete(&[id(101)]);
    let refused = two
        .acts(
            "update",
            &(case.update)(&id(100), json!({ "name": "ours" })),
        )
        .finish();
    refused.expect_code(REJECTED);
    let failure = &refused.json()["failure"];
    assert_eq!(failure["code"], "conflict", "{failure}");
    let current = failure["payload"].pointer(case.current).unwrap();
    assert_eq!(current["name"], "theirs", "{failure}");
    two.acts(
        "update",
        &(case.update)(&id(101), json!({ "name": "ours" })),
    )
    .finish()
    .expect_code(REJECTED);
    assert_eq!(two.kinto.records()[&id(100)]["name"], "theirs");
    two.sync();
    let (both, _) = two.changes(Some(&after_sync));
    assert_eq!(once_each(&both), BTreeSet::from([id(100), id(101)]));
    two.expect_equal();
    // With the record as it is now, it goes.
    two.act(
        "update",
        &(case.update)(&id(100), json!({ "name": "ours" })),
    );
    two.expect_equal();
}

struct TwoWay<'a> {
    case: &'a Case,
    tidegate: Tidegate,
    kinto: Kinto,
}

impl<'a> TwoWay<'a> {
    fn new(case: &'a Case, kinto: Kinto) -> Self {
        let tidegate = Tidegate::new();
        let origin = format!("http://{}", kinto.address());
        tidegate.deploy(&case.component, case.name, &origin);
        let words = format!("connections add {} main --base-url {origin}/v1", case.name);
        let secrets = "--secret username=env:KINTO_USER --secret password=env:KINTO_PASSWORD";
        let mut add = tidegate.cmd(&words).words(secrets);
        for config in &case.config {
            add = add.arg("--config").arg(config);
        }
        add.env("KINTO_USER", USER)
            .env("KINTO_PASSWORD", PASSWORD)
            .ok();
        Self {
            case,
            tidegate,
            kinto,
        }
    }

    fn acts(&self, action: &str, input: &Value) -> Cmd {
        let words = format!("invoke {}/{action} -c main --json --input", self.case.name);
        self.tidegate.cmd(&words).arg(input.to_string())
    }

    /// Invoke an action that succeeds; its output.
    fn act(&self, action: &str, input: &Value) -> Value {
        let finished = self.acts(action, input).finish();
        finished.expect_code(OK);
        finished.json()["output"].clone()
    }

    fn sync(&self) {
        self.tidegate.sync_ok(self.case.sync, "main");
    }

    /// The change feed after a cursor, and the cursor after it.
    fn changes(&self, cursor: Option<&str>) -> (Vec<Value>, String) {
        let model = format!("{}/Record", self.case.name);
        let changes = self.tidegate.feed(&model, "main", cursor);
        let last = changes.last().map(|last| last["cursor"].as_str().unwrap());
        let next = last.or(cursor).unwrap_or_default().to_owned();
        (changes, next)
    }

    /// The records are those of the server, body for body.
    fn expect_equal(&self) {
        let (feed, _) = self.changes(None);
        let live = feed.iter().filter(|record| record["action"] != "deleted");
        let ours: BTreeMap<String, Value> = live
            .map(|record| {
                let id = record["id"].as_str().unwrap().to_owned();
                (id, record["body"].clone())
            })
            .collect();
        assert_eq!(ours, self.kinto.records());
    }
}

/// The ids of changes, none of them twice.
fn once_each(changes: &[Value]) -> BTreeSet<String> {
    let ids: Vec<String> = changes
        .iter()
        .map(|change| change["id"].as_str().unwrap().to_owned())
        .collect();
    let once: BTreeSet<String> = ids.iter().cloned().collect();
    assert_eq!(once.len(), ids.len(), "one comes twice: {ids:?}");
    once
}
