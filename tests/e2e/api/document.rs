//! The document of the API: as it is kept in `docs/openapi.json`, and as a page.

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
