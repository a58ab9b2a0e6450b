//! Connections by the API: added, listed, changed, checked and removed; never a credential out.

use serde_json::{Value, json};

use super::{Served, expect_problem};
use crate::actions::acts;
use crate::support::cli::Tidegate;
use crate::support::server::{Reply, Server};

const ALL: &str = "/v1/integrations/acts/connections";

fn served() -> (Served, Server) {
    let server = Server::start(|request| match request.header("authorization") {
        Some("Bearer right") => Reply::json(&json!([])),
        _ => Reply::status(401),
    });
    let tidegate = Tidegate::new();
    tidegate.deploy(&acts(), "acts", &server.origin());
    (Served::start(tidegate), server)
}

#[test]
fn a_connection_from_its_beginning_to_its_end() {
    let (served, server) = served();
    let new = json!({
        "connection": "acme", "base_url": server.origin(), "config": {"a": 1, "b": {"c": 2}},
        "metadata": {"m": 1}, "tags": {"plan": "pro"}, "external_id": "42", "secrets": {"token": "sesame-7141"},
    });
    let added = served.post(ALL, &new, 201);
    assert_eq!(added["secrets"], json!(["token"]), "{added}");
    assert_eq!(added["revision"], 0);
    let again = served.call("POST", ALL).json(&new).send();
    expect_problem(&again, "conflict", 409);

    let one = format!("{ALL}/acme");
    let patch = json!({
        "config": {"a": null, "b": {"d": 3}}, "metadata": {"n": 2}, "tags": {"plan": null, "eu": ""},
        "external_id": null, "secrets": {"token": "right"},
    });
    let changed = served.call("PATCH", &one).json(&patch).ok(200);
    assert_eq!(
        changed["config"],
        json!({"b": {"c": 2, "d": 3}}),
        "{changed}"
    );
    assert_eq!(changed["metadata"], json!({"m": 1, "n": 2}));
    assert_eq!(changed["tags"], json!({"eu": ""}));
    assert_eq!(changed["external_id"], Value::Null);
    // The same again changes nothing but the revision.
    let repeated = served.call("PATCH", &one).json(&patch).ok(200);
    for member in ["config", "metadata", "tags", "external_id", "secrets"] {
        assert_eq!(repeated[member], changed[member], "{member}");
    }
    let merged = served
        .call("PATCH", &format!("{one}/metadata"))
        .json(&json!({"m": null}))
        .ok(200);
    assert_eq!(merged["metadata"], json!({"n": 2}));

    let shown = served.call("GET", &one).send();
    let text = String::from_utf8(shown.body).unwrap();
    assert!(
        !text.contains("sesame") && !text.contains("right"),
        "{text}"
    );
    let check = served.call("POST", &format!("{one}/test")).ok(200);
    assert_eq!(check["result"], "no-check", "{check}");

    let removed = served.call("DELETE", &one).ok(200);
    assert_eq!(removed["connections"], 1);
    expect_problem(&served.call("GET", &one).send(), "not-found", 404);
    expect_problem(&served.call("DELETE", &one).send(), "not-found", 404);
}

#[test]
fn listed_by_filter_and_page() {
    let (served, server) = served();
    for number in 0..5 {
        let new = json!({
            "connection": format!("c{number}"), "base_url": server.origin(),
            "tags": {"parity": (number % 2).to_string()}, "external_id": format!("x{number}"),
        });
        served.post(ALL, &new, 201);
    }
    let names = |target: &str| -> (Vec<String>, Value) {
        let page = served.get(target);
        let rows = page["connections"].as_array().unwrap().iter();
        let names = rows.map(|row| row["connection"].as_str().unwrap().to_owned());
        (names.collect(), page["next_cursor"].clone())
    };
    assert_eq!(names(ALL).0.len(), 5);
    assert_eq!(names(&format!("{ALL}?tags=parity=1")).0, ["c1", "c3"]);
    assert_eq!(names(&format!("{ALL}?external_id=x2")).0, ["c2"]);
    assert_eq!(names(&format!("{ALL}?name_prefix=c4")).0, ["c4"]);
    assert_eq!(
        names(&format!("{ALL}?auth_failed=true")).0,
        Vec::<String>::new()
    );
    let (first, cursor) = names(&format!("{ALL}?limit=2"));
    assert_eq!(first, ["c0", "c1"]);
    let (next, cursor) = names(&format!(
        "{ALL}?limit=2&cursor={}",
        cursor.as_str().unwrap()
    ));
    assert_eq!(next, ["c2", "c3"]);
    let (last, cursor) = names(&format!(
        "{ALL}?limit=2&cursor={}",
        cursor.as_str().unwrap()
    ));
    assert_eq!((last, cursor), (vec!["c4".to_owned()], Value::Null));
}

#[test]
fn what_is_wrong_is_told_without_repeating_secrets() {
    let (served, server) = served();
    let origin = server.origin();
    let rows = [
        (json!({}), "connection"),
        (
            json!({"connection": "a b", "base_url": origin}),
            "not a valid connection name",
        ),
        (
            json!({"connection": "a", "base_url": "ftp://x"}),
            "base URL",
        ),
        (
            json!({"connection": "a", "base_url": "nothing"}),
            "base_url",
        ),
        (
            json!({"connection": "a", "base_url": origin, "secrets": {"token": 7141}}),
            "a text is expected",
        ),
        (
            json!({"connection": "a", "base_url": origin, "secrets": ["sesame-7141"]}),
            "an object is expected",
        ),
        (
            json!({"connection": "a", "base_url": origin, "secrets": "sesame-7141"}),
            "an object is expected",
        ),
        (
            json!({"connection": "a", "base_url": origin, "secrets": {"other": "sesame-7141"}}),
            "has no use for a secret",
        ),
        (
            json!({"connection": "a", "base_url": origin, "secrets": {"token": null}}),
            "none to remove",
        ),
        (
            json!({"connection": "a", "base_url": origin, "nonsense": 1}),
            "nonsense",
        ),
        (
            json!({"connection": "a", "base_url": origin, "metadata": {"x": "y".repeat(70_000)}}),
            "metadata",
        ),
    ];
    for (body, said) in rows {
        let answer = served.call("POST", ALL).json(&body).send();
        let problem = expect_problem(&answer, "invalid-request", 400);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(said), "{body}: {problem}");
        assert!(!problem.to_string().contains("7141"), "{problem}");
    }
    let bad_json = served
        .call("POST", ALL)
        .body("application/json", b"{")
        .send();
    expect_problem(&bad_json, "invalid-request", 400);
    let not_json = served.call("POST", ALL).body("text/plain", b"{}").send();
    expect_problem(&not_json, "wrong-media-type", 415);
    let bad_path = served
        .call("GET", "/v1/integrations/a%20b/connections")
        .send();
    expect_problem(&bad_path, "invalid-request", 400);
    let no_integration = served
        .call("GET", "/v1/integrations/nothing/connections")
        .send();
    let problem = expect_problem(&no_integration, "not-found", 404);
    assert!(
        problem["hint"].as_str().unwrap().contains("acts"),
        "{problem}"
    );
}
