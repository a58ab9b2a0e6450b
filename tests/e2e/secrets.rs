//! Secrets: where they come from, and that they are nowhere to be read.

use std::fs;
use std::path::Path;

use crate::support::cli::{Finished, INVALID, NOT_FOUND, Tidegate};
use crate::support::crm::{contacts, reply};
use crate::support::plugins;
use crate::support::server::{Reply, Server};

const CANARY: &str = "canary-5d41402abc4b2a76";

/// Accepts the canary and nothing else, and gives it away in its errors.
fn server() -> Server {
    Server::start(|request| match request.header("authorization") {
        Some(value) if value == format!("Bearer {CANARY}") => reply(&contacts(0..3, 1), None),
        other => Reply::text(&format!("got {other:?}")).with_status(401),
    })
}

fn deployed(server: &Server) -> Tidegate {
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::demo_crm(), "crm", &server.origin());
    tidegate
}

#[test]
fn they_come_from_the_environment_a_file_or_stdin_and_stay_secret() {
    let server = server();
    let tidegate = deployed(&server);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("{CANARY}\n")).unwrap();
    let add = |name: &str, source: &str| {
        let words = format!("connections add crm {name} --base-url {}", server.origin());
        tidegate
            .cmd(&words)
            .arg("--secret")
            .arg(format!("token={source}"))
    };
    let mut said: Vec<Finished> = vec![
        add("env", "env:TIDE_TOKEN").env("TIDE_TOKEN", CANARY).ok(),
        add("file", &format!("file:{}", file.path().display())).ok(),
        add("stdin", "-").stdin(&format!("{CANARY}\n")).ok(),
    ];
    for connection in ["env", "file", "stdin"] {
        let run = tidegate
            .cmd(&format!(
                "run crm/contacts --connection {connection} --json"
            ))
            .ok();
        let id = run.json()["run"].as_str().unwrap().to_owned();
        said.push(run);
        for words in [
            format!("connections show crm {connection}"),
            format!("connections show crm {connection} --json"),
            format!("logs {id} --json"),
            format!("runs {id}"),
            format!("records crm Contact --connection {connection} --json"),
        ] {
            said.push(tidegate.cmd(&words).ok());
        }
    }
    said.push(tidegate.cmd("connections list crm --json").ok());
    said.push(tidegate.cmd("integrations --json").ok());
    for finished in &said {
        assert!(!finished.stdout.contains(CANARY), "{}", finished.stdout);
        assert!(!finished.stderr.contains(CANARY), "{}", finished.stderr);
    }
    let shown = tidegate.cmd("connections show crm env --json").ok().json();
    assert_eq!(shown["secrets"], serde_json::json!(["token"]), "{shown}");
    expect_nowhere_below(&tidegate.data());
}

/// No file of the data directory holds the canary, plain, in base64 or in hexadecimal.
#[track_caller]
fn expect_nowhere_below(folder: &Path) {
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    // base64 of "canary-5d41402abc4b2a7": whole groups of three bytes, so nothing depends on padding.
    let base64 = "Y2FuYXJ5LTVkNDE0MDJhYmM0YjJh";
    let mut files = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = fs::read(&path).unwrap();
            for form in [CANARY, &hex, base64] {
                let found = bytes
                    .windows(form.len())
                    .any(|window| window == form.as_bytes());
                assert!(!found, "{} holds the secret as {form}", path.display());
            }
        }
    }
    assert!(files > 3, "only {files} files were looked at");
}

#[test]
fn the_master_key_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let server = server();
    let tidegate = deployed(&server);
    let words = format!("connections add crm acme --base-url {}", server.origin());
    tidegate
        .cmd(&words)
        .words("--secret token=env:T")
        .env("T", CANARY)
        .ok();
    let key = tidegate.data().join("master.key");
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );

    // Without it, or with another one, the secret can't be opened; nothing else is lost.
    let ours = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let finished = tidegate.sync("crm/contacts", "acme");
    assert_ne!(finished.code, Some(0));
    assert!(finished.stderr.contains("key"), "{}", finished.stderr);
    assert!(!finished.stderr.contains(CANARY));
    let other = "Fwh9EUOE20CvzSTZ4BoW1GrDnUPNeaM1dQ7KvUbQyKU=";
    let finished = tidegate
        .cmd("run crm/contacts --connection acme")
        .env("TIDEGATE_MASTER_KEY", other)
        .finish();
    assert_ne!(finished.code, Some(0));
    assert!(finished.stderr.contains("key"), "{}", finished.stderr);
    fs::write(&key, ours).unwrap();
    tidegate.sync_ok("crm/contacts", "acme");
}

#[test]
fn bad_sources_are_named_and_nothing_is_added() {
    let server = server();
    let tidegate = deployed(&server);
    // (flag, exit code, what is said)
    let rows: &[(&str, i32, &[&str])] = &[
        (
            "token=env:TIDE_NO_SUCH_VARIABLE",
            NOT_FOUND,
            &["token", "TIDE_NO_SUCH_VARIABLE", "not set"],
        ),
        (
            "token=file:/no/such/file",
            NOT_FOUND,
            &["token", "/no/such/file"],
        ),
        (
            "token=canary-5d41402abc4b2a76",
            INVALID,
            &["env:VAR", "file:PATH", "shell's history"],
        ),
        ("canary-5d41402abc4b2a76", INVALID, &["KEY=env:VAR"]),
        ("tokne=env:PATH", INVALID, &["tokne", "token"]),
        ("token=-", INVALID, &["token", "empty"]),
    ];
    for (flag, code, says) in rows {
        let words = format!("connections add crm acme --base-url {}", server.origin());
        let finished = tidegate
            .cmd(&words)
            .arg("--secret")
            .arg(flag)
            .refused(*code, says);
        assert!(!finished.stderr.contains(CANARY), "{}", finished.stderr);
    }
    assert!(
        tidegate
            .cmd("connections list crm --json")
            .ok()
            .lines()
            .is_empty()
    );
}

#[test]
fn a_base_url_takes_no_credentials() {
    let server = server();
    let tidegate = deployed(&server);
    let finished = tidegate
        .cmd("connections add crm acme --base-url http://user:canary-5d41402abc4b2a76@127.0.0.1")
        .refused(INVALID, &["credentials", "--secret"]);
    assert!(!finished.stderr.contains(CANARY), "{}", finished.stderr);
}
