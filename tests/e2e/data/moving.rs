//! Exports and imports: each scope arrives elsewhere, and what does not fit brings nothing.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::cli::{CONFLICT, INVALID, NOT_FOUND, Tidegate, tidegate};
use crate::support::crm::{Source, changing, synced_twice};
use crate::support::plugins;

use super::{constant, expect_clean, expect_unchanged, feed, synced};

/// Export `words` of a directory to a file in it.
fn exported(tidegate: &Tidegate, words: &str) -> PathBuf {
    let file = tidegate.data().join("export.jsonl");
    tidegate
        .cmd(&format!("data export {words} --output"))
        .arg(&file)
        .ok();
    file
}

/// Makes what must be there before an import, of a source.
type Prepare = fn(&Tidegate, &str);

#[test]
fn each_scope_arrives_elsewhere() {
    use std::os::unix::fs::PermissionsExt;
    let server = constant();
    let from = synced(&server);
    let rows: &[(&str, Prepare)] = &[
        ("", |_, _| {}),
        ("crm", |_, _| {}),
        ("crm -c acme", |to, origin| {
            to.deploy(&plugins::demo_crm(), "crm", origin);
        }),
        ("crm Contact -c acme", |to, origin| {
            Source::DemoCrm.set_up(to, origin);
        }),
    ];
    for (words, prepare) in rows {
        let file = exported(&from, words);
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it has sealed secrets");
        let to = Tidegate::new();
        prepare(&to, &server.origin());
        let imported = to.cmd("data import --yes --json").arg(&file).ok().json();
        assert_eq!(imported["records"], 5, "{words}: {imported}");
        assert_eq!(feed(&to), feed(&from), "{words}");
        expect_clean(&to);
        expect_unchanged(&to, 5);
    }
}

#[test]
fn history_goes_through_a_pipe() {
    let server = changing();
    let from = synced_twice(&server);
    from.cmd("data prune crm --older-than 0s").ok();
    let export = from.cmd("data export").ok();
    assert!(export.stderr.contains("4 records"), "{}", export.stderr);
    let to = Tidegate::new();
    let said = to
        .cmd("data import --yes")
        .stdin(&export.stdout)
        .ok()
        .stdout;
    assert!(
        said.contains("1 component, 1 integration, 1 connection, 1 model, 4 records, 1 checkpoint"),
        "{said}"
    );
    assert_eq!(feed(&to), feed(&from));
    assert!(
        feed(&to)
            .iter()
            .all(|record| record["pruned"] == true && record["body"].is_null())
    );
    // It goes on from the checkpoint, and tells what it knows by hash.
    expect_unchanged(&to, 3);
    assert!(
        server
            .requests()
            .last()
            .unwrap()
            .query("updated_since")
            .is_some()
    );
}

/// A line of an export that is changed.
fn change(lines: &mut [String], kind: &str, from: &str, to: &str) {
    let kind = format!("\"type\":\"{kind}\"");
    let line = lines.iter_mut().find(|line| line.contains(&kind)).unwrap();
    assert!(line.contains(from), "{from} in {line}");
    *line = line.replacen(from, to, 1);
}

type Change = fn(&mut Vec<String>);

#[test]
fn exports_that_do_not_fit() {
    let server = constant();
    let from = synced(&server);
    let good = fs::read_to_string(exported(&from, "")).unwrap();
    let rows: &[(&str, Change, &[&str])] = &[
        (
            "cut after a line",
            |lines| drop(lines.pop()),
            &["without its last line", "cut"],
        ),
        (
            "cut in a line",
            |lines| {
                lines.pop();
                let last = lines.pop().unwrap();
                lines.push(last[..last.len() / 2].to_owned());
            },
            &["line ", "column"],
        ),
        (
            "a line that is missing",
            |lines| {
                let record = lines
                    .iter()
                    .position(|line| line.contains("\"record\""))
                    .unwrap();
                lines.remove(record);
            },
            &["5 records", "4 records", "lines are missing"],
        ),
        (
            "no JSON",
            |lines| change(lines, "record", "\"id\"", "\"id"),
            &["line ", "column"],
        ),
        (
            "another body",
            |lines| change(lines, "record", "Contact 0", "Contact 9"),
            &["line ", "record \"c0\"", "does not have the hash"],
        ),
        (
            "another size",
            |lines| change(lines, "record", "\"size\":", "\"size\":9"),
            &["line ", "comes with a size of"],
        ),
        (
            "no hash",
            |lines| change(lines, "record", "\"hash\":\"", "\"hash\":\"x"),
            &["line ", "hexadecimal"],
        ),
        (
            "no time",
            |lines| {
                change(
                    lines,
                    "record",
                    "\"first_seen_at\":\"",
                    "\"first_seen_at\":\"x",
                );
            },
            &["line ", "no time"],
        ),
        (
            "neither body nor pruned",
            |lines| change(lines, "record", "\"size\"", "\"pruned\":true,\"size\""),
            &["line ", "either a body or"],
        ),
        (
            "a record twice",
            |lines| {
                let last = lines.pop().unwrap();
                lines.push(lines.last().unwrap().clone());
                lines.push(last.replace(":5", ":6"));
            },
            &["exists already", "each record once"],
        ),
        (
            "a record of no model",
            |lines| lines.retain(|line| !line.contains("\"type\":\"model\"")),
            &["line ", "before any line of type \"model\""],
        ),
        (
            "a component that is damaged",
            |lines| change(lines, "component", "AGFzbQ", "AGFzbR"),
            &["line ", "do not have the digest"],
        ),
        (
            "a component that is missing",
            |lines| lines.retain(|line| !line.contains("\"type\":\"component\"")),
            &["line 2", "no component"],
        ),
        (
            "an integration that is missing",
            |lines| lines.retain(|line| !line.contains("\"type\":\"integration\"")),
            &["no integration \"crm\"", "deploy crm first"],
        ),
        (
            "an unknown line",
            |lines| lines.insert(1, "{\"type\":\"poem\"}".to_owned()),
            &["line 2", "unknown type \"poem\""],
        ),
        (
            "a line after the last",
            |lines| lines.push(lines[0].clone()),
            &["after the last line"],
        ),
        (
            "a newer version",
            |lines| lines[0] = lines[0].replace(":1", ":2"),
            &["version 2", "newer"],
        ),
        (
            "no export",
            |lines| drop(lines.remove(0)),
            &["no export of tidegate"],
        ),
        ("nothing", Vec::clear, &["no export of tidegate"]),
    ];
    for (what, change, parts) in rows {
        let to = Tidegate::new();
        let mut lines: Vec<String> = good.lines().map(str::to_owned).collect();
        change(&mut lines);
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        let refused = to.cmd("data import --yes").stdin(&text).finish();
        let code = refused.code.unwrap();
        assert!(
            [INVALID, NOT_FOUND, CONFLICT].contains(&code),
            "{what}: {refused:?}"
        );
        refused.expect_refusal(code, parts);
        assert!(
            to.cmd("integrations --json").ok().lines().is_empty(),
            "{what}"
        );
        expect_clean(&to);
    }
    Tidegate::new()
        .cmd("data import --yes /no/such/file")
        .refused(NOT_FOUND, &["/no/such/file"]);
}

#[test]
fn what_exists_is_not_written_over() {
    let server = constant();
    let tidegate = synced(&server);
    // What is exported, what has to be dropped, and what is dropped as the error says.
    let rows = [
        ("", "drop crm --yes"),
        ("crm -c acme", "drop crm -c acme --yes"),
        ("crm Contact -c acme", "drop crm Contact -c acme --yes"),
    ];
    for (words, drop) in rows {
        let file = exported(&tidegate, words);
        let kept = feed(&tidegate);
        let hint = format!("tidegate data {drop}");
        tidegate
            .cmd("data import --yes")
            .arg(&file)
            .refused(CONFLICT, &["line ", "exists already", &hint]);
        tidegate.cmd(&format!("data {drop}")).ok();
        tidegate.cmd("data import --yes").arg(&file).ok();
        assert_eq!(feed(&tidegate), kept, "{words}");
        expect_clean(&tidegate);
    }
}

/// What is not there whole is not there.
#[test]
fn an_export_that_fails_leaves_no_file() {
    let tidegate = synced(&constant());
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("export.jsonl");
    tidegate
        .cmd("data export erp --output")
        .arg(&file)
        .refused(NOT_FOUND, &["erp"]);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let nowhere: &Path = "/no/such/folder/export.jsonl".as_ref();
    tidegate
        .cmd("data export --output")
        .arg(nowhere)
        .refused(INVALID, &["/no/such/folder"]);
    needs_its_words(&tidegate);
}

/// Names that don't go together.
fn needs_its_words(data: &Tidegate) {
    data.cmd("data export crm Contact")
        .refused(INVALID, &["--connection"]);
    data.cmd("data export -c acme")
        .refused(INVALID, &["INTEGRATION"]);
    tidegate("data").finish().expect_code(INVALID);
}
