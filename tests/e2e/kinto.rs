//! A real server, Kinto, synced by the plugin written for it and by the configured one: 2,000
//! records in pages of 100, changes, nothing new, and SIGKILL in the middle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::cli::Tidegate;
use crate::support::http::Request;
use crate::support::kinto::{Kinto, PASSWORD, RECORDS, USER};
use crate::support::tap::Tap;
use crate::support::{plugins, root};

const TOTAL: usize = 2_000;
const PAGE: usize = 100;

/// A plugin that syncs from Kinto.
struct Case {
    name: &'static str,
    component: PathBuf,
    /// `INTEGRATION/SYNC`
    sync: &'static str,
    /// `INTEGRATION/MODEL`
    model: &'static str,
    /// What goes behind the server's origin to make the base URL.
    base_path: &'static str,
    config: Vec<String>,
}

#[test]
fn the_kinto_plugin_and_a_real_server() {
    let config = vec!["bucket=crm".to_owned(), "collection=contacts".to_owned()];
    check(&Case {
        name: "kinto",
        component: plugins::kinto(),
        sync: "kinto/records",
        model: "kinto/Record",
        base_path: "/v1",
        config,
    });
}

#[test]
fn the_rest_plugin_and_a_real_server() {
    let example = root().join("plugins/rest/examples/kinto.json");
    check(&Case {
        name: "rest",
        component: plugins::rest(),
        sync: "rest/Record",
        model: "rest/Record",
        base_path: "/v1",
        config: vec![format!("@{}", example.display())],
    });
}

fn check(case: &Case) {
    let Some(kinto) = Kinto::start(case.name) else {
        return;
    };
    let tap = Tap::before(kinto.address());
    let tidegate = Tidegate::new();
    tidegate.deploy(&case.component, case.name, &tap.origin());
    let mut source = Source { kinto, version: 0 };
    let mut reader = Reader {
        tidegate,
        tap,
        case,
        cursor: None,
    };

    source.save(0..TOTAL);
    reader.connect("whole");
    let pages = reader.sync("whole", &json!({"added": TOTAL}));
    assert_eq!(pages.len(), TOTAL / PAGE, "{pages:#?}");
    reader.expect_changes("whole", "added", &ids(0..TOTAL));
    reader.expect_equal("whole", &source);

    // 5 % updated, 2 % deleted, apart from each other.
    source.save(300..400);
    source.delete(700..740);
    let pages = reader.sync("whole", &json!({"updated": 100, "deleted": 40}));
    assert!(pages.len() <= 2, "140 changes took {pages:#?}");
    let mut changed = ids(300..400);
    changed.extend(ids(700..740));
    let changes = reader.changes("whole");
    assert_eq!(once_each(&changes), changed);
    assert!(
        changes
            .iter()
            .filter(|change| change["action"] == "deleted")
            .count()
            == 40
    );
    reader.expect_equal("whole", &source);

    let pages = reader.sync("whole", &json!({}));
    assert!(pages.len() <= 1, "nothing new took {pages:#?}");
    reader.expect_changes("whole", "added", &BTreeSet::new());

    // Killed in an incremental pull: 600 changed, the answer with the fourth page held back.
    source.save(1_000..1_600);
    reader.killed("whole", 3, 600);
    reader.expect_equal("whole", &source);

    // And in the first pull of a connection.
    reader.cursor = None;
    reader.connect("killed");
    reader.killed("killed", 7, TOTAL - 40);
    reader.expect_equal("killed", &source);
}

/// The server's side.
struct Source {
    kinto: Kinto,
    /// Counts the saves, so that each makes other bodies.
    version: usize,
}

impl Source {
    fn save(&mut self, numbers: std::ops::Range<usize>) {
        self.version += 1;
        let version = self.version;
        let record = |number: usize| {
            json!({
                "id": format!("c{number:04}"),
                "name": format!("Contact № {number}"),
                "version": version,
                "tags": ["a", "b"],
                "address": {"city": "Tidewater", "number": number as f64 / 2.0},
                "left": null,
            })
        };
        let records: Vec<Value> = numbers.map(record).collect();
        self.kinto.save(&records);
    }

    fn delete(&mut self, numbers: std::ops::Range<usize>) {
        let ids: Vec<String> = ids(numbers).into_iter().collect();
        self.kinto.delete(&ids);
    }
}

/// Our side.
struct Reader<'a> {
    tidegate: Tidegate,
    tap: Tap,
    case: &'a Case,
    /// How far the change feed of the current connection has been read.
    cursor: Option<String>,
}

impl Reader<'_> {
    fn connect(&self, connection: &str) {
        let (integration, base) = (self.case.name, self.tap.origin() + self.case.base_path);
        let words = format!("connections add {integration} {connection} --base-url {base}");
        let secrets = "--secret username=env:KINTO_USER --secret password=env:KINTO_PASSWORD";
        let mut cmd = self.tidegate.cmd(&words).words(secrets);
        for config in &self.case.config {
            cmd = cmd.arg("--config").arg(config);
        }
        cmd.env("KINTO_USER", USER)
            .env("KINTO_PASSWORD", PASSWORD)
            .ok();
    }

    /// A sync that does just `counts`. Returns the requests for pages that it made.
    fn sync(&self, connection: &str, counts: &Value) -> Vec<Request> {
        self.tap.take();
        let run = self.tidegate.sync_ok(self.case.sync, connection);
        let pages = pages(self.tap.take());
        let (_, model) = self.case.model.split_once('/').unwrap();
        let done = run["figures"]["counts"]
            .get(model)
            .cloned()
            .unwrap_or_default();
        for action in ["added", "updated", "deleted"] {
            let count = |counts: &Value| counts[action].as_u64().unwrap_or(0);
            assert_eq!(count(&done), count(counts), "{action}: {run}");
        }
        assert_eq!(run["figures"]["requests"], pages.len(), "{run}");
        pages
    }

    /// A sync of `total` changes that is killed while the answer with page `page` (counted from 0)
    /// is held back, and the run that goes on after it.
    fn killed(&mut self, connection: &str, page: usize, total: usize) {
        self.tap.take();
        let gate = self.tap.hold(page);
        let words = format!("run {} --connection {connection}", self.case.sync);
        let running = self.tidegate.cmd(&words).start();
        gate.arrived();
        assert_eq!(running.kill().code, None, "it ended before it was killed");
        gate.open();
        let before = pages(self.tap.take());
        assert_eq!(before.len(), page + 1);

        // The pages before the one in flight are there, each change once.
        let first = self.changes(connection);
        assert_eq!(first.len(), page * PAGE);

        let run = self.tidegate.sync_ok(self.case.sync, connection);
        let after = pages(self.tap.take());
        let second = self.changes(connection);
        let all: Vec<Value> = first.into_iter().chain(second).collect();
        assert_eq!(once_each(&all).len(), total, "{run}");

        // Only the page in flight was fetched again.
        assert_eq!(
            before.len() + after.len(),
            total.div_ceil(PAGE) + 1,
            "{before:#?}\n{after:#?}"
        );
        let targets = |pages: &[Request]| -> BTreeSet<String> {
            pages.iter().map(|page| page.target.clone()).collect()
        };
        let (before, after) = (targets(&before), targets(&after));
        let again: Vec<&String> = before.intersection(&after).collect();
        assert!(again.len() <= 1, "fetched again: {again:#?}");
        let runs = self.tidegate.runs();
        let killed = &runs[runs.len() - 2];
        assert_eq!(killed["failure"]["class"], "internal", "{killed}");
        assert_eq!(killed["failure"]["blame"], "host", "{killed}");
    }

    /// What is new in the change feed since it was read last.
    fn changes(&mut self, connection: &str) -> Vec<Value> {
        let changes = self
            .tidegate
            .feed(self.case.model, connection, self.cursor.as_deref());
        if let Some(last) = changes.last() {
            self.cursor = Some(last["cursor"].as_str().unwrap().to_owned());
        }
        changes
    }

    /// The change feed since it was read last has each of `ids` once, all with this action.
    fn expect_changes(&mut self, connection: &str, action: &str, ids: &BTreeSet<String>) {
        let changes = self.changes(connection);
        assert_eq!(once_each(&changes), *ids);
        for change in &changes {
            assert_eq!(change["action"], action, "{change}");
        }
    }

    /// The records are those of the server, body for body.
    fn expect_equal(&self, connection: &str, source: &Source) {
        let feed = self.tidegate.feed(self.case.model, connection, None);
        let live = feed.iter().filter(|record| record["action"] != "deleted");
        let ours: BTreeMap<String, Value> = live
            .map(|record| {
                (
                    record["id"].as_str().unwrap().to_owned(),
                    record["body"].clone(),
                )
            })
            .collect();
        let theirs = source.kinto.records();
        let differing = theirs.iter().find(|(id, body)| ours.get(*id) != Some(body));
        assert!(
            differing.is_none(),
            "{differing:?}, and here {:?}",
            ours.get(differing.unwrap().0)
        );
        assert_eq!(ours.len(), theirs.len());
    }
}

fn ids(numbers: std::ops::Range<usize>) -> BTreeSet<String> {
    numbers.map(|number| format!("c{number:04}")).collect()
}

/// The ids of changes, none of them twice.
fn once_each(changes: &[Value]) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for change in changes {
        let id = change["id"].as_str().unwrap().to_owned();
        assert!(!ids.contains(&id), "{id} comes twice in the change feed");
        ids.insert(id);
    }
    ids
}

/// Requests for pages of records; there should be no others.
fn pages(requests: Vec<Request>) -> Vec<Request> {
    for request in &requests {
        assert_eq!((request.method.as_str(), request.path()), ("GET", RECORDS));
    }
    requests
}
