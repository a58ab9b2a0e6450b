//! The rules that no compiler checks: floors, sizes, what is written twice, and words that must not be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends by panicking, helpers included"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Longest file of code.
const LINES_MAX: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below these folders whose name ends so, relative to the checkout.
fn files(folders: &[&str], ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                left.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    assert!(!found.is_empty(), "no *{ending} below {folders:?}");
    found.sort();
    found
}

/// The code of all crates, without what tools have written.
fn code() -> Vec<PathBuf> {
    let mut code = files(&["host", "plugin-sdk", "plugins", "tests"], ".rs");
    code.retain(|file| !read(file).starts_with("// Generated"));
    code
}

fn documents() -> Vec<PathBuf> {
    let mut documents = files(&["docs"], ".md");
    let others = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "plugin-sdk/README.md",
    ];
    documents.extend(others.map(PathBuf::from));
    documents
}

/// The commands of the binary that documents show, each once: the subcommand and its options.
fn shown_commands() -> BTreeMap<String, BTreeSet<String>> {
    let mut commands: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for document in documents() {
        for line in read(&document).lines() {
            let line = line.trim().replace("cargo run --release --", "tidegate");
            let quoted: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
            let shown = if line.starts_with("tidegate ") {
                vec![line.as_str()]
            } else {
                quoted
            };
            for command in shown.iter().flat_map(|text| text.split("&&")) {
                let Some(words) = command.trim().strip_prefix("tidegate ") else {
                    continue;
                };
                let words = words.split(" #").next().unwrap_or_default();
                let mut words = words.split_whitespace();
                let Some(name) = words.next() else { continue };
                if name.starts_with(|c: char| c.is_ascii_lowercase()) {
                    let options = words.filter(|word| word.starts_with("--"));
                    let name_of = |word: &str| word.split(['=', ']']).next().unwrap().to_owned();
                    commands
                        .entry(name.to_owned())
                        .or_default()
                        .extend(options.map(name_of));
                }
            }
        }
    }
    commands
}

#[test]
fn every_command_and_option_that_is_documented_exists() {
    let commands = shown_commands();
    for name in [
        "demo",
        "new",
        "build",
        "inspect",
        "deploy",
        "connections",
        "keys",
        "run",
        "invoke",
        "request",
        "records",
        "runs",
        "logs",
        "data",
        "replay",
        "test",
        "cassettes",
    ] {
        assert!(
            commands.contains_key(name),
            "no document shows `tidegate {name}`: {commands:?}"
        );
    }
    let help = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(words)
            .arg("--help")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "tidegate {words:?} --help: {output:?}"
        );
        String::from_utf8(output.stdout).unwrap()
    };
    for (name, options) in &commands {
        let mut text = help(&[name]);
        let subcommands: &[&str] = match name.as_str() {
            "connections" => &["add", "import", "list", "show", "update", "test", "remove"],
            "keys" => &["status", "rotate"],
            "data" => &[
                "check", "stats", "export", "import", "prune", "drop", "compact",
            ],
            "cassettes" => &["on", "off", "list", "export"],
            _ => &[],
        };
        for subcommand in subcommands {
            text += &help(&[name, subcommand]);
        }
        for option in options {
            assert!(
                text.contains(option.as_str()),
                "tidegate {name} has no option {option}:\n{text}"
            );
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for document in documents() {
        let text = read(&document);
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = link.split('#').next().unwrap();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let target = root().join(&document).parent().unwrap().join(path);
            assert!(
                target.exists(),
                "{}: the link {link} leads nowhere",
                document.display()
            );
        }
    }
}

#[test]
fn the_example_of_the_readme_is_the_plugin_hello() {
    let readme = read("README.md");
    let example = readme
        .split("```rust\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let hello = read("plugins/hello/src/lib.rs");
    assert!(
        hello.contains(example.trim()),
        "README.md shows another plugin than plugins/hello:\n{example}"
    );
}

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
    ];
    let allowed = allowed.map(|(file, count)| (file.to_owned(), count));
    assert_eq!(found, BTreeMap::from(allowed));
}

#[test]
fn the_contract_of_the_sdk_is_the_contract() {
    let content = |folder: &str| -> BTreeMap<PathBuf, String> {
        let named = |file: PathBuf| (file.strip_prefix(folder).unwrap().to_owned(), read(&file));
        files(&[folder], ".wit").into_iter().map(named).collect()
    };
    assert_eq!(
        content("wit"),
        content("plugin-sdk/wit"),
        "copy wit/ to plugin-sdk/wit"
    );
}

/// A number as code writes it: `128 * MIB`, `100_000`.
fn product(text: &str) -> u64 {
    let factor = |word: &str| match word.trim() {
        "KIB" => 1 << 10,
        "MIB" => 1 << 20,
        "GIB" => 1 << 30,
        "MINUTE_MS" => 60_000,
        number => number
            .replace('_', "")
            .parse()
            .unwrap_or_else(|_| panic!("what is {number:?}?")),
    };
    text.split('*').map(factor).product()
}

/// A number as a document writes it: `128 MiB`, `100,000`, `5 min`.
fn quantity(text: &str) -> u64 {
    let (number, unit) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let number: u64 = number
        .replace(',', "")
        .parse()
        .unwrap_or_else(|_| panic!("what is {text:?}?"));
    number
        * match unit {
            "" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "s" => 1000,
            "min" => 60_000,
            "h" => 3_600_000,
            _ => panic!("what is {unit:?}?"),
        }
}

#[test]
fn every_limit_is_documented_as_it_is() {
    let code = read("host/engine/src/limits.rs");
    let table = code
        .split("\nlimits! {\n")
        .nth(1)
        .and_then(|rest| rest.split("\n}").next())
        .unwrap();
    let row = |line: &str| {
        let (name, rest) = line.trim().split_once(" = ")?;
        let (numbers, reason) = rest.split_once(", \"")?;
        let (default, most) = numbers.split_once(", ")?;
        let reason = reason.trim_end_matches("\";").to_owned();
        Some((name.to_owned(), product(default), product(most), reason))
    };
    let in_code: Vec<_> = table.lines().filter_map(row).collect();
    assert!(in_code.len() > 20, "{in_code:?}");

    let document = read("docs/limits.md");
    let cells = |line: &str| -> Option<Vec<String>> {
        let cells = line.strip_prefix("| `")?.trim_end_matches('|').split('|');
        Some(
            cells
                .map(|cell| cell.trim().trim_matches('`').to_owned())
                .collect(),
        )
    };
    let documented: Vec<_> = document
        .lines()
        .filter_map(cells)
        .filter(|cells| cells.len() == 4)
        .map(|cells| {
            (
                cells[0].clone(),
                quantity(&cells[1]),
                quantity(&cells[2]),
                cells[3].clone(),
            )
        })
        .collect();
    assert_eq!(documented, in_code);

    // Those that nobody sets are in code of their own.
    let code = read("host/engine/src/limits/fixed.rs");
    let fixed = |line: &str| {
        let (names, rest) = line.trim().split_once(" = ")?;
        let (value, reason) = rest.split_once(", \"")?;
        let name = names.split(' ').nth(1)?.to_owned();
        let depth = read("host/engine/src/canonical/scan.rs");
        let value = match value.strip_prefix("crate::canonical::DEPTH_MAX") {
            Some(_) => product(
                depth
                    .split("DEPTH_MAX: usize = ")
                    .nth(1)?
                    .split(';')
                    .next()?,
            ),
            None => product(value),
        };
        Some((name, value, reason.trim_end_matches("\";").to_owned()))
    };
    let table = code.split("\nfixed! {\n").nth(1).unwrap();
    let in_code: Vec<_> = table.lines().filter_map(fixed).collect();
    assert!(in_code.len() > 10, "{in_code:?}");
    let documented: Vec<_> = document
        .lines()
        .filter_map(cells)
        .filter(|cells| cells.len() == 3)
        .map(|cells| (cells[0].clone(), quantity(&cells[1]), cells[2].clone()))
        .collect();
    assert_eq!(documented, in_code);
}
