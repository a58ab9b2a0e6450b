//! `connections test`: what is wrong with a connection, said so that it can be put right.

use serde_json::json;

use super::{add, connections, deployed, server};
use crate::support::cli::{DATA_DIRECTORY, NOT_FOUND, OK, PLUGIN, RUN_FAILED, Tidegate};
use crate::support::plugins;
use crate::support::server::{Reply, Server};

#[test]
fn each_answer_has_its_words_and_code() {
    let server = server();
    let tidegate = deployed(&server);
    let origin = server.origin();
    add(&tidegate, &server, "good");
    let elsewhere = "http://127.0.0.1:9";
    for (name, base_url, secret) in [
        ("wrong", origin.as_str(), "--secret token=env:WRONG"),
        ("none", &origin, ""),
        ("elsewhere", elsewhere, "--secret token=env:TIDE_SECRET"),
    ] {
        let words = format!("add crm {name} --base-url {base_url} {secret}");
        connections(&tidegate, &words).env("WRONG", "hunter2").ok();
    }
    // Nothing listens there, and it is granted.
    tidegate.deploy(&plugins::demo_crm(), "gone", elsewhere);
    tidegate.connect("gone", "nobody", elsewhere);
    tidegate.deploy(&plugins::hello(), "hello", &origin);
    tidegate.connect("hello", "quiet", &origin);
    // (connection, exit code, result, what is said)
    let rows: &[(&str, i32, &str, &[&str])] = &[
        ("crm good", OK, "accepted", &[]),
        (
            "crm wrong",
            RUN_FAILED,
            "credentials",
            &[
                "does not accept the credentials",
                "401",
                "connections update crm wrong --secret",
            ],
        ),
        ("crm none", RUN_FAILED, "credentials", &["401"]),
        (
            "crm elsewhere",
            RUN_FAILED,
            "refused",
            &["not let through", "--allow-host http://127.0.0.1:9"],
        ),
        (
            "gone nobody",
            RUN_FAILED,
            "unreachable",
            &["can't be reached", "base URL"],
        ),
        (
            "hello quiet",
            PLUGIN,
            "no-check",
            &["has no check", "hello"],
        ),
    ];
    for (which, code, result, says) in rows {
        let finished = connections(&tidegate, &format!("test {which} --json")).refused(*code, says);
        let json = finished.json();
        assert_eq!(json["result"], *result, "{json}");
        assert!(json["run"].as_str().unwrap().starts_with("run_"), "{json}");
        for text in [&finished.stdout, &finished.stderr] {
            assert!(
                !text.contains("hunter2") && !text.contains(super::SECRET),
                "{text}"
            );
        }
        connections(&tidegate, &format!("test {which}")).refused(*code, says);
    }
    connections(&tidegate, "test crm nobody").refused(NOT_FOUND, &["nobody", "good"]);
    std::fs::remove_file(tidegate.data().join("master.key")).unwrap();
    connections(&tidegate, "test crm good")
        .refused(DATA_DIRECTORY, &["crm/good", "master key", "missing"]);
}

#[test]
fn what_leads_nowhere_in_the_config_is_said() {
    let server = Server::start(|_| {
        Reply::json(&json!({ "data": [{ "id": 1 }, { "id": 2 }], "next": null }))
    });
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::rest(), "api", &server.origin());
    for (name, pointer, says) in [
        ("right", "/next", None),
        (
            "wrong",
            "/nxt",
            Some("`models.Item.pagination.cursor_pointer`"),
        ),
    ] {
        let config = json!({ "models": { "Item": {
            "path": "/items",
            "records": "/data",
            "pagination": {
                "style": "cursor", "parameter": "after", "cursor_pointer": pointer,
                "page_size": 2, "page_size_parameter": "limit",
            },
        } } });
        let file = tidegate.data().with_file_name("api.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let words = format!(
            "connections add api {name} --base-url {} --config",
            server.origin()
        );
        tidegate
            .cmd(&words)
            .arg(format!("@{}", file.display()))
            .ok();
        let tested = tidegate
            .cmd(&format!("connections test api {name} --json"))
            .ok()
            .json();
        let warnings = tested["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), usize::from(says.is_some()), "{tested}");
        let told = tidegate
            .cmd(&format!("connections test api {name}"))
            .ok()
            .stdout;
        assert_eq!(told.contains("warning: "), says.is_some(), "{told}");
        let run = tidegate.sync_ok("api/Item", name);
        let logged = tidegate
            .logs(&run)
            .iter()
            .any(|line| line["level"] == "warn");
        assert_eq!(logged, says.is_some());
        if let Some(says) = says {
            assert!(warnings[0].as_str().unwrap().contains(says), "{tested}");
            assert!(told.contains(says), "{told}");
        }
    }
}
