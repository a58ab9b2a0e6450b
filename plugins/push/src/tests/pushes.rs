//! What of a change comes to the destination, run by run.

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::ChangeAction;

use super::{Bench, cursor};

const SHORT: &str = "select(.email) | {email, name: .full_name}";

#[test]
fn records_are_selected_renamed_and_filtered() {
    let bench = Bench::new(json!({ "transform": SHORT }));
    bench
        .save(
            "a",
            json!({ "id": "a", "email": "a@x", "full_name": "Ada", "secret": 1 }),
        )
        .save("b", json!({ "id": "b", "email": null, "full_name": "Bob" }))
        .save(
            "c",
            json!({ "id": "c", "email": "c@x", "full_name": "Cy", "secret": 2 }),
        );
    let outcome = bench.run();
    outcome.assert_ok();
    let people = json!({
        "a": { "email": "a@x", "name": "Ada" },
        "c": { "email": "c@x", "name": "Cy" },
    });
    assert_eq!(bench.to.people(), people);
    assert_eq!(bench.known(), people);
    assert_eq!(
        outcome.requests[0].header("Content-Type"),
        Some("application/json")
    );
    assert_eq!(cursor(&outcome), Some("cursor-3"));
    assert_eq!(outcome.totals("people").added, 2);

    // What the transform drops has changed: the destination has the record just so.
    bench.save(
        "a",
        json!({ "id": "a", "email": "a@x", "full_name": "Ada", "secret": 9 }),
    );
    let outcome = bench.run();
    assert!(outcome.requests.is_empty());
    assert_eq!(cursor(&outcome), Some("cursor-4"));
    // Nothing new: nothing is stored either.
    assert!(bench.run().commits.is_empty());
}

#[test]
fn what_is_deleted_or_filtered_out_later_is_deleted_there() {
    let bench = Bench::new(json!({ "transform": SHORT, "on_left_out": "delete" }));
    let person = json!({ "email": "x", "full_name": "X" });
    for id in ["a", "b", "c"] {
        bench.save(id, person.clone());
    }
    bench.run().assert_ok();
    bench.to.acknowledged();
    bench
        .delete("a")
        .save("b", json!({ "email": null, "full_name": "X" }))
        // Never pushed, so not ours to delete.
        .save("d", json!({ "email": null }))
        .delete("e");
    bench.run().assert_ok();
    assert_eq!(bench.to.acknowledged(), ["DELETE a", "DELETE b"]);
    assert_eq!(
        bench.to.people(),
        json!({ "c": { "email": "x", "name": "X" } })
    );
    assert_eq!(bench.known(), bench.to.people());
    // One that comes back is pushed again.
    bench.save("a", person);
    bench.run().assert_ok();
    assert_eq!(bench.to.acknowledged(), ["PUT a"]);
}

#[test]
fn without_delete_nothing_is_deleted() {
    let mut keys = super::push(json!({ "transform": SHORT }));
    keys.as_object_mut().unwrap().remove("delete");
    let bench = Bench::new(json!({}));
    let host = bench
        .host
        .clone()
        .config(json!({ "pushes": { "people": keys } }));
    bench.save("a", json!({ "email": "x" }));
    host.run_sync(super::plugin(), "people").assert_ok();
    bench.delete("a");
    let outcome = host.run_sync(super::plugin(), "people");
    assert!(outcome.requests.is_empty());
    assert_eq!(cursor(&outcome), Some("cursor-2"));
    assert_eq!(
        bench.known(),
        json!({ "a": { "email": "x", "name": null } })
    );
}

#[test]
fn paths_and_bodies_are_made_of_the_record_and_its_id() {
    let bench = Bench::new(json!({
        "save": {
            "method": "POST", "path": "/people/{/email}", "headers": { "X-Own": "1" },
            "body": "{person: ., from: $id}",
        },
        "delete": { "method": "POST", "path": "/people/{/email}?hard=1", "body": "{gone: .email}" },
    }));
    bench.save(
        "a",
        json!({ "email": "a/b@x", "n": 12345678901234567890123.50 }),
    );
    let outcome = bench.run();
    let request = &outcome.requests[0];
    assert_eq!(
        (request.path.as_str(), request.header("X-Own")),
        ("/people/a%2Fb%40x", Some("1"))
    );
    assert_eq!(request.json()["from"], "a");
    bench.delete("a");
    let outcome = bench.run();
    let request = &outcome.requests[0];
    assert_eq!(
        (request.path.as_str(), request.query("hard")),
        ("/people/a%2Fb%40x", Some("1"))
    );
    assert_eq!(request.json(), json!({ "gone": "a/b@x" }));
}

#[test]
fn numbers_stay_as_they_are_written() {
    let bench = Bench::new(json!({}));
    // Behind serde_json's back: it would have rounded them.
    let body = r#"{"big":123456789012345678901234567890,"money":1.10,"tiny":1e-999}"#;
    let change = tidegate_sdk::test::Change {
        id: "a".to_owned(),
        action: ChangeAction::Added,
        body: Some(body.to_owned()),
        first_seen_at: 1,
        last_modified_at: 1,
        cursor: "cursor-1".to_owned(),
    };
    drop(bench.host.clone().feed_change("crm", "Contact", change));
    let outcome = bench.run();
    let sent = outcome.requests[0].body.as_deref().unwrap();
    assert_eq!(std::str::from_utf8(sent), Ok(body));
}

#[test]
fn keys_are_the_same_for_the_same_change_only() {
    let keys = |bench: &Bench| -> Vec<String> {
        let requests = bench.run().requests;
        requests
            .into_iter()
            .map(|request| request.idempotency_key.unwrap())
            .collect()
    };
    let post = || Bench::new(json!({ "save": { "method": "POST", "path": "/people/{id}" } }));
    let (first, second) = (post(), post());
    for bench in [&first, &second] {
        bench
            .save("a", json!({ "v": 1 }))
            .save("b", json!({ "v": 1 }));
    }
    let sent = keys(&first);
    assert_eq!(sent, keys(&second));
    assert_ne!(sent[0], sent[1]);
    // The same body as before, but another change.
    first.save("a", json!({ "v": 2 }));
    let between = keys(&first);
    first.save("a", json!({ "v": 1 }));
    let again = keys(&first);
    assert!(!sent.contains(&again[0]) && again != between);
    // Methods that are idempotent by themselves need none.
    let put = Bench::new(json!({}));
    put.save("a", json!({}));
    assert_eq!(put.run().requests[0].idempotency_key, None);
}

#[test]
fn a_pruned_body_is_passed_over_and_said() {
    let bench = Bench::new(json!({}));
    bench
        .change("a", ChangeAction::Updated, None)
        .save("b", json!({}));
    let outcome = bench.run();
    outcome.assert_ok();
    assert_eq!(bench.to.acknowledged(), ["PUT b"]);
    assert!(
        outcome
            .logs
            .iter()
            .any(|line| line.message.contains("`a` is passed over"))
    );
    // Its deletion needs no body.
    bench.change("b", ChangeAction::Deleted, None);
    bench.run().assert_ok();
    assert_eq!(bench.to.acknowledged(), ["DELETE b"]);
}

#[test]
fn a_check_looks_at_feeds_and_path() {
    let bench = Bench::new(json!({}));
    assert_eq!(
        bench.host.run_check(super::plugin()).result,
        Ok(Value::Null)
    );
    let config = json!({ "check": "/people/me", "pushes": { "people": super::push(json!({})) } });
    bench
        .to
        .trouble("me", tidegate_sdk::test::Reply::status(401));
    let host = bench.host.clone().config(config);
    let outcome = host.run_check(super::plugin());
    assert_eq!(outcome.failure().kind, tidegate_sdk::FailureKind::Auth);
}
