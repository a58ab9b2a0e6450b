//! Looking after the data by the API, and the master keys.

use serde_json::{Value, json};

use super::{Served, expect_problem};
use crate::support::cli::Tidegate;
use crate::support::crm::{changing, synced_twice};

#[test]
fn measured_checked_pruned_exported_dropped_and_imported() {
    let server = changing();
    let served = Served::start(synced_twice(&server));
    let stats = served.get("/v1/data/stats");
    assert_eq!(stats["total"]["live"], 3, "{stats}");
    let report = served.call("POST", "/v1/data/check").ok(200);
    assert_eq!(report["wrong"], 0, "{report}");
    let compacted = served.call("POST", "/v1/data/compact").ok(200);
    assert!(compacted["disk_bytes_after"].is_u64(), "{compacted}");

    let export = |query: &str| {
        served
            .call("GET", &format!("/v1/data/export{query}"))
            .send()
    };
    let all = export("");
    assert_eq!(all.header("content-type"), Some("application/x-ndjson"));
    let lines = String::from_utf8(all.body.clone()).unwrap();
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert!(lines.lines().count() > 5, "{last}");
    let model = export("?integration=crm&connection=acme&model=Contact").body;
    assert!(model.len() < all.body.len());
    expect_problem(&export("?connection=acme"), "invalid-request", 400);
    expect_problem(&export("?integration=nothing"), "not-found", 404);

    let key =
        json!({"integration": "crm", "connection": "acme", "model": "Contact", "older_than": 0});
    let pruned = served.post("/v1/data/prune", &key, 200);
    assert_eq!(pruned["records"], 4, "{pruned}");
    let import = |body: &[u8]| {
        served
            .call("POST", "/v1/data/import")
            .body("application/x-ndjson", body)
            .send()
    };
    expect_problem(&import(&all.body), "conflict", 409);
    let dropped = served.post("/v1/data/drop", &json!({"integration": "crm"}), 200);
    assert_eq!(
        (&dropped["connections"], &dropped["records"]),
        (&json!(1), &json!(4)),
        "{dropped}"
    );
    expect_problem(
        &import(&all.body[..all.body.len() / 2]),
        "invalid-request",
        400,
    );
    expect_problem(&import(b"nonsense"), "invalid-request", 400);
    let imported = import(&all.body).json();
    assert_eq!(imported["records"], 4, "{imported}");
    let records = "/v1/integrations/crm/connections/acme/models/Contact/records";
    assert_eq!(served.get(records)["records"].as_array().unwrap().len(), 4);
    for body in [
        json!({}),
        json!({"integration": "crm", "model": "Contact"}),
        json!({"integration": "crm", "x": 1}),
    ] {
        let answer = served.call("POST", "/v1/data/drop").json(&body).send();
        expect_problem(&answer, "invalid-request", 400);
    }
}

#[test]
fn master_keys_are_rotated() {
    let tidegate = Tidegate::new();
    tidegate.deploy(&crate::actions::acts(), "acts", "http://127.0.0.1:1");
    let served = Served::start(tidegate);
    let new =
        json!({"connection": "acme", "base_url": "http://127.0.0.1:1", "secrets": {"token": "x"}});
    served.post("/v1/integrations/acts/connections", &new, 201);
    let before = served.get("/v1/master-keys");
    assert_eq!(before["keys"][0]["connections"], 1, "{before}");
    let rotated = served.post("/v1/master-keys/rotate", &json!({}), 200);
    assert_eq!(rotated["from"], before["keys"][0]["key"], "{rotated}");
    let after = served.get("/v1/master-keys");
    assert_eq!(after["keys"][0]["key"], rotated["to"], "{after}");
    let bad = served
        .call("POST", "/v1/master-keys/rotate")
        .json(&json!({"to": 7141}))
        .send();
    let problem = expect_problem(&bad, "invalid-request", 400);
    assert!(!problem.to_string().contains("7141"), "{problem}");
}
