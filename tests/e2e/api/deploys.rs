//! Integrations by the API: uploaded, planned, deployed, rolled back.

use serde_json::{Value, json};

use super::{Served, expect_problem};
use crate::support::cli::{CONFLICT, PLUGIN, Tidegate};
use crate::support::plugins;

fn upload(served: &Served, component: &std::path::Path, name: &str) -> String {
    let bytes = std::fs::read(component).unwrap();
    let uploaded = served
        .call("POST", "/v1/components")
        .body("application/wasm", &bytes)
        .ok(200);
    assert_eq!(uploaded["bytes"], bytes.len());
    assert_eq!(uploaded["manifest"]["name"], name, "{uploaded}");
    uploaded["digest"].as_str().unwrap().to_owned()
}

const CRM: &str = "/v1/integrations/crm";

#[test]
fn uploaded_planned_deployed_and_rolled_back() {
    let served = Served::start(Tidegate::new());
    let old = upload(&served, &plugins::demo_crm(), "demo-crm");
    assert_eq!(upload(&served, &plugins::demo_crm(), "demo-crm"), old);
    let next = upload(&served, &plugins::demo_crm_next(), "demo-crm-next");
    let body = json!({
        "component": old, "config": {"x": 1},
        "grants": {"hosts": ["http://127.0.0.1:1"], "private": ["127.0.0.0/8"], "limits": {"memory_bytes": 100_000_000}},
    });
    let plan = served.post(&format!("{CRM}/plan"), &body, 200);
    assert_eq!(plan["version"], "0.1.0", "{plan}");
    assert_eq!(plan["missing"], json!([]), "{plan}");
    expect_problem(&served.call("GET", CRM).send(), "not-found", 404);

    let deployed = served.call("PUT", CRM).json(&body).ok(200);
    assert_eq!(deployed["deployment"], 1, "{deployed}");
    assert_eq!(deployed["previous_version"], Value::Null);
    // The same again changes nothing.
    assert_eq!(served.call("PUT", CRM).json(&body).ok(200)["deployment"], 1);
    // Grants and config that are not given stay.
    let upgraded = served
        .call("PUT", CRM)
        .json(&json!({"component": next}))
        .ok(200);
    assert_eq!(upgraded["deployment"], 2, "{upgraded}");
    assert_eq!(upgraded["previous_version"], "0.1.0");
    assert_eq!(upgraded["grants"]["hosts"], body["grants"]["hosts"]);
    // Grants alone.
    let granted = served
        .call("PUT", CRM)
        .json(&json!({"grants": {"hosts": []}}))
        .ok(200);
    assert_eq!(
        (&granted["deployment"], &granted["digest"]),
        (&json!(3), &json!(next))
    );

    let shown = served.get(CRM);
    assert_eq!(shown["manifest"]["version"], "0.2.0", "{shown}");
    let earlier = |shown: &Value| -> Vec<u64> {
        let all = shown["earlier"].as_array().unwrap().iter();
        all.map(|one| one["deployment"].as_u64().unwrap()).collect()
    };
    assert_eq!(earlier(&shown), [2, 1]);
    let back = served.post(&format!("{CRM}/rollback"), &json!({"to": 1}), 200);
    assert_eq!(
        (&back["deployment"], &back["digest"]),
        (&json!(4), &json!(old))
    );
    assert_eq!(back["config"], json!({"x": 1}));
    let before = served.post(&format!("{CRM}/rollback"), &json!({}), 200);
    assert_eq!(before["digest"], json!(next), "{before}");
    let none = served
        .call("POST", &format!("{CRM}/rollback"))
        .json(&json!({"to": 99}))
        .send();
    expect_problem(&none, "conflict", 409);
    assert_eq!(
        served.get("/v1/integrations")["integrations"][0]["integration"],
        "crm"
    );
}

#[test]
fn what_is_no_plugin_is_refused() {
    let served = Served::start(Tidegate::new());
    for bytes in [&b""[..], b"hello", b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0"] {
        let answer = served
            .call("POST", "/v1/components")
            .body("application/wasm", bytes)
            .send();
        expect_problem(&answer, "bad-plugin", 422);
    }
    let digest = "00".repeat(32);
    let unknown = served
        .call("PUT", CRM)
        .json(&json!({"component": digest}))
        .send();
    let problem = expect_problem(&unknown, "not-found", 404);
    assert!(
        problem["hint"].as_str().unwrap().contains("/v1/components"),
        "{problem}"
    );
    for bad in [
        json!({"component": "x"}),
        json!({"grants": {"hosts": ["nonsense"]}}),
        json!({"grants": {"unknown": 1}}),
        json!({"grants": {"rate_limit": {"requests": 0, "per_ms": 1}}}),
    ] {
        let answer = served.call("PUT", CRM).json(&bad).send();
        expect_problem(&answer, "invalid-request", 400);
    }
}

#[test]
fn a_server_for_signed_components_takes_none() {
    let served = Served::start_with(Tidegate::new(), "--require-signature");
    let answer = served
        .call("POST", "/v1/components")
        .body("application/wasm", b"x")
        .send();
    expect_problem(&answer, "forbidden", 403);
}

#[test]
fn rolled_back_by_the_command() {
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::demo_crm(), "crm", "http://127.0.0.1:1");
    tidegate
        .cmd("rollback crm")
        .refused(CONFLICT, &["no earlier deployment"]);
    tidegate.deploy(&plugins::demo_crm_next(), "crm", "http://127.0.0.1:1");
    let back = tidegate.cmd("rollback crm --json").ok().json();
    assert_eq!(back["deployment"], 3, "{back}");
    assert_eq!(
        (&back["version"], &back["previous_version"]),
        (&json!("0.1.0"), &json!("0.2.0"))
    );
    let said = tidegate.cmd("rollback crm --to 2").ok().stdout;
    assert!(said.contains("from version 0.1.0 to 0.2.0"), "{said}");
    tidegate
        .cmd("rollback crm --to 7")
        .refused(CONFLICT, &["no deployment 7", "3, 2, 1"]);
}

#[test]
fn a_signature_is_required_of_components_that_are_here_already() {
    let tidegate = Tidegate::new();
    let folder = tempfile::TempDir::new().unwrap();
    let minisign::KeyPair { pk, sk } = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let component = folder.path().join("crm.wasm");
    std::fs::copy(plugins::demo_crm(), &component).unwrap();
    let bytes = std::fs::File::open(&component).unwrap();
    let signature = minisign::sign(None, &sk, bytes, Some("build 7"), None).unwrap();
    std::fs::write(
        folder.path().join("crm.wasm.minisig"),
        signature.into_string(),
    )
    .unwrap();

    let deploy =
        |component: &std::path::Path| tidegate.cmd("deploy --as crm --yes --json").arg(component);
    let unsigned = deploy(&plugins::demo_crm_next()).ok().json();
    let signed = deploy(&component)
        .words("--require-signature --trusted-key")
        .arg(pk.to_base64());
    let signed = signed.ok().json();
    assert_eq!(signed["signed_by"], pk.to_base64(), "{signed}");

    let served = Served::start_with(tidegate, "--require-signature");
    let says = "was never deployed with a signature";
    for (method, target, body) in [
        (
            "PUT",
            "/v1/integrations/other",
            json!({"component": unsigned["digest"]}),
        ),
        (
            "POST",
            "/v1/integrations/other/plan",
            json!({"component": unsigned["digest"]}),
        ),
        ("POST", "/v1/integrations/crm/rollback", json!({})),
    ] {
        let answer = served.call(method, target).json(&body).send();
        let problem = expect_problem(&answer, "bad-plugin", 422);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{method} {target}: {detail}");
    }
    let rollback = served.tidegate.cmd("rollback crm");
    rollback.refused(PLUGIN, &[says]);
    let other = served.call("PUT", "/v1/integrations/other");
    let other = other.json(&json!({"component": signed["digest"]})).ok(200);
    assert_eq!(other["signed_by"], signed["signed_by"], "{other}");
    // What changes nothing of the component is still there to be changed.
    let crm = json!({"grants": {"hosts": []}});
    served.call("PUT", CRM).json(&crm).ok(200);
}

#[test]
fn every_host_is_granted_by_its_own_name_only() {
    let served = Served::start(Tidegate::new());
    let component = upload(&served, &plugins::demo_crm(), "demo-crm");
    let put = |grants: Value| {
        let body = json!({"component": component, "grants": grants});
        served.call("PUT", CRM).json(&body).send()
    };
    for kind in ["hosts", "token_hosts"] {
        let answer = put(json!({ kind: ["https://api.example.com", "https://*"] }));
        let problem = expect_problem(&answer, "invalid-request", 400);
        assert!(
            problem["detail"].as_str().unwrap().contains("any_host"),
            "{problem}"
        );
    }
    let hosts = |grants| put(grants).json()["grants"]["hosts"].clone();
    let own = "https://api.example.com";
    assert_eq!(
        hosts(json!({"hosts": [own], "any_host": true})),
        json!([own, "https://*"])
    );
    assert_eq!(hosts(json!({"hosts": [own]})), json!([own]));
    assert_eq!(hosts(json!({"any_host": true})), json!(["https://*"]));
    assert_eq!(
        hosts(json!({"any_host": false})),
        json!(["https://*"]),
        "nothing was given"
    );
    // Ranges that no grant opens.
    for range in [
        "169.254.169.254/32",
        "fe80::/10",
        "8.8.8.0/24",
        "224.0.0.0/4",
    ] {
        let answer = put(json!({"private": [range]}));
        let problem = expect_problem(&answer, "invalid-request", 400);
        assert!(
            problem["detail"].as_str().unwrap().contains("no effect"),
            "{problem}"
        );
    }
    for range in ["10.0.0.0/8", "127.0.0.1/32", "192.0.0.0/4", "fd00::/8"] {
        assert_eq!(put(json!({"private": [range]})).status, 200, "{range}");
    }
}
