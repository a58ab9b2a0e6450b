//! Token endpoints that answer badly or not at all, and those that nobody granted: each is told in
//! the run's failure, and says nothing of the credentials.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::{SYNC, adding, deployed, given};
use crate::support::cli::{RUN_FAILED, Tidegate};
use crate::support::http::Request;
use crate::support::plugins;
use crate::support::server::{Listener, Reply, Server};

const SECRETS: [(&str, &str); 2] = [
    ("client_id", "me"),
    ("client_secret", "canary-c20ad4d76fe97759"),
];

fn token(value: &Value) -> Reply {
    let mut token = json!({"access_token": "ACCESS-canary-6512bd43", "token_type": "Bearer"});
    token
        .as_object_mut()
        .unwrap()
        .extend(value.as_object().unwrap().clone());
    Reply::json(&token)
}

fn error(status: u16, name: &str) -> Reply {
    Reply::json(&json!({"error": name, "error_description": format!("secret {}?\n", SECRETS[1].1)}))
        .with_status(status)
}

/// A run with tokens from `token_url`: its failure, after the API was asked for nothing.
#[track_caller]
fn failure(tidegate: &Tidegate, name: &str, api: &Server, token_url: &str) -> Value {
    given(adding(tidegate, name, &api.origin(), token_url), &SECRETS).ok();
    let run = tidegate.sync(SYNC, name);
    run.expect_code(RUN_FAILED);
    assert!(api.requests().is_empty(), "{name}");
    let failure = run.json()["failure"].clone();
    assert!(!failure.to_string().contains("canary"), "{name}: {failure}");
    failure
}

#[track_caller]
fn expect(name: &str, failure: &Value, class: &str, parts: &[&str]) {
    assert_eq!(failure["class"], class, "{name}: {failure}");
    let said = failure["message"].as_str().unwrap();
    for part in parts {
        assert!(said.contains(part), "{name}: wanted {part:?} in {said}");
    }
}

fn is_marked(tidegate: &Tidegate, name: &str) -> bool {
    let shown = tidegate
        .cmd(&format!("connections show crm {name} --json"))
        .ok();
    !shown.json()["auth_failed"].is_null()
}

#[test]
fn bad_answers() {
    let api = Server::start(|_| Reply::json(&json!([])));
    let rows: Vec<(&str, Reply, &str, &[&str])> = vec![
        (
            "html",
            Reply::text("<html>canary</html>").header("Content-Type", "text/html"),
            "transient",
            &[
                "answered with status 200 and content type \"text/html\"",
                "no token set",
            ],
        ),
        (
            "500",
            Reply::text("canary").with_status(500),
            "transient",
            &["answered with status 500"],
        ),
        (
            "429",
            Reply::status(429).header("Retry-After", "2"),
            "transient",
            &["with status 429"],
        ),
        (
            "redirect",
            Reply::status(307).header("Location", "https://elsewhere.example/token?canary"),
            "transient",
            &[
                "redirects (status 307) to \"https://elsewhere.example/token\"",
                "not followed",
            ],
        ),
        (
            "huge",
            Reply::text(&"x".repeat(70_000)),
            "transient",
            &["token_response_bytes"],
        ),
        (
            "cut",
            token(&json!({})).cut(),
            "transient",
            &["gave no answer"],
        ),
        (
            "not-json",
            Reply::text("{canary"),
            "transient",
            &["no token set in JSON"],
        ),
        (
            "no-token",
            Reply::json(&json!({"token": "canary"})),
            "transient",
            &["no access_token"],
        ),
        (
            "control",
            token(&json!({"access_token": "canary\r\nX: y"})),
            "transient",
            &["control characters"],
        ),
        (
            "empty",
            token(&json!({"access_token": ""})),
            "transient",
            &["no access_token"],
        ),
        (
            "mac",
            token(&json!({"token_type": "mac"})),
            "transient",
            &["of the type \"mac\""],
        ),
        (
            "gateway",
            Reply::text("bad gateway").with_status(502),
            "transient",
            &["status 502"],
        ),
        // RFC 6749 §5.2: what the server rejects, and what it only says no to now.
        (
            "invalid_grant",
            error(400, "invalid_grant"),
            "auth",
            &["rejects", "invalid_grant (secret [secret]?)"],
        ),
        (
            "invalid_client",
            error(401, "invalid_client"),
            "auth",
            &["rejects"],
        ),
        (
            "unauthorized_client",
            error(400, "unauthorized_client"),
            "auth",
            &["rejects"],
        ),
        (
            "invalid_scope",
            error(400, "invalid_scope"),
            "auth",
            &["rejects"],
        ),
        (
            "unsupported_grant_type",
            error(400, "unsupported_grant_type"),
            "auth",
            &["rejects"],
        ),
        (
            "invalid_request",
            error(400, "invalid_request"),
            "auth",
            &["refuses with status 400: invalid_request"],
        ),
        // A 200 is no better, and who has words of its own is understood.
        (
            "github",
            error(200, "bad_refresh_token"),
            "auth",
            &["rejects", "bad_refresh_token"],
        ),
        (
            "facebook",
            Reply::json(
                &json!({"error": {"message": "no", "type": "OAuthException", "code": 190}}),
            )
            .with_status(400),
            "auth",
            &["refuses with status 400: OAuthException 190"],
        ),
        (
            "slack-later",
            error(200, "ratelimited"),
            "transient",
            &["failed with status 200: ratelimited"],
        ),
        (
            "unavailable",
            error(503, "temporarily_unavailable"),
            "transient",
            &["status 503"],
        ),
        (
            "in-trouble",
            error(500, "invalid_grant"),
            "transient",
            &["status 500: invalid_grant"],
        ),
        (
            "slow-down",
            error(429, "invalid_grant"),
            "transient",
            &["status 429"],
        ),
        (
            "canary-error",
            error(400, SECRETS[1].1),
            "auth",
            &["status 400: [secret]"],
        ),
    ];
    // Whose word is not final is asked again.
    let asked_again = ["invalid_request", "facebook", "canary-error"];
    let replies: Vec<Reply> = rows.iter().map(|row| row.1.clone()).collect();
    let server = Server::start(move |request| {
        let row: usize = request.path()[1..].parse().unwrap();
        replies[row].clone()
    });
    let tidegate = deployed(&api.origin(), &server.origin());
    for (number, (name, _, class, parts)) in rows.iter().enumerate() {
        let url = format!("{}/{number}?tenant=canary", server.origin());
        let failure = failure(&tidegate, name, &api, &url);
        expect(name, &failure, class, parts);
        let is_final = *class == "auth" && !asked_again.contains(name);
        assert_eq!(is_marked(&tidegate, name), is_final, "{name}");
        let code = &failure["code"];
        match *class {
            "transient" => assert_eq!(code, "http-token", "{name}"),
            _ => assert_eq!(code == "token-rejected", is_final, "{name}: {code}"),
        }
    }
    // Each was asked once.
    assert_eq!(server.requests().len(), rows.len());
}

#[test]
fn lifetimes_that_nobody_means_are_no_obstacle() {
    let server = Server::start(|request| match request.path() {
        "/huge" => token(&json!({"expires_in": u64::MAX})),
        "/zero" => token(&json!({"expires_in": 0})),
        "/none" => token(&json!({})),
        // As real endpoints have it: all of these are token sets.
        "/negative" => token(&json!({"expires_in": -1})),
        "/text" => token(&json!({"expires_in": "3600", "scope": ["a", "b"], "token_type": null})),
        "/fraction" => token(&json!({"expires_in": 3600.5, "refresh_token": ""})).with_status(201),
        "/float" => token(&json!({"expires_in": 1e30, "token_type": "bot"})),
        "/form" => Reply::text("access_token=a&token_type=bearer&expires_in=3600"),
        "/marked" => Reply::text("\u{feff}{\"access_token\":\"a\"}"),
        _ => Reply::json(&json!([{"id": "a"}])),
    });
    let origin = server.origin();
    let tidegate = deployed(&origin, &origin);
    for (name, bought) in [
        ("huge", 1),
        ("zero", 2),
        ("none", 1),
        ("negative", 1),
        ("text", 1),
        ("fraction", 1),
        ("float", 1),
        ("form", 1),
        ("marked", 1),
    ] {
        let url = format!("{origin}/{name}");
        given(adding(&tidegate, name, &origin, &url), &SECRETS).ok();
        for _ in 0..2 {
            tidegate.sync_ok(SYNC, name);
        }
        let asked = server.requests();
        let asked = asked
            .iter()
            .filter(|request| request.target == format!("/{name}"));
        assert_eq!(asked.count(), bought, "{name}");
    }
}

/// The failure of a run whose token endpoint is handed each connection.
fn stalled(name: &str, serve: impl Fn(std::net::TcpStream) + Send + Sync + 'static) {
    let api = Server::start(|_| Reply::json(&json!([])));
    let listener = Listener::start(serve);
    let origin = format!("http://{}", listener.address);
    let tidegate = deployed(&api.origin(), &origin);
    let failure = failure(&tidegate, name, &api, &format!("{origin}/token"));
    expect(
        name,
        &failure,
        "transient",
        &["20000 ms", "token_timeout_ms"],
    );
    assert!(!is_marked(&tidegate, name));
}

#[test]
fn one_that_hangs() {
    stalled("hangs", |stream| {
        // Until the client has enough of it.
        let _ = std::io::copy(&mut &stream, &mut std::io::sink());
    });
}

#[test]
fn one_that_drips() {
    stalled("drips", |mut stream| {
        let Ok(Some(_)) = Request::read(&stream) else {
            return;
        };
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n";
        let pace = Some(Duration::from_millis(200));
        stream.set_read_timeout(pace).unwrap();
        let mut fine = stream.write_all(head).is_ok();
        while fine {
            // The pace of a server that never stops and never ends, until the client goes.
            let heard = stream.read(&mut [0]);
            let waits = heard.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            fine = waits && stream.write_all(b" ").is_ok();
        }
    });
}

#[test]
fn what_is_not_granted_is_not_asked() {
    let server = Server::start(|_| Reply::json(&json!([])));
    let origin = server.origin();
    let hosts = "--allow-host https://api.example.com";
    let loopback = "--allow-private 127.0.0.0/8";
    let token = format!("--allow-token-host {origin}");
    // (grants, token URL, what is said)
    let rows = [
        (
            // The plugin's own hosts open no token endpoint.
            format!("--allow-host {origin} {loopback}"),
            origin.clone(),
            format!("--allow-token-host {origin}"),
        ),
        (
            token.clone(),
            origin.clone(),
            "--allow-private 127.0.0.0/8".to_owned(),
        ),
        (
            "--allow-token-host http://8.8.8.8".to_owned(),
            "http://8.8.8.8".to_owned(),
            "secrets must not go over http; use https".to_owned(),
        ),
        (token.clone(), String::new(), "auth/token_url".to_owned()),
    ];
    for (number, (grants, url, says)) in rows.iter().enumerate() {
        let tidegate = Tidegate::new();
        let deploy = tidegate.cmd("deploy").arg(plugins::rest());
        deploy
            .words("--as crm --yes")
            .words(hosts)
            .words(grants)
            .ok();
        let name = format!("acme-{number}");
        let base = "https://api.example.com";
        let url = match url.is_empty() {
            true => "{}".to_owned(),
            false => json!({"token_url": format!("{url}/token")}).to_string(),
        };
        let added = adding(&tidegate, &name, base, "https://unused.example");
        let words = format!("--config auth={url}");
        given(added, &SECRETS).words(&words).ok();
        let run = tidegate.sync(SYNC, &name);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert_ne!(run.code, Some(0));
        assert!(
            said.contains(says.as_str()),
            "{number}: wanted {says:?} in {said}"
        );
    }
    // Nor may the plugin go where only tokens come from.
    let tidegate = Tidegate::new();
    let deploy = tidegate.cmd("deploy").arg(plugins::rest());
    let words = format!("--as crm --yes {loopback} {token}");
    deploy.words(&words).ok();
    tidegate
        .cmd(&format!("connections add crm acme --base-url {origin}"))
        .words(r#"--config models={"Item":{"path":"items"}}"#)
        .ok();
    let run = tidegate.sync(SYNC, "acme");
    run.expect_code(RUN_FAILED);
    let allow = format!("--allow-host {origin}");
    assert!(run.stdout.contains(&allow), "{}", run.stdout);
    assert!(server.requests().is_empty());
}
