//! The cases on the SDK's fake host: what a plugin's own tests run on says what the real host says.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{FakeHost, Reply};

use crate::cases::{Declaration, Run, read, reply};
use crate::{ANSWER, plugin};

const FAKE: &str = "the fake host";

fn files() -> Vec<crate::cases::File> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("cases"))
}

fn host(run: &Run) -> FakeHost {
    let host = FakeHost::new()
        .base_url("http://127.0.0.1:9/base")
        .config(json!({ "cases": { run.name.as_str(): run.calls() } }))
        .on(|request| {
            let (status, headers, bytes) = reply(|name| request.query(name).map(str::to_owned));
            let reply = Reply::status(status).body(vec![b'x'; bytes]);
            Some(
                headers
                    .into_iter()
                    .fold(reply, |reply, (name, value)| reply.header(name, value)),
            )
        });
    let limits = run.limits.iter();
    limits.fold(host, |host, (name, value)| host.limit(name, *value))
}

#[test]
fn the_fake_host_answers_as_the_cases_say() {
    let mut faults = Vec::new();
    let mut steps = 0;
    for run in files().iter().flat_map(|file| &file.runs) {
        let host = host(run);
        let (logs, failed) = match run.kind.as_str() {
            "sync" => {
                let outcome = host.run_sync(plugin(), &run.name);
                (outcome.logs, outcome.result.is_err())
            }
            _ => {
                let outcome = host.run_action(plugin(), &run.name, json!({}));
                (outcome.logs, outcome.result.is_err())
            }
        };
        let answers: Vec<Value> = logs
            .iter()
            .filter_map(|line| serde_json::from_str(line.message.strip_prefix(ANSWER)?).ok())
            .collect();
        steps += answers.len();
        faults.extend(run.check(FAKE, &answers, failed));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(steps > 100, "only {steps} steps");
}

/// The plugin whose builder is told what the manifest says.
fn declared(manifest: &Value) -> Plugin {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut plugin = Plugin::new(text(&manifest["name"]), text(&manifest["version"]));
    for model in list(&manifest["models"]) {
        plugin = plugin.model(text(&model["name"]));
    }
    for sync in list(&manifest["syncs"]) {
        let handler = |_: Cx| async { Ok(()) };
        let mut declared = match sync.get("each") {
            None => Sync::new(text(&sync["name"]), handler),
            Some(pointer) => Sync::each(text(pointer), handler),
        };
        for model in list(&sync["models"]).iter().filter(|model| *model != "*") {
            declared = declared.model(text(model));
        }
        let schedule = &sync["schedule"];
        if let Some(every) = schedule.get("every") {
            declared = declared.every(text(every));
        }
        if let Some(cron) = schedule.get("cron") {
            declared = declared.cron(text(cron), text(&schedule["timezone"]));
        }
        plugin = plugin.sync(declared);
    }
    let asked = &manifest["capabilities"];
    for host in list(&asked["hosts"]) {
        plugin = plugin.host(text(&host));
    }
    for feed in list(&asked["feeds"]) {
        plugin = plugin.feed(text(&feed));
    }
    for (name, value) in asked["limits"].as_object().into_iter().flatten() {
        plugin = plugin.limit(name, value.as_u64().unwrap());
    }
    if let Some(rate) = asked.get("rate_limit") {
        let per = std::time::Duration::from_millis(rate["per_ms"].as_u64().unwrap());
        plugin = plugin.rate_limit(
            u32::try_from(rate["requests"].as_u64().unwrap()).unwrap(),
            per,
        );
    }
    if let Some(config) = manifest.get("config") {
        plugin = plugin.config(config.clone());
    }
    plugin
}

/// What the fake host says against a declaration.
fn refusal(case: &Declaration) -> Option<String> {
    let plugin = declared(&case.manifest());
    let run = AssertUnwindSafe(|| FakeHost::new().run_check(plugin));
    let panic = catch_unwind(run).err()?;
    panic.downcast_ref::<String>().cloned()
}

#[test]
fn the_fake_host_refuses_the_declarations_that_no_host_takes() {
    let mut faults = Vec::new();
    let mut cases = 0;
    for case in files().iter().flat_map(|file| &file.declarations) {
        cases += 1;
        faults.extend(case.check(FAKE, refusal(case).as_deref()));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(cases > 30, "only {cases} declarations");
}
