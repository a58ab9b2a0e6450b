//! Bulk import: every bad row by line, all or nothing, thousands of rows, and going on after a kill.

use std::time::Duration;

use serde_json::json;

use super::{connections, deployed, expect_works, server};
use crate::support::cli::{INVALID, NOT_FOUND, Tidegate};
use crate::support::server::Server;

fn write(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

fn count(tidegate: &Tidegate) -> usize {
    connections(tidegate, "list crm --limit 10000 --json")
        .ok()
        .lines()
        .len()
}

fn lines(server: &Server, count: usize) -> String {
    let row = |n: usize| {
        json!({
            "connection": format!("c{n:05}"), "base_url": server.origin(), "config": {"page_size": 10},
            "metadata": {"n": n}, "tags": {"plan": "pro"}, "external_id": format!("x{n}"),
            "secrets": {"token": "env:TIDE_SECRET"},
        })
        .to_string()
    };
    (0..count).map(row).collect::<Vec<_>>().join("\n")
}

#[test]
fn both_formats_say_the_same() {
    let server = server();
    let tidegate = deployed(&server);
    let origin = server.origin();
    let csv = format!(
        "\u{feff}connection,base_url,external_id,tags.plan,tags,config.page_size,metadata,metadata.n,secrets.token\n\
         csv,{origin},x1,pro,\"{{\"\"eu\"\":\"\"\"\"}}\",10,\"{{\"\"a\"\": [1]}}\",7,env:TIDE_SECRET\n\
         empty,{origin},,,,,,,\n"
    );
    let row = json!({
        "connection": "json", "base_url": origin, "external_id": "x1", "tags": {"plan": "pro", "eu": ""},
        "config": {"page_size": 10}, "metadata": {"a": [1], "n": 7}, "secrets": {"token": "env:TIDE_SECRET"},
    });
    let (_keep, csv) = write("list.csv", &csv);
    let (_keep_too, jsonl) = write("list", &format!("\n{row}\n\n"));
    let dry = connections(
        &tidegate,
        &format!("import crm --secret-env-prefix TIDE_ {csv} --dry-run"),
    )
    .ok();
    assert!(
        dry.stdout.contains("would add 2 connections"),
        "{}",
        dry.stdout
    );
    assert_eq!(count(&tidegate), 0);
    connections(
        &tidegate,
        &format!("import crm --secret-env-prefix TIDE_ {csv}"),
    )
    .ok();
    connections(
        &tidegate,
        &format!("import crm --secret-env-prefix TIDE_ {jsonl}"),
    )
    .refused(INVALID, &["--format"]);
    connections(
        &tidegate,
        &format!("import crm --secret-env-prefix TIDE_ {jsonl} --format jsonl"),
    )
    .ok();
    let show = |name: &str| {
        connections(&tidegate, &format!("show crm {name} --json"))
            .ok()
            .json()
    };
    let (csv, json, empty) = (show("csv"), show("json"), show("empty"));
    for member in [
        "base_url",
        "external_id",
        "tags",
        "config",
        "metadata",
        "secrets",
    ] {
        assert_eq!(csv[member], json[member], "{member}");
    }
    assert_eq!(
        (&empty["tags"], &empty["external_id"]),
        (&json!({}), &json!(null))
    );
    expect_works(&tidegate, "csv");
    expect_works(&tidegate, "json");
}

#[test]
fn every_bad_row_is_named_and_nothing_is_added() {
    let server = server();
    let tidegate = deployed(&server);
    let origin = server.origin();
    tidegate.connect("crm", "old", &origin);
    // (row, what is said of it)
    let rows = [
        (
            format!(r#"{{"connection":"fine","base_url":"{origin}"}}"#),
            "",
        ),
        (r#"{"connection":"a""#.to_owned(), "EOF"),
        (
            format!(r#"{{"connection":"a b","base_url":"{origin}"}}"#),
            "a b",
        ),
        (r#"{"connection":"b"}"#.to_owned(), "base_url"),
        (
            r#"{"connection":"c","base_url":"nowhere"}"#.to_owned(),
            "URL",
        ),
        (
            r#"{"connection":"d","base_url":"ftp://a.example/"}"#.to_owned(),
            "http://",
        ),
        (
            format!(r#"{{"connection":"e","base_url":"{origin}","tag":{{}}}}"#),
            "tag",
        ),
        (
            format!(r#"{{"connection":"f","base_url":"{origin}","tags":{{"a b":""}}}}"#),
            "a b",
        ),
        (
            format!(r#"{{"connection":"g","base_url":"{origin}","config":{{"page_size":"x"}}}}"#),
            "/page_size",
        ),
        (
            format!(
                r#"{{"connection":"h","base_url":"{origin}","secrets":{{"token":"hunter2"}}}}"#
            ),
            "env:VAR",
        ),
        (
            format!(r#"{{"connection":"i","base_url":"{origin}","secrets":"hunter2"}}"#),
            "secrets",
        ),
        (
            format!(r#"{{"connection":"j","base_url":"{origin}","secrets":{{"token":"-"}}}}"#),
            "env:VAR or file:PATH",
        ),
        (
            format!(
                r#"{{"connection":"k","base_url":"{origin}","secrets":{{"token":"env:TIDE_NOT_SET_HERE"}}}}"#
            ),
            "TIDE_NOT_SET_HERE",
        ),
        (
            format!(
                r#"{{"connection":"l","base_url":"{origin}","secrets":{{"tokne":"env:TIDE_SECRET"}}}}"#
            ),
            "tokne",
        ),
        (
            format!(r#"{{"connection":"fine","base_url":"{origin}"}}"#),
            "on line 1",
        ),
        (
            format!(r#"{{"connection":"old","base_url":"{origin}"}}"#),
            "exists already",
        ),
        ("[]".to_owned(), "map"),
    ];
    let text: Vec<&str> = rows.iter().map(|(row, _)| row.as_str()).collect();
    let (_keep, path) = write("list.jsonl", &text.join("\n"));
    for more in ["", "--dry-run"] {
        let refused = connections(
            &tidegate,
            &format!("import crm --secret-env-prefix TIDE_ {path} --json {more}"),
        )
        .refused(INVALID, &["16 of 17 rows"]);
        let bad = refused.json()["bad"].as_array().unwrap().clone();
        for ((line, (_, says)), bad) in rows.iter().enumerate().skip(1).zip(&bad) {
            assert_eq!(bad["line"], line + 1);
            let error = bad["error"].as_str().unwrap();
            assert!(error.contains(says), "line {}: {error}", line + 1);
            assert!(refused.stderr.contains(&format!("line {}: ", line + 1)));
        }
        assert_eq!(bad.len(), rows.len() - 1);
        assert!(!refused.stderr.contains("hunter2") && !refused.stdout.contains("hunter2"));
        assert_eq!(count(&tidegate), 1);
    }
    for (name, text, says) in [
        (
            "a.csv",
            "connection,base_url,token\n",
            "\"token\" means nothing",
        ),
        ("b.csv", "connection,base_url,base_url\n", "two columns"),
        (
            "c.csv",
            "connection,base_url\nx,http://a.example,more\n",
            "line 2: it has 3 cells",
        ),
        ("d.jsonl", "\n\n", "no rows"),
    ] {
        let (_keep, path) = write(name, text);
        connections(
            &tidegate,
            &format!("import crm --secret-env-prefix TIDE_ {path}"),
        )
        .refused(INVALID, &[says]);
    }
    connections(&tidegate, "import crm /no/such.csv").refused(NOT_FOUND, &["/no/such.csv"]);
}

const COUNT: usize = 5000;

/// A data directory in which an import was killed when some connections were added, and not all.
fn half_imported(server: &Server, import: &str) -> Tidegate {
    for attempt in 0..8 {
        let tidegate = deployed(server);
        // From soon after its start on, later and later, until something is there.
        for round in 0..40 {
            let running = connections(&tidegate, import).start();
            crate::support::live_for(Duration::from_millis(20 + 7 * attempt + 25 * round));
            running.kill();
            match count(&tidegate) {
                0 => {}
                COUNT => break,
                _ => return tidegate,
            }
        }
    }
    panic!("no import was killed half-way");
}

#[test]
fn thousands_and_again_after_a_kill() {
    let server = server();
    let (_keep, path) = write("list.jsonl", &lines(&server, COUNT));
    let import = format!("import crm --secret-env-prefix TIDE_ {path} --json");
    let tidegate = half_imported(&server, &import);
    connections(&tidegate, &import).refused(INVALID, &["exists already", "--skip-existing"]);
    let began = std::time::Instant::now();
    let import = format!("{import} --skip-existing");
    let done = connections(&tidegate, &import).ok().json();
    let took = began.elapsed();
    let [added, skipped] = ["added", "skipped"].map(|figure| done[figure].as_u64().unwrap());
    assert!(
        added > 0 && skipped > 0 && added + skipped == COUNT as u64,
        "{done}"
    );
    assert_eq!(count(&tidegate), COUNT);
    assert!(took < Duration::from_secs(20), "{took:?}");
    for name in ["c00000", "c02500", "c04999"] {
        expect_works(&tidegate, name);
    }
    let report = tidegate.cmd("data check --json").ok().json();
    assert_eq!(report["wrong"], 0, "{report}");
}
