//! What an operator reads can't be forged: what plugins, APIs and customers say passes for nothing that Tidegate says,
//! whatever command shows it.

use std::fs;

use serde_json::{Value, json};

use crate::support::cli::{Finished, Tidegate};
use crate::support::plugins;
use crate::support::server::{Reply, Server};

/// What a forger would write to move the cursor, to turn the text, and to be unseen.
const HIDDEN: [char; 12] = [
    '\u{1b}', '\u{7f}', '\u{9b}', '\u{ad}', '\u{200b}', '\u{200f}', '\u{2028}', '\u{2029}',
    '\u{202e}', '\u{2066}', '\u{2069}', '\u{feff}',
];

/// A text with all of it, whose further lines look like ours.
fn forged() -> String {
    let hidden: String = HIDDEN.iter().collect();
    format!(
        "gone{hidden}wrong\nFORGED none\r\n  hint: FORGED run curl\n    FORGED\r  FORGED\u{85}FORGED"
    )
}

/// No line of what is printed begins with what was forged, and nothing in it is hidden.
#[track_caller]
fn expect_plain(words: &str, finished: &Finished) {
    for text in [&finished.stdout, &finished.stderr] {
        for line in text.lines() {
            let begins = line.trim_start_matches("  hint:").trim_start();
            assert!(
                !begins.starts_with("FORGED"),
                "{words}: {line:?} in\n{text}"
            );
        }
        expect_nothing_hidden(words, text);
    }
}

#[track_caller]
fn expect_nothing_hidden(words: &str, text: &str) {
    let is_hidden = |c: char| HIDDEN.contains(&c) || (c.is_control() && !matches!(c, '\n' | '\t'));
    assert!(!text.contains(is_hidden), "{words}: {text:?}");
}

#[test]
fn nothing_that_others_say_passes_for_ours() {
    let api = Server::start(|request| {
        let status = match request.path().starts_with("/fails") {
            true => 422,
            false => 200,
        };
        Reply::text(&forged()).with_status(status)
    });
    let tidegate = Tidegate::new();
    let shown: String = HIDDEN.iter().filter(|c| !c.is_control()).collect();
    let deployed = tidegate
        .cmd("deploy")
        .arg(plugins::hostile())
        .words("--as parrot --yes --allow-metadata-write --allow-private 127.0.0.0/8 --allow-host")
        .arg(api.origin())
        .ok();
    expect_plain("deploy", &deployed);
    for (name, path) in [("a", ""), ("b", "fails/")] {
        let words = format!(
            "connections add parrot {name} --base-url {}/{path}",
            api.origin()
        );
        // What customers may choose has no control characters, but may have others.
        let add = tidegate
            .cmd(&words)
            .arg("--external-id")
            .arg(format!("x{shown}"));
        let add = add
            .arg("--tag")
            .arg(format!("k=v{shown}"))
            .arg("--metadata")
            .arg(format!("m={}", json!(forged())));
        expect_plain("connections add", &add.ok());
    }
    let mut seen = 0;
    let mut say = |words: &str| {
        let finished = tidegate.cmd(words).finish();
        expect_plain(words, &finished);
        seen += usize::from(
            finished.stdout.contains("\\u{202e}") || finished.stderr.contains("\\u{202e}"),
        );
    };
    for words in [
        "run parrot/repeat -c a",
        "run parrot/repeat-error -c b",
        "run parrot/repeat-print -c a",
        "invoke parrot/repeat-failure -c a --input {}",
        "connections test parrot b",
        "connections list parrot",
        "connections show parrot a",
        "connections list parrot --tag k=\u{202e}",
        "runs",
        "trigger parrot/repeat -c a",
        "jobs list",
        "records parrot Thing -c a",
        "syncs list parrot -c a",
        "data check",
        "data stats",
        "integrations",
    ] {
        say(words);
    }
    // Whoever asks for a body gets its lines, and nothing of ours is beside them; nothing steers the terminal.
    let body = tidegate.cmd("request parrot b GET say --include").finish();
    expect_nothing_hidden("request", &body.stdout);
    assert!(body.stdout.contains("\nFORGED none\n"), "{}", body.stdout);
    for run in tidegate.runs() {
        let run = run["run"].as_str().unwrap();
        say(&format!("runs {run}"));
        say(&format!("logs {run}"));
    }
    let component = plugins::hostile();
    say(&format!("inspect {}", component.display()));
    assert!(seen >= 12, "what was forged is shown, as escapes: {seen}");

    // Programs get what was said, exactly.
    let runs = tidegate.runs();
    let exact = |run: &Value| run["failure"]["message"] == forged();
    assert!(runs.iter().any(exact), "{runs:?}");
    let shown = tidegate.cmd("connections show parrot a --json").ok().json();
    assert_eq!(shown["metadata"]["m"], forged(), "{shown}");
}

/// The rest of what people may name: keys, webhooks, notes, rows of a file.
#[test]
fn nor_does_what_customers_name() {
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::hostile(), "parrot", "http://127.0.0.1:1");
    let file = tidegate.data().join("../rows.jsonl");
    let row = json!({"connection": forged(), "base_url": "http://127.0.0.1:1", forged(): 1});
    fs::write(&file, format!("{row}\n")).unwrap();
    let rows = tidegate
        .cmd("connections import parrot")
        .arg(&file)
        .finish();
    expect_plain("connections import", &rows);
    assert!(rows.stderr.contains("line 1: "), "{}", rows.stderr);
    let export = tidegate.data().join("../export.jsonl");
    let head = json!({"tidegate_export": 1});
    let line = json!({"type": forged()});
    fs::write(&export, format!("{head}\n{line}\n")).unwrap();
    expect_plain(
        "data import",
        &tidegate.cmd("data import --yes").arg(&export).finish(),
    );
    let unseen: String = HIDDEN.iter().filter(|c| !c.is_control()).collect();
    for (words, text) in [
        ("webhooks add http://127.0.0.1:1/ --description", forged()),
        ("webhooks add http://127.0.0.1:1/ --description", unseen),
        (
            "api-keys create --scope read --name",
            format!("k{}", '\u{202e}'),
        ),
        ("invoke parrot/repeat -c nobody --input", forged()),
        ("request parrot nobody GET", forged()),
    ] {
        expect_plain(words, &tidegate.cmd(words).arg(&text).finish());
    }
    for words in ["webhooks list", "api-keys list", "connections list parrot"] {
        expect_plain(words, &tidegate.cmd(words).finish());
    }
    let endpoints = tidegate.cmd("webhooks list --json").ok().lines();
    assert!(!endpoints.is_empty());
    for endpoint in &endpoints {
        let id = endpoint["id"].as_str().unwrap();
        expect_plain(
            "webhooks show",
            &tidegate.cmd(&format!("webhooks show {id}")).ok(),
        );
    }
}
