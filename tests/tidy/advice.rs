//! What Tidegate advises, Tidegate accepts: every command that a message or a document names is given to the parser
//! of the command line.
//!
//! Three sources, found by reading: the templates of `command!` in the host's code, which is the only way in which a
//! message may name a command; what documents and comments show in blocks; and what they quote in a sentence. What
//! is put together when it runs is collected by `tests/e2e/support/advice.rs`.

use std::collections::BTreeSet;

use tidegate_cli::CommandLineError;

use super::{documents, files, read};

/// What stands for a value, in templates as `{run}` and in documents as `RUN` or `run_01JD3…`, with an example.
const EXAMPLES: &[(&str, &str)] = &[
    ("action", "create-contact"),
    ("bytes", "1048576"),
    ("connection", "acme"),
    ("dir", "plugins/crm"),
    ("endpoint", "ep_01JD3ZB1YDX5W5QF4G2T1E7R9A"),
    ("file", "crm.wasm"),
    ("integration", "crm"),
    ("job", "job_01JD3ZB1YDX5W5QF4G2T1E7R9A"),
    ("key", "key_01JD3ZB1YDX5W5QF4G2T1E7R9A"),
    ("model", "Contact"),
    ("run", "run_01JD3ZB1YDX5W5QF4G2T1E7R9A"),
    ("schedule", "sch_01JD3ZB1YDX5W5QF4G2T1E7R9A"),
    ("scope", "read"),
    ("sync", "contacts"),
    ("url", "https://api.example.com/v1"),
];

/// Words of documents that stand for a value of another form than themselves.
const CAPITALS: &[(&str, &str)] = &[
    ("METHOD", "GET"),
    ("PATH", "/contacts"),
    ("RUN", "run_01JD3ZB1YDX5W5QF4G2T1E7R9A"),
    ("URL", "https://api.example.com/v1"),
    ("CIDR", "10.1.0.0/16"),
    ("NAME=VALUE", "memory_bytes=268435456"),
    ("ORIGIN", "https://api.example.com"),
];

fn example(name: &str) -> &'static str {
    let found = EXAMPLES.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value).unwrap_or_else(|| {
        panic!("a template has the hole {{{name}}}: give an example of it in tests/tidy/advice.rs")
    })
}

/// A template with its holes filled.
fn filled(template: &str) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, hole)) = rest.split_once('{') {
        let (name, after) = hole.split_once('}').unwrap();
        text.push_str(before);
        text.push_str(example(name));
        rest = after;
    }
    text + rest
}

/// A word of a document as somebody would type it; `None` for one that leaves something out.
fn typed(word: &str) -> Option<String> {
    if word == "…" || word == "COMMAND" {
        return None;
    }
    if let Some((_, value)) = CAPITALS.iter().find(|(name, _)| *name == word) {
        return Some((*value).to_owned());
    }
    if let Some(start) = word.strip_suffix('…') {
        let id = |(_, value): &&(&str, &'static str)| {
            start.ends_with(|c: char| c == '_' || c.is_ascii_alphanumeric())
                && value.split_once('_').is_some_and(|(kind, _)| {
                    start
                        .split_once('_')
                        .is_some_and(|(shown, _)| shown == kind)
                })
        };
        if let Some((_, value)) = EXAMPLES.iter().find(id) {
            return Some((*value).to_owned());
        }
    }
    Some(word.to_owned())
}

/// What a line of a shell or a quotation runs of ours, each as words; `a|b` stands for two.
fn commands(line: &str) -> Vec<Vec<String>> {
    let line = line
        .replace("cargo run --release --", "tidegate")
        .replace("\\|", "|")
        .replace("{{name}}", "crm");
    let mut found = Vec::new();
    for part in line.split("&&") {
        let Some(rest) = part.trim().strip_prefix("tidegate ") else {
            continue;
        };
        // Pictures have other things beside a command.
        let end = rest.find("   ").unwrap_or(rest.len());
        let words = shlex::split(&rest[..end])
            .unwrap_or_else(|| panic!("a shell does not take the line {line:?}"));
        let mut all = vec![vec!["tidegate".to_owned()]];
        for word in words {
            // `[MODEL]` may be left out, and may be there.
            let word = word.trim_matches(|c| matches!(c, '[' | ']'));
            let choices: Vec<&str> = match word.contains('|') && !word.contains(' ') {
                true => word.split('|').collect(),
                false => vec![word],
            };
            let extended = choices.iter().flat_map(|choice| {
                let word = typed(choice);
                all.iter()
                    .map(move |words| words.iter().cloned().chain(word.clone()).collect())
            });
            all = extended.collect();
        }
        found.extend(all);
    }
    found
}

/// Literals that follow `command!(` in a text.
fn templates(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in text.split("command!(").skip(1) {
        let Some(literal) = rest.trim_start().strip_prefix('"') else {
            continue;
        };
        let end = literal.find('"').unwrap();
        let literal = &literal[..end];
        assert!(
            !literal.contains('\\'),
            "write it without escapes: {literal}"
        );
        found.push(literal.to_owned());
    }
    found
}

/// The paragraphs of a text outside its blocks, and the lines of its blocks with their continuations.
fn paragraphs_and_blocks(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut paragraphs, mut blocks) = (vec![String::new()], Vec::new());
    let (mut in_block, mut goes_on) = (false, false);
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with("```") {
            in_block = !in_block;
        }
        let command = line.strip_prefix("$ ").unwrap_or(line);
        let is_command = command.starts_with("tidegate ") || command.starts_with("cargo run ");
        if goes_on || is_command {
            let (whole, more) = match command.strip_suffix('\\') {
                Some(start) => (start, true),
                None => (command, false),
            };
            match (goes_on, blocks.last_mut()) {
                (true, Some(last)) => *last = format!("{last}{whole}"),
                _ => blocks.push(whole.to_owned()),
            }
            goes_on = more;
        } else if in_block || line.is_empty() || line.starts_with('|') {
            paragraphs.push(line.to_owned());
        } else if let Some(last) = paragraphs.last_mut() {
            last.push(' ');
            last.push_str(line);
        }
    }
    (paragraphs, blocks)
}

/// The comments of code as text, with an empty line for each line of code.
fn comments(code: &str) -> String {
    let comment = |line: &str| {
        let line = line.trim();
        line.strip_prefix("//")
            .map(|text| text.trim_start_matches(['/', '!']).to_owned())
            .unwrap_or_default()
    };
    code.lines().map(|line| comment(line) + "\n").collect()
}

/// What the host's crates are made of, without their tests.
fn host() -> Vec<(String, String)> {
    let mut sources = Vec::new();
    for file in files(&["host"], ".rs") {
        let name = file.display().to_string();
        if name.contains("/tests") {
            continue;
        }
        let text = read(&file);
        let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        sources.push((name, text[..end].to_owned()));
    }
    sources
}

#[test]
fn every_command_that_a_message_can_name_is_one() {
    let mut seen = BTreeSet::new();
    for (file, text) in host() {
        for template in templates(&text) {
            let line = filled(&template);
            for words in commands(&format!("tidegate {line}")) {
                tidegate_cli::check(words)
                    .unwrap_or_else(|why| panic!("{file} advises `{template}`: {why:?}"));
            }
            seen.insert(template);
        }
    }
    assert!(seen.len() > 30, "the templates are found: {seen:?}");
    for one in ["runs", "jobs list", "deploy FILE", "data check"] {
        assert!(seen.contains(one), "{one}: {seen:?}");
    }
}

#[test]
fn messages_name_commands_in_no_other_way() {
    let help = |words: Vec<&str>| {
        let words = words.into_iter().map(str::to_owned);
        tidegate_cli::check(words)
    };
    for (file, text) in host() {
        for (number, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for rest in line.split("tidegate ").skip(1) {
                let name = |c: char| c.is_ascii_lowercase() || c == '-';
                let name = rest.split(|c| !name(c)).next().unwrap();
                // `--help` is taken of commands only.
                // The first line of files of ours.
                let is_file = rest.starts_with("data directory");
                let is_command =
                    !is_file && !name.is_empty() && help(vec!["tidegate", name, "--help"]).is_ok();
                assert!(
                    !is_command,
                    "{file}:{}: write it with command!(\"{name} …\")",
                    number + 1
                );
            }
        }
    }
}

#[test]
fn every_command_that_documents_show_is_one() {
    let mut shown = BTreeSet::new();
    let documents = documents().into_iter().map(|file| {
        let text = read(&file);
        (file, text)
    });
    let code = files(&["host", "plugin-sdk/src", "plugins"], ".rs");
    let code = code.into_iter().map(|file| {
        let text = comments(&read(&file));
        (file, text)
    });
    for (file, text) in documents.chain(code) {
        let file = file.display();
        let (paragraphs, blocks) = paragraphs_and_blocks(&text);
        for line in blocks {
            for words in commands(&line) {
                shown.insert(words[1].clone());
                match tidegate_cli::check(words) {
                    Ok(()) => {}
                    // What a line leaves out, it need not have.
                    Err(CommandLineError::Incomplete(_)) if line.contains('…') => {}
                    Err(why) => panic!("{file} shows `{line}`: {why:?}"),
                }
            }
        }
        for paragraph in paragraphs {
            for quoted in paragraph.split('`').skip(1).step_by(2) {
                for words in commands(quoted) {
                    shown.insert(words[1].clone());
                    match tidegate_cli::check(words) {
                        // A sentence may name a command without all that it takes.
                        Ok(()) | Err(CommandLineError::Incomplete(_)) => {}
                        Err(why) => panic!("{file} names `{quoted}`: {why:?}"),
                    }
                }
            }
        }
    }
    for name in [
        "api-keys",
        "build",
        "cassettes",
        "connections",
        "data",
        "demo",
        "deploy",
        "inspect",
        "invoke",
        "jobs",
        "keys",
        "logs",
        "new",
        "records",
        "replay",
        "request",
        "rollback",
        "run",
        "runs",
        "schedules",
        "serve",
        "syncs",
        "test",
        "trigger",
        "webhooks",
    ] {
        assert!(
            shown.contains(name),
            "no document shows `tidegate {name}`: {shown:?}"
        );
    }
}

#[test]
fn what_the_parser_alone_lets_through_is_refused_too() {
    let check = |line: &str| tidegate_cli::check(shlex::split(line).unwrap());
    for wrong in [
        "tidegate deploy FILE --allow-host 'https://*'",
        "tidegate deploy FILE --allow-private 0.0.0.0/0",
        "tidegate deploy FILE --allow-private 93.184.215.14",
        "tidegate deploy FILE --limit nosuch=1",
        "tidegate deploy FILE --limit memory_bytes=99999999999999",
        "tidegate deploy FILE --config novalue",
        "tidegate deploy FILE --nosuch",
        "tidegate nosuch",
    ] {
        assert!(
            matches!(check(wrong), Err(CommandLineError::Wrong(_))),
            "{wrong}"
        );
    }
    for incomplete in [
        "tidegate jobs",
        "tidegate deploy",
        "tidegate deploy FILE --as",
    ] {
        let checked = check(incomplete);
        assert!(
            matches!(checked, Err(CommandLineError::Incomplete(_))),
            "{checked:?}"
        );
    }
    assert_eq!(check("tidegate deploy FILE --allow-any-host"), Ok(()));
}
