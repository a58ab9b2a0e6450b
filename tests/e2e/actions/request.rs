//! `tidegate request`: a connection's credentials and the integration's grants, without a plugin.

use serde_json::{Value, json};

use super::{REJECTED, UPSTREAM, acts};
use crate::support::cli::{Cmd, INVALID, NOT_FOUND, OK, RUN_FAILED, Tidegate};
use crate::support::http::Request;
use crate::support::server::{Reply, Server};

const CANARY: &str = "canary-7c211433f0207159";

struct Proxy {
    tidegate: Tidegate,
    server: Server,
}

impl Proxy {
    fn new() -> Self {
        let server = Server::start(answer);
        let tidegate = Tidegate::new();
        tidegate.deploy(&acts(), "acts", &server.origin());
        let words = format!(
            "connections add acts acme --base-url {}/v1",
            server.origin()
        );
        let add = tidegate.cmd(&words).words("--secret token=env:TOKEN");
        add.env("TOKEN", CANARY).ok();
        Self { tidegate, server }
    }

    fn cmd(&self, words: &str) -> Cmd {
        self.tidegate.cmd(&format!("request acts acme {words}"))
    }
}

/// Tells what it was asked, indiscreetly.
fn answer(request: &Request) -> Reply {
    let body = String::from_utf8_lossy(&request.body);
    let told = json!({
        "method": request.method,
        "target": request.target,
        "authorization": request.header("authorization"),
        "type": request.header("content-type"),
        "extra": request.header("x-extra"),
        "body": body,
    });
    match request.path().rsplit('/').next().unwrap() {
        "binary" => Reply::bytes(&[0xff, 0x00]),
        "teapot" => Reply::json(&told).with_status(418),
        "down" => Reply::status(501),
        _ => Reply::json(&told).header("X-Told", CANARY),
    }
}

#[test]
fn a_request_carries_the_credentials_and_shows_none() {
    let proxy = Proxy::new();
    let shown = proxy
        .cmd("get /items?page=2 --header X-Extra:7 --json")
        .ok();
    let response = shown.json();
    assert_eq!(response["status"], 200);
    let told: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&told["method"], &told["target"], &told["extra"]),
        (&json!("GET"), &json!("/v1/items?page=2"), &json!("7"))
    );
    assert_eq!(told["authorization"], "Bearer [secret]");
    let sent = proxy.server.requests()[0].clone();
    assert_eq!(
        sent.header("authorization").unwrap(),
        format!("Bearer {CANARY}")
    );

    let included = proxy.cmd("GET /items --include").ok();
    assert!(included.stdout.starts_with("200\n"), "{}", included.stdout);
    assert!(
        included.stdout.contains("x-told: [secret]\n"),
        "{}",
        included.stdout
    );
    let plain = proxy.cmd("GET /items").ok();
    assert!(plain.stdout.starts_with('{'), "{}", plain.stdout);
    for said in [&shown, &included, &plain] {
        assert!(!said.stdout.contains(CANARY) && !said.stderr.contains(CANARY));
    }
}

#[test]
fn bodies_come_from_the_command_line_a_file_and_stdin() {
    let proxy = Proxy::new();
    let file = proxy.tidegate.data().join("../body.json");
    std::fs::write(&file, "[1]").unwrap();
    let from_file = format!("@{}", file.display());
    let json_type = Some("application/json");
    // (body, stdin, header, what arrives, its type)
    let rows = [
        ("{\"a\":1}", None, None, "{\"a\":1}", json_type),
        (from_file.as_str(), None, None, "[1]", json_type),
        ("-", Some("\"in\""), None, "\"in\"", json_type),
        (
            "a,b",
            None,
            Some("Content-Type:text/csv"),
            "a,b",
            Some("text/csv"),
        ),
    ];
    for (body, stdin, header, arrives, kind) in rows {
        let mut cmd = proxy.cmd("POST /items --body").arg(body);
        if let Some(stdin) = stdin {
            cmd = cmd.stdin(stdin);
        }
        if let Some(header) = header {
            cmd = cmd.arg("--header").arg(header);
        }
        cmd.ok();
        let sent = proxy.server.requests().pop().unwrap();
        assert_eq!(String::from_utf8(sent.body.clone()).unwrap(), arrives);
        assert_eq!(sent.header("content-type"), kind);
    }
}

#[test]
fn exit_codes_say_who_said_no() {
    let proxy = Proxy::new();
    let closed = {
        // A port that nobody listens on any more.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let rows: &[(&str, i32, &[&str])] = &[
        ("GET /items", OK, &[]),
        ("GET /teapot", REJECTED, &["said no: status 418"]),
        ("GET /down", UPSTREAM, &["failed: status 501"]),
        (
            "GET https://elsewhere.example/",
            RUN_FAILED,
            &["elsewhere.example"],
        ),
        (
            "GET http://169.254.169.254/",
            RUN_FAILED,
            &["169.254.169.254"],
        ),
        ("CONNECT /items", INVALID, &["CONNECT"]),
        ("GET /items --header Host:evil", INVALID, &["header Host"]),
        ("GET /items --header nothing", INVALID, &["NAME:VALUE"]),
        (
            "POST /items --body {",
            INVALID,
            &["the body is not JSON", "Content-Type:TYPE"],
        ),
        ("POST /items --body @/nowhere", NOT_FOUND, &["/nowhere"]),
    ];
    for (words, code, parts) in rows {
        let finished = proxy.cmd(words).finish();
        finished.expect_refusal(*code, parts);
        assert!(!finished.stderr.contains(CANARY), "{}", finished.stderr);
    }
    let tidegate = &proxy.tidegate;
    tidegate
        .cmd("request acts nobody GET /")
        .refused(NOT_FOUND, &["connections are acme"]);
    tidegate
        .cmd("request nothing acme GET /")
        .refused(NOT_FOUND, &["integrations are acts"]);
    tidegate.deploy(&acts(), "gone", &format!("http://127.0.0.1:{closed}"));
    tidegate.connect("gone", "acme", &format!("http://127.0.0.1:{closed}"));
    tidegate
        .cmd("request gone acme POST /")
        .refused(UPSTREAM, &["127.0.0.1"]);
    assert_eq!(tidegate.runs(), Vec::<Value>::new(), "no plugin ran");
}

#[test]
fn a_body_that_is_no_text_stays_as_it_is() {
    let proxy = Proxy::new();
    let shown = proxy.cmd("GET /binary --json").ok().json();
    assert_eq!(shown["body_base64"], "/wA=");
    assert!(shown.get("body").is_none(), "{shown}");
}
