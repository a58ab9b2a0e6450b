//! Changing connections, and listing them by what they are like.

use serde_json::{Value, json};

use super::{add, connections, deployed, expect_works, server};
use crate::support::cli::{CONFLICT, INVALID, NOT_FOUND, Tidegate};

fn show(tidegate: &Tidegate, name: &str) -> Value {
    connections(tidegate, &format!("show crm {name} --json"))
        .ok()
        .json()
}

#[test]
fn parts_change_and_the_others_stay() {
    let server = server();
    let tidegate = deployed(&server);
    let words = format!(
        "add crm acme --base-url {} --tag plan=free --tag eu= --external-id 7 --config page_size=5 --metadata a=1",
        server.origin()
    );
    connections(&tidegate, &words)
        .arg("--metadata")
        .arg(r#"b={"c":1,"d":2}"#)
        .ok();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), r#"{"z": [1]}"#).unwrap();
    let at_file = format!("@{}", file.path().display());
    // (arguments, the member that changes, what it is then)
    let rows: &[(&[&str], &str, Value)] = &[
        (
            &["--metadata", r#"b={"c":null,"e":3}"#],
            "metadata",
            json!({"a": 1, "b": {"d": 2, "e": 3}}),
        ),
        (
            &["--metadata", &at_file, "--metadata", "a=null"],
            "metadata",
            json!({"b": {"d": 2, "e": 3}, "z": [1]}),
        ),
        (&["--metadata-set", &at_file], "metadata", json!({"z": [1]})),
        (
            &["--config", "page_size=9"],
            "config",
            json!({"page_size": 9}),
        ),
        (
            &["--config-set", "page_size=3"],
            "config",
            json!({"page_size": 3}),
        ),
        (
            &["--tag", "plan=pro", "--tag", "owner=a=b", "--untag", "eu"],
            "tags",
            json!({"plan": "pro", "owner": "a=b"}),
        ),
        (&["--external-id", "cus_8"], "external_id", json!("cus_8")),
        (&["--no-external-id"], "external_id", Value::Null),
        (
            &["--base-url", "http://127.0.0.1:9/v2/"],
            "base_url",
            json!("http://127.0.0.1:9/v2/"),
        ),
        (
            &["--secret", "token=env:TIDE_SECRET"],
            "secrets",
            json!(["token"]),
        ),
        (&["--remove-secret", "token"], "secrets", json!([])),
    ];
    let mut before = show(&tidegate, "acme");
    for (number, (args, member, want)) in rows.iter().enumerate() {
        let update = connections(&tidegate, "update crm acme --json");
        let said = args
            .iter()
            .fold(update, |update, arg| update.arg(arg))
            .ok()
            .json();
        let after = show(&tidegate, "acme");
        assert_eq!(&after[member], want, "{args:?}");
        assert_eq!(after["revision"], number + 1);
        for (name, value) in before.as_object().unwrap() {
            let may_change = ["updated_at", "revision", member].contains(&name.as_str());
            assert!(
                may_change || after[name] == *value,
                "{args:?} changed {name}: {after}"
            );
            assert!(
                name == "models" || said[name] == after[name],
                "{args:?}: {said}"
            );
        }
        before = after;
    }
}

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    let server = server();
    let tidegate = deployed(&server);
    add(&tidegate, &server, "acme");
    let before = show(&tidegate, "acme");
    let long = format!("m={}", "x".repeat(65_536));
    let long_tag = format!("k={}", "x".repeat(257));
    let rows: &[(&[&str], i32, &[&str])] = &[
        (&[], INVALID, &["required", "--base-url"]),
        (
            &["--config", "page_size=no"],
            INVALID,
            &["/page_size", "integer"],
        ),
        (&["--config", "page=1"], INVALID, &["page", "demo-crm"]),
        (&["--metadata", &long], INVALID, &["metadata", "65536"]),
        (
            &["--metadata", "@/no/such/file"],
            NOT_FOUND,
            &["/no/such/file"],
        ),
        (&["--tag", "plan"], INVALID, &["KEY=VALUE"]),
        (&["--tag", "a b=c"], INVALID, &["a b", "a-z"]),
        (&["--tag", &long_tag], INVALID, &["\"k\"", "256"]),
        (&["--untag", "plan"], NOT_FOUND, &["no tag", "plan"]),
        (&["--tag", "a=b", "--untag", "a"], INVALID, &["at once"]),
        (
            &["--external-id", ""],
            INVALID,
            &["external id", "1 to 256"],
        ),
        (
            &["--secret", "tokne=env:TIDE_SECRET"],
            INVALID,
            &["tokne", "token"],
        ),
        (&["--secret", "token=hunter2"], INVALID, &["env:VAR"]),
        (
            &["--remove-secret", "key"],
            NOT_FOUND,
            &["no secret", "key", "token"],
        ),
        (&["--base-url", "ftp://a.example"], INVALID, &["http://"]),
        (
            &["--base-url", "http://a:b@c.example"],
            INVALID,
            &["credentials"],
        ),
    ];
    for (args, code, says) in rows {
        let update = connections(&tidegate, "update crm acme");
        let update = args.iter().fold(update, |update, arg| update.arg(arg));
        let refused = update.refused(*code, says);
        assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
        assert_eq!(show(&tidegate, "acme"), before, "{args:?}");
    }
    let many = connections(&tidegate, "update crm acme");
    let many = (0..33).fold(many, |many, n| many.words(&format!("--tag t{n}=")));
    many.refused(INVALID, &["33 tags", "32"]);
    connections(&tidegate, "update crm nobody --tag a=b").refused(NOT_FOUND, &["nobody", "acme"]);
    connections(&tidegate, "add crm acme --base-url http://127.0.0.1:9")
        .refused(CONFLICT, &["exists"]);
    expect_works(&tidegate, "acme");
}

#[test]
fn listings_are_filtered_and_come_in_pages() {
    let server = server();
    let tidegate = deployed(&server);
    for (name, rest) in [
        ("a-1", "--tag plan=pro --external-id x"),
        ("a-2", "--tag plan=pro --tag eu="),
        ("a-3", "--tag plan=free --tag eu="),
        ("b-1", "--tag plan=pro --external-id y"),
        ("c-1", ""),
    ] {
        let words = format!("add crm {name} --base-url {} {rest}", server.origin());
        connections(&tidegate, &words).ok();
    }
    let rows: &[(&str, &[&str])] = &[
        ("", &["a-1", "a-2", "a-3", "b-1", "c-1"]),
        ("--tag plan=pro", &["a-1", "a-2", "b-1"]),
        ("--tag plan=pro --tag eu=", &["a-2"]),
        ("--tag plan=pro --name-prefix a-", &["a-1", "a-2"]),
        ("--name-prefix b", &["b-1"]),
        ("--name-prefix z", &[]),
        ("--external-id y", &["b-1"]),
        ("--external-id y --name-prefix a", &[]),
        ("--tag plan=pro --limit 2", &["a-1", "a-2"]),
        ("--tag plan=pro --limit 2 --after a-2", &["b-1"]),
        ("--after a-2", &["a-3", "b-1", "c-1"]),
    ];
    for (words, want) in rows {
        let listed = connections(&tidegate, &format!("list crm --json {words}"))
            .ok()
            .lines();
        let names: Vec<&str> = listed
            .iter()
            .map(|c| c["connection"].as_str().unwrap())
            .collect();
        assert_eq!(names, *want, "{words}");
    }
    let page = connections(&tidegate, "list crm --limit 2").ok();
    assert!(page.stderr.contains("--after a-2"), "{}", page.stderr);
    assert!(page.stdout.contains("plan=pro"), "{}", page.stdout);

    // An export carries all of it.
    let export = tidegate.cmd("data export").ok();
    let other = Tidegate::new();
    other.cmd("data import --yes").stdin(&export.stdout).ok();
    let list = |tidegate: &Tidegate| {
        let mut all = connections(tidegate, "list crm --json").ok().lines();
        all.iter_mut()
            .for_each(|c| drop(c.as_object_mut().unwrap().remove("revision")));
        all
    };
    assert_eq!(list(&other), list(&tidegate));
}
