//! Configs that can't work, each with the key it is about; and the schema, which says most of it too.

use tidegate_sdk::FailureKind;
use tidegate_sdk::prelude::*;
use tidegate_sdk::test::FakeHost;

use super::{Bench, plugin, push};

fn failure(keys: Value) -> Failure {
    let host = FakeHost::new()
        .base_url("https://api.example.com")
        .config(json!({ "pushes": { "people": push(keys) } }));
    let outcome = host.run_sync(plugin(), "people");
    assert!(outcome.requests.is_empty());
    let failure = outcome.failure().clone();
    assert_eq!(host.run_check(plugin()).failure().message, failure.message);
    failure
}

#[test]
fn expressions_that_are_none_are_shown_with_the_place() {
    for (transform, problem) in [
        ("{a: }", "line 1, column 5: expected term, at `}`"),
        ("{a", "line 1, column 3: expected closing brace, at the end"),
        (
            ".a\n| foo(1)",
            "line 2, column 3: there is no such filter, at `foo(1)`",
        ),
        (
            "\"é\" | $x",
            "line 1, column 7: there is no such variable, at `$x`",
        ),
        (
            "import \"a\" as a; .",
            "line 1, column 9: modules can't be imported",
        ),
        ("halt", "no such filter"),
        ("env", "no such filter"),
        ("input", "no such filter"),
        ("now", "no such filter"),
        (
            "select(test(\"@\"))",
            "column 8: there is no such filter, at `test(\"@\"))`",
        ),
        ("$ENV", "no such variable"),
    ] {
        let failure = failure(json!({ "transform": transform }));
        assert_eq!(
            (failure.kind, failure.code.as_deref()),
            (FailureKind::Config, Some("config-invalid"))
        );
        assert!(
            failure.message.contains("`pushes.people.transform`"),
            "{failure}"
        );
        assert!(failure.message.contains(problem), "{failure}");
    }
}

#[test]
fn keys_that_do_not_fit() {
    let put = |path: &str| json!({ "method": "PUT", "path": path });
    let list = |path: &str, body: &str| json!({ "method": "POST", "path": path, "per": "page", "body": body });
    for (keys, key, problem) in [
        (json!({ "save": put("") }), "save.path", "is empty"),
        (
            json!({ "save": put("/p/{") }),
            "save.path",
            "a `{` without a `}`",
        ),
        (
            json!({ "save": put("/p/{name}") }),
            "save.path",
            "`{name}` is neither",
        ),
        (
            json!({ "save": list("/p/{id}", ".") }),
            "save.path",
            "a request is about many",
        ),
        (
            json!({ "delete": list("/p", "$id") }),
            "delete.body",
            "no such variable",
        ),
        (
            json!({ "page_size": 0 }),
            "page_size",
            "is 0; it must be 1 to 1000",
        ),
        (json!({ "page_size": 1001 }), "page_size", "1 to 1000"),
        (json!({ "pause_ms": 60001 }), "pause_ms", "0 to 60000"),
        (json!({ "concurrency": 17 }), "concurrency", "1 to 16"),
        (
            json!({ "save": { "method": "PUT", "path": "/p", "gone": [404] } }),
            "save.gone",
            "only `delete`",
        ),
        (
            json!({ "save": { "method": "GET", "path": "/p" } }),
            "save.method",
            "GET",
        ),
        (json!({ "on_reject": "ignore" }), "on_reject", "ignore"),
        (json!({ "pages": 1 }), "", "unknown field `pages`"),
    ] {
        let failure = failure(keys.clone());
        assert_eq!(
            (failure.kind, failure.code.as_deref()),
            (FailureKind::Config, Some("config-invalid"))
        );
        assert!(
            failure
                .message
                .contains(&format!("pushes.people.{key}")[..14]),
            "{failure}"
        );
        assert!(
            failure.message.contains(key) && failure.message.contains(problem),
            "{failure}"
        );
    }
}

#[test]
fn the_schema_says_the_same() {
    let schema: Value = serde_json::from_str(crate::CONFIG_SCHEMA).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let valid = |keys: Value| validator.is_valid(&json!({ "pushes": { "people": push(keys) } }));
    assert!(valid(json!({})));
    for example in ["kinto", "lists"] {
        let example = super::example(example);
        assert!(validator.is_valid(&example), "{example}");
        for name in example["pushes"].as_object().unwrap().keys() {
            let host = FakeHost::new().config(example.clone());
            host.run_sync(plugin(), name).assert_ok();
        }
    }
    for keys in [
        json!({ "pages": 1 }),
        json!({ "page_size": 0 }),
        json!({ "page_size": 1001 }),
        json!({ "pause_ms": 60001 }),
        json!({ "concurrency": 17 }),
        json!({ "on_reject": "ignore" }),
        json!({ "transform": "" }),
        json!({ "save": { "method": "GET", "path": "/p" } }),
        json!({ "save": { "method": "PUT", "path": "" } }),
        json!({ "save": { "method": "PUT", "path": "/p", "gone": [404] } }),
        json!({ "delete": { "method": "DELETE", "path": "/p", "gone": [200] } }),
        json!({ "from": { "integration": "crm" } }),
        json!({ "from": { "integration": "crm", "model": "a/b" } }),
    ] {
        assert!(!valid(keys.clone()), "{keys}");
    }
}

#[test]
fn a_push_that_is_not_there() {
    let host = FakeHost::new().config(json!({ "pushes": { "people": push(json!({})) } }));
    let outcome = host.run_sync(plugin(), "persons");
    assert!(
        outcome.failure().message.contains("it has: people"),
        "{:?}",
        outcome.result
    );
}

#[test]
fn a_transform_that_makes_nothing_is_told() {
    // (the transform, how many records, what the log says)
    for (transform, records, says) in [
        (".", 12, None),
        (
            "{mail: .email, name}",
            12,
            Some("the member \"mail\" is null in each of 12 records"),
        ),
        // Of few records that says little.
        ("{mail: .email, name}", 3, None),
        (
            "select(.kind == \"person\")",
            3,
            Some("makes nothing of any of 3 records"),
        ),
        ("select(.name != \"n1\")", 3, None),
    ] {
        let bench = Bench::new(json!({ "transform": transform }));
        for number in 0..records {
            bench.save(
                &format!("r{number}"),
                json!({ "id": number, "name": format!("n{number}"), "nick": "x" }),
            );
        }
        let checked = bench.host.run_check(plugin());
        let ran = bench.run();
        for (what, result, logs) in [
            ("check", checked.result.map(drop), checked.logs),
            ("run", ran.result, ran.logs),
        ] {
            assert!(result.is_ok(), "{what}: {result:?}");
            let told = |line: &&tidegate_sdk::test::LogLine| {
                line.message.contains("`pushes.people.transform`")
            };
            let told: Vec<_> = logs.iter().filter(told).collect();
            assert_eq!(
                told.len(),
                usize::from(says.is_some()),
                "{what} of {transform}: {logs:?}"
            );
            let fits = |says: &str| told[0].message.contains(says);
            assert!(says.is_none_or(fits), "{what} of {transform}: {told:?}");
        }
    }
}
