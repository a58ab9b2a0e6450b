//! `tidegate demo`: its counts, its words without a terminal, and that it leaves nothing running.

use std::path::Path;

use serde_json::Value;

use crate::support::cli::{CONFLICT, Finished, OK, Tidegate, tidegate};

/// (sync, round, added, updated, deleted): 2,000 contacts and 150 companies, then a day's changes.
const COUNTS: [(&str, u64, u64, u64, u64); 4] = [
    ("companies", 1, 150, 0, 0),
    ("contacts", 1, 2000, 0, 0),
    ("companies", 2, 3, 5, 2),
    ("contacts", 2, 40, 60, 25),
];

#[test]
fn for_programs() {
    let folder = tempfile::TempDir::new().unwrap();
    let data = folder.path().join("data");
    let finished = tidegate("demo --json --data").arg(&data).ok();
    let report = finished.json();
    let found: Vec<_> = report["syncs"]
        .as_array()
        .unwrap()
        .iter()
        .map(counts)
        .collect();
    let wanted: Vec<_> = COUNTS
        .iter()
        .map(|(sync, round, a, u, d)| ((*sync).to_owned(), [*round, *a, *u, *d]))
        .collect();
    assert_eq!(found, wanted, "{report}");
    for sync in report["syncs"].as_array().unwrap() {
        assert_eq!(sync["outcome"], "success", "{sync}");
        for figure in ["requests", "bytes", "duration_ms", "unchanged"] {
            assert!(sync[figure].is_u64(), "{figure} in {sync}");
        }
    }
    expect_no_escapes(&finished);
    expect_nothing_left(&report);

    // What it stored can be looked at with the ordinary commands.
    let look = |words: &str| tidegate(words).arg("--data").arg(&data).ok().lines();
    let gone =
        look("records demo-crm Contact --connection acme --filter deleted --limit 100 --json");
    assert_eq!(gone.len(), 25);
    assert_eq!(look("runs --json").len(), COUNTS.len());
    let shown = &report["feed"].as_array().unwrap().last().unwrap()["cursor"];
    let after = format!(
        "records demo-crm Contact --connection acme --json --cursor {}",
        shown.as_str().unwrap()
    );
    assert!(
        look(&after).is_empty(),
        "the last change shown is the last of the feed"
    );

    // It starts from nothing, and says so.
    tidegate("demo --data")
        .arg(&data)
        .refused(CONFLICT, &["not an empty folder"]);
}

#[test]
fn for_people_without_a_terminal() {
    let folder = tempfile::TempDir::new().unwrap();
    let data = folder.path().join("data");
    let finished = tidegate("demo --data").arg(&data).ok();
    expect_no_escapes(&finished);
    let text = &finished.stdout;
    for part in [
        "contacts",
        "companies",
        "2,000",
        "unchanged",
        "The end of the change feed",
        "cursor",
    ] {
        assert!(text.contains(part), "wanted {part:?} in {text}");
    }
    assert!(
        text.contains(&data.display().to_string()),
        "it says where the data lies: {text}"
    );

    // The three commands it names work as they stand.
    let (_, next) = text.split_once("Try next:\n").unwrap();
    let commands: Vec<&str> = next.lines().map(str::trim).collect();
    assert_eq!(commands.len(), 3, "{next}");
    for command in commands {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", command]);
        let finished = crate::support::cli::Cmd::new(shell)
            .dir(folder.path())
            .finish();
        finished.expect_code(OK);
        assert!(!finished.stdout.is_empty(), "{command}");
    }
}

#[test]
fn the_data_directory_of_others_is_not_touched() {
    let ours = Tidegate::new();
    ours.cmd("runs").ok();
    // TIDEGATE_DATA names a data directory for real work; the demo takes a temporary one.
    let folder = tempfile::TempDir::new().unwrap();
    let finished = ours
        .cmd("demo --json --contacts 100")
        .env("TMPDIR", folder.path())
        .ok();
    let data = finished.json()["data"].as_str().unwrap().to_owned();
    assert!(Path::new(&data).starts_with(folder.path()), "{data}");
    assert!(ours.cmd("integrations --json").ok().lines().is_empty());
}

fn counts(sync: &Value) -> (String, [u64; 4]) {
    let number = |key: &str| sync[key].as_u64().unwrap();
    let name = sync["sync"].as_str().unwrap().to_owned();
    (
        name,
        [
            number("round"),
            number("added"),
            number("updated"),
            number("deleted"),
        ],
    )
}

fn expect_no_escapes(finished: &Finished) {
    for text in [&finished.stdout, &finished.stderr] {
        assert!(!text.contains(['\u{1b}', '\r']), "{text:?}");
    }
}

/// No process has anything open in its data directory, and none was started with it.
fn expect_nothing_left(report: &Value) {
    let data = report["data"].as_str().unwrap();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let process = entry.unwrap().path();
        let Ok(command) = std::fs::read(process.join("cmdline")) else {
            continue;
        };
        let command = String::from_utf8_lossy(&command).into_owned();
        assert!(
            !command.contains(data),
            "{} still runs: {command}",
            process.display()
        );
    }
}
