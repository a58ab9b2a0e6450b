//! What comes of an action: its output, its records, its failures by who said no.

use serde_json::{Value, json};

use super::{Acts, REJECTED, UPSTREAM};
use crate::support::cli::{OK, RUN_FAILED};
use crate::support::http::Request;
use crate::support::server::Reply;

#[test]
fn an_output_is_what_the_plugin_returned() {
    let acts = Acts::new(|_| Reply::status(404));
    for input in [
        json!({"a": [1, 2.5, "é\n"]}),
        json!(null),
        json!("text"),
        json!(12345678901234567890u64),
        json!("steers \u{7f}\u{85}\u{9b}31m"),
    ] {
        assert_eq!(acts.invoke_ok("echo", &input), input);
    }
    // Without --json, just the output in one line; from a file and from stdin too.
    let file = acts.tidegate.data().join("../input.json");
    std::fs::write(&file, "[1, 2]").unwrap();
    let from_file = format!("@{}", file.display());
    for (input, stdin, output) in [
        ("{\"n\": 1e2}", None, "{\"n\":100.0}\n"),
        (from_file.as_str(), None, "[1,2]\n"),
        ("-", Some(" \"in\" "), "\"in\"\n"),
    ] {
        let mut cmd = acts.plain("echo").arg("--input").arg(input);
        if let Some(stdin) = stdin {
            cmd = cmd.stdin(stdin);
        }
        assert_eq!(cmd.ok().stdout, output);
    }
    // Without an input it is an empty object.
    assert_eq!(acts.plain("echo").ok().stdout, "{}\n");
}

#[test]
fn what_an_action_writes_is_there_at_once_and_unchanged_for_the_next_sync() {
    let acts = Acts::new(|request| {
        let item = json!({"id": "i1", "name": "Ada", "qty": 3});
        match request.method.as_str() {
            "POST" => Reply::json(&item).with_status(201),
            _ => Reply::json(&json!([{"qty": 3, "name": "Ada", "id": "i1"}])),
        }
    });
    let output = acts.invoke_ok("create", &json!({"name": "Ada", "qty": 3}));
    assert_eq!(output["id"], "i1");
    let feed = acts.tidegate.feed("acts/Item", "acme", None);
    assert_eq!(feed.len(), 1);
    assert_eq!(
        (&feed[0]["id"], &feed[0]["action"]),
        (&json!("i1"), &json!("added"))
    );
    let cursor = feed[0]["cursor"].as_str().unwrap();

    let run = acts.tidegate.sync_ok("acts/items", "acme");
    let counts = &run["figures"]["counts"]["Item"];
    assert_eq!(counts["unchanged"], 1, "{run}");
    assert!(
        acts.tidegate
            .feed("acts/Item", "acme", Some(cursor))
            .is_empty()
    );
}

#[test]
fn an_action_has_several_models_and_no_others() {
    let acts = Acts::new(|_| Reply::status(404));
    for count in 1..=3 {
        assert_eq!(acts.invoke_ok("count", &json!({})), json!(count));
    }
    assert_eq!(acts.tidegate.feed("acts/Item", "acme", None).len(), 3);
    assert_eq!(acts.tidegate.feed("acts/Note", "acme", None).len(), 1);
    let failure = acts.invoke("trespass", &json!({}), RUN_FAILED)["failure"].clone();
    assert_eq!(
        (&failure["class"], &failure["code"]),
        (&json!("config"), &json!("store-denied"))
    );
    let message = failure["message"].as_str().unwrap();
    assert!(
        message.contains("does not list the model \"Secretive\""),
        "{message}"
    );
    assert!(
        acts.tidegate
            .feed("acts/Secretive", "acme", None)
            .is_empty()
    );
}

#[test]
fn runs_of_actions_are_listed_and_logged() {
    let acts = Acts::new(|_| Reply::status(404));
    acts.invoke_ok("echo", &json!(1));
    acts.invoke("panic", &json!({}), RUN_FAILED);
    let runs = acts.tidegate.runs();
    let ends: Vec<(&Value, &Value, &Value)> = runs
        .iter()
        .map(|run| (&run["kind"], &run["name"], &run["outcome"]))
        .collect();
    assert_eq!(
        ends,
        [
            (&json!("action"), &json!("echo"), &json!("success")),
            (&json!("action"), &json!("panic"), &json!("failed")),
        ]
    );
    let logs = acts.tidegate.logs(&runs[1]);
    let said = logs.iter().any(|line| {
        let message = line["message"].as_str().unwrap();
        message.contains("the action panics on purpose")
    });
    assert!(said, "{logs:#?}");
    let context = acts.invoke_ok("context", &json!({}));
    assert_eq!(
        (&context["kind"], &context["name"]),
        (&json!("action"), &json!("context"))
    );
    assert_eq!(context["idempotency_key"], Value::Null);
}

/// A way to fail: the action, its input, a limit; then exit code, class, blame and what is said.
struct Fails {
    action: &'static str,
    input: Value,
    limit: &'static str,
    code: i32,
    class: &'static str,
    blame: &'static str,
    says: &'static str,
}

fn fails(
    action: &'static str,
    input: Value,
    code: i32,
    class: &'static str,
    blame: &'static str,
    says: &'static str,
) -> Fails {
    Fails {
        action,
        input,
        limit: "",
        code,
        class,
        blame,
        says,
    }
}

impl Fails {
    /// With the limit set lower.
    fn at(mut self, limit: &'static str) -> Self {
        self.limit = limit;
        self
    }
}

#[test]
fn each_failure_has_its_exit_code_and_who_is_to_blame() {
    let kind = |kind: &str| json!({ "kind": kind });
    let rows = [
        fails(
            "fail",
            kind("rejected"),
            REJECTED,
            "rejected",
            "operator",
            "it is rejected",
        ),
        fails(
            "fail",
            kind("transient"),
            UPSTREAM,
            "transient",
            "upstream",
            "it is transient",
        ),
        fails(
            "fail",
            kind("auth"),
            RUN_FAILED,
            "auth",
            "operator",
            "it is auth",
        ),
        fails(
            "fail",
            kind("config"),
            RUN_FAILED,
            "config",
            "operator",
            "it is config",
        ),
        fails(
            "fail",
            kind("other"),
            RUN_FAILED,
            "other",
            "guest",
            "it is other",
        ),
        fails(
            "fail",
            json!({}),
            REJECTED,
            "rejected",
            "operator",
            "missing field `kind`",
        ),
        fails(
            "no-json",
            json!({}),
            RUN_FAILED,
            "other",
            "guest",
            "returned no JSON",
        ),
        fails(
            "misfit",
            json!({}),
            RUN_FAILED,
            "other",
            "guest",
            "(top): \"id\" is a required",
        ),
        fails(
            "large",
            json!(2097153),
            RUN_FAILED,
            "limit",
            "guest",
            "action_output_bytes is 2097152",
        ),
        fails(
            "reject-at-length",
            json!(3000000),
            RUN_FAILED,
            "limit",
            "guest",
            "payload has 3000002",
        ),
        fails(
            "large",
            json!(99),
            RUN_FAILED,
            "limit",
            "guest",
            "has 101 bytes",
        )
        .at("action_output_bytes=100"),
        fails("panic", json!({}), RUN_FAILED, "trap", "guest", "panicked"),
        fails("loop", json!({}), RUN_FAILED, "limit", "guest", "cpu_ms").at("cpu_ms=300"),
        fails(
            "sleep",
            json!({}),
            RUN_FAILED,
            "limit",
            "guest",
            "action_wall_ms",
        )
        .at("action_wall_ms=300"),
        fails(
            "checkpoint",
            json!({}),
            RUN_FAILED,
            "other",
            "guest",
            "only a sync has a checkpoint",
        ),
        fails(
            "get",
            json!("/teapot"),
            REJECTED,
            "rejected",
            "upstream",
            "answered 418",
        ),
        fails(
            "get",
            json!("/down"),
            UPSTREAM,
            "transient",
            "upstream",
            "answered 503",
        ),
        fails(
            "get",
            json!("/secret"),
            RUN_FAILED,
            "auth",
            "operator",
            "answered 401",
        ),
        fails(
            "get",
            json!("/html"),
            UPSTREAM,
            "transient",
            "upstream",
            "not JSON",
        ),
        // The manifest does not ask for it.
        fails(
            "get",
            json!("http://198.51.100.1/"),
            RUN_FAILED,
            "config",
            "guest",
            "198.51.100.1",
        ),
    ];
    let acts = Acts::new(answer);
    for row in rows {
        let limits = if row.limit.is_empty() {
            String::new()
        } else {
            format!("--limit {}", row.limit)
        };
        let words = format!(
            "--as acts --yes --fresh-grants --allow-host {} --allow-private 127.0.0.0/8 {limits}",
            acts.server.origin()
        );
        acts.tidegate
            .cmd("deploy")
            .arg(super::acts())
            .words(&words)
            .ok();
        let said = acts.invoke(row.action, &row.input, row.code);
        let place = format!("{} {}: {said}", row.action, row.input);
        let failure = &said["failure"];
        assert_eq!(
            (&failure["class"], &failure["blame"]),
            (&json!(row.class), &json!(row.blame)),
            "{place}"
        );
        let message = failure["message"].as_str().unwrap();
        assert!(
            message.contains(row.says),
            "wanted {:?} in {place}",
            row.says
        );
        assert!(said["run"].as_str().unwrap().starts_with("run_"), "{place}");
        assert!(said.get("output").is_none(), "{place}");
    }
}

fn answer(request: &Request) -> Reply {
    match request.path() {
        "/teapot" => Reply::json(&json!({"short": "and stout"})).with_status(418),
        "/down" => Reply::text("down for today")
            .with_status(503)
            .header("Retry-After", "9"),
        "/secret" => Reply::status(401),
        "/html" => Reply::text("<html>"),
        _ => Reply::status(404),
    }
}

#[test]
fn a_failure_carries_what_the_caller_needs() {
    let acts = Acts::new(answer);
    let rejected = acts.invoke("fail", &json!({"kind": "rejected"}), REJECTED);
    let failure = &rejected["failure"];
    assert_eq!(failure["code"], "as-told");
    assert_eq!(failure["payload"], json!({"kind": "rejected"}));
    let transient = acts.invoke("fail", &json!({"kind": "transient"}), UPSTREAM);
    assert_eq!(transient["failure"]["retry_after_ms"], 7000);
    let down = acts.invoke("get", &json!("/down"), UPSTREAM);
    let upstream = json!({"status": 503, "body": "down for today"});
    assert_eq!(down["failure"]["upstream"], upstream);
    assert_eq!(down["failure"]["retry_after_ms"], 9000);

    // The same for people: on stdout what was said, on stderr what it means.
    let plain = acts
        .plain("fail")
        .arg("--input")
        .arg("{\"kind\":\"rejected\"}")
        .finish();
    plain.expect_refusal(REJECTED, &["it is rejected", "tidegate logs run_"]);
    let lines = "rejected: it is rejected\ncode: as-told\npayload: {\"kind\":\"rejected\"}\n";
    assert_eq!(plain.stdout, lines);
    let plain = acts.plain("get").arg("--input").arg("\"/teapot\"").finish();
    plain.expect_code(REJECTED);
    assert!(
        plain
            .stdout
            .contains("upstream: status 418: {\"short\":\"and stout\"}"),
        "{}",
        plain.stdout
    );
    assert_eq!(acts.plain("echo").finish().code, Some(OK));
}
