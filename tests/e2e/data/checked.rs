//! An import is held to what holds for a deploy and for `connections add`, and grants nothing that nobody has seen.

use std::fs;

use serde_json::{Value, json};

use crate::support::cli::{CONFLICT, DATA_DIRECTORY, INVALID, PLUGIN, Tidegate};
use crate::support::crm::{contacts, reply};
use crate::support::plugins;
use crate::support::server::Server;

const SECRET: &str = "canary-5d41402abc4b2a76";

/// An API that wants the secret; it tells of whoever asks.
fn api() -> Server {
    Server::start(|request| match request.header("authorization") {
        Some(value) if value.contains(SECRET) => reply(&contacts(0..3, 1), None),
        _ => crate::support::server::Reply::status(401),
    })
}

fn connected(server: &Server) -> Tidegate {
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::demo_crm(), "crm", &server.origin());
    let words = format!(
        "connections add crm acme --base-url {}/v1 --secret token=env:T",
        server.origin()
    );
    tidegate.cmd(&words).env("T", SECRET).ok();
    tidegate
}

/// An export with `change` made to each line of a kind.
fn changed(tidegate: &Tidegate, kind: &str, change: &dyn Fn(&mut Value)) -> String {
    let export = tidegate.cmd("data export").ok().stdout;
    let lines = export.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if line["type"] == kind {
            change(&mut line);
        }
        format!("{line}\n")
    });
    lines.collect()
}

type Change = Box<dyn Fn(&mut Value)>;

#[test]
fn whatever_a_deploy_and_an_add_refuse_an_import_refuses() {
    let server = api();
    let tidegate = connected(&server);
    let current = |path: &'static str, value: Value| -> Change {
        Box::new(move |line| {
            *line["integration"]["current"].pointer_mut(path).unwrap() = value.clone();
        })
    };
    let connection = |member: &'static str, value: Value| -> Change {
        Box::new(move |line| line[member] = value.clone())
    };
    let long = "x".repeat(300 * 1024);
    // (what, kind of line, change, exit code, what is said)
    let rows: Vec<(&str, &str, Change, i32, &str)> = vec![
        (
            "every address",
            "integration",
            current("/grants/private", json!(["0.0.0.0/0", "::/0"])),
            INVALID,
            "would open every address",
        ),
        (
            "every address of one kind",
            "integration",
            current("/grants/private", json!(["::/0"])),
            INVALID,
            "would open every address",
        ),
        (
            "no limit",
            "integration",
            current("/grants/limits", json!({"nonsense": 1})),
            INVALID,
            "nonsense",
        ),
        (
            "a limit of nothing",
            "integration",
            current("/grants/limits", json!({"memory_bytes": 0})),
            INVALID,
            "memory_bytes",
        ),
        (
            "a long config",
            "integration",
            current("/config", json!({"a": long})),
            INVALID,
            "config",
        ),
        (
            "another manifest",
            "integration",
            current(
                "/manifest/capabilities/hosts",
                json!(["base-url", "http://169.254.169.254"]),
            ),
            PLUGIN,
            "the export was changed",
        ),
        (
            "another version",
            "integration",
            current("/manifest/version", json!("9.9.9")),
            PLUGIN,
            "the export was changed",
        ),
        (
            "another schema",
            "integration",
            current("/manifest/config", json!({})),
            PLUGIN,
            "the export was changed",
        ),
        (
            "credentials in a URL",
            "connection",
            connection("base_url", json!("http://u:p@127.0.0.1/")),
            INVALID,
            "credentials",
        ),
        (
            "a file",
            "connection",
            connection("base_url", json!("file:///etc/passwd")),
            INVALID,
            "http://",
        ),
        (
            "a query",
            "connection",
            connection("base_url", json!("http://127.0.0.1/?q=1")),
            INVALID,
            "query or fragment",
        ),
        (
            "a fragment",
            "connection",
            connection("base_url", json!("http://127.0.0.1/#f")),
            INVALID,
            "query or fragment",
        ),
        (
            "much metadata",
            "connection",
            connection("metadata", json!({"a": long})),
            INVALID,
            "metadata",
        ),
        (
            "a long external id",
            "connection",
            connection("external_id", json!("x".repeat(300))),
            INVALID,
            "external id",
        ),
        (
            "a forged tag",
            "connection",
            connection("tags", json!({"a": "x\ny"})),
            INVALID,
            "tag",
        ),
        (
            "another config",
            "connection",
            connection("config", json!({"page_size": "x"})),
            INVALID,
            "/page_size",
        ),
        (
            "an unknown secret",
            "connection",
            connection("secret_names", json!(["tokne"])),
            INVALID,
            "tokne",
        ),
        (
            "a secret's name twice",
            "connection",
            connection("secret_names", json!(["token", "token"])),
            INVALID,
            "twice",
        ),
        (
            "much sealed",
            "connection",
            connection("sealed_secrets", json!("A".repeat(1 << 20))),
            INVALID,
            "sealed secrets",
        ),
        (
            "nothing sealed",
            "connection",
            connection("sealed_secrets", json!("")),
            INVALID,
            "damaged",
        ),
        // Who can write a backup has no key, but would like to have what it seals.
        (
            "another origin",
            "connection",
            connection("base_url", json!("http://127.0.0.1:1/v1")),
            DATA_DIRECTORY,
            "the export was changed",
        ),
        (
            "another scheme",
            "connection",
            connection(
                "base_url",
                json!(server.origin().replace("http:", "https:")),
            ),
            DATA_DIRECTORY,
            "the export was changed",
        ),
    ];
    for (what, kind, change, code, says) in rows {
        let export = changed(&tidegate, kind, &*change);
        let other = Tidegate::new();
        let refused = other.cmd("data import --yes").stdin(&export).finish();
        assert_eq!(refused.code, Some(code), "{what}: {refused:?}");
        refused.expect_refusal(code, &["line ", says]);
        assert!(!refused.stderr.contains(&long), "{what}");
        assert!(
            other.cmd("integrations --json").ok().lines().is_empty(),
            "{what}"
        );
    }
    // Another path of the same origin is another path.
    let path = connection("base_url", json!(format!("{}/v2", server.origin())));
    let export = changed(&tidegate, "connection", &*path);
    let other = Tidegate::new();
    other.cmd("data import --yes").stdin(&export).ok();
    fs::copy(
        tidegate.data().join("master.key"),
        other.data().join("master.key"),
    )
    .unwrap();
    other.sync_ok("crm/contacts", "acme");
}

#[test]
fn what_it_grants_is_shown_and_asked() {
    let server = api();
    let tidegate = connected(&server);
    let grants =
        |line: &mut Value| line["integration"]["current"]["grants"]["hosts"] = json!(["https://*"]);
    let export = changed(&tidegate, "integration", &grants);
    let file = tidegate.data().join("../export.jsonl");
    fs::write(&file, &export).unwrap();
    let other = Tidegate::new();
    let asked = other.cmd("data import").arg(&file).finish();
    asked.expect_refusal(
        INVALID,
        &[
            "integration  crm",
            "host https://*",
            "private range 127.0.0.0/8",
            "--yes",
        ],
    );
    other
        .cmd("data import")
        .stdin(&export)
        .refused(INVALID, &["crm", "nobody has agreed", "--yes"]);
    assert!(other.cmd("integrations --json").ok().lines().is_empty());
    let done = other.cmd("data import --yes --json").arg(&file).ok().json();
    assert_eq!(
        done["granted"][0]["current"]["hosts"],
        json!(["https://*"]),
        "{done}"
    );
    // A connection by itself grants nothing, and is asked for nothing.
    let export = tidegate.cmd("data export crm -c acme").ok().stdout;
    other.cmd("data drop crm -c acme --yes").ok();
    other.cmd("data import").stdin(&export).ok();
}

/// Somebody has put other manifests and grants into what can be rolled back to.
#[test]
fn earlier_deployments_are_checked_too() {
    let server = api();
    let tidegate = connected(&server);
    let next = tidegate
        .cmd("deploy --as crm --yes")
        .arg(plugins::demo_crm_next());
    next.ok();
    let wide = |line: &mut Value| {
        line["integration"]["earlier"][0]["grants"]["private"] = json!(["0.0.0.0/0"]);
    };
    let forged = |line: &mut Value| {
        line["integration"]["earlier"][0]["manifest"]["capabilities"]["hosts"] =
            json!(["https://*"]);
    };
    let more = |line: &mut Value| {
        line["integration"]["earlier"][0]["grants"]["hosts"] = json!(["https://evil.example"]);
    };
    for (change, code, says) in [
        (
            &wide as &dyn Fn(&mut Value),
            INVALID,
            "would open every address",
        ),
        (&forged, PLUGIN, "the export was changed"),
    ] {
        let export = changed(&tidegate, "integration", change);
        Tidegate::new()
            .cmd("data import --yes")
            .stdin(&export)
            .refused(code, &["deployment 1 of crm", says]);
    }
    let export = changed(&tidegate, "integration", &more);
    let file = tidegate.data().join("../export.jsonl");
    fs::write(&file, export).unwrap();
    let other = Tidegate::new();
    other
        .cmd("data import")
        .arg(&file)
        .refused(INVALID, &["deployment 1 before it", "https://evil.example"]);
}

#[test]
fn secrets_go_to_another_origin_only_when_somebody_says_so() {
    let (server, other) = (api(), api());
    let tidegate = connected(&server);
    let both = format!(
        "--allow-host {} --allow-host {}",
        server.origin(),
        other.origin()
    );
    tidegate
        .cmd("deploy --as crm --yes")
        .words(&both)
        .arg(plugins::demo_crm())
        .ok();
    let update = |more: &str| {
        let words = format!(
            "connections update crm acme --base-url {}/v1 {more}",
            other.origin()
        );
        tidegate.cmd(&words).env("T", SECRET)
    };
    // Nobody can be asked here.
    update("").refused(
        CONFLICT,
        &["token", &server.origin(), &other.origin(), "--keep-secrets"],
    );
    tidegate.sync_ok("crm/contacts", "acme");
    assert!(other.requests().is_empty());
    // The same origin in other words, or another path of it, is none.
    let same = format!(
        "connections update crm acme --base-url {}/other/",
        server.origin()
    );
    tidegate.cmd(&same).ok();
    tidegate.sync_ok("crm/contacts", "acme");
    update("--keep-secrets").ok();
    tidegate.sync_ok("crm/contacts", "acme");
    assert!(!other.requests().is_empty());
    // Back, with the secret given anew.
    let back = format!(
        "connections update crm acme --base-url {}/v1 --secret token=env:T",
        server.origin()
    );
    tidegate.cmd(&back).env("T", SECRET).ok();
    tidegate.sync_ok("crm/contacts", "acme");
    // Without secrets there is nothing to ask.
    tidegate.connect("crm", "open", &server.origin());
    let words = format!("connections update crm open --base-url {}", other.origin());
    tidegate.cmd(&words).ok();
}
