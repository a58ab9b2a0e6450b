//! Cassettes as files: damaged ones, rings of a connection's last runs, and that none holds a secret.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::cli::{CONFLICT, INVALID, NOT_FOUND, RUN_FAILED, Tidegate, tidegate};
use crate::support::crm::{Source, changing, contact, reply};
use crate::support::plugins;
use crate::support::root;
use crate::support::server::Server;

const CANARY: &str = "canary-5d41402abc4b2a76";

#[test]
fn a_damaged_cassette_is_refused_with_its_line() {
    let cassette = root().join("plugins/hello/cassettes/todos.jsonl");
    let text = fs::read_to_string(&cassette).unwrap();
    let count = text.lines().count();
    let first = text.lines().next().unwrap();
    // (the text, what is said)
    let rows = [
        (String::new(), "line 1: this is not a cassette".to_owned()),
        (
            "hello\n".to_owned(),
            "line 1: this is not a cassette".to_owned(),
        ),
        (
            text.replace("cassette\":1", "cassette\":9"),
            "line 1: a cassette of version 9".to_owned(),
        ),
        (text[..text.len() / 2].to_owned(), "line ".to_owned()),
        (
            format!("{first}\n"),
            "line 1: this is the last line".to_owned(),
        ),
        (
            text.trim_end().to_owned(),
            format!("line {count}: it has no end"),
        ),
        (
            text.replace("http.send", "http.sent"),
            "line 2: unknown variant".to_owned(),
        ),
        (
            text.replace("\"call\":[0", "\"call\":[7"),
            "line 2: it is call 7".to_owned(),
        ),
        (format!("{text}{text}"), format!("line {}: ", count + 1)),
    ];
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("damaged.jsonl");
    for (text, says) in rows {
        fs::write(&file, text).unwrap();
        let refused = tidegate("replay --plugin").arg(plugins::hello()).arg(&file);
        refused.refused(INVALID, &[&format!("damaged.jsonl: {says}")]);
    }
    let missing = tidegate("replay missing.jsonl --plugin").arg(plugins::hello());
    missing.refused(NOT_FOUND, &["missing.jsonl"]);
    let no_run = tidegate("replay run_01JD3N6F1R0000000000000000 --data").arg(folder.path());
    no_run.refused(
        NOT_FOUND,
        &["no cassette of run_01JD3N6F1R0000000000000000"],
    );
}

/// Repeats the secret wherever an API could.
fn indiscreet() -> Server {
    Server::start(|request| {
        let header = request.header("authorization").unwrap().to_owned();
        assert_eq!(header, format!("Bearer {CANARY}"));
        let told = json!({"id": "c1", "name": header, "key": CANARY, CANARY: "as a key"});
        let items = [contact(0, 1), told];
        reply(&items, None)
            .header("Set-Cookie", "session=never-recorded")
            .header("X-Echo", &header)
            .header("X-Base64", "Y2FuYXJ5LTVkNDE0MDJhYmM0YjJhNzY=")
    })
}

#[test]
fn no_cassette_holds_a_secret() {
    let server = indiscreet();
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::demo_crm(), "crm", &server.origin());
    tidegate
        .cmd(&format!(
            "connections add crm acme --base-url {}",
            server.origin()
        ))
        .words("--secret token=env:TOKEN")
        .env("TOKEN", CANARY)
        .ok();
    tidegate.cmd("cassettes on crm acme").ok();
    let file = tidegate.data().join("../recorded.jsonl");
    let run = tidegate
        .cmd("run crm/contacts -c acme --json --record")
        .arg(&file)
        .ok();
    let run = run.json()["run"].as_str().unwrap().to_owned();
    let kept = tidegate
        .data()
        .join(format!("cassettes/crm/acme/{run}.jsonl"));
    for cassette in [&file, &kept] {
        let text = fs::read_to_string(cassette).unwrap();
        for secret in [CANARY, "Y2FuYXJ5LTVkNDE0MDJhYmM0YjJh", "never-recorded"] {
            assert!(!text.contains(secret), "{secret} is in\n{text}");
        }
        assert!(text.contains("Bearer [secret]"), "{text}");
        // It is still good for a replay: what repeats the answer repeats what stands for the secret.
        tidegate.cmd("replay").arg(cassette).ok();
    }
    // The store has what the API said; that is not for us to change.
    let feed = tidegate.feed("crm/Contact", "acme", None);
    assert!(feed.iter().any(|record| record["body"]["key"] == CANARY));
}

#[test]
fn a_ring_keeps_the_last_runs_and_failed_ones_too() {
    use std::os::unix::fs::PermissionsExt;
    let server = changing();
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    let kept = || -> Vec<Value> { tidegate.cmd("cassettes list --json").ok().lines() };
    let run = || tidegate.sync("crm/contacts", "acme").json()["run"].clone();

    run();
    assert_eq!(kept().len(), 0);
    tidegate
        .cmd("cassettes on crm nobody")
        .refused(NOT_FOUND, &["no connection \"nobody\""]);
    tidegate
        .cmd("cassettes on crm acme --runs 0")
        .refused(INVALID, &["--runs"]);
    tidegate.cmd("cassettes on crm acme --runs 2").ok();
    // What a killed process left.
    let ring = tidegate.data().join("cassettes/crm/acme");
    fs::write(ring.join(".recording-1-x"), "half").unwrap();
    let runs = [run(), run(), run()];
    let list = kept();
    let listed: Vec<&Value> = list.iter().map(|cassette| &cassette["run"]).collect();
    assert_eq!(listed, [&runs[1], &runs[2]]);
    assert!(!ring.join(".recording-1-x").exists());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&ring), 0o700);
    assert_eq!(mode(Path::new(list[0]["file"].as_str().unwrap())), 0o600);
    let last = runs[2].as_str().unwrap();
    tidegate.cmd(&format!("replay {last}")).ok();
    let only = tidegate.cmd("cassettes list other --json").ok();
    assert_eq!(only.lines().len(), 0);

    // A run that fails is replayed to the same failure.
    drop(server);
    let failed = tidegate.sync("crm/contacts", "acme");
    failed.expect_code(RUN_FAILED);
    let failed = failed.json()["run"].as_str().unwrap().to_owned();
    let replayed = tidegate
        .cmd(&format!("replay {failed} --logs --json"))
        .ok()
        .json();
    assert_eq!(
        (&replayed["equal"], &replayed["outcome"]),
        (&json!(true), &json!("failed"))
    );

    let file = tidegate.data().join("../exported.jsonl");
    let export = || {
        tidegate
            .cmd(&format!("cassettes export {failed}"))
            .arg(&file)
    };
    export().ok();
    export().refused(CONFLICT, &["exists already"]);
    tidegate.cmd("replay").arg(&file).ok();

    tidegate.cmd("cassettes off crm acme").ok();
    run();
    assert_eq!(kept().len(), 2);
    tidegate.cmd("cassettes off crm acme --delete").ok();
    assert_eq!(kept().len(), 0);
}

#[test]
fn a_cassette_that_can_not_be_written_is_told_of() {
    let server = changing();
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    let run = tidegate.cmd("run crm/contacts -c acme --record");
    let refused = run.arg(tidegate.data().join("no/such/folder/cassette"));
    refused.refused(NOT_FOUND, &["the cassette would go there"]);
    // Nothing ran for it.
    assert_eq!(tidegate.runs().len(), 0);
    assert_eq!(server.requests().len(), 0);
}
