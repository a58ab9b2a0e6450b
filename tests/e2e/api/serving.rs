//! The server itself: ready, found, TLS, and an orderly end.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::client::Call;
use super::{Served, expect_problem, make_key, serve};
use crate::actions::acts;
use crate::support::cli::{Cmd, INVALID, OK, RUN_FAILED, Tidegate};
use crate::support::own::Own;
use crate::support::plugins;
use crate::support::server::{Gate, Reply, Server};
use crate::support::{PATIENCE, root, wait_until};

/// What somebody else would have had to do did not happen.
const UPSTREAM: i32 = 11;

#[test]
fn it_lives_and_is_ready_and_says_what_it_does() {
    let served = Served::start_with(Tidegate::new(), "--log json");
    for path in ["/livez", "/readyz"] {
        assert_eq!(served.bare("GET", path).send().body, b"ok\n");
    }
    let answer = served
        .call("GET", "/v1/runs")
        .header("x-request-id", "my-request")
        .send();
    assert_eq!(answer.header("x-request-id"), Some("my-request"));
    let metrics = served.call("GET", "/metrics").send();
    let text = String::from_utf8(metrics.body).unwrap();
    let counted =
        "tidegate_http_requests_total{method=\"GET\",route=\"/v1/runs\",status=\"200\"} 1";
    assert!(text.contains(counted), "{text}");
    let line = wait_until("the log of a request", PATIENCE, || {
        let log = served.running.stdout();
        log.lines()
            .find(|line| line.contains("my-request"))
            .map(str::to_owned)
    });
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["status"], 200, "{line}");
    assert_eq!(line["spans"][0]["route"], "/v1/runs", "{line}");
    assert!(
        line["spans"][0]["key"]
            .as_str()
            .unwrap()
            .starts_with("key_"),
        "{line}"
    );
    assert!(
        !served.running.stdout().contains(&served.manage),
        "the log has a key"
    );
}

#[test]
fn this_machines_commands_find_it() {
    let served = Served::start(Tidegate::new());
    let path = served.tidegate.data().join("server.json");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let own = Own::of(&served.tidegate);
    let mode = std::fs::metadata(&own.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The API is elsewhere, under other keys.
    for key in [&own.token, &served.manage] {
        let nothing = own.ask("GET", "/v1/runs", Some(key), "");
        expect_problem(&nothing, "no-such-route", 404);
    }
    let refused = served.bare("GET", "/v1/runs").key(&own.token).send();
    expect_problem(&refused, "unauthenticated", 401);
    served.running.signal(Signal::TERM);
    served.running.finish().expect_code(OK);
    assert!(!path.exists());
    assert!(!own.socket.exists());
}

/// A server whose action `hold` waits for an answer until the gate opens.
fn holding(words: &str) -> (Served, Server, Gate) {
    let gate = Gate::default();
    let held = gate.clone();
    let server = Server::start(move |_| Reply::json(&json!({})).behind(&held));
    let tidegate = Tidegate::new();
    tidegate.deploy(&acts(), "acts", &server.origin());
    tidegate.connect("acts", "acme", &server.origin());
    (Served::start_with(tidegate, words), server, gate)
}

const HOLD: &str = "/v1/integrations/acts/connections/acme/actions/hold";

/// Invoke `hold`, and wait until it has asked.
fn invoke_hold(served: &Served, gate: &Gate) -> std::thread::JoinHandle<(u16, Value)> {
    let call = served.call("POST", HOLD).json(&json!({}));
    let waiting = std::thread::spawn(move || {
        let answer = call.send();
        (answer.status, answer.json())
    });
    gate.arrived();
    waiting
}

#[test]
fn requests_finish_within_the_grace_period() {
    let (served, _server, gate) = holding("--grace 30s");
    let waiting = invoke_hold(&served, &gate);
    served.running.signal(Signal::TERM);
    // No new connections.
    wait_until("the port to close", PATIENCE, || {
        std::net::TcpStream::connect(served.address).err().map(drop)
    });
    gate.open();
    let (status, body) = waiting.join().unwrap();
    assert_eq!(status, 200, "{body}");
    served.running.finish().expect_code(OK);
    assert_eq!(served.tidegate.runs()[0]["outcome"], "success");
}

#[test]
fn runs_are_cancelled_after_it() {
    let (served, _server, gate) = holding("--grace 100ms");
    let waiting = invoke_hold(&served, &gate);
    served.running.signal(Signal::INT);
    let (status, body) = waiting.join().unwrap();
    assert_eq!(status, 409, "{body}");
    assert_eq!(
        body["type"], "https://tidegate.dev/problems/cancelled",
        "{body}"
    );
    served.running.finish().expect_code(OK);
    assert_eq!(served.tidegate.runs()[0]["outcome"], "cancelled");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (served, _server, gate) = holding("--grace 1h");
    let waiting = invoke_hold(&served, &gate);
    served.running.signal(Signal::TERM);
    wait_until("it to stop listening", PATIENCE, || {
        std::net::TcpStream::connect(served.address).err().map(drop)
    });
    let began = Instant::now();
    served.running.signal(Signal::TERM);
    served.running.finish().expect_code(130);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(waiting.join().is_err(), "an answer came from nowhere");
    // What was committed is safe, and the run is taken care of.
    assert_eq!(served.tidegate.runs()[0]["outcome"], "interrupted");
}

#[test]
fn a_server_that_was_killed_starts_again() {
    let served = Served::start(Tidegate::new());
    let Served {
        tidegate,
        running,
        manage,
        ..
    } = served;
    running.kill();
    assert!(tidegate.data().join("server.json").exists());
    let (_running, address) = serve(&tidegate, "");
    Call::new(address, "GET", "/v1/runs").key(&manage).ok(200);
}

#[test]
fn it_speaks_tls() {
    let tls = root().join("tests/tls");
    let tidegate = Tidegate::new();
    let cmd = tidegate.cmd("serve --listen 127.0.0.1:0").arg("--tls-cert");
    let cmd = cmd
        .arg(tls.join("cert.pem"))
        .arg("--tls-key")
        .arg(tls.join("key.pem"));
    let running = cmd.start();
    let url = running.wait_for_url();
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let ask = "import ssl, sys, urllib.request as r; \
               context = ssl.create_default_context(cafile=sys.argv[1]); \
               print(r.urlopen(sys.argv[2], context=context).read().decode())";
    let mut python = Command::new("python3");
    python
        .args(["-c", ask])
        .arg(tls.join("cert.pem"))
        .arg(format!("{url}/livez"));
    let answer = Cmd::new(python).ok();
    assert_eq!(answer.stdout.trim(), "ok");
    // Plain HTTP gets nothing there.
    let address = url.strip_prefix("https://").unwrap().parse().unwrap();
    let plain = Call::new(address, "GET", "/livez").begin_raw();
    assert!(!plain.contains("ok"), "{plain:?}");
}

#[test]
fn bad_options_are_told() {
    let tidegate = Tidegate::new();
    let rows = [
        ("serve --limit api_header_ms=0", "at least 1"),
        ("serve --limit memory_bytes=5", "api_stall_ms"),
        ("serve --log-level loud=noise=x", "--log-level"),
        ("serve --tls-cert /nowhere --tls-key /nowhere", "PEM"),
        ("serve --tls-cert /nowhere", "--tls-key"),
    ];
    for (words, said) in rows {
        tidegate
            .cmd(words)
            .words("--listen 127.0.0.1:0")
            .refused(INVALID, &[said]);
    }
    make_key(&tidegate, "read", "");
    let (_running, address) = serve(&tidegate, "");
    let other = Tidegate::new();
    let taken = format!("serve --listen {address}");
    other
        .cmd(&taken)
        .refused(INVALID, &["can't listen", "--listen"]);
}

#[test]
fn nothing_asks_the_server_itself_whatever_is_granted() {
    let words = "--webhook-allow-private 127.0.0.0/8";
    let served = Served::start_with(Tidegate::new(), words);
    let tidegate = &served.tidegate;
    let own = format!("http://{}", served.address);
    tidegate.deploy(&plugins::demo_crm(), "crm", &own);
    tidegate.connect("crm", "acme", &own);
    let asked = tidegate.cmd("request crm acme GET /livez");
    asked.refused(RUN_FAILED, &["where Tidegate itself listens"]);
    let added = tidegate
        .cmd(&format!("webhooks add {own}/livez --json"))
        .ok();
    let id = added.json()["id"].as_str().unwrap().to_owned();
    let test = tidegate.cmd(&format!("webhooks test {id} --json"));
    let denied = test.refused(UPSTREAM, &[]).json();
    assert_eq!(denied["error"]["kind"], "denied", "{denied}");
}

#[test]
fn a_server_that_can_store_nothing_says_so_and_ends() {
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::demo_crm(), "crm", "http://127.0.0.1:1");
    tidegate.connect("crm", "acme", "http://127.0.0.1:1");
    let manage = make_key(&tidegate, "manage", "--rate-limit 100000/1s");
    let serve = tidegate.cmd("serve --listen 127.0.0.1:0 --grace 1s --log json");
    let running = serve.with_little_disk(4000).start();
    let url = running.wait_for_url();
    let address = url.split_once("://").unwrap().1.parse().unwrap();
    let place = "/v1/integrations/crm/connections/acme/metadata";
    let write = |number: usize| {
        let filling = json!({"number": number, "text": "x".repeat(30_000)});
        let call = Call::new(address, "PATCH", place).key(&manage);
        call.json(&filling).send().status
    };
    let stored = (0..10_000).take_while(|number| write(*number) == 200);
    let stored = stored.last().unwrap();
    let ready = Call::new(address, "GET", "/readyz").send();
    expect_problem(&ready, "stopping", 503);
    let ended = running.finish();
    ended.expect_refusal(70, &["the database's files"]);
    let told = "nothing can be stored any more, so the server ends";
    assert!(ended.stdout.contains(told), "{}", ended.stdout);
    // With room again all is well, and what was acknowledged is there.
    let shown = tidegate.cmd("connections show crm acme --json").ok().json();
    let number = shown["metadata"]["number"].as_u64().unwrap();
    assert!(number >= stored as u64, "{number} of {stored}");
    tidegate.cmd("data check").ok();
}
