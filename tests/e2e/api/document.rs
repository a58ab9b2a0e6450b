//! The document of the API: as it is kept in `docs/openapi.json`, what a generated client gets of it, and as a page.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::{Served, expect_problem};
use crate::support::cli::Tidegate;
use crate::support::root;

/// Set to write the document as it is now.
const BLESS: &str = "TIDEGATE_BLESS";

#[test]
fn the_document_is_the_one_in_docs() {
    let served = Served::start(Tidegate::new());
    let document = served.bare("GET", "/v1/openapi.json").ok(200);
    let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
    let path = root().join("docs/openapi.json");
    if std::env::var(BLESS).is_ok() {
        fs::write(&path, &text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "docs/openapi.json is not what the server says; {BLESS}=1 rewrites it"
    );

    let ids = operations(&document).map(|(_, _, operation)| operation["operationId"].to_string());
    let mut ids: Vec<String> = ids.collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "operations share an id");
}

/// Path, method and operation of everything that a document describes.
pub fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(|(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

fn kept() -> Value {
    let text = fs::read_to_string(root().join("docs/openapi.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What is whatever somebody else makes it: a customer's data, a plugin's own JSON, a JSON Schema.
const FREE_JSON: [&str; 23] = [
    "Connection.config",
    "Connection.metadata",
    "CreateConnection.config",
    "CreateConnection.metadata",
    "Deploy.config",
    "Failure.payload",
    "GET /v1/openapi.json 200",
    "Integration.config",
    "Invoked.output",
    "JobWithOutput.output",
    "LogLine.fields",
    "Manifest.config",
    "ManifestAction.input",
    "ManifestAction.output",
    "ManifestModel.schema",
    "NewSchedule.input",
    "PATCH /v1/integrations/{integration}/connections/{connection}/metadata",
    "POST /v1/integrations/{integration}/connections/{connection}/actions/{action}",
    "Plan.config",
    "Record.body",
    "Sync.checkpoints.*",
    "UpdateConnection.config",
    "UpdateConnection.metadata",
];
/// The schemas by which free JSON is described.
const FREE: [&str; 2] = ["JsonObject", "JsonValue"];

/// Texts without a form: what people wrote, what others say, and what is handed back as it was given out. `.name` is a
/// member wherever it stands, `Schema.` all members of a schema.
const FREE_TEXT: [&str; 58] = [
    ".Prefer",
    ".body",
    ".code",
    ".concurrency_key",
    ".cron",
    ".cursor",
    ".dedup_key",
    ".default",
    ".description",
    ".detail",
    ".errors",
    ".every",
    ".external_id",
    ".feeds",
    ".file",
    ".filter",
    ".hint",
    ".hosts",
    ".ids",
    ".instance",
    ".label",
    ".labels",
    ".limit",
    ".message",
    ".missing",
    ".models",
    ".name_prefix",
    ".next_cursor",
    ".note",
    ".notes",
    ".path",
    ".pause_note",
    ".place",
    ".reason",
    ".response",
    ".sdk",
    ".secrets",
    ".signed_by",
    ".tags",
    ".target",
    ".timezone",
    ".title",
    ".unused",
    ".warnings",
    ".what",
    "ApiKey.name",
    "Auth.",
    "CreateApiKey.name",
    "ListSetting",
    "ManifestAction.name",
    "ManifestSync.name",
    "MasterKey.key",
    "ParameterName",
    "Record.id",
    "Rotate.to",
    "RotatedMasterKey.from",
    "RotatedMasterKey.to",
    "TextSetting",
];

fn is_free_text_there(place: &str) -> bool {
    FREE_TEXT.iter().any(|free| match *free {
        member if member.starts_with('.') => place.trim_end_matches(".*").ends_with(member),
        schema if schema.ends_with('.') => place.starts_with(schema),
        one => place == one,
    })
}

/// A schema that says that anything may be there.
fn is_free(schema: &Value) -> bool {
    let reference = schema["$ref"].as_str().unwrap_or_default();
    FREE.iter()
        .any(|free| reference.ends_with(&format!("/{free}")))
}

/// A schema that says nothing: a generated client takes an object of which nothing is said for one without members.
fn is_untyped(schema: &Value) -> bool {
    if schema.get("$ref").is_some() {
        return false;
    }
    let has_shape = ["allOf", "oneOf", "anyOf", "enum", "properties", "items"];
    let has_members = schema["additionalProperties"].is_object();
    let is_object = kinds(schema).any(|kind| kind == "object");
    let is_anything = kinds(schema).next().is_none();
    let has_shape = has_members || has_shape.iter().any(|member| schema.get(member).is_some());
    !has_shape && (is_object || is_anything)
}

/// A schema of a text that says nothing of its form.
fn is_formless(schema: &Value) -> bool {
    let forms = ["format", "pattern", "enum", "const"];
    kinds(schema).any(|kind| kind == "string")
        && !forms.iter().any(|form| schema.get(form).is_some())
}

fn kinds(schema: &Value) -> impl Iterator<Item = &str> {
    let one = schema["type"].as_str();
    let many = schema["type"].as_array().into_iter().flatten();
    one.into_iter().chain(many.filter_map(Value::as_str))
}

/// Look at a schema and all that it is made of. The place of a member is its owner's, a dot, its name; `*` stands for
/// any name.
fn walk<'a>(place: &str, schema: &'a Value, look: &mut impl FnMut(&str, &'a Value)) {
    if !schema.is_object() {
        return;
    }
    look(place, schema);
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{place}.{name}"), member, look);
    }
    for list in ["allOf", "oneOf", "anyOf"] {
        for part in schema[list].as_array().into_iter().flatten() {
            walk(place, part, look);
        }
    }
    walk(place, &schema["items"], look);
    walk(&format!("{place}.*"), &schema["additionalProperties"], look);
}

/// The schemas of a document by name, those of parameters and JSON bodies by their operation.
fn all_schemas<'a>(document: &'a Value, look: &mut impl FnMut(&str, &'a Value)) {
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas
        .iter()
        .filter(|(name, _)| !FREE.contains(&name.as_str()))
    {
        walk(name, schema, look);
    }
    for (path, method, operation) in operations(document) {
        let place = format!("{} {path}", method.to_uppercase());
        let json = |of: &'a Value| &of["content"]["application/json"]["schema"];
        walk(&place, json(&operation["requestBody"]), look);
        for (status, response) in operation["responses"].as_object().unwrap() {
            walk(&format!("{place} {status}"), json(response), look);
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            walk(&format!("{place}.{name}"), &parameter["schema"], look);
        }
    }
}

/// The places of the document in docs at which `found` holds.
fn places(found: impl Fn(&Value) -> bool) -> BTreeSet<String> {
    let document = kept();
    let mut places = BTreeSet::new();
    all_schemas(&document, &mut |place, schema| {
        if found(schema) {
            places.insert(place.to_owned());
        }
    });
    places
}

#[test]
fn what_has_a_shape_says_it() {
    let untyped = places(is_untyped);
    assert!(untyped.is_empty(), "nothing is said of these: {untyped:#?}");
    let known = FREE_JSON.into_iter().map(str::to_owned).collect();
    let free = places(is_free);
    let new: Vec<_> = free.difference(&known).collect();
    assert!(
        new.is_empty(),
        "these have a shape, or are free and belong into the list: {new:#?}"
    );
    let gone: Vec<_> = known.difference(&free).collect();
    assert!(gone.is_empty(), "these are not free any more: {gone:#?}");
}

#[test]
fn ids_times_and_words_have_a_form() {
    let formless = places(is_formless);
    let new: Vec<_> = formless
        .iter()
        .filter(|place| !is_free_text_there(place))
        .collect();
    assert!(
        new.is_empty(),
        "these have a form, or are free and belong into the list: {new:#?}"
    );
}

#[test]
fn what_is_referred_to_is_there() {
    let document = kept();
    all_schemas(&document, &mut |place, schema| {
        if let Some(reference) = schema["$ref"].as_str() {
            let found = document.pointer(reference.trim_start_matches('#'));
            assert!(found.is_some(), "{place} refers to {reference}");
        }
    });
}

#[test]
fn the_page_for_people_needs_nothing_from_elsewhere() {
    let served = Served::start(Tidegate::new());
    let moved = served.bare("GET", "/v1/docs").send();
    assert_eq!(moved.header("location"), Some("/v1/docs/"));
    let page = served.bare("GET", "/v1/docs/").send();
    let text = String::from_utf8(page.body).unwrap();
    assert!(text.contains("swagger-ui-bundle.js"), "{text}");
    for file in [
        "swagger-ui-bundle.js",
        "swagger-ui.css",
        "swagger-initializer.js",
    ] {
        let part = served.bare("GET", &format!("/v1/docs/{file}")).send();
        assert_eq!(part.status, 200, "{file}");
        assert!(!part.body.is_empty(), "{file}");
    }
    assert!(
        !text.contains("src=\"http") && !text.contains("href=\"http"),
        "{text}"
    );
    let missing = served.bare("GET", "/v1/docs/nothing.js").send();
    expect_problem(&missing, "not-found", 404);
}
