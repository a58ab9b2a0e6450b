//! Webhooks from outside: endpoints and their secrets, deliveries that real libraries check, and what
//! waits for a server.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::cli::{CONFLICT, INVALID, NOT_FOUND, Running, Tidegate};
use crate::support::crm::{contacts, reply};
use crate::support::http::Request;
use crate::support::plugins;
use crate::support::real::{node, or_loudly, python};
use crate::support::server::{Gate, Reply, Server};
use crate::support::{PATIENCE, root, wait_until};

/// Exit code: an upstream said no.
const UPSTREAM: i32 = 11;
/// What installs the libraries of Node.
const NODE: [&str; 4] = ["package.json", "package-lock.json", ".npmrc", "verify.mjs"];

fn receiver() -> Server {
    Server::start(|request| match request.path() {
        "/ok" => Reply::text("thanks"),
        _ => Reply::text("no").with_status(500),
    })
}

/// Add an endpoint; its id and its secret.
fn add(tidegate: &Tidegate, url: &str, more: &str) -> (String, String) {
    let added = tidegate
        .cmd(&format!("webhooks add {url} --json {more}"))
        .ok();
    let added = added.json();
    let text = |name: &str| added[name].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

/// A test delivery, as the receiver got it.
fn delivered(tidegate: &Tidegate, receiver: &Server, id: &str) -> Request {
    tidegate
        .cmd(&format!(
            "webhooks test {id} --webhook-allow-private 127.0.0.0/8"
        ))
        .ok();
    receiver.requests().pop().unwrap()
}

fn as_delivery(secret: &str, request: &Request) -> Value {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: Value = names
        .map(|name| (name.to_owned(), json!(request.header(name))))
        .into_iter()
        .collect::<serde_json::Map<_, _>>()
        .into();
    let body = std::str::from_utf8(&request.body).unwrap();
    json!({"secret": secret, "headers": headers, "body": body})
}

/// What a program says of deliveries.
fn said(program: &Path, script: &Path, deliveries: &[Value]) -> Vec<String> {
    let mut child = Command::new(program)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String = deliveries.iter().map(|one| format!("{one}\n")).collect();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_real_libraries_accept_what_is_sent_and_nothing_else() {
    let tidegate = Tidegate::new();
    let receiver = receiver();
    let (id, secret) = add(&tidegate, &format!("{}/ok", receiver.origin()), "");
    let plain = delivered(&tidegate, &receiver, &id);
    let rotated = tidegate
        .cmd(&format!("webhooks rotate-secret {id} --json"))
        .ok()
        .json();
    let new = rotated["secret"].as_str().unwrap();
    let both = delivered(&tidegate, &receiver, &id);
    tidegate
        .cmd(&format!("webhooks rotate-secret {id} --now"))
        .ok();
    let neither = delivered(&tidegate, &receiver, &id);
    let mut changed = as_delivery(&secret, &plain);
    changed["body"] = json!(changed["body"].as_str().unwrap().replace("true", "false"));
    let mut late = as_delivery(&secret, &plain);
    late["headers"]["webhook-timestamp"] = json!("1700000000");
    let rows = [
        (as_delivery(&secret, &plain), "accepted"),
        (as_delivery(new, &plain), "refused"),
        (as_delivery(&secret, &both), "accepted"),
        (as_delivery(new, &both), "accepted"),
        (as_delivery(&secret, &neither), "refused"),
        (as_delivery(new, &neither), "refused"),
        (changed, "refused"),
        (late, "refused"),
    ];
    let deliveries: Vec<Value> = rows.iter().map(|(delivery, _)| delivery.clone()).collect();
    let want: Vec<&str> = rows.iter().map(|(_, want)| *want).collect();
    let folder = "tests/webhooks";
    if let Some(bin) = or_loudly(
        "PYTHON WEBHOOK",
        python("webhooks-python", &format!("{folder}/requirements.txt")),
    ) {
        let script = root().join(folder).join("verify.py");
        assert_eq!(
            said(&bin.join("python"), &script, &deliveries),
            want,
            "Python"
        );
    }
    if let Some(installed) = or_loudly("NODE WEBHOOK", node("webhooks-node", folder, &NODE)) {
        let script = installed.join("verify.mjs");
        assert_eq!(said(Path::new("node"), &script, &deliveries), want, "Node");
    }
}

#[test]
fn endpoints_are_added_changed_and_removed() {
    let tidegate = Tidegate::new();
    let receiver = receiver();
    let url = format!("{}/ok?token=hunter2", receiver.origin());
    let (id, secret) = add(&tidegate, &url, "--event run.failed --description ours");
    // The secret was shown once, and lies nowhere in clear.
    let shown = tidegate.cmd(&format!("webhooks show {id} --json")).ok();
    let listed = tidegate.cmd("webhooks list --json").ok();
    for said in [&shown, &listed] {
        assert_eq!(said.json()["events"], json!(["run.failed"]));
        assert!(!said.stdout.contains(&secret), "{}", said.stdout);
    }
    let bare = secret.strip_prefix("whsec_").unwrap().as_bytes();
    for file in ["db/db", "db/wal"] {
        let stored = std::fs::read(tidegate.data().join(file)).unwrap();
        assert!(!stored.windows(bare.len()).any(|window| window == bare));
    }

    let update = |words: &str| tidegate.cmd(&format!("webhooks update {id} --json {words}"));
    let updated = update("--all-events --disable --description none")
        .ok()
        .json();
    assert_eq!(
        (&updated["events"], &updated["disabled"]["why"]),
        (&json!([]), &json!("operator"))
    );
    let since = "--since 2026-01-01T00:00:00Z";
    tidegate
        .cmd(&format!("webhooks replay {id} {since}"))
        .refused(CONFLICT, &[]);
    assert_eq!(update("--enable").ok().json()["disabled"], Value::Null);
    let replayed = tidegate
        .cmd(&format!("webhooks replay {id} {since} --json"))
        .ok();
    assert_eq!(
        replayed.json(),
        json!({"deliveries": 0, "more_after": null})
    );

    // Bad input is told what it is.
    tidegate
        .cmd("webhooks add ftp://a.example/")
        .refused(INVALID, &[]);
    tidegate
        .cmd("webhooks add https://u:p@a.example/")
        .refused(INVALID, &[]);
    tidegate
        .cmd("webhooks add https://a.example/ --integration crm")
        .refused(NOT_FOUND, &[]);
    tidegate
        .cmd("webhooks add https://a.example/ --event run.ended")
        .refused(INVALID, &[]);
    tidegate.cmd("webhooks show ep_01JD3").refused(INVALID, &[]);
    tidegate
        .cmd("webhooks show ep_01ARZ3NDEKTSV4RRFFQ69G5FAV")
        .refused(NOT_FOUND, &[]);
    tidegate
        .cmd(&format!("webhooks replay {id} --since yesterday"))
        .refused(INVALID, &[]);
    update("--url https://a.example/#part").refused(INVALID, &[]);

    // A test says what the endpoint said; private addresses are the operator's to open.
    let denied = tidegate
        .cmd(&format!("webhooks test {id} --json"))
        .refused(UPSTREAM, &[]);
    assert_eq!(denied.json()["error"]["kind"], "denied");
    let bad = update(&format!("--url {}/bad", receiver.origin())).ok();
    assert_eq!(bad.json()["id"], id.as_str());
    let words = format!("webhooks test {id} --json --webhook-allow-private 127.0.0.0/8");
    let failed = tidegate.cmd(&words).refused(UPSTREAM, &[]).json();
    assert_eq!(
        (&failed["status"], &failed["response"]),
        (&json!(500), &json!("no"))
    );

    tidegate.cmd(&format!("webhooks remove {id} --yes")).ok();
    assert_eq!(tidegate.cmd("webhooks list --json").ok().stdout, "");
    tidegate
        .cmd(&format!("webhooks remove {id} --yes"))
        .refused(NOT_FOUND, &[]);
}

#[test]
fn what_happens_waits_for_a_server_and_keys_rotate_under_it() {
    let api = Server::start(|_| reply(&contacts(0..3, 1), None));
    let receiver = receiver();
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::demo_crm(), "crm", &api.origin());
    tidegate
        .cmd(&format!(
            "connections add crm acme --base-url {}",
            api.origin()
        ))
        .words("--secret token=env:TIDE_TOKEN")
        .env("TIDE_TOKEN", "t")
        .ok();
    let (id, secret) = add(
        &tidegate,
        &format!("{}/ok", receiver.origin()),
        "--integration crm",
    );
    let run = tidegate.sync_ok("crm/contacts", "acme");
    let waiting = tidegate
        .cmd(&format!("webhooks deliveries {id} --json --state pending"))
        .ok();
    let waiting = waiting.json();
    assert_eq!(
        (&waiting["type"], &waiting["connection"]),
        (&json!("run.finished"), &json!("acme"))
    );
    assert_eq!(waiting["attempts_made"], 0);
    assert!(run["run"].is_string());
    tidegate.cmd("data check").ok();

    // The signing secret is sealed like credentials, and goes along when master keys rotate.
    let before = tidegate.cmd("keys status --json").ok().json();
    assert_eq!(
        (
            &before["keys"][0]["connections"],
            &before["keys"][0]["endpoints"]
        ),
        (&json!(1), &json!(1))
    );
    let rotated = tidegate.cmd("keys rotate --json").ok().json();
    assert_eq!(
        (&rotated["connections"], &rotated["endpoints"]),
        (&json!(1), &json!(1))
    );
    let after = tidegate.cmd("keys status --json").ok().json();
    assert_eq!(after["keys"].as_array().unwrap().len(), 1);
    assert_eq!(
        (
            &after["keys"][0]["endpoints"],
            &after["unreadable_endpoints"]
        ),
        (&json!(1), &json!([]))
    );
    delivered(&tidegate, &receiver, &id);

    // Under another key nothing is sent, and the way out works.
    std::fs::remove_file(tidegate.data().join("master.key")).unwrap();
    let test = format!("webhooks test {id} --webhook-allow-private 127.0.0.0/8");
    let lost = tidegate.cmd(&test).refused(5, &[]);
    assert!(
        lost.stderr.contains("signing secrets of endpoint"),
        "{}",
        lost.stderr
    );
    assert!(!lost.stderr.contains(&secret));
}

/// `tidegate serve` on a free port, once it listens.
fn served(tidegate: &Tidegate) -> Running {
    let running = tidegate
        .cmd("serve --listen 127.0.0.1:0 --webhook-allow-private 127.0.0.0/8 --grace 5s")
        .start();
    running.wait_for_url();
    running
}

#[test]
fn a_server_delivers_what_waits_and_a_kill_loses_nothing() {
    let api = Server::start(|_| reply(&contacts(0..3, 1), None));
    // The first attempt never gets its answer.
    let held = Gate::default();
    let (gate, count) = (held.clone(), AtomicUsize::new(0));
    let receiver = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::text("late").behind(&gate),
        _ => Reply::text("thanks"),
    });
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::demo_crm(), "crm", &api.origin());
    tidegate
        .cmd(&format!(
            "connections add crm acme --base-url {}",
            api.origin()
        ))
        .words("--secret token=env:TIDE_TOKEN")
        .env("TIDE_TOKEN", "t")
        .ok();
    let (id, secret) = add(&tidegate, &receiver.origin(), "");
    let run = tidegate.sync_ok("crm/contacts", "acme");

    let first = served(&tidegate);
    wait_until("the first attempt", PATIENCE, || {
        receiver.requests().first().cloned()
    });
    first.kill();
    held.open();
    let second = served(&tidegate);
    wait_until("the next attempt", PATIENCE, || {
        receiver.requests().get(1).cloned()
    });
    second.signal(rustix::process::Signal::TERM);
    second.finish().expect_code(0);

    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(
        requests[0].header("webhook-id"),
        requests[1].header("webhook-id")
    );
    assert_eq!(requests[0].body, requests[1].body);
    let body: Value = serde_json::from_slice(&requests[1].body).unwrap();
    let data = &body["data"];
    assert_eq!(
        (&body["type"], &data["run"], &data["sync_type"]),
        (&json!("run.finished"), &run["run"], &json!("initial"))
    );
    assert_eq!(data["models"][0]["added"], 3);
    // The cursor is where this run's changes begin.
    let cursor = data["models"][0]["cursor"].as_str().unwrap();
    assert_eq!(tidegate.feed("crm/Contact", "acme", Some(cursor)).len(), 3);
    let log = tidegate
        .cmd(&format!("webhooks deliveries {id} --json"))
        .ok()
        .json();
    assert_eq!(
        (&log["state"], &log["attempts_made"]),
        (&json!("delivered"), &json!(1))
    );
    assert_eq!(log["attempts"][0]["response"], "thanks");
    assert!(!log.to_string().contains(&secret));
    tidegate.cmd("data check").ok();
}

#[test]
fn a_receiver_that_was_away_gets_what_waited_once_it_takes_something() {
    let api = Server::start(|_| reply(&contacts(0..3, 1), None));
    let away = Arc::new(AtomicBool::new(true));
    let is_away = Arc::clone(&away);
    let receiver = Server::start(move |_| match is_away.load(Ordering::SeqCst) {
        true => Reply::status(503).header("Retry-After", "600"),
        false => Reply::text("thanks"),
    });
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::demo_crm(), "crm", &api.origin());
    for name in ["acme", "bolt", "cray"] {
        let words = format!("connections add crm {name} --base-url {}", api.origin());
        let cmd = tidegate.cmd(&words).words("--secret token=env:TIDE_TOKEN");
        cmd.env("TIDE_TOKEN", "t").ok();
    }
    let (id, _) = add(&tidegate, &receiver.origin(), "");
    let mut runs = Vec::new();
    for name in ["acme", "bolt", "acme", "bolt"] {
        let run = tidegate.sync_ok("crm/contacts", name);
        runs.push((name, run["run"].as_str().unwrap().to_owned()));
    }
    let server = served(&tidegate);
    wait_until("an attempt for each connection", PATIENCE, || {
        (receiver.requests().len() == 2).then_some(())
    });
    let listed = |state: &str| {
        let words = format!("webhooks deliveries {id} --json --state {state} --limit 100");
        tidegate.cmd(&words).ok().lines()
    };
    wait_until("both are settled", PATIENCE, || {
        let tried = |one: &Value| one["attempts_made"] == 1;
        (listed("pending").iter().filter(|one| tried(one)).count() == 2).then_some(())
    });
    // It is back. A test that it takes tells so, and nobody waits for ten minutes, or for the schedule.
    away.store(false, Ordering::SeqCst);
    let before = receiver.requests().len();
    tidegate.cmd(&format!("webhooks test {id}")).ok();
    let shown = tidegate.cmd(&format!("webhooks show {id} --json")).ok();
    assert_eq!(shown.json()["first_failure_at"], Value::Null);
    // Retry now, by hand.
    let replay = format!("webhooks replay {id} --since 2026-01-01T00:00:00Z --json");
    assert_eq!(tidegate.cmd(&replay).ok().json()["deliveries"], 2);
    wait_until("all that waited", PATIENCE, || {
        (listed("delivered").len() == 4).then_some(())
    });
    server.signal(rustix::process::Signal::TERM);
    server.finish().expect_code(0);
    let requests = receiver.requests();
    let told = requests[before + 1..].iter().map(|request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let data = &body["data"];
        (data["connection"].clone(), data["run"].clone())
    });
    let told: Vec<(Value, Value)> = told.collect();
    for name in ["acme", "bolt"] {
        let own = told.iter().filter(|(connection, _)| connection == name);
        let own: Vec<&Value> = own.map(|(_, run)| run).collect();
        let want = runs.iter().filter(|(connection, _)| *connection == name);
        assert_eq!(own, want.map(|(_, run)| run).collect::<Vec<_>>(), "{name}");
    }
}
