//! `tidegate demo`: its counts, its words without a terminal, and that it leaves nothing running.

use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::cli::{CONFLICT, Cmd, Finished, OK, Tidegate, tidegate};
use crate::support::plugins;

/// A variable by which the processes of a demo are told from others.
const MARK: &str = "TIDEGATE_TEST_MARK";

/// (sync, round, added, updated, deleted): 2,000 contacts and 150 companies, then a day's changes.
const COUNTS: [(&str, u64, u64, u64, u64); 4] = [
    ("companies", 1, 150, 0, 0),
    ("contacts", 1, 2000, 0, 0),
    ("companies", 2, 3, 5, 2),
    ("contacts", 2, 40, 60, 25),
];

/// The demo, with its plugin compiled before, so that its time is its own.
fn demo(words: &str) -> Cmd {
    plugins::demo_crm();
    tidegate("demo").compiles().words(words)
}

#[test]
fn for_programs() {
    let folder = tempfile::TempDir::new().unwrap();
    let data = folder.path().join("data");
    let demo = demo("--json --data").arg(&data).env(MARK, &data);
    let began = Instant::now();
    let finished = demo.ok();
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "it took {:?}",
        began.elapsed()
    );
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
    expect_nothing_left(&data);

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
    let demo = tidegate("demo --data")
        .arg(&data)
        .dir(folder.path())
        .compiles();
    let finished = demo.ok();
    expect_no_escapes(&finished);
    // Its source API is gone.
    let (_, rest) = finished.stderr.split_once("http://").unwrap();
    let address = rest.split_whitespace().next().unwrap();
    TcpStream::connect(address).unwrap_err();
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
        let finished = Cmd::new(shell).dir(folder.path()).finish();
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
    let demo = demo("--json --contacts 100").env("TMPDIR", folder.path());
    let finished = demo.env("TIDEGATE_DATA", ours.data()).ok();
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

/// No process is left that was started by the demo: each would have inherited the mark.
fn expect_nothing_left(mark: &Path) {
    for entry in std::fs::read_dir("/proc").unwrap() {
        let process = entry.unwrap().path();
        let Ok(variables) = std::fs::read(process.join("environ")) else {
            continue;
        };
        let marked = format!("{MARK}={}", mark.display());
        let left = variables
            .split(|byte| *byte == 0)
            .any(|variable| variable == marked.as_bytes());
        assert!(!left, "{} is left", process.display());
    }
}
