//! Syncs by the API and by their command: how they stand, paused, started, and begun with nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::work::soon;
use super::{Served, expect_problem};
use crate::actions::Acts;
use crate::support::cli::{CONFLICT, NOT_FOUND, Tidegate};
use crate::support::crm::{MODEL, Source, changing, contacts, reply, synced_twice};
use crate::support::server::{Reply, Server};
use crate::support::{PATIENCE, wait_until};

const SYNCS: &str = "/v1/integrations/crm/connections/acme/syncs";

/// A server on a source with three contacts.
fn served() -> (Served, Server) {
    let source = Server::start(|_| reply(&contacts(1..4, 1), None));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    (Served::start(tidegate), source)
}

/// What to do with a sync.
fn place(sync: &str, what: &str) -> String {
    format!("{SYNCS}/{sync}/{what}")
}

impl Served {
    /// How a sync stands.
    #[track_caller]
    fn status(&self, sync: &str) -> Value {
        let listed = self.get(SYNCS);
        let mut rows = listed["syncs"].as_array().unwrap().iter();
        rows.find(|row| row["sync"] == sync).unwrap().clone()
    }
}

#[test]
fn a_sync_says_how_it_stands() {
    let source = changing();
    let served = Served::start(synced_twice(&source));
    // Runs of another kind are none of its runs.
    for _ in 0..3 {
        served
            .call("POST", "/v1/integrations/crm/connections/acme/test")
            .ok(200);
    }
    let status = served.status("contacts");
    let counts = &status["counts"][0];
    assert_eq!(
        (&counts["model"], &counts["live"], &counts["deleted"]),
        (&json!("Contact"), &json!(3), &json!(1)),
        "{status}"
    );
    assert_eq!(
        (&status["models"], &status["schedules"]),
        (&json!(["Contact"]), &json!([]))
    );
    assert!(status["checkpoints"]["base"].is_object(), "{status}");
    let runs = served.get("/v1/runs?limit=4");
    assert_eq!(runs["runs"][2]["kind"], "event", "{runs}");
    assert_eq!(status["last_run"], runs["runs"][3]);
    let other = served.status("companies");
    assert_eq!(
        (
            &other["last_run"],
            &other["checkpoints"],
            &other["counts"][0]["live"]
        ),
        (&Value::Null, &json!({}), &json!(0)),
        "{other}"
    );
    // The command says the same.
    let list = "syncs list crm --connection acme";
    let listed = served.tidegate.cmd(&format!("{list} --json")).ok().lines();
    assert_eq!(json!(listed), served.get(SYNCS)["syncs"]);
    let table = served.tidegate.cmd(list).ok().stdout;
    assert!(table.contains("companies"), "{table}");
}

#[test]
fn a_paused_sync_fires_nothing_until_it_is_started() {
    let (served, _source) = served();
    let schedule = |sync: &str, when: Value| json!({"integration": "crm", "connection": "acme", "sync": sync, "when": when});
    let yearly = json!([{"every": "366d"}]);
    let made = served.post("/v1/schedules", &schedule("contacts", yearly), 201);
    let one = format!("/v1/schedules/{}", made["schedule"].as_str().unwrap());
    let pause = || {
        let note = json!({"note": "a holiday"});
        served.post(&place("contacts", "pause"), &note, 200)
    };
    let paused = pause();
    let shown = &paused["schedules"][0];
    assert_eq!(shown["state"], "paused", "{shown}");
    assert_eq!(
        (&shown["pause_note"], &shown["next_fire"], &shown["variant"]),
        (&json!("a holiday"), &Value::Null, &json!("base"))
    );
    assert_eq!(pause(), paused, "the same again changes nothing");

    // Two are due at the same moment, and one of them is paused.
    let due = json!([{"at": soon(1500)}, {"every": "366d"}]);
    let changed = served.call("PUT", &one);
    changed.json(&schedule("contacts", due.clone())).ok(200);
    let other = served.post("/v1/schedules", &schedule("companies", due), 201);
    let other = format!("/v1/schedules/{}", other["schedule"].as_str().unwrap());
    wait_until("the other fires", PATIENCE, || {
        served.get(&format!("{other}/fires"))["fires"]
            .get(0)
            .cloned()
    });
    assert_eq!(served.get(&format!("{one}/fires"))["fires"], json!([]));

    let start = || served.call("POST", &place("contacts", "start")).ok(200);
    let started = start();
    let shown = &started["schedules"][0];
    assert_eq!(
        (&shown["state"], &shown["fires"], &shown["missed"]),
        (&json!("active"), &json!(0), &json!(0)),
        "{shown}"
    );
    assert!(shown["next_fire"].is_string(), "{shown}");
    assert_eq!(shown["pause_note"], Value::Null);
    assert_eq!(start(), started, "the same again changes nothing");
}

#[test]
fn a_sync_without_a_schedule_is_started_by_its_manifests_default() {
    let (served, _source) = served();
    let nothing = served.post(&place("companies", "pause"), &json!({}), 200);
    assert_eq!(nothing["schedules"], json!([]));
    let start = || served.call("POST", &place("companies", "start")).ok(200);
    let schedules = start()["schedules"].clone();
    let shown = &schedules[0];
    assert_eq!(
        (&shown["origin"], &shown["when"], &shown["spread_ms"]),
        (
            &json!("manifest"),
            &json!([{"every": "1h"}]),
            &json!(3_600_000)
        )
    );
    assert!(shown["next_start"].is_string(), "{shown}");
    let again = start()["schedules"].clone();
    assert_eq!(again[0]["schedule"], shown["schedule"]);
    assert_eq!(again.as_array().unwrap().len(), 1);
    assert_eq!(served.status("contacts")["schedules"], json!([]));

    let cmd = |words: &str| served.tidegate.cmd(&format!("syncs {words}"));
    let until = "2100-01-01T00:00:00.000Z";
    let words = format!("pause crm/companies -c acme --note nights --until {until} --json");
    let paused = cmd(&words).ok().json();
    let shown = &paused["schedules"][0];
    assert_eq!(
        (&shown["pause_note"], &shown["paused_until"]),
        (&json!("nights"), &json!(until))
    );
    let started = cmd("start crm/companies -c acme").ok().stdout;
    assert!(started.contains("active"), "{started}");
    cmd("start crm/nothing -c acme").refused(NOT_FOUND, &["companies"]);
}

#[test]
fn what_can_not_be_paused_or_started_is_refused() {
    let (served, _source) = served();
    let long = "x".repeat(1001);
    let rows = [
        ("nothing", "pause", json!({}), 404, "not-found"),
        ("nothing", "start", json!({}), 404, "not-found"),
        (
            "contacts",
            "pause",
            json!({"until": "2020-01-01T00:00:00Z"}),
            400,
            "invalid-request",
        ),
        (
            "contacts",
            "pause",
            json!({"until": "later"}),
            400,
            "invalid-request",
        ),
        (
            "contacts",
            "pause",
            json!({"note": long}),
            400,
            "invalid-request",
        ),
        (
            "contacts",
            "pause",
            json!({"why": "x"}),
            400,
            "invalid-request",
        ),
    ];
    for (sync, what, body, status, slug) in rows {
        let call = served.call("POST", &place(sync, what)).json(&body);
        expect_problem(&call.send(), slug, status);
    }
}

#[test]
fn a_sync_without_any_default_needs_a_schedule() {
    let (tidegate, _server) = Acts::new(|_| Reply::status(500)).into_parts();
    let served = Served::start(tidegate);
    let start = "/v1/integrations/acts/connections/acme/syncs/items/start";
    let problem = expect_problem(&served.call("POST", start).send(), "conflict", 409);
    let hint = problem["hint"].as_str().unwrap();
    assert!(hint.contains("schedules add acts/items"), "{problem}");
    let cmd = |words: &str| served.tidegate.cmd(words);
    cmd("syncs start acts/items -c acme").refused(CONFLICT, &["schedules add acts/items"]);
    cmd("schedules add acts/items -c acme --every 1h").ok();
    let started = served.call("POST", start).ok(200);
    assert_eq!(started["schedules"][0]["origin"], "user", "{started}");
}

#[test]
fn an_emptied_sync_deletes_what_it_had_once_and_begins_anew() {
    // Two pages; the second is refused for a while.
    let refuses = Arc::new(AtomicBool::new(false));
    let refused = Arc::clone(&refuses);
    let source = Server::start(move |request| match request.query("cursor") {
        None => reply(&contacts(1..3, 1), Some("2")),
        Some(_) if refused.load(Ordering::SeqCst) => Reply::status(404),
        Some(_) => reply(&contacts(3..5, 1), None),
    });
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    tidegate.sync_ok("crm/contacts", "acme");
    let served = Served::start(tidegate);
    let run_of = |job: &Value| served.get(&format!("/v1/runs/{}", job["run"].as_str().unwrap()));
    let actions = || -> Vec<Value> {
        let mut feed = served.tidegate.feed(MODEL, "acme", None);
        feed.sort_by_key(|record| record["id"].to_string());
        feed.iter().map(|record| record["action"].clone()).collect()
    };

    refuses.store(true, Ordering::SeqCst);
    let job = served.post(&place("contacts", "trigger"), &json!({"empty": true}), 202);
    let dead = served.job_in(&job, &["dead"]);
    let run = run_of(&dead);
    let counts = &run["figures"]["counts"]["Contact"];
    assert_eq!(
        (&counts["deleted"], &counts["added"], &run["reset"]),
        (&json!(4), &json!(2), &json!(true)),
        "{run}"
    );
    assert_eq!(actions(), ["added", "added", "deleted", "deleted"]);
    // What it has pulled since is not deleted again.
    refuses.store(false, Ordering::SeqCst);
    let retry = format!("/v1/runs/{}/retry", run["run"].as_str().unwrap());
    let again = served.call("POST", &retry).ok(202);
    assert_eq!(again["job"], job["job"]);
    let run = run_of(&served.job_in(&again, &["succeeded"]));
    let counts = &run["figures"]["counts"]["Contact"];
    assert_eq!(
        (&counts["deleted"], &counts["added"]),
        (&json!(0), &json!(2)),
        "{run}"
    );
    assert_eq!(actions(), ["added"; 4]);
    let requests = source.requests();
    let starts = requests
        .iter()
        .filter(|request| request.query("cursor").is_none());
    assert_eq!(starts.count(), 2, "it went on from its checkpoint");

    // The same in the foreground; a reset alone deletes nothing.
    for (words, deleted, unchanged) in [("--empty", 4, 0), ("--reset", 0, 4)] {
        let cmd = served.tidegate.cmd("run crm/contacts -c acme --json");
        let run = cmd.words(words).ok().json();
        let counts = &run["figures"]["counts"]["Contact"];
        assert_eq!(
            (&counts["deleted"], &counts["unchanged"]),
            (&json!(deleted), &json!(unchanged)),
            "{words}: {run}"
        );
    }
    served.tidegate.cmd("data check").ok();
}
