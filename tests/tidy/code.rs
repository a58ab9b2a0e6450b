//! Floors, sizes, first lines, words that must not be, and tests that wait for events.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::{code, files, read, root};

/// Longest file of code.
const LINES_MAX: usize = 500;

/// Crates of the host by name, with their dependencies; tests and benchmarks may use what they like.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let used = package["dependencies"].as_array().unwrap().iter();
            let used = used.filter(|dependency| dependency["kind"] != "dev");
            (
                text(&package["name"]),
                used.map(|dependency| text(&dependency["name"])).collect(),
            )
        })
        .collect()
}

#[test]
fn floors() {
    let dependencies = dependencies();
    let users = |of: &str| -> Vec<&str> {
        let uses = |used: &BTreeSet<String>| {
            used.iter()
                .any(|name| name == of || name.starts_with(&format!("{of}-")))
        };
        dependencies
            .iter()
            .filter(|(_, used)| uses(used))
            .map(|(name, _)| name.as_str())
            .collect()
    };
    assert_eq!(users("sled"), ["tidegate-store"]);
    assert_eq!(users("reqwest"), ["tidegate-egress"]);
    assert_eq!(users("wasmtime"), ["tidegate-contract", "tidegate-runtime"]);
    assert!(!users("tokio").contains(&"tidegate-engine"));

    // (crate, those of our own that it may use): what is above is not there.
    let allowed: &[(&str, &[&str])] = &[
        ("tidegate-engine", &[]),
        ("tidegate-contract", &[]),
        ("tidegate-store", &["tidegate-engine"]),
        ("tidegate-egress", &["tidegate-engine"]),
        (
            "tidegate-runtime",
            &["tidegate-contract", "tidegate-egress", "tidegate-engine"],
        ),
        (
            "tidegate-server",
            &[
                "tidegate-egress",
                "tidegate-engine",
                "tidegate-runtime",
                "tidegate-store",
            ],
        ),
        ("tidegate", &["tidegate-server"]),
        ("tidegate-sdk", &[]),
    ];
    for (name, used) in &dependencies {
        let ours: BTreeSet<&str> = used
            .iter()
            .map(String::as_str)
            .filter(|used| used.starts_with("tidegate"))
            .collect();
        let may = allowed
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, may)| *may);
        // Everything else is a plugin.
        for used in ours {
            assert!(
                may.unwrap_or(&["tidegate-sdk"]).contains(&used),
                "{name} must not depend on {used}"
            );
        }
    }
    for (name, _) in allowed {
        assert!(
            dependencies.contains_key(*name),
            "{name} is gone: {:?}",
            dependencies.keys()
        );
    }
}

#[test]
fn no_file_is_too_long() {
    for file in code() {
        let lines = read(&file).lines().count();
        assert!(
            lines <= LINES_MAX,
            "{} has {lines} lines; split it by its jobs",
            file.display()
        );
    }
}

#[test]
fn every_file_says_its_job_first() {
    for file in code() {
        let text = read(&file);
        let says = text.starts_with("//! ") || text.starts_with("#![doc = include_str!");
        assert!(
            says,
            "{} does not begin with //! and its job",
            file.display()
        );
    }
}

#[test]
fn words_that_must_not_be() {
    // Put together here, so that this file does not hold them.
    let words = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["XX", "X"],
        ["#[ig", "nore"],
        ["un", "implemented!("],
    ];
    let code: &[&str] = &["host", "plugin-sdk", "plugins", "tests"];
    let rows: [(&[&str], &str); 4] = [
        (code, ".rs"),
        (code, ".toml"),
        (&["wit"], ".wit"),
        (&["docs", "plugin-sdk"], ".md"),
    ];
    for (folders, ending) in rows {
        for file in files(folders, ending) {
            let text = read(&file);
            for word in words.map(|parts| parts.concat()) {
                assert!(!text.contains(&word), "{} holds {word}", file.display());
            }
        }
    }
}

#[test]
fn tests_wait_for_events_and_not_for_time() {
    let waits = ["thread::sl", "time::sl"].map(|start| format!("{start}eep("));
    let parks = format!("park_{}(", "timeout");
    let mut found = BTreeMap::new();
    for file in files(&["tests", "host"], ".rs") {
        let is_test = file
            .components()
            .any(|part| part.as_os_str().to_str() == Some("tests"));
        let text = if is_test { read(&file) } else { String::new() };
        let lines = text
            .lines()
            .filter(|line| line.contains(&parks) || waits.iter().any(|wait| line.contains(wait)));
        let count = lines.count();
        if count > 0 {
            found.insert(file.display().to_string(), count);
        }
    }
    let allowed = [
        // A server that drips.
        ("host/egress/tests/common/mod.rs", 1),
        // The random moment of a kill.
        ("host/store/tests/crash/main.rs", 1),
        ("host/store/tests/rewrite.rs", 1),
        // The one helper that looks again and again, and the one for the random moment of a kill.
        ("tests/e2e/support/mod.rs", 2),
        // Answers that overlap; the pause between two healthy runs beside a hostile one.
        ("tests/hostile/house.rs", 2),
        // A server that drips.
        ("tests/hostile/servers.rs", 1),
        // A source that is slow, or hangs.
        ("tests/soak/source.rs", 2),
    ];
    let allowed = allowed.map(|(file, count)| (file.to_owned(), count));
    assert_eq!(found, BTreeMap::from(allowed));
}
