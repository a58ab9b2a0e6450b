//! Looking after the data by the API, and the master keys.

use serde_json::{Value, json};

use super::client::Call;
use super::{Served, expect_problem, make_key};
use crate::support::cli::{PLUGIN, Tidegate};
use crate::support::crm::{changing, synced_twice};
use crate::support::plugins;

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

/// An export with a component, which `changed` may have changed.
fn export(tidegate: &Tidegate, changed: impl Fn(&mut Value)) -> String {
    let export = tidegate.cmd("data export").ok().stdout;
    let lines = export.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        changed(&mut line);
        format!("{line}\n")
    });
    lines.collect()
}

#[test]
fn an_import_starts_what_starts_by_itself() {
    let server = changing();
    let tidegate = synced_twice(&server);
    let deploy = tidegate.cmd("deploy").arg(plugins::demo_crm());
    deploy.words("--as crm --yes --auto-start").ok();
    let export = export(&tidegate, |_| {});
    let other = Served::start(Tidegate::new());
    let import = other.call("POST", "/v1/data/import");
    import
        .body("application/x-ndjson", export.as_bytes())
        .ok(200);
    let schedules = other.get("/v1/schedules");
    assert_eq!(
        schedules["schedules"].as_array().unwrap().len(),
        2,
        "{schedules}"
    );
}

#[test]
fn an_import_brings_no_component_that_a_deploy_would_not() {
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::demo_crm(), "crm", "http://127.0.0.1:1");
    let whole = export(&tidegate, |_| {});
    // Of "no plugin".
    let digest = "97c3e8c0a5f53fba121012a971cd22f8455db6319dd8f0be32b0401642cd93d8";
    let junk = export(&tidegate, |line| {
        if line["type"] == "component" {
            *line = json!({"type": "component", "digest": digest, "piece": 0, "pieces": 1, "base64": "bm8gcGx1Z2lu"});
        }
        if line["type"] == "integration" {
            line["integration"]["current"]["digest"] = json!(digest);
        }
    });
    for (options, export, says) in [
        ("", &junk, "bad-plugin"),
        ("--require-signature", &whole, "bad-plugin"),
    ] {
        let served = Served::start_with(Tidegate::new(), options);
        let import = |export: &str| {
            let call = served.call("POST", "/v1/data/import");
            call.body("application/x-ndjson", export.as_bytes()).send()
        };
        expect_problem(&import(export), says, 422);
        assert_eq!(served.get("/v1/integrations")["integrations"], json!([]));
        // By the command it is the same.
        let command = served.tidegate.cmd("data import --yes").stdin(export);
        command.refused(PLUGIN, &[]);
    }
    let other = Tidegate::new();
    let words = "data import --yes --require-signature";
    other
        .cmd(words)
        .stdin(&whole)
        .refused(PLUGIN, &["signature"]);
    // That it is there already says nothing of who signed it.
    other.deploy(&plugins::demo_crm(), "crm2", "http://127.0.0.1:1");
    other
        .cmd(words)
        .stdin(&whole)
        .refused(PLUGIN, &["never deployed with a signature"]);
}

/// A server with a connection that has a secret.
fn sealed() -> Served {
    let tidegate = Tidegate::new();
    tidegate.deploy(&crate::actions::acts(), "acts", "http://127.0.0.1:1");
    let served = Served::start(tidegate);
    let new =
        json!({"connection": "acme", "base_url": "http://127.0.0.1:1", "secrets": {"token": "x"}});
    served.post("/v1/integrations/acts/connections", &new, 201);
    served
}

#[test]
fn master_keys_are_rotated() {
    let served = sealed();
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

#[test]
fn a_master_key_of_the_servers_environment_is_not_rotated_behind_its_back() {
    const KEY: &str = "Fwh9EUOE20CvzSTZ4BoW1GrDnUPNeaM1dQ7KvUbQyKU=";
    const NEXT: &str = "2nqhQfx0mNKTULd3XbrsGI3g5e1hn3S3oVYpT0YtMRM=";
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::demo_crm(), "crm", "http://127.0.0.1:1");
    let words = "connections add crm acme --base-url http://127.0.0.1:1 --secret token=env:TOKEN";
    let add = tidegate.cmd(words).env("TOKEN", "t");
    add.env("TIDEGATE_MASTER_KEY", KEY).ok();
    let manage = make_key(&tidegate, "manage", "");
    for (next, status) in [(None, 409), (Some(NEXT), 200)] {
        let serve = tidegate.cmd("serve --listen 127.0.0.1:0");
        let mut serve = serve.env("TIDEGATE_MASTER_KEY", KEY);
        if let Some(next) = next {
            serve = serve.env("TIDEGATE_MASTER_KEY_NEXT", next);
        }
        let running = serve.start();
        let url = running.wait_for_url();
        let address = url.split_once("://").unwrap().1.parse().unwrap();
        let rotate = Call::new(address, "POST", "/v1/master-keys/rotate").key(&manage);
        let answer = rotate.json(&json!({})).send();
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{said}");
        assert_eq!(
            said.contains("TIDEGATE_MASTER_KEY_NEXT"),
            next.is_none(),
            "{said}"
        );
        running.signal(rustix::process::Signal::TERM);
        running.finish();
    }
}

/// A master key, and not the one of the directory.
const OTHER_KEY: &str = "ea582cLHm7xbXF4QAE3OCA4lwdCT6x+CpLEd9mejn4A=";

#[test]
fn what_another_master_key_sealed_is_the_operators_turn() {
    let served = sealed();
    let sealed = served.get("/v1/master-keys")["keys"][0]["key"].clone();
    let sealed = sealed.as_str().unwrap();
    let data = served.tidegate.data();
    let file = data.join("master.key");
    let proxy = "/v1/integrations/acts/connections/acme/proxy/x";
    // (what is in the key's file now, what a problem says of it)
    let rows: [(Option<String>, &str); 4] = [
        (Some(OTHER_KEY.to_owned()), "wrong master key"),
        (
            Some(format!("{}A=", "B".repeat(42))),
            "its bytes are not random",
        ),
        (Some("nonsense".to_owned()), "32 bytes in base64"),
        (None, "is missing"),
    ];
    for (text, says) in rows {
        std::fs::remove_file(&file).unwrap();
        if let Some(text) = &text {
            std::fs::write(&file, text).unwrap();
        }
        let problem = expect_problem(&served.call("GET", proxy).send(), "refused", 409);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{problem}");
        // It tells nothing of the machine.
        let folder = data.to_str().unwrap();
        assert!(!problem.to_string().contains(folder), "{problem}");
    }

    std::fs::write(&file, OTHER_KEY).unwrap();
    let rotate = |body: &Value| {
        let call = served.call("POST", "/v1/master-keys/rotate");
        call.json(body).send()
    };
    let problem = expect_problem(&rotate(&json!({})), "refused", 409);
    let errors = problem["errors"].to_string();
    for part in ["acts/acme", "wrong master key", sealed] {
        assert!(errors.contains(part), "{part}: {problem}");
    }
    let hint = problem["hint"].as_str().unwrap();
    for part in ["--skip-unreadable", "\"skip_unreadable\": true"] {
        assert!(hint.contains(part), "{problem}");
    }
    let folder = data.to_str().unwrap();
    assert!(!problem.to_string().contains(folder), "{problem}");
    let rotated = rotate(&json!({"skip_unreadable": true})).json();
    assert_eq!(
        rotated["skipped"],
        json!([{"integration": "acts", "connection": "acme"}]),
        "{rotated}"
    );
}
