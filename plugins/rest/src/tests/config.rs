//! The config: every example fits, every mistake is named by its key, and the JSON Schema, the
//! shapes and the documentation know the same keys.

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde::de::DeserializeOwned;
use tidegate_sdk::FailureKind;
use tidegate_sdk::prelude::*;

use super::{example, host};
use crate::config::{self, Config};
use crate::plan::Plan;
use crate::{CONFIG_SCHEMA, plugin};

const EXAMPLES: [&str; 7] = [
    "cursor", "kinto", "link", "next_url", "offset", "page", "stripe",
];

fn schema() -> Value {
    serde_json::from_str(CONFIG_SCHEMA).unwrap()
}

fn validator() -> Validator {
    jsonschema::validator_for(&schema()).unwrap()
}

#[test]
fn examples_fit() {
    let validator = validator();
    for name in EXAMPLES {
        let example = example(name);
        let errors: Vec<_> = validator
            .iter_errors(&example)
            .map(|e| e.to_string())
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
        let config: Config = serde_json::from_value(example).unwrap();
        for model in config.models.keys() {
            Plan::new(&config, model).unwrap();
        }
    }
}

/// Keys that the schema has of a shape, and those that serde names when it meets another.
fn assert_same_keys<T: DeserializeOwned>(properties: &Value) {
    let in_schema: BTreeSet<String> = properties.as_object().unwrap().keys().cloned().collect();
    let Err(error) = serde_json::from_value::<T>(json!({ "no such key": 0 })) else {
        panic!("an unknown key was accepted");
    };
    let error = error.to_string();
    let in_shape = error
        .split('`')
        .skip(3)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    assert_eq!(in_schema, in_shape, "{error}");
}

#[test]
fn the_schema_has_the_keys_of_the_shapes() {
    let schema = schema();
    assert_same_keys::<Config>(&schema["properties"]);
    assert_same_keys::<config::AuthConfig>(&schema["properties"]["auth"]["properties"]);
    let model = &schema["$defs"]["model"]["properties"];
    assert_same_keys::<config::Model>(model);
    assert_same_keys::<config::Tombstone>(&model["tombstone"]["properties"]);
    assert_same_keys::<config::Detail>(&model["detail"]["properties"]);
    assert_same_keys::<config::Pagination>(&schema["$defs"]["pagination"]["properties"]);
    assert_same_keys::<config::Incremental>(&schema["$defs"]["incremental"]["properties"]);
}

#[test]
fn the_documentation_has_every_key_and_example() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rest-plugin.md");
    let text = std::fs::read_to_string(path).unwrap();
    let schema = schema();
    let model = &schema["$defs"]["model"]["properties"];
    for properties in [
        &schema["properties"],
        model,
        &model["tombstone"]["properties"],
        &model["detail"]["properties"],
        &schema["$defs"]["pagination"]["properties"],
        &schema["$defs"]["incremental"]["properties"],
    ] {
        for key in properties.as_object().unwrap().keys() {
            assert!(
                text.contains(&format!("| `{key}` |")),
                "docs/rest-plugin.md lacks `{key}`"
            );
        }
    }
    for name in EXAMPLES {
        let name = format!("examples/{name}.json");
        assert!(text.contains(&name), "docs/rest-plugin.md lacks {name}");
    }
}

#[test]
fn mistakes_are_named_by_their_key() {
    let list = json!({ "style": "page" });
    let since = json!({ "parameter": "since", "field": "/at" });
    let with = |base: &Value, key: &str, value: Value| {
        let mut changed = base.clone();
        changed[key] = value;
        changed
    };
    for (model, key, says) in [
        (json!({}), "models.M", "missing field `path`"),
        (json!({ "path": "" }), "models.M.path", "is empty"),
        (
            json!({ "path": "/m", "pathh": 1 }),
            "models.M.pathh",
            "unknown field",
        ),
        (
            json!({ "path": "/m", "records": "data" }),
            "models.M.records",
            "`data` is no JSON pointer",
        ),
        (
            json!({ "path": "/m", "id": [] }),
            "models.M.id",
            "is an empty list",
        ),
        (
            json!({ "path": "/m", "id": 1 }),
            "models.M.id",
            "expected a JSON pointer",
        ),
        (
            json!({ "path": "/m", "id": vec!["/a"; 40] }),
            "models.M.id",
            "too many",
        ),
        (
            json!({ "path": "/m", "query": { "q": null } }),
            "models.M.query.q",
            "is no text",
        ),
        (
            json!({ "path": "/m", "tombstone": { "field": "deleted" } }),
            "models.M.tombstone.field",
            "no JSON pointer",
        ),
        (
            json!({ "path": "/m", "pagination": { "style": "pages" } }),
            "models.M.pagination.style",
            "unknown variant",
        ),
        (
            json!({ "path": "/m", "pagination": { "style": "page", "stable_order": true } }),
            "models.M.pagination.stable_order",
            "is not used by the style `page`",
        ),
        (
            json!({ "path": "/m", "pagination": { "style": "cursor" } }),
            "models.M.pagination.parameter",
            "is missing",
        ),
        (
            json!({ "path": "/m", "pagination": { "style": "cursor", "parameter": "c" } }),
            "models.M.pagination",
            "needs one of `cursor_pointer`, `cursor_header`, `cursor_record_pointer`",
        ),
        (
            json!({ "path": "/m", "pagination": { "style": "cursor", "parameter": "c", "cursor_pointer": "next" } }),
            "models.M.pagination.cursor_pointer",
            "`next` is no JSON pointer",
        ),
        (
            json!({ "path": "/m", "pagination": { "style": "next_url", "url_pointer": "/n", "url_header": "N" } }),
            "models.M.pagination.url_header",
            "can't go together with `url_pointer`",
        ),
        (
            json!({ "path": "/m", "pagination": with(&list, "url_pointer", json!("/n")) }),
            "models.M.pagination.url_pointer",
            "is not used by the style `page`",
        ),
        (
            json!({ "path": "/m", "pagination": with(&list, "page_size", json!(0)) }),
            "models.M.pagination.page_size",
            "at least 1",
        ),
        (
            json!({ "path": "/m", "pagination": with(&list, "page_size_parameter", json!("n")) }),
            "models.M.pagination.page_size",
            "is missing",
        ),
        (
            json!({ "path": "/m", "pagination": { "style": "link", "page_size": 5 } }),
            "models.M.pagination.page_size_parameter",
            "is missing",
        ),
        (
            json!({ "path": "/m", "incremental": { "parameter": "since" } }),
            "models.M.incremental",
            "needs `field`",
        ),
        (
            json!({ "path": "/m", "incremental": with(&since, "header", json!("ETag")) }),
            "models.M.incremental.header",
            "together with `field`",
        ),
        (
            json!({ "path": "/m", "incremental": with(&since, "format", json!("opaque")) }),
            "models.M.incremental.format",
            "need `ordered`",
        ),
        (
            json!({ "path": "/m", "incremental": with(&since, "format", json!("iso")) }),
            "models.M.incremental.format",
            "unknown variant",
        ),
        (
            json!({ "path": "/m", "incremental": with(&since, "parameter_format", json!("opaque")) }),
            "models.M.incremental.parameter_format",
            "can't be made",
        ),
        (
            json!({ "path": "/m", "incremental": { "parameter": "s", "field": "/t", "overlap_seconds": 0, "on_missing_overlap": "full_pull" } }),
            "models.M.incremental.on_missing_overlap",
            "needs a `field`",
        ),
        (
            json!({ "path": "/m", "incremental": { "parameter": "s", "header": "E", "overlap_seconds": 1 } }),
            "models.M.incremental.overlap_seconds",
            "can't be set back",
        ),
        (
            json!({ "path": "/m", "incremental": { "parameter": "s", "header": "E", "ordered": true } }),
            "models.M.incremental.ordered",
            "needs `field`",
        ),
        (
            json!({ "path": "/m", "incremental": with(&since, "initial", json!([])) }),
            "models.M.incremental.initial",
            "is no text",
        ),
        (
            json!({ "path": "/m", "full_pull_every_hours": 1 }),
            "models.M.full_pull_every_hours",
            "needs `incremental`",
        ),
        (
            json!({ "path": "/m", "incremental": since, "full_pull_every_hours": 0 }),
            "models.M.full_pull_every_hours",
            "at least 1",
        ),
        (
            json!({ "path": "/m", "detail": { "path": "/m/1" } }),
            "models.M.detail.path",
            "names no record",
        ),
        (
            json!({ "path": "/m", "detail": { "path": "/m/{id" } }),
            "models.M.detail.path",
            "without a `}`",
        ),
        (
            json!({ "path": "/m", "detail": { "path": "/m/{key}" } }),
            "models.M.detail.path",
            "`{key}` is neither",
        ),
        (
            json!({ "path": "/m", "detail": { "path": "/m/{id}", "concurrency": 17 } }),
            "models.M.detail.concurrency",
            "not between 1 and 16",
        ),
        (
            json!({ "path": "/m", "incremental": with(&since, "zone", json!("Berlin")) }),
            "models.M.incremental.zone",
            "neither a time zone",
        ),
        (
            json!({ "path": "/m", "incremental": with(&since, "parameter_format", json!("local")) }),
            "models.M.incremental.zone",
            "is missing",
        ),
        (
            json!({ "path": "/m", "pagination": with(&list, "next_url_origin", json!("base")) }),
            "models.M.pagination.next_url_origin",
            "`link` and `next_url` only",
        ),
        (
            json!({ "path": "/m", "on_bad_record": "ignore" }),
            "models.M.on_bad_record",
            "unknown variant",
        ),
    ] {
        let host = host(json!({ "models": { "M": model } }));
        let outcome = host.run_sync(plugin(), "M");
        let failure = outcome.failure();
        assert_eq!(failure.kind, FailureKind::Config, "{failure}");
        assert!(
            failure.message.contains(&format!("`{key}`")),
            "{key}: {failure}"
        );
        assert!(failure.message.contains(says), "{says}: {failure}");
        assert!(outcome.requests.is_empty());
        // A check finds it too, before the first run.
        assert_eq!(host.run_check(plugin()).failure().message, failure.message);
    }
}

#[test]
fn a_model_that_is_not_there() {
    let host = host(json!({ "models": { "A": { "path": "/a" }, "B": { "path": "/b" } } }));
    let outcome = host.run_sync(plugin(), "C");
    assert!(
        outcome
            .failure()
            .message
            .contains("`models`: has no `C`; it has: A, B")
    );
}

#[test]
fn the_schema_refuses_what_the_shapes_refuse() {
    let validator = validator();
    for config in [
        json!({}),
        json!({ "models": {} }),
        json!({ "models": { "M": {} } }),
        json!({ "models": { "no spaces": { "path": "/m" } } }),
        json!({ "models": { "M": { "path": "/m", "records": "data" } } }),
        json!({ "models": { "M": { "path": "/m", "pagination": {} } } }),
        json!({ "models": { "M": { "path": "/m", "incremental": { "parameter": "p" } } } }),
        json!({ "models": { "M": { "path": "/m", "detail": { "path": "/{id}", "concurrency": 17 } } } }),
        json!({ "models": { "M": { "path": "/m" } }, "header": {} }),
    ] {
        assert!(!validator.is_valid(&config), "{config}");
    }
}
