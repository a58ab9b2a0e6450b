//! An API that repeats the secret at every place that a configured plugin reads: pages, cursors, next URLs, redirects, ids,
//! errors, limits. Nothing that was written holds it but records, which are data.

use std::fs;

use serde_json::{Value, json};

use super::repeats::{SECRET, expect_none, expect_none_below, percent};
use crate::support::cli::Tidegate;
use crate::support::http::Request;
use crate::support::plugins;
use crate::support::server::{Reply, Server};

/// Says what it was sent at the places that a configured plugin reads, by the path.
fn talkative(request: &Request) -> Reply {
    let page = |records: Value, more: Value| {
        let mut page = json!({ "records": records });
        page["next"] = more;
        Reply::json(&page)
    };
    let key = percent(SECRET, |byte| format!("%{byte:02X}"));
    match request.path() {
        "/reason" => Reply::text("no").with_status(403).with_reason(SECRET),
        "/limited" => Reply::text(&format!("too many requests by {SECRET}"))
            .with_status(429)
            .header("Retry-After", "1")
            .header("X-RateLimit-Scope", SECRET),
        "/retry-after" => Reply::text("later")
            .with_status(403)
            .header("Retry-After", SECRET),
        "/html" => Reply::text(&format!("<!doctype html><title>{SECRET}</title>")),
        "/error" => Reply::json(&json!({ "ok": false, "error": format!("bad key {SECRET}") })),
        "/shape" => Reply::json(&json!({ "data": SECRET })),
        "/cursor" if request.target.contains("cursor=") => Reply::text("gone").with_status(500),
        "/cursor" => page(json!([{ "id": "1" }]), json!(SECRET)),
        "/next" if request.target.contains("key=") => Reply::text(&request.target).with_status(502),
        "/next" => page(json!([{ "id": "1" }]), json!(format!("/next?key={key}"))),
        "/away" => page(
            json!([{ "id": "1" }]),
            json!(format!("http://{}.example/?key={key}", hex_of(SECRET))),
        ),
        "/moved" => Reply::status(302).header("Location", &format!("/reason?key={key}")),
        "/ids" => page(
            json!([
                { "id": SECRET }, { "id": SECRET }, { "id": { "a": SECRET } }, { "n": SECRET },
            ]),
            Value::Null,
        ),
        "/echo" => Reply::json(&json!({ "id": "1", "said": SECRET })),
        "/refuses" => Reply::json(&json!({ "errors": [{ "message": SECRET }] })).with_status(422),
        "/sent-away" => Reply::status(302).header("Location", &format!("/elsewhere?key={key}")),
        other => panic!("{other}"),
    }
}

fn hex_of(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_an_api_repeats_to_a_configured_plugin_is_nowhere_either() {
    let api = Server::start(talkative);
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::rest(), "api", &api.origin());
    let lists = [
        "reason",
        "limited",
        "retry-after",
        "html",
        "error",
        "shape",
        "cursor",
        "next",
        "away",
        "moved",
        "ids",
    ];
    let model = |path: &str| {
        let pagination = match path {
            "cursor" => {
                json!({"style": "cursor", "parameter": "cursor", "cursor_pointer": "/next"})
            }
            "next" | "away" => json!({"style": "next_url", "url_pointer": "/next"}),
            _ => json!({"style": "none"}),
        };
        json!({
            "path": format!("/{path}"), "records": "/records", "pagination": pagination,
            "conditional": false,
        })
    };
    let named = |path: &str| path.replace('-', "_");
    let models: serde_json::Map<String, Value> = lists
        .iter()
        .map(|path| (named(path), model(path)))
        .collect();
    let action = |path: &str| json!({ "method": "POST", "path": path, "model": "ids" });
    let config = json!({
        "models": models,
        "actions": {
            "echo": action("/echo"), "refuses": action("/refuses"), "sent_away": action("/sent-away"),
            "breaks": action("/reason"),
        },
    });
    let file = tidegate.data().with_file_name("api.json");
    fs::write(&file, config.to_string()).unwrap();
    let words = format!(
        "connections add api acme --base-url {} --secret token=env:A --config",
        api.origin()
    );
    let added = tidegate.cmd(&words).arg(format!("@{}", file.display()));
    added.env("A", SECRET).ok();
    let running = tidegate
        .cmd("serve --listen 127.0.0.1:0 --log-level debug")
        .start();
    running.wait_for_url();
    let say = |words: String| {
        let finished = tidegate.cmd(&words).finish();
        expect_none(&words, finished.stdout.as_bytes());
        expect_none(&format!("{words} (stderr)"), finished.stderr.as_bytes());
        finished.stdout + &finished.stderr
    };
    let mut said = say("connections test api acme".to_owned());
    for path in lists.map(named) {
        // Twice: a place that was kept is gone on from.
        for _ in 0..2 {
            said += &say(format!("run api/{path} -c acme"));
        }
    }
    for (number, action) in ["echo", "refuses", "sent_away", "breaks"]
        .iter()
        .enumerate()
    {
        let words =
            format!("invoke api/{action} -c acme --idempotency-key k{number} --json --input");
        let finished = tidegate.cmd(&words).arg(r#"{"body":{}}"#).finish();
        expect_none(action, finished.stdout.as_bytes());
        expect_none(action, finished.stderr.as_bytes());
        said += &(finished.stdout + &finished.stderr);
    }
    for run in tidegate.runs() {
        let run = run["run"].as_str().unwrap().to_owned();
        said += &say(format!("logs {run}"));
        said += &say(format!("runs {run} --json"));
    }
    for words in [
        "jobs list --json",
        "runs --json --limit 1000",
        "runs --limit 1000",
        "syncs api",
    ] {
        say(words.to_owned());
    }
    assert!(
        said.matches("[secret]").count() > 20,
        "it was repeated: {said}"
    );
    running.signal(rustix::process::Signal::TERM);
    let served = running.finish();
    expect_none("the server's log", served.stdout.as_bytes());
    expect_none("what the server said", served.stderr.as_bytes());
    // Records are data, and stay as they are: all else is looked for without them.
    tidegate.cmd("data drop api ids -c acme --yes").ok();
    tidegate.cmd("data compact").ok();
    assert!(expect_none_below(&tidegate.data()) > 3);
}
