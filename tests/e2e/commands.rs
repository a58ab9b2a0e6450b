//! The other commands, with what they print, what they refuse, and their exit codes.

use serde_json::{Value, json};

use crate::support::cli::{CONFLICT, INVALID, NOT_FOUND, Tidegate, tidegate};
use crate::support::crm::{MODEL, Source, changing, reply, synced_twice};
use crate::support::plugins;
use crate::support::server::{Reply, Server};

#[test]
fn a_deploy_asks_first() {
    let tidegate = Tidegate::new();
    let deploy = |words: &str| {
        tidegate
            .cmd("deploy --as crm")
            .words(words)
            .arg(plugins::demo_crm())
    };
    let refused = deploy("")
        .stdin("y\n")
        .refused(INVALID, &["nobody can be asked", "--yes"]);
    assert!(
        refused.stdout.contains("requests     host base-url"),
        "{}",
        refused.stdout
    );
    assert!(tidegate.cmd("integrations --json").ok().lines().is_empty());
    let deployed =
        deploy("--yes --allow-host https://crm.example.com --limit memory_bytes=67108864").ok();
    for part in [
        "granted      host https://crm.example.com",
        "memory_bytes=67108864",
        "deployed crm version 0.1.0",
    ] {
        assert!(
            deployed.stdout.contains(part),
            "wanted {part:?} in {}",
            deployed.stdout
        );
    }
}

#[test]
fn a_run_shows_what_it_does() {
    let server = changing();
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    let finished = tidegate.cmd("run crm/contacts --connection acme").ok();
    for part in [
        "outcome    success",
        "Contact: 3 added",
        "1 commits, 1 requests",
    ] {
        assert!(
            finished.stdout.contains(part),
            "wanted {part:?} in {}",
            finished.stdout
        );
    }
    assert!(finished.stderr.contains("started"), "{}", finished.stderr);
    let again = tidegate.sync_ok("crm/contacts", "acme");
    let counts = &again["figures"]["counts"]["Contact"];
    assert_eq!(
        *counts,
        json!({"added": 1, "updated": 1, "deleted": 1, "unchanged": 0, "skipped": 0}),
        "{again}"
    );

    // Without the checkpoint everything is asked for again, and told apart from what is stored.
    let reset = tidegate
        .cmd("run crm/contacts --connection acme --reset --json")
        .ok()
        .json();
    assert!(
        server
            .requests()
            .last()
            .unwrap()
            .query("updated_since")
            .is_none()
    );
    let counts = &reset["figures"]["counts"]["Contact"];
    assert_eq!(
        *counts,
        json!({"added": 1, "updated": 1, "deleted": 0, "unchanged": 1, "skipped": 0}),
        "{reset}"
    );
    assert_eq!(reset["reset"], true);
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let server = changing();
    let tidegate = synced_twice(&server);
    let stored = tidegate.feed(MODEL, "acme", None);
    let runs = tidegate.runs();
    // (command, exit code, what is said)
    let rows: &[(&str, i32, &[&str])] = &[
        (
            "run crm/people --connection acme",
            NOT_FOUND,
            &["people", "contacts", "companies"],
        ),
        (
            "run erp/contacts --connection acme",
            NOT_FOUND,
            &["erp", "crm"],
        ),
        (
            "run crm/contacts --connection acne",
            NOT_FOUND,
            &["acne", "acme"],
        ),
        (
            "run contacts --connection acme",
            INVALID,
            &["INTEGRATION/SYNC"],
        ),
        ("run crm/contacts", INVALID, &["--connection"]),
        (
            "records crm Person --connection acme",
            NOT_FOUND,
            &["Person", "Contact", "Company"],
        ),
        (
            "records crm Contact --connection acne",
            NOT_FOUND,
            &["acne", "acme"],
        ),
        (
            "records crm Contact --connection acme --cursor xyz",
            INVALID,
            &["cursor"],
        ),
        (
            "records crm Contact --connection acme --filter changed",
            INVALID,
            &["changed", "updated"],
        ),
        (
            "records crm Contact --connection acme --limit 0",
            INVALID,
            &["--limit"],
        ),
        (
            "records erp Contact --connection acme",
            NOT_FOUND,
            &["erp", "crm"],
        ),
        (
            "runs run_00000000000000000000000000",
            NOT_FOUND,
            &["run_0000", "tidegate runs"],
        ),
        ("runs yesterday", INVALID, &["yesterday", "run_"]),
        ("runs --integration erp", NOT_FOUND, &["erp"]),
        (
            "logs run_00000000000000000000000000",
            NOT_FOUND,
            &["run_0000"],
        ),
        (
            "logs --level loud run_00000000000000000000000000",
            INVALID,
            &["debug"],
        ),
        ("connections list erp", NOT_FOUND, &["erp", "crm"]),
        ("connections show crm acne", NOT_FOUND, &["acne", "acme"]),
        (
            "connections add erp x --base-url http://127.0.0.1",
            NOT_FOUND,
            &["erp", "crm"],
        ),
        (
            "connections add crm acme --base-url http://127.0.0.1",
            CONFLICT,
            &["acme"],
        ),
        (
            "connections add crm x --base-url nowhere",
            INVALID,
            &["nowhere"],
        ),
        (
            "connections add crm x --base-url ftp://127.0.0.1",
            INVALID,
            &["http"],
        ),
        (
            "connections add crm x --base-url http://127.0.0.1 --config page_size=\"many\"",
            INVALID,
            &["page_size"],
        ),
        (
            "connections add crm x --base-url http://127.0.0.1 --config novalue",
            INVALID,
            &["KEY=VALUE"],
        ),
        (
            "connections add crm x --base-url http://127.0.0.1 --config @no-file.json",
            NOT_FOUND,
            &["no-file.json"],
        ),
        (
            "connections add crm a/b --base-url http://127.0.0.1",
            INVALID,
            &["a/b"],
        ),
        ("fly", INVALID, &["fly"]),
    ];
    for (command, code, says) in rows {
        tidegate.cmd(command).refused(*code, says);
    }
    assert_eq!(tidegate.feed(MODEL, "acme", None), stored);
    assert_eq!(tidegate.runs(), runs);
    assert_eq!(
        tidegate
            .cmd("connections list crm --json")
            .ok()
            .lines()
            .len(),
        1
    );
}

#[test]
fn every_listing_has_json_lines_and_a_table() {
    let server = changing();
    let tidegate = synced_twice(&server);
    tidegate.connect("crm", "zenith", &server.origin());
    let run = tidegate.runs().pop().unwrap()["run"]
        .as_str()
        .unwrap()
        .to_owned();
    // (command, lines, keys of each)
    let rows: &[(&str, usize, &[&str])] = &[
        (
            "integrations",
            1,
            &["integration", "version", "digest", "grants", "deployed_at"],
        ),
        (
            "connections list crm",
            2,
            &["connection", "base_url", "secrets", "created_at"],
        ),
        (
            "connections show crm acme",
            1,
            &["models", "config", "metadata"],
        ),
        (
            "runs",
            2,
            &[
                "run",
                "outcome",
                "failure",
                "figures",
                "started_at",
                "ended_at",
            ],
        ),
        ("runs --limit 1", 1, &["run"]),
        ("runs --integration crm --connection acme", 2, &["run"]),
        ("runs --integration crm --connection zenith", 0, &[]),
        (&format!("runs --before {run}"), 1, &["run"]),
        (&format!("runs {run}"), 1, &["plugin_version"]),
        (
            "records crm Contact --connection acme",
            4,
            &["id", "action", "body", "cursor"],
        ),
        ("records crm Company --connection acme", 0, &[]),
    ];
    for (command, count, keys) in rows {
        let lines = tidegate.cmd(command).words("--json").ok().lines();
        assert_eq!(lines.len(), *count, "{command}: {lines:#?}");
        for (line, key) in lines
            .iter()
            .flat_map(|line| keys.iter().map(move |key| (line, key)))
        {
            assert!(line.get(key).is_some(), "{command}: no {key} in {line}");
        }
        let plain = tidegate.cmd(command).ok();
        assert!(
            !plain.stdout.contains('\u{1b}') && !plain.stderr.contains('\u{1b}'),
            "{plain:?}"
        );
        assert!(
            serde_json::from_str::<Value>(&plain.stdout).is_err(),
            "{command} prints JSON unasked"
        );
    }
    for line in tidegate.cmd(&format!("logs {run} --json")).ok().lines() {
        assert!(
            line["message"].is_string() && line["level"].is_string(),
            "{line}"
        );
    }
}

#[test]
fn logs_by_level() {
    let server = Server::start(|_| Reply::json(&json!({})));
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::hostile(), "hostile", &server.origin());
    tidegate.connect("hostile", "acme", &server.origin());
    let run = tidegate.sync("hostile/error", "acme").json();
    let id = run["run"].as_str().unwrap();
    let logs = |level: &str| {
        tidegate
            .cmd(&format!("logs {id} --json --level {level}"))
            .ok()
            .lines()
    };
    assert!(
        logs("info")
            .iter()
            .any(|line| line["message"] == "about to give up")
    );
    assert!(
        !logs("warn")
            .iter()
            .any(|line| line["message"] == "about to give up")
    );
}

#[test]
fn config_is_merged_and_checked() {
    let server = Server::start(|request| {
        reply(
            &[json!({"id": "page", "limit": request.query("limit")})],
            None,
        )
    });
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::demo_crm(), "crm", &server.origin());
    tidegate
        .cmd("deploy --as crm --yes --config page_size=7")
        .arg(plugins::demo_crm())
        .ok();
    tidegate.connect("crm", "plain", &server.origin());
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("config.json");
    std::fs::write(&file, r#"{"page_size": 9}"#).unwrap();
    let words = format!(
        "connections add crm own --base-url {} --config",
        server.origin()
    );
    tidegate
        .cmd(&words)
        .arg(format!("@{}", file.display()))
        .ok();
    for (connection, limit) in [("plain", "7"), ("own", "9")] {
        tidegate.sync_ok("crm/contacts", connection);
        let feed = tidegate.feed(MODEL, connection, None);
        assert_eq!(feed[0]["body"]["limit"], limit, "{connection}");
    }
}

#[test]
fn the_data_directory_is_where_it_is_said_to_be() {
    let folder = tempfile::TempDir::new().unwrap();
    let at = |path: &str| folder.path().join(path).is_dir();
    tidegate("runs").dir(folder.path()).ok();
    assert!(at("tidegate-data"));
    tidegate("runs")
        .dir(folder.path())
        .env("TIDEGATE_DATA", "by-variable")
        .ok();
    assert!(at("by-variable"));
    tidegate("runs --data by-flag")
        .dir(folder.path())
        .env("TIDEGATE_DATA", "not-this")
        .ok();
    assert!(at("by-flag") && !at("not-this"));
}
