//! Idempotency keys: an action acts once under one, also across a crash.

use serde_json::{Value, json};

use super::{Acts, REJECTED, UPSTREAM};
use crate::support::cli::{CONFLICT, OK};
use crate::support::http::Request;
use crate::support::server::{Gate, Reply};

/// The idempotency keys that requests carried.
fn keys(requests: &[Request]) -> Vec<Option<&str>> {
    let requests = requests.iter();
    requests
        .map(|request| request.header("idempotency-key"))
        .collect()
}

#[test]
fn a_repeat_gets_the_first_result() {
    let acts = Acts::making_items();
    let input = json!({"name": "Ada"});
    let first = acts.keyed("order-1", "create", &input);
    first.expect_code(OK);
    let first = first.json();
    assert_eq!(
        (&first["repeated"], &first["output"]["id"]),
        (&json!(false), &json!("i1"))
    );
    // However it is written.
    let again = acts
        .plain("create")
        .arg("--input")
        .arg("{ \"name\" : \"Ada\" }");
    let again = again.words("--idempotency-key order-1 --json").ok().json();
    let mut wanted = first.clone();
    wanted["repeated"] = json!(true);
    assert_eq!(again, wanted);
    assert_eq!(acts.asked(), ["POST /items"]);
    assert_eq!(keys(&acts.server.requests()), [Some("order-1")]);

    // Another input is refused, and so is one that is nearly the same.
    for other in [json!({"name": "ada"}), json!({"name": "Ada", "qty": 0})] {
        let refused = acts.keyed("order-1", "create", &other);
        let run = first["run"].as_str().unwrap();
        refused.expect_refusal(CONFLICT, &["order-1", "another input", run]);
    }
    // Another key acts again; and a key belongs to one action of one connection.
    assert_eq!(
        acts.keyed("order-2", "create", &input).json()["output"]["id"],
        "i2"
    );
    assert_eq!(acts.keyed("order-1", "echo", &json!(1)).json()["output"], 1);
    acts.tidegate.connect("acts", "bolt", &acts.server.origin());
    let bolt = "invoke acts/create --connection bolt --idempotency-key order-1 --json --input";
    let bolt = acts.tidegate.cmd(bolt).arg(input.to_string()).ok().json();
    assert_eq!(bolt["output"]["id"], "i3");
    assert_eq!(acts.tidegate.runs().len(), 4);
}

#[test]
fn a_rejection_is_a_result_and_other_failures_are_none() {
    let acts = Acts::new(|request| match request.path() {
        "/items" => Reply::json(&json!({"taken": true})).with_status(409),
        _ => Reply::status(503),
    });
    let input = json!({"name": "Ada"});
    let first = acts.keyed("k", "create", &input);
    first.expect_code(REJECTED);
    let again = acts.keyed("k", "create", &input);
    again.expect_refusal(REJECTED, &["the name is taken"]);
    let (first, again) = (first.json(), again.json());
    assert_eq!(first["failure"], again["failure"]);
    assert_eq!(again["failure"]["payload"], json!({"taken": true}));
    assert_eq!(
        (&first["run"], &again["repeated"]),
        (&again["run"], &json!(true))
    );
    assert_eq!(acts.asked().len(), 1);

    for _ in 0..2 {
        let failed = acts.keyed("k", "twice", &json!({}));
        failed.expect_code(UPSTREAM);
        assert_eq!(failed.json()["repeated"], false);
    }
    assert_eq!(keys(&acts.server.requests()[1..]), [Some("k"), Some("k")]);
    // But its input stays the key's.
    acts.keyed("k", "twice", &json!(1)).expect_code(CONFLICT);
}

#[test]
fn each_request_of_a_run_has_its_own_key() {
    let acts = Acts::new(|_| Reply::status(204));
    acts.keyed("k", "twice", &json!({})).expect_code(OK);
    acts.invoke_ok("twice", &json!({}));
    assert_eq!(acts.asked(), ["POST /a", "POST /b", "POST /a", "POST /b"]);
    assert_eq!(
        keys(&acts.server.requests()),
        [Some("k"), Some("k-2"), None, None]
    );
    let context = acts.keyed("c", "context", &json!({})).json();
    assert_eq!(context["output"]["idempotency_key"], "c");
}

/// The API has acted, and the process dies before it hears of it: a repeat sends the same key.
#[test]
fn after_a_crash_the_repeat_acts_under_the_same_key() {
    let gate = Gate::default();
    let behind = gate.clone();
    let acts = Acts::new(move |request| match request.path() {
        "/hold" => Reply::status(204).behind(&behind),
        _ => Reply::status(404),
    });
    let input = json!({"n": 1});
    let running = acts
        .cmd("hold", &input)
        .words("--idempotency-key k")
        .start();
    gate.arrived();
    // Another one can't come between: the data directory is held. What a server says to it is in
    // the conformance tests of the store.
    assert_eq!(running.kill().code, None);
    gate.open();
    acts.keyed("k", "hold", &json!({"n": 2}))
        .expect_code(CONFLICT);
    let again = acts.keyed("k", "hold", &input);
    again.expect_code(OK);
    assert_eq!(again.json()["repeated"], false);
    let third = acts.keyed("k", "hold", &input).json();
    assert_eq!(
        (&third["repeated"], &third["output"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(keys(&acts.server.requests()), [Some("k"), Some("k")]);
    let outcomes: Vec<Value> = acts
        .tidegate
        .runs()
        .iter()
        .map(|run| run["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["interrupted", "success"]);
    acts.tidegate.cmd("data check").ok();
}

/// Two MiB, the most that an output has by default.
#[test]
fn a_long_result_is_kept_whole() {
    let acts = Acts::new(|_| Reply::status(404));
    let bytes = json!((2 << 20) - 2);
    let first = acts.keyed("k", "large", &bytes).json();
    let again = acts.keyed("k", "large", &bytes).json();
    assert_eq!(first["output"], again["output"]);
    assert_eq!(again["output"].as_str().unwrap().len(), (2 << 20) - 2);
    assert_eq!(again["repeated"], true);
    acts.tidegate.cmd("data check").ok();
    // With the connection goes all of it.
    acts.tidegate
        .cmd("data drop acts --connection acme --yes")
        .ok();
    acts.tidegate.cmd("data compact").ok();
    acts.tidegate.cmd("data check").ok();
    acts.tidegate.connect("acts", "acme", &acts.server.origin());
    assert_eq!(acts.keyed("k", "large", &json!(1)).json()["output"], "x");
}
