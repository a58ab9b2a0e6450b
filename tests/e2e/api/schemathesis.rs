//! What schemathesis makes of the document: requests that fit it and ones that don't. No answer is a
//! failure of the server, has a status that the document doesn't, or another shape.

use std::process::Command;

use super::Served;
use crate::actions::Acts;
use crate::support::cli::Cmd;
use crate::support::kept;
use crate::support::real::{or_loudly, python};
use crate::support::server::Reply;

/// What is left to other tests, and why: it learns real ids from answers, and uses them.
const EXCLUDED: [(&str, &str); 6] = [
    ("integrations_upload", "it can't write application/wasm"),
    ("data_import", "it can't write application/x-ndjson"),
    ("api_keys_revoke", "it revokes its own key"),
    (
        "connections_remove_delete",
        "it removes the connection that the others need",
    ),
    ("data_drop_data", "the same"),
    (
        "webhooks_send_test",
        "it would send to URLs that were made up",
    ),
];
/// Requests made for each operation.
const EXAMPLES: &str = "8";

#[test]
fn schemathesis_finds_nothing() {
    let installed = python("schemathesis", "tests/schemathesis/requirements.txt");
    let Some(bin) = or_loudly("SCHEMATHESIS", installed) else {
        return;
    };
    let (tidegate, _server) =
        Acts::new(|_| Reply::json(&serde_json::json!({"id": "i1"}))).into_parts();
    // The open routes are asked with a key, too, which nobody looks at.
    let served = Served::start_with(tidegate, "--limit api_keyless_burst=100000");
    let fast = serde_json::json!({
        "name": "fuzz", "scopes": ["manage"],
        "rate_limit": {"requests": 100_000, "per_ms": 1000, "burst": 100_000},
    });
    let key = served.post("/v1/api-keys", &fast, 201)["api_key"].clone();
    let mut command = Command::new(bin.join("schemathesis"));
    command
        .arg("run")
        .arg(format!("http://{}/v1/openapi.json", served.address))
        .args(["--header", &format!("Authorization: Bearer {}", key.as_str().unwrap())])
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", EXAMPLES, "--seed", "1"])
        // More than one, and a fault of CPython's parser, which its threads share, ends it now and
        // then: "AST constructor recursion depth mismatch", python/cpython#106905.
        .args(["--workers", "1"])
        .arg("--no-color")
        .current_dir(kept("schemathesis"));
    for (operation, why) in EXCLUDED {
        assert!(!why.is_empty());
        command.args(["--exclude-operation-id", operation]);
    }
    let finished = Cmd::new(command).compiles().finish();
    assert_eq!(
        finished.code,
        Some(0),
        "{}\n{}",
        finished.stdout,
        finished.stderr
    );
    assert!(finished.stdout.contains("passed"), "{}", finished.stdout);
}
