//! Records that can't be stored as they come: without a usable id, or twice in one page.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::cli::{RUN_FAILED, Tidegate};
use crate::support::crm::{MODEL, Source, contact, contacts, reply};
use crate::support::server::Server;

/// The limit `record_id_bytes`.
const ID_BYTES_MAX: usize = 512;

macro_rules! rows {
    ($($name:ident: $spoil:expr, $class:literal, $limit:expr;)*) => {
        $(#[test] fn $name() { check($spoil, $class, $limit); })*
    };
}

rows! {
    no_id: |record| { record.as_object_mut().unwrap().remove("id"); }, "other", None;
    an_empty_id: |record| record["id"] = json!(""), "other", None;
    a_null_id: |record| record["id"] = json!(null), "other", None;
    an_id_that_is_an_object: |record| record["id"] = json!({"of": "c1"}), "other", None;
    an_id_with_a_line_break: |record| record["id"] = json!("c\n1"), "other", None;
    an_id_over_the_limit: |record| record["id"] = json!("x".repeat(ID_BYTES_MAX + 1)), "limit", Some("record_id_bytes");
}

/// A page with one bad record among good ones is refused whole, and what is stored stays.
fn check(spoil: fn(&mut Value), class: &str, limit: Option<&str>) {
    for source in Source::ALL {
        let version = Arc::new(AtomicUsize::new(1));
        let served = Arc::clone(&version);
        let server = Server::start(move |_| {
            let version = served.load(Ordering::SeqCst);
            let mut items = contacts(0..3, u32::try_from(version).unwrap());
            if version == 2 {
                spoil(&mut items[1]);
            }
            reply(&items, None)
        });
        let tidegate = Tidegate::new();
        source.set_up(&tidegate, &server.origin());
        tidegate.sync_ok(source.sync(), "acme");
        let stored = tidegate.feed(MODEL, "acme", None);
        let runs = tidegate.runs();

        version.store(2, Ordering::SeqCst);
        let finished = tidegate.sync(source.sync(), "acme");
        finished.expect_code(RUN_FAILED);
        let run = finished.json();
        let failure = &run["failure"];
        assert_eq!(failure["class"], class, "{source:?}: {run}");
        assert_eq!(failure["blame"], "guest", "{source:?}: {run}");
        assert_eq!(failure["limit"], json!(limit), "{source:?}: {run}");
        // Not one of the good records of the bad page was stored, nor a checkpoint for it.
        assert_eq!(tidegate.feed(MODEL, "acme", None), stored, "{source:?}");
        assert_eq!(tidegate.runs()[..runs.len()], runs[..], "{source:?}");

        version.store(3, Ordering::SeqCst);
        let run = tidegate.sync_ok(source.sync(), "acme");
        assert_eq!(
            run["figures"]["counts"]["Contact"]["updated"], 3,
            "{source:?}: {run}"
        );
    }
}

#[test]
fn an_id_of_just_the_limit() {
    for source in Source::ALL {
        // Two bytes a letter: the limit counts bytes.
        let id = "é".repeat(ID_BYTES_MAX / 2);
        let record = json!({"id": id, "name": "long"});
        let server = Server::start(move |_| reply(std::slice::from_ref(&record), None));
        let tidegate = Tidegate::new();
        source.set_up(&tidegate, &server.origin());
        tidegate.sync_ok(source.sync(), "acme");
        let stored = tidegate.feed(MODEL, "acme", None);
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0]["id"], id);
    }
}

#[test]
fn twice_in_one_page() {
    for source in Source::ALL {
        let server = Server::start(|_| reply(&[contact(1, 1), contact(2, 1), contact(1, 2)], None));
        let tidegate = Tidegate::new();
        source.set_up(&tidegate, &server.origin());
        let run = tidegate.sync_ok(source.sync(), "acme");
        assert_eq!(
            run["figures"]["counts"]["Contact"]["added"], 2,
            "{source:?}: {run}"
        );
        let stored = tidegate.feed(MODEL, "acme", None);
        let first: Vec<&Value> = stored
            .iter()
            .filter(|record| record["id"] == "c1")
            .collect();
        assert_eq!(first.len(), 1, "{stored:#?}");
        assert_eq!(first[0]["body"], contact(1, 2), "the last wins");
        let logged = tidegate.logs(&run);
        let told = |line: &Value| {
            let message = line["message"].as_str().unwrap();
            line["level"] == "warn" && message.contains("more than once") && message.contains("c1")
        };
        assert!(logged.iter().any(told), "{source:?}: {logged:#?}");
    }
}
