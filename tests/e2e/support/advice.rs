//! Commands that the binary advises while tests run: each is given to the parser of the command line.
//!
//! They are found in what it prints and answers: `tidegate`, a space and a command, up to the closing backquote or
//! else to the end of the line. What must not be followed by anything else stands at the end of its line for that.

use serde_json::Value;

/// Check each command that a text advises.
#[track_caller]
pub fn check(text: &str) {
    for command in advised(text) {
        let words = shlex::split(&command)
            .unwrap_or_else(|| panic!("a shell does not take the advice `{command}`"));
        // The one word in capitals that is no value of its kind.
        let typed = |word: String| match word.as_str() {
            "URL" => "https://api.example.com".to_owned(),
            _ => word,
        };
        let words = words.into_iter().map(typed);
        if let Err(why) = tidegate_cli::check(words) {
            panic!("the advice `{command}` is refused: {why:?}\n--- in\n{text}");
        }
    }
}

/// The commands of ours in a text, as they are typed.
pub fn advised(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    // How a command is used, which clap adds to its errors, is no command.
    let lines = text.lines().filter(|line| !line.starts_with("Usage: "));
    for line in lines.filter(|line| line.contains("tidegate ")) {
        match serde_json::from_str::<Value>(line) {
            Ok(value) => in_json(&value, &mut found),
            Err(_) => in_line(line, &mut found),
        }
    }
    found
}

fn in_json(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => text.lines().for_each(|line| in_line(line, found)),
        Value::Array(items) => items.iter().for_each(|item| in_json(item, found)),
        Value::Object(members) => members.values().for_each(|value| in_json(value, found)),
        _ => {}
    }
}

fn in_line(line: &str, found: &mut Vec<String>) {
    for (at, _) in line.match_indices("tidegate ") {
        // The program's path may stand before its name.
        let before = line[..at].rsplit([' ', '`', '\'', '"']).next().unwrap();
        if !before.is_empty() && !before.ends_with('/') {
            continue;
        }
        let is_quoted = line[..at - before.len()].ends_with('`');
        let rest = &line[at..];
        let end = if is_quoted { rest.find('`') } else { None };
        let command = &rest[..end.unwrap_or(rest.len())];
        let name = command.split(' ').nth(1).unwrap_or_default();
        let help = ["tidegate", name, "--help"].map(str::to_owned);
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase());
        // The first line of a file of ours, which an error shows.
        let is_file = command.starts_with("tidegate data directory");
        if is_name && !is_file && tidegate_cli::check(help).is_ok() {
            found.push(command.to_owned());
        }
    }
}
