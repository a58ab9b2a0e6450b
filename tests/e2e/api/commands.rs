//! Commands while a server holds the data directory: they go through it, and say the same as without one.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::client::Call;
use super::{Served, make_key, serve};
use crate::actions::acts;
use crate::support::cli::{CONFLICT, DATA_DIRECTORY, Finished, INVALID, NOT_FOUND, OK, Tidegate};
use crate::support::crm::{Source, contacts, reply, synced_twice};
use crate::support::own::{self, Own};
use crate::support::plugins;
use crate::support::server::{Gate, Reply, Server};
use crate::support::{PATIENCE, wait_until};

/// Commands that only look, on a CRM that was synced twice.
const LOOKS: &[&str] = &[
    "integrations --json",
    "connections list crm --json",
    "connections show crm acme --json",
    "connections show crm nobody --json",
    "runs --json",
    "runs --limit 1",
    "records crm Contact --connection acme --json",
    "records crm Contact --connection acme --filter deleted",
    "records crm Nothing --connection acme --json",
    "records crm Contact --connection acme --cursor nonsense",
    "data stats --json",
    "data check --json",
    "data export",
    "data export crm --connection acme",
    "data prune crm Contact --connection acme --older-than 30d --json",
    "schedules list --json",
    "schedules preview --every 1h --after 2026-11-22T00:00:00Z --json",
    "schedules show sch_01JD3A80000000000000000000",
    "jobs list --json",
    "jobs show job_01JD3A80000000000000000000",
    "keys status --json",
    "api-keys list --json",
    "webhooks list --json",
    "webhooks deliveries ep_01JD3A80000000000000000000",
    "deploy nowhere.wasm --yes",
    "trigger crm/nothing -c acme",
    "run crm/nothing -c acme",
    "connections remove crm nobody --yes",
    "syncs list crm --connection acme --json",
    "syncs list crm --connection acme",
    "syncs start crm/nothing -c acme",
    "runs retry run_01JD3A80000000000000000000",
];

/// Exit code, stdout and stderr, but for the time of an export.
fn said(finished: &Finished) -> (Option<i32>, &str, &str) {
    let stdout = match finished.stdout.starts_with("{\"tidegate_export\"") {
        true => finished.stdout.split_once('\n').unwrap().1,
        false => &finished.stdout,
    };
    (finished.code, stdout, &finished.stderr)
}

#[test]
fn what_commands_find_is_the_same() {
    let source = crate::support::crm::changing();
    let tidegate = synced_twice(&source);
    // Each start of a server touches nothing that these show, but a key's last use.
    make_key(&tidegate, "read", "");
    let logs = format!("logs {}", tidegate.runs()[1]["run"].as_str().unwrap());
    let looks: Vec<&str> = LOOKS.iter().copied().chain([logs.as_str()]).collect();
    let alone: Vec<Finished> = looks
        .iter()
        .map(|look| tidegate.cmd(look).finish())
        .collect();
    let (running, _) = serve(&tidegate, "");
    for (look, alone) in looks.iter().zip(&alone) {
        let through = tidegate.cmd(look).finish();
        assert_eq!(said(&through), said(alone), "{look}");
    }
    // Else nothing was compared.
    let codes = alone.iter().map(|finished| finished.code);
    let good = codes.filter(|code| *code == Some(OK)).count();
    assert!(good > 17, "{good} of {} worked", looks.len());
    running.kill();
    // What a killed server leaves behind keeps nobody out.
    assert!(tidegate.data().join("server.json").exists());
    let after = tidegate.cmd("runs --json").ok();
    assert_eq!(after.stdout, alone[4].stdout);
}

#[test]
fn a_sync_is_run_and_watched() {
    let gate = Gate::default();
    let held = gate.clone();
    let source = Server::start(move |_| reply(&contacts(1..4, 1), None).behind(&held));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    let (_running, _) = serve(&tidegate, "");
    let run = tidegate.cmd("run crm/contacts -c acme").start();
    gate.arrived();
    // Elsewhere it is seen to run.
    let seen = tidegate.cmd("runs --json").ok().lines();
    assert_eq!(seen[0]["outcome"], "running");
    gate.open();
    let finished = run.finish();
    finished.expect_code(OK);
    assert!(finished.stdout.contains("3 added"), "{}", finished.stdout);
    // A second one at the same time is refused as without a server, and its cassette lies where it was asked for.
    let folder = tempfile::TempDir::new().unwrap();
    let record = tidegate.cmd("run crm/contacts -c acme --record here.cassette");
    record.dir(folder.path()).ok();
    assert!(folder.path().join("here.cassette").exists());
}

#[test]
fn a_run_ends_with_its_command() {
    let gate = Gate::default();
    let held = gate.clone();
    let source = Server::start(move |_| reply(&contacts(1..4, 1), None).behind(&held));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    let (_running, _) = serve(&tidegate, "");
    let run = tidegate.cmd("run crm/contacts -c acme").start();
    gate.arrived();
    run.kill();
    wait_until("the run is cancelled", PATIENCE, || {
        let runs = tidegate.cmd("runs --json").ok().lines();
        (runs[0]["outcome"] == "cancelled").then_some(())
    });
    gate.open();
}

#[test]
fn actions_and_requests_are_sent() {
    let server = Server::start(|request| Reply::json(&json!({"asked": request.target})));
    let tidegate = Tidegate::new();
    tidegate.deploy(&acts(), "acts", &server.origin());
    tidegate.connect("acts", "acme", &server.origin());
    let (_running, _) = serve(&tidegate, "");
    let echo = "invoke acts/echo -c acme --input";
    let echoed = tidegate.cmd(echo).arg(r#"{"a": 1}"#).ok().json();
    assert_eq!(echoed, json!({"a": 1}));
    let failed = tidegate.cmd("invoke acts/fail -c acme").finish();
    assert_ne!(failed.code, Some(OK));
    let answer = tidegate.cmd("request acts acme GET /items?x=1").ok();
    assert!(answer.stdout.contains("/items?x=1"), "{}", answer.stdout);
}

#[test]
fn everything_can_be_changed() {
    let source = Server::start(|_| reply(&contacts(1..4, 1), None));
    let tidegate = Tidegate::new();
    // Even the data directory comes to be by the server.
    let (_running, address) = serve(&tidegate, "");
    let deploy = tidegate.cmd("deploy").arg(plugins::demo_crm());
    let grants = format!(
        "--allow-host {} --allow-private 127.0.0.0/8",
        source.origin()
    );
    deploy.words(&format!("--as crm --yes {grants}")).ok();
    let add = format!(
        "connections add crm acme --base-url {} --tag a=b",
        source.origin()
    );
    let add = tidegate.cmd(&format!("{add} --secret token=env:A_TOKEN"));
    add.env("A_TOKEN", "hush-hush").ok();
    let again = format!("connections add crm acme --base-url {}", source.origin());
    tidegate.cmd(&again).refused(CONFLICT, &["acme"]);
    tidegate
        .cmd("connections update crm acme --external-id e1")
        .ok();
    let shown = tidegate.cmd("connections show crm acme --json").ok().json();
    assert_eq!(shown["external_id"], "e1");
    tidegate
        .cmd("connections update crm acme --no-external-id")
        .ok();
    let shown = tidegate.cmd("connections show crm acme --json").ok().json();
    assert_eq!(shown["external_id"], Value::Null);
    assert_eq!(shown["tags"], json!({"a": "b"}));
    tidegate.sync_ok("crm/contacts", "acme");
    // The secret was sealed, and is used.
    let asked = source.requests();
    assert_eq!(asked[0].header("authorization"), Some("Bearer hush-hush"));

    // A key opens the API from the moment it is made until it is revoked.
    let made = tidegate
        .cmd("api-keys create --name n --scope manage --json")
        .ok()
        .json();
    let key = made["api_key"].as_str().unwrap();
    let look = || Call::new(address, "GET", "/v1/runs").key(key).send().status;
    assert_eq!(look(), 200);
    let id = made["id"].as_str().unwrap();
    tidegate.cmd(&format!("api-keys revoke {id}")).ok();
    assert_eq!(look(), 401);

    let schedule = "schedules add crm/contacts -c acme --every 1h --json";
    let schedule = tidegate.cmd(schedule).ok().json();
    let id = schedule["schedule"].as_str().unwrap().to_owned();
    tidegate.cmd(&format!("schedules pause {id} --note n")).ok();
    tidegate.cmd(&format!("schedules remove {id}")).ok();
    let job = tidegate
        .cmd("trigger crm/contacts -c acme --json")
        .ok()
        .json();
    let show = format!("jobs show {} --json", job["job"].as_str().unwrap());
    wait_until("the job succeeds", PATIENCE, || {
        (tidegate.cmd(&show).ok().json()["state"] == "succeeded").then_some(())
    });

    // Out, gone, and in again.
    let export = tidegate.cmd("data export").ok().stdout;
    tidegate.cmd("data drop crm --yes").ok();
    tidegate
        .cmd("connections show crm acme")
        .refused(NOT_FOUND, &["crm"]);
    let half = &export[..export.len() / 2];
    tidegate
        .cmd("data import --yes")
        .stdin(half)
        .refused(INVALID, &[]);
    assert!(tidegate.cmd("integrations --json").ok().lines().is_empty());
    tidegate.cmd("data import --yes").stdin(&export).ok();
    assert_eq!(tidegate.feed("crm/Contact", "acme", None).len(), 3);
    tidegate.cmd("data compact").ok();
    tidegate.cmd("connections remove crm acme --yes").ok();
}

#[test]
fn only_the_server_of_this_directory_is_asked() {
    // Somebody else has the place where a killed server had its socket.
    let source = Server::start(|_| Reply::text("anything"));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    let folder = tempfile::TempDir::new().unwrap();
    let socket = folder.path().join("s");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    own::listen(&socket, move |mut stream| {
        let mut request = [0; 4096];
        let length = stream.read(&mut request)?;
        let told = String::from_utf8_lossy(&request[..length]).into_owned();
        seen.lock().unwrap().push(told);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nanything")
    });
    let file = tidegate.data().join("server.json");
    let found = json!({"socket": socket, "pid": 1, "token": "hush-hush", "version": "0.1.0"});
    std::fs::write(&file, found.to_string()).unwrap();
    tidegate.cmd("runs --json").ok();
    let asked = asked.lock().unwrap().clone();
    assert!(!asked.is_empty(), "it was not asked for its proof");
    for told in asked {
        assert!(told.starts_with("GET /control/proof/"), "{told}");
        assert!(!told.contains("hush-hush"), "{told}");
    }
    // Nonsense in its place is nobody.
    std::fs::write(&file, "{").unwrap();
    tidegate.cmd("runs --json").ok();

    // A server of another version is told apart, and one that hangs does not answer for ever.
    let served = Served::start(tidegate);
    let found: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let mut older = found.clone();
    older["version"] = json!("0.0.9");
    std::fs::write(&file, older.to_string()).unwrap();
    served
        .tidegate
        .cmd("runs")
        .refused(CONFLICT, &["0.0.9", "binary"]);
    std::fs::write(&file, found.to_string()).unwrap();
    served.running.signal(Signal::STOP);
    served
        .tidegate
        .cmd("runs")
        .refused(DATA_DIRECTORY, &["does not answer", "pid"]);
    served.running.signal(Signal::CONT);
    served.tidegate.cmd("runs").ok();
}

#[test]
fn its_own_socket_takes_no_other_key() {
    let served = Served::start(Tidegate::new());
    let own = Own::of(&served.tidegate);
    for (key, status) in [
        (Some(&*own.token), 200),
        (Some(&*served.manage), 401),
        (None, 401),
    ] {
        let answer = own.ask("POST", "/control/integrations", key, "null");
        assert_eq!(answer.status, status, "{key:?}");
    }
    // The public port has no such route, whatever the key.
    for key in [&own.token, &served.manage] {
        let call = served.bare("POST", "/control/integrations").key(key);
        assert_eq!(call.json(&Value::Null).send().status, 404);
    }
}

/// What the API asks in its own process is no call of the socket; what commands ask has its arguments checked.
#[test]
fn only_what_commands_ask_is_answered_there() {
    let served = Served::start(Tidegate::new());
    let own = Own::of(&served.tidegate);
    let ask = |call: &str, args: &str| {
        let answer = own.ask("POST", &format!("/control/{call}"), Some(&own.token), args);
        String::from_utf8(answer.body).unwrap()
    };
    for call in [
        "put_component",
        "touch_api_key",
        "begin_request",
        "end_request",
        "records",
        "watch",
        "cancel_run",
        "invoke_later",
        "ready",
        "close",
        "nonsense",
    ] {
        let answer = ask(call, "[]");
        assert!(answer.contains("there is no call"), "{call}: {answer}");
    }
    for args in ["[]", "[\"crm\"]", "[null]", "{}"] {
        let answer = ask("rollback", args);
        assert!(answer.contains("arguments of a call"), "{args}: {answer}");
    }
    assert!(ask("api_keys", "null").contains("\"done\":[{"));
}

#[test]
fn a_data_directory_with_a_long_path_is_served_too() {
    let tidegate = Tidegate::new();
    let long = tidegate.data().join("x".repeat(100)).join("y".repeat(100));
    let serve = tidegate.cmd("serve --listen 127.0.0.1:0");
    let serve = serve.env("TIDEGATE_DATA", &long).start();
    serve.wait_for_url();
    let found = std::fs::read(long.join("server.json")).unwrap();
    let found: Value = serde_json::from_slice(&found).unwrap();
    let socket = std::path::PathBuf::from(found["socket"].as_str().unwrap());
    assert!(socket.is_absolute(), "{found}");
    let folder = socket.parent().unwrap().to_owned();
    for (path, wanted) in [(&folder, 0o700), (&socket, 0o600)] {
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, wanted, "{}", path.display());
    }
    let runs = tidegate.cmd("runs --json").env("TIDEGATE_DATA", &long);
    runs.ok();
    serve.signal(Signal::TERM);
    serve.finish().expect_code(OK);
    assert!(!folder.exists());
}
