//! Records that can't be stored as they come: without a usable id, beyond a limit, or twice in one page.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::cli::{RUN_FAILED, Tidegate};
use crate::support::crm::{MODEL, Source, contact, contacts, reply};
use crate::support::server::{Reply, Server};

/// The limit `record_id_bytes`.
const ID_BYTES_MAX: usize = 512;

macro_rules! rows {
    ($($name:ident: $spoil:expr, $says:literal;)*) => {
        $(#[test] fn $name() { check($spoil, $says); })*
    };
}

rows! {
    no_id: |record| { record.as_object_mut().unwrap().remove("id"); }, "id";
    an_empty_id: |record| record["id"] = json!(""), "id";
    a_null_id: |record| record["id"] = json!(null), "id";
    an_id_that_is_an_object: |record| record["id"] = json!({"of": "c1"}), "id";
    an_id_with_a_line_break: |record| record["id"] = json!("c\n1"), "control character";
    an_id_over_the_limit: |record| record["id"] = json!("x".repeat(ID_BYTES_MAX + 1)), "record_id_bytes";
    a_body_over_the_limit: |record| record["name"] = json!("x".repeat(1 << 20)), "record_bytes";
    nesting_over_the_limit: |record| record["name"] = nested(70), "json_depth";
    a_record_that_is_none: |record| *record = json!(null), "record";
}

fn nested(levels: u32) -> Value {
    (0..levels).fold(json!(0), |inner, _| json!([inner]))
}

/// A bad record among good ones is left out, counted and named; the others and what is stored of it stay.
fn check(spoil: fn(&mut Value), says: &str) {
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

        version.store(2, Ordering::SeqCst);
        let run = tidegate.sync_ok(source.sync(), "acme");
        assert_eq!(
            run["figures"]["counts"]["Contact"],
            json!({"added": 0, "updated": 2, "deleted": 0, "unchanged": 0, "skipped": 1}),
            "{source:?}"
        );
        let logged = tidegate.logs(&run);
        let told = |line: &Value| {
            let message = line["message"].as_str().unwrap();
            line["level"] == "warn" && message.contains("skipped Contact") && message.contains(says)
        };
        assert!(logged.iter().any(told), "{source:?}: {logged:#?}");
        let stored = tidegate.feed(MODEL, "acme", None);
        let of = |id: &str| stored.iter().find(|record| record["id"] == id).unwrap();
        assert_eq!(
            of("c1")["body"],
            contact(1, 1),
            "{source:?}: what is stored stays"
        );
        assert_eq!(of("c2")["body"], contact(2, 2), "{source:?}");

        version.store(3, Ordering::SeqCst);
        let run = tidegate.sync_ok(source.sync(), "acme");
        assert_eq!(
            run["figures"]["counts"]["Contact"]["updated"], 3,
            "{source:?}: {run}"
        );
    }
}

#[test]
fn more_of_them_than_a_few_fail_the_run_and_are_the_apis_fault() {
    for source in Source::ALL {
        let served = Arc::new(AtomicUsize::new(0));
        let bad = Arc::clone(&served);
        let server = Server::start(move |_| {
            let mut items = contacts(0..20, 1);
            for item in &mut items[..bad.load(Ordering::SeqCst)] {
                item["name"] = nested(70);
            }
            reply(&items, None)
        });
        let tidegate = Tidegate::new();
        source.set_up(&tidegate, &server.origin());
        served.store(11, Ordering::SeqCst);
        let finished = tidegate.sync(source.sync(), "acme");
        finished.expect_code(RUN_FAILED);
        let failure = &finished.json()["failure"];
        assert_eq!(failure["blame"], "upstream", "{source:?}: {failure}");
        assert_eq!(failure["limit"], "json_depth", "{source:?}: {failure}");
        assert!(tidegate.feed(MODEL, "acme", None).is_empty());

        served.store(10, Ordering::SeqCst);
        let run = tidegate.sync_ok(source.sync(), "acme");
        assert_eq!(run["figures"]["counts"]["Contact"]["skipped"], 10);
        assert_eq!(tidegate.feed(MODEL, "acme", None).len(), 10);
    }
}

#[test]
fn what_is_stored_is_what_is_compared() {
    for source in Source::ALL {
        let served = Arc::new(AtomicUsize::new(0));
        let turn = Arc::clone(&served);
        let server = Server::start(move |_| {
            let version = turn.fetch_add(1, Ordering::SeqCst);
            let name = ["\"Ada\",\"name\":\"cut \\ud83d\"", "\"cut \\ufffd\""];
            let item = format!("{{\"id\":\"c1\",\"name\":{}}}", name[version]);
            let page = format!(
                "{{\"items\":[{item}],\"next_cursor\":null,\"as_of\":\"2026-01-01T00:00:00Z\"}}"
            );
            Reply::text(&page).header("Content-Type", "application/json")
        });
        let tidegate = Tidegate::new();
        source.set_up(&tidegate, &server.origin());
        tidegate.sync_ok(source.sync(), "acme");
        let stored = tidegate.feed(MODEL, "acme", None);
        assert_eq!(
            stored[0]["body"],
            json!({"id": "c1", "name": "cut \u{fffd}"})
        );
        let run = tidegate.sync_ok(source.sync(), "acme");
        assert_eq!(run["figures"]["counts"]["Contact"]["unchanged"], 1, "{run}");
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
    // A commit takes the last of an id. A full pull of `plugins/rest` takes the first, as a list whose
    // versions are on two pages would change it at every pull; but where records tell when they
    // changed, one that came again is one that changed meanwhile.
    for (source, tells_changes, wins) in [
        (Source::DemoCrm, false, 2),
        (Source::Rest, false, 1),
        (Source::Rest, true, 2),
    ] {
        let server = Server::start(|_| reply(&[contact(1, 1), contact(2, 1), contact(1, 2)], None));
        let tidegate = Tidegate::new();
        source.set_up(&tidegate, &server.origin());
        if tells_changes {
            let incremental =
                json!({"parameter": "since", "field": "/version", "format": "epoch_s"});
            let model =
                json!({"path": "/contacts", "records": "/items", "incremental": incremental});
            let update = tidegate.cmd("connections update crm acme --config");
            update
                .arg(format!("models={}", json!({"Contact": model})))
                .ok();
        }
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
        assert_eq!(first[0]["body"], contact(1, wins), "{source:?}");
        let logged = tidegate.logs(&run);
        let told = |line: &Value| {
            let message = line["message"].as_str().unwrap();
            line["level"] == "warn" && message.contains("more than once") && message.contains("c1")
        };
        assert!(logged.iter().any(told), "{source:?}: {logged:#?}");

        let again = tidegate.sync_ok(source.sync(), "acme");
        assert_eq!(
            again["figures"]["counts"]["Contact"]["updated"], 0,
            "{source:?}: {again}"
        );
    }
}
