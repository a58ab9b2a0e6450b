//! API keys: every route refuses a missing, wrong, expired, revoked and too narrow one; rates; the command.

use serde_json::{Value, json};

use super::document::operations;
use super::{Served, expect_problem, make_key, serve};
use crate::support::cli::{INVALID, NOT_FOUND, Tidegate};
use crate::support::{PATIENCE, wait_until};

/// Routes that everybody may ask.
const OPEN: [&str; 6] = [
    "/livez",
    "/readyz",
    "/v1/openapi.json",
    "/v1/docs",
    "/v1/docs/",
    "/v1/docs/{file}",
];

/// A target that fits a path of the document.
fn target(path: &str) -> String {
    let mut target = path.to_owned();
    for (name, value) in [
        ("{integration}", "crm"),
        ("{connection}", "acme"),
        ("{model}", "Contact"),
        ("{action}", "echo"),
        ("{sync}", "contacts"),
        ("{run}", "run_01JD3A80000000000000000000"),
        ("{job}", "job_01JD3A80000000000000000000"),
        ("{schedule}", "sch_01JD3A80000000000000000000"),
        ("{endpoint}", "ep_01JD3A80000000000000000000"),
        ("{id}", "key_01JD3A80000000000000000000"),
        ("{path}", "x"),
        ("{file}", "x"),
    ] {
        target = target.replace(name, value);
    }
    assert!(
        !target.contains('{'),
        "the test knows no value for a part of {path}"
    );
    target
}

#[test]
fn every_route_refuses_whom_it_must() {
    let tidegate = Tidegate::new();
    let read = make_key(&tidegate, "read", "--rate-limit 100000/1s");
    let trigger = make_key(&tidegate, "trigger", "--rate-limit 100000/1s");
    let expired = make_key(&tidegate, "manage", "--expires-in 1ms");
    let revoked = make_key(&tidegate, "manage", "");
    let listed = tidegate.cmd("api-keys list --json").ok().lines();
    let id = listed.last().unwrap()["id"].as_str().unwrap().to_owned();
    tidegate.cmd(&format!("api-keys revoke {id}")).ok();
    // So many requests without a key come from nobody else.
    let served = Served::start_with(tidegate, "--limit api_keyless_burst=100000");
    let document = served.bare("GET", "/v1/openapi.json").ok(200);

    let mut guarded = 0;
    for (path, method, operation) in operations(&document) {
        let security = operation["security"].as_array().unwrap_or_else(|| {
            panic!("{method} {path} does not say who may ask it");
        });
        let method = method.to_uppercase();
        let target = target(path);
        if OPEN.contains(&path) {
            assert!(security.is_empty(), "{method} {path}");
            let answer = served.bare(&method, &target).send();
            assert_ne!(answer.status, 401, "{method} {path}");
            continue;
        }
        let scope = security[0]["api_key"][0].as_str().unwrap_or_else(|| {
            panic!("{method} {path} is open to everybody, and not one of {OPEN:?}");
        });
        guarded += 1;
        let refused = |key: Option<&str>, status: u16, slug: &str| {
            let call = served.bare(&method, &target);
            let call = match key {
                Some(key) => call.key(key),
                None => call,
            };
            let answer = call.send();
            let place = format!("{method} {path} {slug}");
            assert_eq!(
                answer.status,
                status,
                "{place}: {}",
                String::from_utf8_lossy(&answer.body)
            );
            if method != "HEAD" {
                expect_problem(&answer, slug, status);
            }
            let challenge = answer.header("www-authenticate").is_some();
            assert_eq!(challenge, status == 401, "{place}");
        };
        let wrong = format!("tgk_{}", "A".repeat(43));
        refused(None, 401, "unauthenticated");
        for key in [&wrong, &expired, &revoked, "", "tgk_", "Bearer"] {
            refused(Some(key), 401, "unauthenticated");
        }
        let narrow: &[&str] = match scope {
            "read" => &[&trigger],
            "trigger" => &[&read],
            "manage" => &[&read, &trigger],
            other => panic!("{method} {path} needs the unknown scope {other}"),
        };
        for key in narrow {
            refused(Some(key), 403, "narrow-scope");
        }
        let enough = match scope {
            "read" => &read,
            "trigger" => &trigger,
            _ => &served.manage,
        };
        let answer = served.bare(&method, &target).key(enough).send();
        assert!(
            ![401, 403].contains(&answer.status),
            "{method} {path}: {}",
            answer.status
        );
    }
    assert!(guarded > 25, "{guarded} routes");
}

/// A key that may not read learns from a typo that it is one, and not what there is.
#[test]
fn hints_name_what_is_there_to_who_may_read() {
    let tidegate = Tidegate::new();
    tidegate.deploy(&crate::actions::acts(), "acts", "http://127.0.0.1:1");
    tidegate.connect("acts", "globex", "http://127.0.0.1:1");
    let trigger = make_key(&tidegate, "trigger", "");
    let both = make_key(&tidegate, "trigger", "--scope read");
    let served = Served::start(tidegate);
    // (method, what is asked, what a hint would name)
    let rows = [
        ("POST", "nothing/connections/globex/actions/echo", "acts"),
        ("POST", "acts/connections/nobody/actions/echo", "globex"),
        ("POST", "acts/connections/globex/actions/nothing", "create"),
        ("POST", "nothing/connections/globex/syncs/x/trigger", "acts"),
        ("POST", "acts/connections/nobody/syncs/x/trigger", "globex"),
        ("POST", "acts/connections/nobody/test", "globex"),
        ("GET", "acts/connections/nobody/proxy/x", "globex"),
    ];
    for (method, target, name) in rows {
        let call = served.bare(method, &format!("/v1/integrations/{target}"));
        let call = call.json(&json!({}));
        let told = expect_problem(&call.clone().key(&trigger).send(), "not-found", 404);
        assert_eq!(told["hint"], Value::Null, "{target}: {told}");
        assert!(!told.to_string().contains(name), "{target}: {told}");
        for key in [&both, &served.manage] {
            let told = expect_problem(&call.clone().key(key).send(), "not-found", 404);
            let hint = told["hint"].as_str().unwrap_or_default();
            assert!(hint.contains(name), "{target}: {told}");
        }
    }
    // Other hints are for everybody.
    let missing = "/v1/runs/run_01JD3A80000000000000000000/cancel";
    let answer = served.bare("POST", missing).key(&trigger).send();
    let told = expect_problem(&answer, "not-found", 404);
    assert!(told["hint"].is_string(), "{told}");
    // This machine's commands may see everything.
    served
        .tidegate
        .cmd("invoke acts/echo --connection nobody")
        .refused(NOT_FOUND, &["globex"]);
}

#[test]
fn a_key_asks_no_faster_than_its_rate() {
    let tidegate = Tidegate::new();
    let slow = make_key(&tidegate, "read", "--rate-limit 3/1h");
    let served = Served::start(tidegate);
    let ask = || served.bare("GET", "/v1/integrations").key(&slow).send();
    // Without a burst one goes, and the next in 20 minutes.
    assert_eq!(ask().status, 200);
    let refused = ask();
    expect_problem(&refused, "rate-limited", 429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1100..=1200).contains(&wait), "{wait}");
    // Others are not held up.
    served.get("/v1/integrations");

    let burst = served.post(
        "/v1/api-keys",
        &json!({"name": "x", "scopes": ["read"], "rate_limit": {"requests": 4, "per_ms": 3_600_000, "burst": 4}}),
        201,
    );
    let key = burst["api_key"].as_str().unwrap();
    let ask = || {
        served
            .bare("GET", "/v1/integrations")
            .key(key)
            .send()
            .status
    };
    assert_eq!(
        [ask(), ask(), ask(), ask(), ask()],
        [200, 200, 200, 200, 429]
    );
}

#[test]
fn keys_by_the_api() {
    let served = Served::start(Tidegate::new());
    let new = json!({"name": "reader", "scopes": ["read", "trigger"], "expires_in": 3600});
    let made = served.post("/v1/api-keys", &new, 201);
    let key = made["api_key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("tgk_"), "{made}");
    let listed = served.get("/v1/api-keys");
    let shown = &listed["api_keys"][1];
    assert_eq!(shown["scopes"], json!(["read", "trigger"]), "{listed}");
    assert!(!listed.to_string().contains(&key[4..]), "{listed}");

    let read = || served.bare("GET", "/v1/runs").key(&key).send();
    assert_eq!(read().status, 200);
    let used = || served.get("/v1/api-keys")["api_keys"][1]["last_used_at"].clone();
    wait_until("its use to be written down", PATIENCE, || {
        used().is_string().then_some(())
    });
    let id = shown["id"].as_str().unwrap();
    served.call("DELETE", &format!("/v1/api-keys/{id}")).ok(204);
    expect_problem(&read(), "unauthenticated", 401);
    let again = served.call("DELETE", &format!("/v1/api-keys/{id}")).send();
    expect_problem(&again, "not-found", 404);

    for bad in [
        json!({"name": "", "scopes": ["read"]}),
        json!({"name": "x", "scopes": []}),
        json!({"name": "x", "scopes": ["admin"]}),
        json!({"name": "x", "scopes": ["read"], "expires_in": 0}),
        json!({"name": "x", "scopes": ["read"], "admin": true}),
    ] {
        let answer = served.call("POST", "/v1/api-keys").json(&bad).send();
        expect_problem(&answer, "invalid-request", 400);
    }
}

#[test]
fn keys_by_the_command_are_shown_once() {
    let tidegate = Tidegate::new();
    let made = tidegate
        .cmd("api-keys create --name reader --scope read --scope trigger --expires-in 90d")
        .ok();
    let key = made.stdout.trim();
    assert!(key.starts_with("tgk_") && key.len() == 47, "{key}");
    let listed = tidegate.cmd("api-keys list --json").ok();
    let shown: Vec<Value> = listed.lines();
    assert_eq!(shown[0]["scopes"], json!(["read", "trigger"]));
    assert!(shown[0]["expires_at"].is_string());
    // The key is nowhere in the data directory.
    let mut found = 0;
    for entry in walk(&tidegate.data()) {
        let bytes = std::fs::read(&entry).unwrap();
        found += usize::from(bytes.windows(43).any(|part| part == &key.as_bytes()[4..]));
    }
    assert_eq!(found, 0);
    tidegate
        .cmd("api-keys create --name x --scope admin")
        .refused(INVALID, &["read, trigger and manage"]);
    tidegate
        .cmd("api-keys revoke key_01JD3A8000000000000000000A")
        .refused(NOT_FOUND, &["tidegate api-keys list"]);
    let id = shown[0]["id"].as_str().unwrap();
    tidegate.cmd(&format!("api-keys revoke {id}")).ok();
    assert_eq!(
        tidegate.cmd("api-keys list --json").ok().lines(),
        Vec::<Value>::new()
    );
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let nested = entries.map(|path| match path.is_dir() {
        true => walk(&path),
        false => vec![path],
    });
    nested.flatten().collect()
}

#[test]
fn nobody_else_reaches_a_server_without_a_key() {
    let tidegate = Tidegate::new();
    let refused = |address: &str| {
        tidegate
            .cmd(&format!("serve --listen {address}"))
            .refused(INVALID, &["no API key", "tidegate api-keys create"]);
    };
    refused("0.0.0.0:0");
    refused("[::]:0");
    make_key(&tidegate, "read", "");
    let cmd = tidegate.cmd("serve --listen 0.0.0.0:0").start();
    cmd.wait_for_url();
    drop(cmd);
    let (_running, address) = serve(&tidegate, "");
    assert!(address.ip().is_loopback());
}
