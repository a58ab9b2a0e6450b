//! Floors, sizes, first lines, words that must not be, and tests that wait for events.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
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

/// Crates of the host by name, with the floor on which ARCHITECTURE.md has them.
fn heights() -> BTreeMap<String, f32> {
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let height = cells.next()?.replace('½', ".5").parse::<f32>().ok()?;
        let name = match cells.next()?.trim_matches('`').strip_prefix("host/")? {
            "main.rs" => "tidegate".to_owned(),
            name => format!("tidegate-{name}"),
        };
        Some((name, height))
    };
    let text = read("ARCHITECTURE.md");
    text.lines().filter_map(row).collect()
}

/// Folders of the host whose crates use this one, or a part of it.
fn users(dependencies: &BTreeMap<String, BTreeSet<String>>, of: &str) -> Vec<String> {
    let part = format!("{of}-");
    let is_of = |name: &String| name == of || name.starts_with(&part);
    dependencies
        .iter()
        .filter(|(_, used)| used.iter().any(is_of))
        .map(|(name, _)| name.replace("tidegate-", "host/"))
        .collect()
}

#[test]
fn floors() {
    let dependencies = dependencies();
    let heights = heights();
    // (crate, those of our own that it uses); everything else is a plugin.
    let allowed: &[(&str, &[&str])] = &[
        ("tidegate-rules", &[]),
        ("tidegate-engine", &["tidegate-rules"]),
        ("tidegate-contract", &[]),
        ("tidegate-store-memory", &["tidegate-engine"]),
        (
            "tidegate-store-conformance",
            &["tidegate-engine", "tidegate-store-memory"],
        ),
        ("tidegate-store-sled", &["tidegate-engine"]),
        ("tidegate-egress", &["tidegate-engine", "tidegate-rules"]),
        (
            "tidegate-runtime",
            &["tidegate-contract", "tidegate-egress", "tidegate-engine"],
        ),
        (
            "tidegate-service",
            &[
                "tidegate-egress",
                "tidegate-engine",
                "tidegate-runtime",
                "tidegate-store-sled",
            ],
        ),
        (
            "tidegate-http",
            &[
                "tidegate-egress",
                "tidegate-engine",
                "tidegate-runtime",
                "tidegate-service",
            ],
        ),
        (
            "tidegate-cli",
            &[
                "tidegate-egress",
                "tidegate-engine",
                "tidegate-http",
                "tidegate-runtime",
                "tidegate-service",
            ],
        ),
        ("tidegate", &["tidegate-cli"]),
        ("tidegate-sdk", &["tidegate-rules"]),
    ];
    for (name, used) in &dependencies {
        let ours = used.iter().map(String::as_str);
        let ours: BTreeSet<&str> = ours.filter(|used| used.starts_with("tidegate")).collect();
        match allowed.iter().find(|(known, _)| known == name) {
            Some((_, may)) => {
                let may: BTreeSet<&str> = may.iter().copied().collect();
                assert_eq!(ours, may, "what {name} uses");
            }
            None => {
                let is_plugin = ours.iter().all(|used| *used == "tidegate-sdk");
                assert!(is_plugin, "{name} must not depend on {ours:?}");
            }
        }
        for used in ours {
            let is_lower = match heights.get(name) {
                Some(height) => heights.get(used).is_some_and(|lower| lower < height),
                // What guests depend on lies below all that is the host's own.
                None => heights.get(used).is_none_or(|height| *height == 0.0),
            };
            assert!(is_lower, "{used} lies no floor below {name}");
        }
    }
    let host = allowed.iter().map(|(name, _)| *name);
    let host: BTreeSet<&str> = host.filter(|name| *name != "tidegate-sdk").collect();
    let on_floors = heights.keys().map(String::as_str);
    assert_eq!(on_floors.collect::<BTreeSet<_>>(), host);
    for (name, _) in allowed {
        assert!(
            dependencies.contains_key(*name),
            "{name} is gone: {:?}",
            dependencies.keys()
        );
    }
}

#[test]
fn what_only_some_may() {
    let dependencies = dependencies();
    let text = read("ARCHITECTURE.md");
    let marks = text.split("**Only ").skip(1);
    let marks: Vec<&str> = marks.filter_map(|rest| rest.split("**").next()).collect();
    assert!(marks.len() > 3, "{marks:?}");
    for mark in marks {
        let who: Vec<&str> = mark.split('`').skip(1).step_by(2).collect();
        let found = match mark.trim_end_matches('.').rsplit(' ').next().unwrap() {
            // By what each token request says.
            "tokens" => {
                let files = holding(&["host"], "\"grant_type\"").into_iter();
                let folder = |file: PathBuf| file.parent().unwrap().display().to_string();
                let folders: BTreeSet<String> = files.map(folder).collect();
                folders.into_iter().collect()
            }
            name => users(&dependencies, name),
        };
        assert_eq!(found, who, "{mark}");
    }
    assert_eq!(
        holding(&["host"], "(unsafe_code"),
        [Path::new("host/runtime/src/cache.rs")]
    );
    let commands = holding(&["host/cli/src/commands"], "tidegate_store_");
    assert!(
        commands.is_empty(),
        "{commands:?} open the store themselves"
    );
    let server = ["tidegate_", "service::"].concat();
    for file in holding(&["benches", "tests"], &server) {
        assert!(
            file.starts_with("benches") || file.starts_with("tests/hostile"),
            "{} runs the server in its own process",
            file.display()
        );
    }
}

/// Files of code that hold this.
fn holding(folders: &[&str], text: &str) -> Vec<PathBuf> {
    let mut files = files(folders, ".rs");
    files.retain(|file| read(file).contains(text));
    files
}

#[test]
fn the_engine_and_the_rules_do_no_io() {
    let dependencies = dependencies();
    for name in ["tokio", "wasmtime", "sled", "reqwest"] {
        let users = users(&dependencies, name);
        for floor in ["host/engine", "host/rules"] {
            assert!(!users.contains(&floor.to_owned()), "{floor} uses {name}");
        }
    }
    let words = [
        "std::fs",
        "std::env",
        "std::thread",
        "std::process",
        "std::os",
        "std::net::Tcp",
        "std::net::Udp",
        "std::time::Instant",
        "SystemTime",
        "::now(",
        "io::std",
    ];
    for file in files(&["host/engine/src", "host/rules/src"], ".rs") {
        let text = read(&file);
        for word in words {
            assert!(!text.contains(word), "{} holds {word}", file.display());
        }
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

/// Lines of the longest function that is no test.
const FUNCTION_LINES: usize = 80;

#[test]
fn no_function_is_too_long() {
    let mut long = Vec::new();
    for file in files(&["host", "plugin-sdk/src", "plugins"], ".rs") {
        let is_test = |part: &std::ffi::OsStr| {
            let part = part.to_str().unwrap();
            ["tests", "tests.rs", "store-conformance", "bindings.rs"].contains(&part)
                || part.ends_with("_tests.rs")
        };
        if file.iter().any(is_test) {
            continue;
        }
        let text = read(&file);
        let code = text.split("#[cfg(test)]\nmod").next().unwrap();
        let lines: Vec<&str> = code.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let before = words.iter().take_while(|word| **word != "fn");
            let is_function = before.clone().count() < words.len()
                && before
                    .into_iter()
                    .all(|word| word.starts_with("pub") || *word == "async" || *word == "const");
            if !is_function {
                continue;
            }
            // As rustfmt has it: the brace that closes it stands where it began.
            let indent = &line[..line.len() - line.trim_start().len()];
            let end = lines[start..]
                .iter()
                .position(|line| *line == format!("{indent}}}"));
            let length = end.map_or(1, |end| end + 1);
            // A method of a trait that has no body: its `;` comes before any brace.
            let opens = lines[start..]
                .iter()
                .find(|line| line.ends_with(['{', ';']));
            let has_body = opens.is_some_and(|line| line.ends_with('{'));
            if length > FUNCTION_LINES && has_body {
                long.push(format!("{}:{}: {length} lines", file.display(), start + 1));
            }
        }
    }
    assert!(long.is_empty(), "split these by meaning: {long:#?}");
}

/// Files of the API name one another downwards only: who reads one of them need not read those that name it.
#[test]
fn the_files_of_the_api_have_no_circle() {
    let files = files(&["host/http/src/v1"], ".rs");
    let name = |file: &PathBuf| file.file_stem().unwrap().to_str().unwrap().to_owned();
    let is_top = |file: &&PathBuf| file.parent().unwrap().ends_with("v1");
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files
        .iter()
        .filter(is_top)
        .filter(|file| name(file) != "mod")
    {
        let text = read(file);
        let code = text.split("#[cfg(test)]").next().unwrap();
        let named = code.split("super::").skip(1).map(|rest| {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            rest[..end.unwrap_or(rest.len())].to_owned()
        });
        names.insert(name(file), named.collect());
    }
    assert!(names.len() > 30, "{names:?}");
    // Whatever names nothing that is left goes; a circle stays.
    loop {
        let left: BTreeSet<String> = names.keys().cloned().collect();
        names.retain(|_, named| !named.is_disjoint(&left));
        if names.len() == left.len() {
            break;
        }
    }
    assert_eq!(
        names,
        BTreeMap::new(),
        "files that name one another, or what does"
    );
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
    let code: &[&str] = &["benches", "host", "plugin-sdk", "plugins", "tests"];
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

/// Question words, prepositions and adverbs: they say nothing about what a type is.
const NO_TYPE_NAMES: &str = "\
    About Above After Again Against Ahead Already Also Always Around As At Away Back Because Before Behind Below \
    Beside Between Beyond By Down During Each Early Else Ever Far For From Hence Here How In Inside Instead Into \
    Late Later Maybe Meanwhile Near Never Next Not Now Of Off Often On Once Only Onto Out Outside Over Past Per \
    Perhaps Quite Rather Since So Soon Still Then There Through Thus To Together Under Until Up Upon Very Via \
    What When Where Which While Who Whole Whom Whose Why With Within Without Yet";

#[test]
fn types_are_named_by_what_they_are() {
    let forbidden: BTreeSet<&str> = NO_TYPE_NAMES.split_whitespace().collect();
    for file in code() {
        let text = read(&file);
        for line in text.lines() {
            let mut words = line
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .skip_while(|word| !["struct", "enum", "trait", "type"].contains(word));
            let name = words.nth(1).unwrap_or_default();
            let comment = line.trim_start().starts_with("//");
            assert!(
                comment || !forbidden.contains(name),
                "{} names a type {name}",
                file.display()
            );
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
        ("host/store-sled/tests/sled/rewrite.rs", 1),
        // The one helper that looks again and again, and the one for the random moment of a kill.
        ("tests/e2e/support/mod.rs", 2),
        // Answers that overlap; the pause between two healthy runs beside a hostile one.
        ("tests/hostile/house.rs", 2),
        // Servers that drip.
        ("tests/e2e/pace.rs", 1),
        ("tests/hostile/servers.rs", 2),
        // A source that is slow, or hangs.
        ("tests/soak/source.rs", 2),
    ];
    let allowed = allowed.map(|(file, count)| (file.to_owned(), count));
    assert_eq!(found, BTreeMap::from(allowed));
}
