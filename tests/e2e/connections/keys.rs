//! Master keys: wrong and missing ones, damage, and rotations that are killed.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::{add, connections, deployed, expect_works, server};
use crate::support::cli::{CONFLICT, Cmd, DATA_DIRECTORY, INVALID, NOT_FOUND, Tidegate};

/// Of the environment.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// A master key in base64, easily told from another one.
/// One for each letter, and as random as one must be.
fn key(letter: char) -> String {
    use base64::Engine as _;
    let bytes = blake3::hash(letter.to_string().as_bytes());
    base64::engine::general_purpose::STANDARD.encode(bytes.as_bytes())
}

fn status(cmd: Cmd) -> Value {
    cmd.words("--json").ok().json()
}

/// (role, connections) of the keys that something is sealed under.
fn roles(status: &Value) -> Vec<(String, u64)> {
    let keys = status["keys"].as_array().unwrap().iter();
    let role = |key: &Value| {
        let role = key["role"].as_str().unwrap().to_owned();
        (role, key["connections"].as_u64().unwrap())
    };
    keys.map(role).filter(|(_, count)| *count > 0).collect()
}

fn files(tidegate: &Tidegate) -> Vec<String> {
    let entries = fs::read_dir(tidegate.data()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.contains("key")).collect();
    names.sort();
    names
}

#[test]
fn a_wrong_or_missing_key_is_refused_and_changes_nothing() {
    let server = server();
    let tidegate = deployed(&server);
    add(&tidegate, &server, "acme");
    tidegate.connect("crm", "open", &server.origin());
    let file = tidegate.data().join("master.key");
    let ours = fs::read_to_string(&file).unwrap();
    let other = key('B');
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    fs::write(elsewhere.path(), &other).unwrap();
    let path = elsewhere.path().display().to_string();
    let name = elsewhere.path().file_name().unwrap().to_str().unwrap();
    fs::remove_file(&file).unwrap();
    // (variables, what is said)
    let rows: &[(Variables, &[&str])] = &[
        (&[], &["crm/acme", "is missing", "there is no"]),
        (
            &[("TIDEGATE_MASTER_KEY", &other)],
            &["crm/acme", "wrong master key", "TIDEGATE_MASTER_KEY is"],
        ),
        (
            &[("TIDEGATE_MASTER_KEY_FILE", &path)],
            &["crm/acme", "wrong master key", name],
        ),
        (
            &[("TIDEGATE_MASTER_KEY_FILE", "/no/such/key")],
            &["TIDEGATE_MASTER_KEY_FILE: key: no such file"],
        ),
        (
            &[("TIDEGATE_MASTER_KEY", "short")],
            &["TIDEGATE_MASTER_KEY", "32 bytes in base64"],
        ),
        (
            &[
                ("TIDEGATE_MASTER_KEY", &other),
                ("TIDEGATE_MASTER_KEY_FILE", &path),
            ],
            &["both set"],
        ),
    ];
    let origin = server.origin();
    let commands = [
        "connections test crm acme".to_owned(),
        "run crm/contacts -c acme".to_owned(),
        format!("connections add crm new --base-url {origin} --secret token=env:TIDE_SECRET"),
        "connections update crm open --secret token=env:TIDE_SECRET".to_owned(),
        "keys rotate".to_owned(),
    ];
    for (variables, says) in rows {
        for command in &commands {
            let cmd = tidegate.cmd(command).env("TIDE_SECRET", super::SECRET);
            let cmd = variables
                .iter()
                .fold(cmd, |cmd, (name, value)| cmd.env(name, value));
            let finished = cmd.finish();
            // A rotation in the environment asks for the new key first.
            if command == "keys rotate"
                && finished.stderr.contains("the new one must come from you")
            {
                finished.expect_refusal(INVALID, &[]);
            } else {
                finished.expect_refusal(DATA_DIRECTORY, says);
            }
            assert!(files(&tidegate).is_empty(), "{command} made a key");
        }
    }
    // What needs no credentials works.
    connections(&tidegate, "update crm acme --tag a=b").ok();
    tidegate.sync("crm/contacts", "open");
    fs::write(&file, ours).unwrap();
    let said = connections(&tidegate, "test crm acme").ok();
    assert!(
        said.stderr.contains("warning") && said.stderr.contains("chmod 600"),
        "{}",
        said.stderr
    );
    let listed = connections(&tidegate, "list crm --json").ok().lines();
    assert_eq!(listed.len(), 2, "{listed:?}");
}

/// What is sealed for one connection is brought to another, or damaged, in an export.
#[test]
fn damage_concerns_one_connection_by_name() {
    let server = server();
    let tidegate = deployed(&server);
    for name in ["a1", "a2", "a3"] {
        add(&tidegate, &server, name);
    }
    let export = tidegate.cmd("data export").ok().stdout;
    let mut lines: Vec<Value> = export
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let sealed = |lines: &[Value], name: &str| {
        let line = lines
            .iter()
            .find(|line| line["connection"] == name)
            .unwrap();
        line["sealed_secrets"].as_str().unwrap().to_owned()
    };
    let moved = sealed(&lines, "a1");
    let mut flipped = sealed(&lines, "a2");
    let at = flipped.len() - 8;
    let digit = if &flipped[at..=at] == "A" { "B" } else { "A" };
    flipped.replace_range(at..=at, digit);
    for line in &mut lines {
        match line["connection"].as_str() {
            Some("a2") => line["sealed_secrets"] = json!(flipped),
            Some("a3") => line["sealed_secrets"] = json!(moved),
            _ => {}
        }
    }
    let other = Tidegate::new();
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    other
        .cmd("data import --yes")
        .stdin(&(text.join("\n") + "\n"))
        .ok();
    fs::copy(
        tidegate.data().join("master.key"),
        other.data().join("master.key"),
    )
    .unwrap();

    expect_works(&other, "a1");
    for name in ["a2", "a3"] {
        let parts = [&format!("crm/{name}"), "damaged", "--secret"];
        connections(&other, &format!("test crm {name}")).refused(DATA_DIRECTORY, &parts);
    }
    // The wrapped key of a3 is another connection's: it stands in the way of a rotation, by name.
    other.cmd("keys rotate").refused(
        DATA_DIRECTORY,
        &["crm/a3", "nothing was changed", "--skip-unreadable"],
    );
    assert_eq!(files(&other), ["master.key"]);
    let rotated = other
        .cmd("keys rotate --skip-unreadable --json")
        .ok()
        .json();
    assert_eq!(rotated["connections"], 2, "{rotated}");
    expect_works(&other, "a1");
    for name in ["a2", "a3"] {
        connections(
            &other,
            &format!("update crm {name} --secret token=env:TIDE_SECRET"),
        )
        .ok();
        expect_works(&other, name);
    }
    assert_eq!(
        roles(&status(other.cmd("keys status"))),
        [("current".to_owned(), 3)]
    );
}

#[test]
fn rotating_asks_for_what_it_needs() {
    let server = server();
    let tidegate = deployed(&server);
    tidegate
        .cmd("keys rotate")
        .refused(NOT_FOUND, &["no master key"]);
    assert!(files(&tidegate).is_empty());
    add(&tidegate, &server, "acme");
    tidegate
        .cmd("keys rotate --to plain")
        .refused(INVALID, &["env:VAR", "file:PATH"]);
    tidegate
        .cmd("keys rotate --to env:NEW")
        .env("NEW", "short")
        .refused(INVALID, &["32 bytes"]);
    let new = key('C');
    tidegate.cmd("keys rotate --to -").stdin(&new).ok();
    assert_eq!(
        fs::read_to_string(tidegate.data().join("master.key"))
            .unwrap()
            .trim(),
        new
    );
    tidegate
        .cmd("keys rotate --to env:NEW")
        .env("NEW", &new)
        .refused(INVALID, &["is the one in use"]);
    expect_works(&tidegate, "acme");

    // In the environment both keys are the operator's.
    fs::remove_file(tidegate.data().join("master.key")).unwrap();
    let with = |words: &str, current: char| {
        tidegate
            .cmd(words)
            .env("TIDEGATE_MASTER_KEY", key(current))
            .env("TIDE_SECRET", super::SECRET)
    };
    with("keys rotate", 'C').refused(INVALID, &["TIDEGATE_MASTER_KEY_NEXT", "--to"]);
    let said = with("keys rotate", 'C')
        .env("TIDEGATE_MASTER_KEY_NEXT", key('D'))
        .ok();
    assert!(
        said.stderr
            .contains("set TIDEGATE_MASTER_KEY to the new key"),
        "{}",
        said.stderr
    );
    with("connections test crm acme", 'D').ok();
    with("connections test crm acme", 'C').refused(DATA_DIRECTORY, &["wrong master key"]);
    assert!(files(&tidegate).is_empty());
    let next = with("keys rotate --to env:NEW", 'D').env("TIDEGATE_MASTER_KEY_NEXT", key('E'));
    next.env("NEW", key('F'))
        .refused(CONFLICT, &["another key than --to"]);
}

const CONNECTIONS: usize = 36;

/// Kill rotations at random moments until some were hit half-way; nothing is ever lost, and the next
/// one goes on.
fn killed(tidegate: &Tidegate, keyed: impl Fn(&str, usize) -> Cmd) {
    let (mut half_way, mut delay) = (0, 7_u64);
    // Milliseconds that are mostly too early and too late; how fast this machine is now shows as it goes.
    let (mut early, mut late) = (5, 250);
    let mut rotations = 0;
    for _ in 0..150 {
        let running = keyed("keys rotate --step 1", rotations).start();
        delay = (delay * 1_103_515_245 + 12_345) % (1 << 31);
        let wait = early + delay % (late - early);
        crate::support::live_for(Duration::from_millis(wait));
        let finished = running.kill().code == Some(0);
        let status = status(keyed("keys status", rotations + usize::from(finished)));
        assert_eq!(status["unreadable_count"], 0, "{status}");
        let roles = roles(&status);
        let all: u64 = roles.iter().map(|(_, count)| count).sum();
        assert_eq!(all, CONNECTIONS as u64, "{status}");
        let hit = roles.len() == 2;
        half_way += usize::from(hit);
        if finished {
            late = u64::midpoint(late, wait).max(early + 10);
        } else if !hit {
            early = u64::midpoint(early, wait);
            late = late.max(early + 10);
        }
        let name = format!("c{:02}", delay % CONNECTIONS as u64);
        keyed(
            &format!("connections test crm {name}"),
            rotations + usize::from(finished),
        )
        .ok();
        rotations += usize::from(finished);
        if half_way >= 4 && rotations > 0 {
            break;
        }
    }
    assert!(
        half_way >= 4,
        "only {half_way} of the kills hit a rotation half-way"
    );
    keyed("keys rotate", rotations).ok();
    let status = status(keyed("keys status", rotations + 1));
    assert_eq!(
        roles(&status),
        [("current".to_owned(), CONNECTIONS as u64)],
        "{status}"
    );
    for n in 0..CONNECTIONS {
        keyed(&format!("connections test crm c{n:02}"), rotations + 1).ok();
    }
    let report = tidegate.cmd("data check --json").ok().json();
    assert_eq!(report["wrong"], 0, "{report}");
}

const IMPORT: &str = "connections import crm --secret-env-prefix TIDE_";

fn with_connections(cmd: impl Fn(&Tidegate) -> Cmd) -> (crate::support::server::Server, Tidegate) {
    let server = server();
    let tidegate = deployed(&server);
    let row = |n: usize| json!({"connection": format!("c{n:02}"), "base_url": server.origin(), "secrets": {"token": "env:TIDE_SECRET"}});
    let rows: Vec<String> = (0..CONNECTIONS).map(|n| row(n).to_string()).collect();
    let file = tempfile::Builder::new()
        .suffix(".jsonl")
        .tempfile()
        .unwrap();
    fs::write(file.path(), rows.join("\n")).unwrap();
    cmd(&tidegate)
        .arg(file.path())
        .env("TIDE_SECRET", super::SECRET)
        .ok();
    (server, tidegate)
}

#[test]
fn killed_rotations_of_a_key_file_go_on() {
    let (_server, tidegate) = with_connections(|tidegate| tidegate.cmd(IMPORT));
    killed(&tidegate, |words, _| tidegate.cmd(words));
    assert_eq!(files(&tidegate), ["master.key"]);
}

#[test]
fn killed_rotations_in_the_environment_go_on() {
    let letter = |n: usize| key(char::from(b'A' + u8::try_from(n).unwrap() % 26));
    let (_server, tidegate) =
        with_connections(|tidegate| tidegate.cmd(IMPORT).env("TIDEGATE_MASTER_KEY", letter(0)));
    killed(&tidegate, |words, rotations| {
        tidegate
            .cmd(words)
            .env("TIDEGATE_MASTER_KEY", letter(rotations))
            .env("TIDEGATE_MASTER_KEY_NEXT", letter(rotations + 1))
    });
    assert!(files(&tidegate).is_empty());
}
