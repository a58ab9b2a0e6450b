//! The cases of the contract (`tests/plugins/conformance/cases`) on the built binary. The same files are what the SDK's
//! fake host is tried with, so that both keep the same rules.

#[path = "../plugins/conformance/src/cases.rs"]
mod cases;
#[path = "../hostile/template.rs"]
#[allow(dead_code, reason = "its other parts are for hostile components")]
mod template;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempfile::TempDir;

use self::cases::{File, Run, read, reply};
use self::template::Template;
use crate::support::cli::{OK, Tidegate, tidegate};
use crate::support::server::{Reply, Server};
use crate::support::{plugins, root};

const REAL: &str = "the real host";
/// What a line of the log begins with that has an answer.
const ANSWER: &str = "answer ";

fn files() -> Vec<File> {
    read(&root().join("tests/plugins/conformance/cases"))
}

/// The API of the cases.
fn api() -> Server {
    Server::start(|request| {
        let (status, headers, bytes) = reply(|name| request.query(name));
        let reply = Reply::bytes(&vec![b'x'; bytes]).with_status(status);
        headers
            .iter()
            .fold(reply, |reply, (name, value)| reply.header(name, value))
    })
}

/// Deploy the plugin with these limits, and connect it to the API with these runs in its config.
fn set_up(tidegate: &Tidegate, name: &str, runs: &[&Run], api: &Server) {
    let origin = api.origin();
    let mut deploy = tidegate
        .cmd("deploy")
        .arg(plugins::conformance())
        .words(&format!("--as {name} --yes --allow-metadata-write"))
        .words("--allow-private 127.0.0.0/8 --allow-feed crm/Contact")
        .words("--allow-host https://api.example.com --allow-host https://*.example.org")
        .words(&format!(
            "--allow-host http://169.254.169.254 --allow-host {origin}"
        ));
    for (limit, value) in runs.iter().flat_map(|run| &run.limits) {
        deploy = deploy.words(&format!("--limit {limit}={value}"));
    }
    deploy.ok();
    let calls: BTreeMap<&str, Value> = runs
        .iter()
        .map(|run| (run.name.as_str(), run.calls()))
        .collect();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config.json");
    std::fs::write(&file, json!({ "cases": calls }).to_string()).unwrap();
    tidegate
        .cmd(&format!(
            "connections add {name} acme --base-url {origin}/base"
        ))
        .arg("--config")
        .arg(format!("@{}", file.display()))
        .ok();
}

/// The faults that a run shows.
fn faults(tidegate: &Tidegate, integration: &str, run: &Run) -> Vec<String> {
    let name = format!("{integration}/{}", run.name);
    let finished = match run.kind.as_str() {
        "sync" => tidegate.sync(&name, "acme"),
        _ => tidegate
            .cmd(&format!(
                "invoke {name} --connection acme --input {{}} --json"
            ))
            .finish(),
    };
    let runs = tidegate.runs();
    let answers: Vec<Value> = tidegate
        .logs(runs.last().unwrap())
        .iter()
        .filter_map(|line| line["message"].as_str()?.strip_prefix(ANSWER))
        .map(|answer| serde_json::from_str(answer).unwrap())
        .collect();
    run.check(REAL, &answers, finished.code != Some(OK))
}

#[test]
fn the_real_host_answers_as_the_cases_say() {
    let files = files();
    let api = api();
    let tidegate = Tidegate::new();
    let all = files.iter().flat_map(|file| &file.runs);
    let (usual, limited): (Vec<&Run>, Vec<&Run>) = all.partition(|run| run.limits.is_empty());
    set_up(&tidegate, "usual", &usual, &api);
    let mut found = Vec::new();
    for run in usual {
        found.extend(faults(&tidegate, "usual", run));
    }
    for run in limited {
        set_up(&tidegate, &run.name, &[run], &api);
        found.extend(faults(&tidegate, &run.name, run));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_real_host_refuses_the_declarations_that_no_host_takes() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("declared.wasm");
    let mut found = Vec::new();
    for case in files().iter().flat_map(|file| &file.declarations) {
        let component = Template::says(&case.manifest().to_string());
        std::fs::write(&file, component.bytes()).unwrap();
        let finished = tidegate("inspect").arg(&file).finish();
        let refusal = (finished.code != Some(OK)).then_some(finished.stderr.as_str());
        found.extend(case.check(REAL, refusal));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
