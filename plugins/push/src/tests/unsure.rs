//! What the destination may have or not, and what is kept there.

use tidegate_sdk::FailureKind;
use tidegate_sdk::prelude::*;
use tidegate_sdk::test::Reply;

use super::Bench;

/// A feed of three records.
fn three(keys: Value) -> Bench {
    let bench = Bench::new(keys);
    for id in ["a", "b", "c"] {
        bench.save(id, json!({ "id": id }));
    }
    bench
}

#[test]
fn what_nobody_heard_of_is_told_again_whatever_became_of_it() {
    // An update is lost, and undone at the source before the next run.
    let bench = three(json!({}));
    bench.run().assert_ok();
    bench.save("a", json!({ "id": "a", "v": 2 }));
    bench.to.trouble("a", Reply::timeout());
    assert_eq!(bench.run().failure().kind, FailureKind::Transient);
    bench.save("a", json!({ "id": "a" }));
    bench.to.acknowledged();
    bench.run().assert_ok();
    assert_eq!(bench.to.acknowledged(), ["PUT a"]);
    assert_eq!(bench.known()["a"], json!({ "id": "a" }));
    // So is a deletion.
    bench.delete("b");
    bench.to.trouble("b", Reply::timeout());
    assert!(bench.run().result.is_err());
    bench.save("b", json!({ "id": "b" }));
    bench.run().assert_ok();
    assert_eq!(bench.to.acknowledged(), ["PUT b"]);
    // What is rejected is as it was.
    bench.save("c", json!({ "id": "c", "v": 9 }));
    bench.to.trouble("c", Reply::status(422));
    assert!(bench.run().result.is_err());
    assert_eq!(bench.known()["c"], json!({ "id": "c" }));
    bench.run().assert_ok();
    assert_eq!(bench.known()["c"]["v"], 9);
}

#[test]
fn a_transform_that_makes_nothing_deletes_only_by_name() {
    for (keys, deleted) in [
        (json!({}), false),
        (json!({ "on_left_out": "delete" }), true),
    ] {
        let mut all = json!({ "transform": "select(.email)" });
        for (key, value) in keys.as_object().unwrap() {
            all[key] = value.clone();
        }
        let bench = Bench::new(all);
        bench
            .save("a", json!({ "email": "x" }))
            .save("b", json!({ "email": "y" }));
        bench.run().assert_ok();
        bench.to.acknowledged();
        bench.save("a", json!({ "email": null }));
        let outcome = bench.run();
        outcome.assert_ok();
        let want: &[&str] = if deleted { &["DELETE a"] } else { &[] };
        assert_eq!(bench.to.acknowledged(), want);
        assert_eq!(
            bench.known().as_object().unwrap().contains_key("a"),
            !deleted
        );
        // What the source deletes is deleted in either case.
        bench.delete("b");
        bench.run().assert_ok();
        assert_eq!(bench.to.acknowledged(), ["DELETE b"]);
    }
    let mut keys = super::push(json!({ "on_left_out": "delete" }));
    keys.as_object_mut().unwrap().remove("delete");
    let host = Bench::new(json!({}))
        .host
        .config(json!({ "pushes": { "people": keys } }));
    let failure = host.run_sync(super::plugin(), "people").failure().clone();
    assert!(
        failure.message.contains("pushes.people.on_left_out"),
        "{failure}"
    );
}
