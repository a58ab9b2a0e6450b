//! Schedules and jobs of a server: fired, triggered, retried, cancelled, killed and taken up again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Served, expect_problem, make_key};
use crate::support::cli::{CONFLICT, Tidegate};
use crate::support::crm::{Source, contacts, reply};
use crate::support::server::{Gate, Reply, Server};
use crate::support::{PATIENCE, wait_until};

const TRIGGER: &str = "/v1/integrations/crm/connections/acme/syncs/contacts/trigger";

/// A server on a source that answers so.
fn served(source: &Server) -> Served {
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    Served::start(tidegate)
}

/// A source with three contacts.
fn healthy() -> Server {
    Server::start(|_| reply(&contacts(1..4, 1), None))
}

impl Served {
    /// The job, once it is in one of these states.
    #[track_caller]
    pub(super) fn job_in(&self, job: &Value, states: &[&str]) -> Value {
        let place = format!("/v1/jobs/{}", job["job"].as_str().unwrap());
        wait_until(&format!("{place} is {states:?}"), PATIENCE, || {
            let job = self.get(&place);
            states
                .contains(&job["state"].as_str().unwrap())
                .then_some(job)
        })
    }

    /// The server is killed, and another one takes over.
    pub(super) fn killed(self) -> Self {
        let Self {
            tidegate,
            running,
            manage,
            ..
        } = self;
        running.kill();
        Self::again(tidegate, manage)
    }
}

/// A time so many milliseconds from now, as the API shows it: with three digits, zeros or not.
pub(super) fn soon(ms: i64) -> String {
    let now = jiff::Timestamp::now().as_millisecond();
    let then = jiff::Timestamp::from_millisecond(now + ms).unwrap();
    format!("{then:.3}")
}

#[test]
fn a_schedule_fires_and_what_it_made_is_told() {
    let source = healthy();
    let served = served(&source);
    let body = json!({
        "integration": "crm", "connection": "acme", "sync": "contacts",
        "when": [{"at": soon(1500)}, {"cron": "0 6 * * *", "timezone": "Europe/Berlin"}],
        "dedup_key": "nightly", "labels": {"tier": "gold"},
    });
    let made = served.post("/v1/schedules", &body, 201);
    let place = format!("/v1/schedules/{}", made["schedule"].as_str().unwrap());
    assert_eq!(made["state"], "active");
    // Asking again is no second one.
    let again = served.post("/v1/schedules", &body, 201);
    assert_eq!(again["schedule"], made["schedule"]);
    let listed = served.get("/v1/schedules?label=tier=gold");
    assert_eq!(listed["schedules"].as_array().unwrap().len(), 1);
    let preview = served.get(&format!(
        "{place}/preview?limit=2&after=2027-03-27T12:00:00Z"
    ));
    assert_eq!(preview["due"][0]["local"], "2027-03-28T06:00:00+02:00");

    let fire = wait_until("it fires", PATIENCE, || {
        let fires = served.get(&format!("{place}/fires"));
        fires["fires"].get(0).cloned()
    });
    assert_eq!(
        (&fire["outcome"], &fire["scheduled_for"]),
        (&json!("started"), &body["when"][0]["at"])
    );
    let job = served.job_in(&fire, &["succeeded"]);
    assert_eq!(
        (&job["trigger"], &job["schedule"]),
        (&json!("schedule"), &made["schedule"])
    );
    let run = served.get(&format!("/v1/runs/{}", job["run"].as_str().unwrap()));
    assert_eq!(
        (&run["outcome"], &run["trigger"]),
        (&json!("success"), &json!("schedule"))
    );
    let records = served.get("/v1/integrations/crm/connections/acme/models/Contact/records");
    assert_eq!(records["records"].as_array().unwrap().len(), 3);

    let paused = served.post(
        &format!("{place}/pause"),
        &json!({"note": "a holiday"}),
        200,
    );
    assert_eq!(
        (&paused["state"], &paused["next_fire"]),
        (&json!("paused"), &Value::Null)
    );
    let resumed = served.call("POST", &format!("{place}/resume")).ok(200);
    assert_eq!(resumed["state"], "active");
    let stale = served
        .call("PUT", &format!("{place}?revision=1"))
        .json(&body)
        .send();
    expect_problem(&stale, "conflict", 409);
    assert_eq!(served.call("DELETE", &place).send().status, 204);
    expect_problem(&served.call("GET", &place).send(), "not-found", 404);
}

#[test]
fn what_is_no_schedule_is_refused() {
    let served = served(&healthy());
    let rows = [
        (json!({"when": [{"every": "1s"}]}), 400),
        (json!({"when": [{"cron": "* * * *"}]}), 400),
        (json!({"when": [{"every": "1h", "cron": "* * * * *"}]}), 400),
        (json!({"when": []}), 400),
        (json!({"when": [{"at": "2020-01-01T00:00:00Z"}]}), 400),
        (json!({"when": [{"every": "1h"}], "sync": "nothing"}), 404),
        (
            json!({"when": [{"every": "1h"}], "connection": "nobody"}),
            404,
        ),
        (json!({"when": [{"every": "1h"}], "action": "push"}), 400),
        (json!({"when": [{"every": "1h"}], "max_catchup": 0}), 400),
        (json!({"when": [{"every": "1h"}], "unknown": 1}), 400),
    ];
    for (change, status) in rows {
        let mut body = json!({"integration": "crm", "connection": "acme", "sync": "contacts"});
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let answer = served.call("POST", "/v1/schedules").json(&body).send();
        let said = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, status, "{body}: {said}");
    }
    assert_eq!(served.get("/v1/schedules")["schedules"], json!([]));
}

#[test]
fn a_trigger_is_a_job_and_a_second_one_waits_with_it() {
    let gate = Gate::default();
    let held = gate.clone();
    let source = Server::start(move |_| reply(&contacts(1..4, 1), None).behind(&held));
    let served = served(&source);
    let first = served.post(TRIGGER, &json!({}), 202);
    gate.arrived();
    assert_eq!(served.job_in(&first, &["running"])["attempts"], 0);
    // One runs; the next waits for it, and a third is the same as that.
    let second = served.post(TRIGGER, &json!({}), 202);
    let third = served.post(TRIGGER, &json!({}), 202);
    assert_ne!(first["job"], second["job"]);
    assert_eq!(second["job"], third["job"]);
    assert_eq!(served.job_in(&second, &["queued"])["state"], "queued");
    gate.open();
    for job in [&first, &second] {
        served.job_in(job, &["succeeded"]);
    }
    let listed = served.get("/v1/jobs?integration=crm&connection=acme&state=succeeded");
    assert_eq!(listed["jobs"].as_array().unwrap().len(), 2);
}

#[test]
fn what_may_pass_is_tried_again_and_what_will_not_is_dead() {
    // (what the source says at first, how the job is then); credentials have a second opinion.
    let rows = [(503, "queued", 1), (401, "queued", 1), (404, "dead", 1)];
    for (status, state, attempts) in rows {
        let asked = Arc::new(AtomicU32::new(0));
        let (seen, bad) = (Arc::clone(&asked), 6);
        let source = Server::start(move |_| match seen.fetch_add(1, Ordering::SeqCst) {
            asked if asked < bad => Reply::status(status),
            _ => reply(&contacts(1..4, 1), None),
        });
        let served = served(&source);
        let job = served.post(TRIGGER, &json!({}), 202);
        let job = wait_until("it failed once", PATIENCE, || {
            let job = served.get(&format!("/v1/jobs/{}", job["job"].as_str().unwrap()));
            (job["attempts"] == attempts).then_some(job)
        });
        assert_eq!(
            (&job["state"], &job["outcome"]),
            (&json!(state), &json!("failed")),
            "{job}"
        );
        let place = format!("/v1/jobs/{}", job["job"].as_str().unwrap());
        if state == "queued" {
            let early = served.call("POST", &format!("{place}/redrive")).send();
            expect_problem(&early, "conflict", 409);
            continue;
        }
        asked.store(bad, Ordering::SeqCst);
        served.call("POST", &format!("{place}/redrive")).ok(200);
        assert_eq!(served.job_in(&job, &["succeeded"])["attempts"], 0);
        let over = served.call("POST", &format!("{place}/discard")).send();
        expect_problem(&over, "conflict", 409);
    }
}

#[test]
fn a_cancelled_job_stops_its_guest_at_once() {
    let gate = Gate::default();
    let held = gate.clone();
    let source = Server::start(move |_| reply(&contacts(1..4, 1), None).behind(&held));
    let served = served(&source);
    let job = served.post(TRIGGER, &json!({}), 202);
    gate.arrived();
    let begin = Instant::now();
    let place = format!("/v1/jobs/{}/cancel", job["job"].as_str().unwrap());
    served.call("POST", &place).ok(200);
    let job = served.job_in(&job, &["cancelled"]);
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(job["outcome"], "cancelled");
    gate.open();
}

#[test]
fn a_killed_server_takes_its_runs_up_from_their_checkpoints() {
    let gate = Gate::default();
    let held = gate.clone();
    // Three pages; the last one is held.
    let source = Server::start(move |request| match request.query("cursor").as_deref() {
        None => reply(&contacts(1..3, 1), Some("2")),
        Some("2") => reply(&contacts(3..5, 1), Some("3")),
        _ => reply(&contacts(5..7, 1), None).behind(&held),
    });
    let served = served(&source);
    let job = served.post(TRIGGER, &json!({}), 202);
    gate.arrived();
    let before = served.job_in(&job, &["running"]);
    let begin = Instant::now();
    let served = served.killed();
    gate.open();
    let after = served.job_in(&job, &["succeeded"]);
    assert!(
        begin.elapsed() < Duration::from_secs(30),
        "within a lease: {:?}",
        begin.elapsed()
    );
    assert_ne!(before["run"], after["run"]);
    assert_eq!(after["attempts"], 0, "it is no fault of the job's");
    let run = served.get(&format!("/v1/runs/{}", before["run"].as_str().unwrap()));
    assert_eq!(run["outcome"], "interrupted");
    let records = served.get("/v1/integrations/crm/connections/acme/models/Contact/records");
    assert_eq!(records["records"].as_array().unwrap().len(), 6);
    let firsts = source
        .requests()
        .iter()
        .filter(|request| request.query("cursor").is_none())
        .count();
    assert_eq!(firsts, 1, "it went on from its checkpoint");
}

#[test]
fn a_server_that_stops_interrupts_what_does_not_end_in_time() {
    let gate = Gate::default();
    let held = gate.clone();
    let source = Server::start(move |_| reply(&contacts(1..4, 1), None).behind(&held));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    let served = Served::start_with(tidegate, "--grace 1s");
    let job = served.post(TRIGGER, &json!({}), 202);
    gate.arrived();
    served.running.signal(rustix::process::Signal::TERM);
    let Served {
        tidegate,
        running,
        manage,
        ..
    } = served;
    running.finish().expect_code(0);
    let shown = tidegate.cmd("jobs list --json").ok().lines();
    assert_eq!(
        (
            &shown[0]["state"],
            &shown[0]["outcome"],
            &shown[0]["attempts"]
        ),
        (&json!("queued"), &json!("interrupted"), &json!(0))
    );
    gate.open();
    let served = Served::again(tidegate, manage);
    served.job_in(&job, &["succeeded"]);
}

#[test]
fn a_manifests_schedules_start_by_themselves_if_they_are_let() {
    let source = healthy();
    let tidegate = Tidegate::new();
    // Its two syncs are due every hour.
    let component = crate::support::plugins::demo_crm();
    tidegate.deploy(&component, "crm", &source.origin());
    tidegate.connect("crm", "acme", &source.origin());
    let list = || tidegate.cmd("schedules list --json").ok().lines();
    assert_eq!(list().len(), 0, "nothing starts by itself");
    let deploy = || tidegate.cmd("deploy").arg(&component);
    deploy().words("--as crm --yes --auto-start").ok();
    let schedules = list();
    assert_eq!(schedules.len(), 2);
    let schedule = &schedules[0];
    assert_eq!(
        (&schedule["origin"], &schedule["when"]),
        (&json!("manifest"), &json!([{"every": "1h"}]))
    );
    assert_eq!(schedule["spread_ms"], 60 * 60 * 1000);
    tidegate.connect("crm", "bolt", &source.origin());
    assert_eq!(list().len(), 4, "a new connection has its own");
    let id = schedule["schedule"].as_str().unwrap();
    tidegate
        .cmd(&format!("schedules remove {id}"))
        .refused(CONFLICT, &["schedules pause"]);
    tidegate
        .cmd(&format!("schedules pause {id} --note nights"))
        .ok();
    tidegate.cmd("connections remove crm bolt --yes").ok();
    // What somebody has paused stays so, whatever is deployed.
    deploy().words("--as crm --yes").ok();
    let left = list();
    let paused = left.iter().filter(|schedule| schedule["state"] == "paused");
    assert_eq!((left.len(), paused.count()), (2, 1));
}

#[test]
fn keys_that_may_only_read_trigger_nothing() {
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &healthy().origin());
    let read = make_key(&tidegate, "read", "");
    let served = Served::start(tidegate);
    for target in [
        TRIGGER,
        "/v1/schedules",
        "/v1/jobs/job_01JD3A80000000000000000000/cancel",
    ] {
        let answer = served
            .bare("POST", target)
            .key(&read)
            .json(&json!({}))
            .send();
        expect_problem(&answer, "narrow-scope", 403);
    }
}
