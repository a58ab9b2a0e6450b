//! Documents show what there is, and what is written twice is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use super::{documents, files, read, root};

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
        "schedules",
        "syncs",
        "serve",
        "api-keys",
        "rollback",
        "webhooks",
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
            "schedules" => &[
                "add", "list", "show", "pause", "resume", "remove", "fires", "backfill", "preview",
            ],
            "syncs" => &["list", "pause", "start"],
            "runs" => &["retry"],
            "jobs" => &["list", "show", "cancel", "redrive", "discard"],
            "api-keys" => &["create", "list", "revoke"],
            "webhooks" => &[
                "add",
                "list",
                "show",
                "update",
                "remove",
                "rotate-secret",
                "deliveries",
                "replay",
                "test",
            ],
            _ => &[],
        };
        for subcommand in subcommands {
            text += &help(&[name, subcommand]);
        }
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let known: BTreeSet<&str> = text.split(|c| !is_part(c)).collect();
        for option in options {
            assert!(
                known.contains(option.as_str()),
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
