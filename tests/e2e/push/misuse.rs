//! What can be configured wrongly, and destinations that say no: each names what and where.

use serde_json::{Value, json};

use super::{connect, contacts, deploy, push, source};
use crate::support::cli::{INVALID, RUN_FAILED, Tidegate};
use crate::support::server::{Reply, Server};

/// A push that can't work, and what is said of it.
struct Case {
    keys: Value,
    class: &'static str,
    says: &'static [&'static str],
}

fn from(integration: &str, model: &str, connection: &str) -> Value {
    json!({ "from": { "integration": integration, "model": model, "connection": connection } })
}

#[test]
fn each_fails_with_what_to_do() {
    let api = contacts(
        (1..=3)
            .map(|number| json!({ "id": format!("c{number}") }))
            .collect(),
    );
    let to = Server::start(|request| match request.path() {
        "/people/c2" => Reply::text("no email").with_status(400),
        _ => Reply::status(200),
    });
    let tidegate = Tidegate::new();
    source(&tidegate, &api.origin());
    tidegate.sync_ok("crm/Contact", "acme");
    let feeds = "--allow-feed crm/Contact@* --allow-feed crm/Contct@* --allow-feed erp/Contact@*";
    deploy(
        &tidegate,
        &to.origin(),
        &format!("{feeds} --limit cpu_ms=1000"),
    );
    let cases = [
        Case {
            keys: json!({ "transform": ".name | foo" }),
            class: "config",
            says: &[
                "pushes.p0.transform",
                "line 1, column 9",
                "no such filter",
                "`foo`",
            ],
        },
        Case {
            keys: from("erp", "Contact", "acme"),
            class: "config",
            says: &["pushes.p1.from", "erp/acme"],
        },
        Case {
            keys: from("crm", "Contct", "acme"),
            class: "config",
            says: &["pushes.p2.from", "no model Contct", "Contact"],
        },
        Case {
            keys: from("crm", "Contact", "initech"),
            class: "config",
            says: &["pushes.p3.from", "crm/initech"],
        },
        Case {
            keys: from("crm", "Company", "acme"),
            class: "config",
            says: &["pushes.p4.from", "--allow-feed crm/Company"],
        },
        Case {
            keys: json!({ "transform": ".id" }),
            class: "config",
            says: &["`c1`", "pushes.p5.transform", "no object"],
        },
        Case {
            keys: json!({ "transform": "def spin: spin; spin" }),
            class: "limit",
            says: &["cpu_ms"],
        },
        Case {
            keys: json!({ "transform": "[repeat(.)]" }),
            class: "limit",
            says: &[],
        },
        Case {
            keys: json!({ "on_reject": "fail" }),
            class: "rejected",
            says: &["`c2`", "400", "no email"],
        },
    ];
    let pushes = cases
        .iter()
        .enumerate()
        .map(|(number, case)| (format!("p{number}"), push(&case.keys)));
    let mut pushes: serde_json::Map<String, Value> = pushes.collect();
    pushes.insert("skips".to_owned(), push(&json!({ "on_reject": "skip" })));
    connect(&tidegate, "acme", &to.origin(), &json!(pushes));
    for (number, case) in cases.iter().enumerate() {
        let finished = tidegate.sync(&format!("out/p{number}"), "acme");
        finished.expect_code(RUN_FAILED);
        let run = finished.json();
        assert_eq!(run["failure"]["class"], case.class, "{run}");
        let message = run["failure"].to_string();
        for part in case.says {
            assert!(message.contains(part), "{part:?} is not in {message}");
        }
    }
    // What was acknowledged before and beside the rejection is there, and does not come again.
    let known = tidegate.feed("out/p8", "acme", None);
    assert!(known.iter().any(|record| record["body"]["id"] == "c1"));
    let run = tidegate.sync_ok("out/skips", "acme");
    let known = tidegate.feed("out/skips", "acme", None);
    let known = known.iter().filter(|record| record["action"] != "deleted");
    assert_eq!(known.count(), 2, "{run}");
    let logs = tidegate.logs(&run);
    assert!(logs.iter().any(|line| {
        line["message"]
            .as_str()
            .unwrap()
            .contains("`c2` of crm/Contact is passed over")
    }));
    assert_eq!(
        tidegate.sync_ok("out/skips", "acme")["figures"]["requests"],
        0
    );
}

#[test]
fn a_config_of_another_shape_is_refused_when_it_is_added() {
    let tidegate = Tidegate::new();
    deploy(&tidegate, "http://127.0.0.1:9", "");
    for (pushes, part) in [
        (json!({}), "pushes"),
        (json!({ "a": {} }), "from"),
        (
            json!({ "a": push(&json!({ "page_size": 0 })) }),
            "page_size",
        ),
        (
            json!({ "a": push(&json!({ "save": { "method": "GET", "path": "/" } })) }),
            "method",
        ),
    ] {
        let words = "connections add out acme --base-url http://127.0.0.1:9 --config";
        let cmd = tidegate.cmd(words).arg(format!("pushes={pushes}"));
        cmd.refused(INVALID, &[part]);
    }
}
