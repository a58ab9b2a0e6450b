//! Inputs that no action is run with, and names of actions that are none.

use super::Acts;
use crate::support::cli::{INVALID, NOT_FOUND};
use crate::support::server::Reply;

#[test]
fn nothing_is_run_with_a_bad_input() {
    let acts = Acts::new(|_| Reply::status(500));
    let huge = format!("\"{}\"", "x".repeat(8 << 20));
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let huge_file = acts.tidegate.data().join("../huge.json");
    std::fs::write(&huge_file, &huge).unwrap();
    let huge_file = format!("@{}", huge_file.display());
    let latin = acts.tidegate.data().join("../latin.json");
    std::fs::write(&latin, b"\"\xe9\"").unwrap();
    let latin = format!("@{}", latin.display());
    let rows: &[(&str, &str, i32, &[&str])] = &[
        (
            "create",
            "{",
            INVALID,
            &["the input of create is not JSON", "line 1 column 1"],
        ),
        ("create", "", INVALID, &["not JSON"]),
        ("create", "{} {}", INVALID, &["not JSON", "trailing"]),
        (
            "create",
            "[]",
            INVALID,
            &["(top): [] is not of type \"object\""],
        ),
        (
            "create",
            r#"{"name": "", "qty": -1, "tags": ["a", 7, null], "colour": "red"}"#,
            INVALID,
            &[
                "nothing was run",
                "/name: \"\" is shorter than 1 character",
                "/qty: -1 is less than the minimum of 0",
                "/tags/1: 7 is not of type \"string\"",
                "/tags/2: null is not of type \"string\"",
                "(top): Additional properties are not allowed ('colour' was unexpected)",
            ],
        ),
        (
            "create",
            r#"{"qty": 1}"#,
            INVALID,
            &["\"name\" is a required property"],
        ),
        ("echo", &deep, INVALID, &["not JSON", "recursion limit"]),
        (
            "echo",
            &huge_file,
            INVALID,
            &["the input is too long; the most is 8388608 bytes"],
        ),
        ("echo", &latin, INVALID, &["UTF-8"]),
        (
            "echo",
            "@/nowhere/input.json",
            NOT_FOUND,
            &["/nowhere/input.json"],
        ),
        (
            "nope",
            "{}",
            NOT_FOUND,
            &[
                "acts has no action \"nope\"",
                "actions are echo, context, create",
            ],
        ),
        (
            "items",
            "{}",
            NOT_FOUND,
            &["it is a sync: tidegate run acts/items"],
        ),
    ];
    for (action, input, code, parts) in rows {
        let cmd = acts.plain(action).arg("--input").arg(input);
        cmd.refused(*code, parts);
    }
    acts.plain("echo")
        .arg("--input")
        .arg("-")
        .stdin(&huge)
        .refused(INVALID, &["too long"]);
    let more = "tidegate invoke acts/echo -c acme --input";
    let words: &[(&str, i32, &[&str])] = &[
        (
            "invoke acts --connection acme",
            INVALID,
            &["INTEGRATION/NAME"],
        ),
        ("invoke acts/echo", INVALID, &["--connection"]),
        (
            "invoke acts/echo -c nobody",
            NOT_FOUND,
            &["no connection \"nobody\"", "connections are acme"],
        ),
        (
            "invoke nothing/echo -c acme",
            NOT_FOUND,
            &["integrations are acts"],
        ),
        (
            "run acts/echo -c acme",
            NOT_FOUND,
            &["it is an action: tidegate invoke acts/echo"],
        ),
        (
            "invoke acts/echo -c acme --idempotency-key é",
            INVALID,
            &["visible ASCII"],
        ),
    ];
    for (words, code, parts) in words {
        acts.tidegate.cmd(words).refused(*code, parts);
    }
    assert_eq!(
        acts.tidegate.runs(),
        Vec::<serde_json::Value>::new(),
        "{more}"
    );
    assert!(acts.asked().is_empty());
}

#[test]
fn more_violations_than_anybody_reads_are_counted() {
    let acts = Acts::new(|_| Reply::status(500));
    let tags: Vec<u32> = (0..150).collect();
    let input = serde_json::json!({ "name": "a", "tags": tags }).to_string();
    let refused = acts.plain("create").arg("--input").arg(input);
    let refused = refused.refused(
        INVALID,
        &["/tags/0: 0 is not", "/tags/99: 99 is not", "and 50 more"],
    );
    assert!(!refused.stderr.contains("/tags/100:"), "{}", refused.stderr);
}
