//! Manifests that are accepted, and those that are refused with the place named.

use super::*;
use serde_json::json;

fn good() -> Value {
    json!({
        "manifest": 1, "name": "crm", "version": "0.1.0",
        "syncs": [
            {"name": "contacts", "models": ["Contact"], "schedule": {"every": "1h"}},
            {"name": "*", "models": ["*"], "each": "/models", "schedule": {"cron": "@daily", "timezone": "Europe/Berlin"}},
        ],
        "actions": [
            {"name": "create", "models": ["Contact", "*"]},
            {"name": "*", "each": "/acts", "models": ["*"]},
        ],
        "models": [{"name": "Contact"}],
        "capabilities": {"hosts": ["base-url", "https://*.example.com"], "feeds": ["config", "a/B"],
            "rate_limit": {"requests": 60, "per_ms": 60000, "burst": 5}},
        "auth": [
            {"kind": "bearer", "token": "token"},
            {"kind": "header", "name": {"config": "/auth/header", "default": "X-Key"}, "value": "key"},
        ],
    })
}

#[test]
fn a_good_manifest_keeps_its_meaning() {
    let manifest = Manifest::parse(&good().to_string()).unwrap();
    let again = Manifest::parse(&serde_json::to_string(&manifest).unwrap()).unwrap();
    assert_eq!(again, manifest);
    let rate = manifest.capabilities.rate_limit.unwrap();
    assert_eq!(
        (rate.to_string(), rate.burst()),
        ("60/60000ms burst 5".to_owned(), 5)
    );
    let config = json!({"models": {"issues": {}, "bad name": {}}, "acts": {"close": 1, "a/b": 2}, "auth": {"header": "X-Mine"}});
    let config = config.as_object().unwrap();
    let names: Vec<String> = manifest
        .syncs_for(config)
        .iter()
        .map(|s| s.name.to_string())
        .collect();
    assert_eq!(names, ["contacts", "issues"]);
    assert_eq!(manifest.bad_each_keys(config), ["bad name", "a/b"]);
    let actions = manifest.actions_for(config);
    let models: Vec<(&str, usize)> = actions
        .iter()
        .map(|action| (action.name.as_str(), action.models.len()))
        .collect();
    assert_eq!(models, [("create", 2), ("close", 2)]);
    assert_eq!(manifest.actions_for(&Map::new()).len(), 1);
    let auth = manifest.auth_for(|secret| secret == "key").unwrap();
    let Auth::Header { name, .. } = auth else {
        panic!("{auth:?}")
    };
    assert_eq!(name.resolve(config), "X-Mine");
    assert_eq!(name.resolve(&Map::new()), "X-Key");
}

#[test]
fn bad_manifests_name_the_place() {
    let mut rows: Vec<(Value, &str)> = Vec::new();
    for (pointer, value, message) in [
        ("/manifest", json!(2), "version 2"),
        ("/name", json!("a b"), "at name"),
        ("/version", json!("one"), "at version"),
        ("/syncs/0/models", json!(["Person"]), "at syncs[0].models"),
        ("/syncs/0/models", json!([]), "at least one model"),
        ("/syncs/0/name", json!("*"), "twice"),
        ("/syncs/1/each", json!("models"), "JSON pointer"),
        ("/syncs/1/name", json!("all"), "must be \"*\""),
        ("/actions/0/name", json!("a b"), "at actions[0].name"),
        ("/actions/1/name", json!("all"), "must be \"*\""),
        ("/actions/1/each", json!("acts"), "at actions[1].each"),
        (
            "/actions/1/models",
            json!(["Person"]),
            "at actions[1].models",
        ),
        (
            "/syncs/0/schedule",
            json!({"evry": "1h"}),
            "at syncs[0].schedule",
        ),
        ("/capabilities/hosts/0", json!("*"), "every host"),
        (
            "/capabilities/feeds/1",
            json!("nope"),
            "at capabilities.feeds[1]",
        ),
        (
            "/syncs/0/schedule",
            json!({"every": "5s"}),
            "at syncs[0].schedule",
        ),
        (
            "/syncs/1/schedule",
            json!({"cron": "0 0 30 2 *", "timezone": "UTC"}),
            "never due",
        ),
        (
            "/syncs/0/schedule",
            json!({"cron": "0 0 * * *", "timezone": "Mars/Olympus"}),
            "time zone",
        ),
        ("/auth/0/kind", json!("magic"), "magic"),
        ("/auth/0", json!({"kind": "template"}), "at auth[0]"),
        (
            "/auth/0",
            json!({"kind": "template", "headers": {"X-Key": "key"}}),
            "names no secret",
        ),
        (
            "/auth/0",
            json!({"kind": "template", "headers": {"X-Key": "{a}", "x-key": "{b}"}}),
            "twice",
        ),
    ] {
        let mut manifest = good();
        *manifest.pointer_mut(pointer).unwrap() = value;
        rows.push((manifest, message));
    }
    let mut manifest = good();
    manifest["hosts"] = json!([]);
    rows.push((manifest, "unknown field `hosts`"));
    let mut manifest = good();
    manifest["capabilities"]["limits"] = json!({"ram": 1});
    rows.push((manifest, "unknown limit"));
    for (path, message) in [
        ("config", "at config"),
        ("models", "at models[0].schema"),
        ("actions", "at actions[0].output"),
    ] {
        let mut manifest = good();
        match path {
            "config" => manifest["config"] = json!(1),
            "models" => manifest["models"][0]["schema"] = json!("object"),
            _ => manifest["actions"][0]["output"] = json!([]),
        }
        rows.push((manifest, message));
    }
    for (rate, message) in [
        (json!({"requests": 1}), "missing field `per_ms`"),
        (json!({"requests": 0, "per_ms": 1}), "at least 1"),
        (
            json!({"requests": 1, "per_ms": 1, "brust": 1}),
            "unknown field `brust`",
        ),
        (json!({"requests": 1, "per_ms": 86_400_001}), "a day"),
        (json!("1/1s"), "at capabilities.rate_limit"),
    ] {
        let mut manifest = good();
        manifest["capabilities"]["rate_limit"] = rate;
        rows.push((manifest, message));
    }
    for (manifest, message) in rows {
        let error = Manifest::parse(&manifest.to_string())
            .unwrap_err()
            .to_string();
        assert!(error.contains(message), "wanted {message:?} in {error}");
    }
    assert!(Manifest::parse("{").is_err());
    assert!(Manifest::parse(&"[".repeat(100_000)).is_err());
}
