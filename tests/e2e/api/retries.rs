//! Runs that are tried again: by their jobs, or by new ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::client::Call;
use super::{Served, expect_problem};
use crate::actions::Acts;
use crate::support::cli::{CONFLICT, RUN_FAILED, Tidegate};
use crate::support::crm::{Source, contacts, reply};
use crate::support::server::{Gate, Reply, Server};

const TRIGGER: &str = "/v1/integrations/crm/connections/acme/syncs/contacts/trigger";
const ACTIONS: &str = "/v1/integrations/acts/connections/acme/actions";

impl Served {
    /// Try again what `of` names as its run: a run, a job, a problem.
    fn retry(&self, of: &Value) -> Call {
        self.call(
            "POST",
            &format!("/v1/runs/{}/retry", of["run"].as_str().unwrap()),
        )
    }

    /// It can't be; the problem says this.
    #[track_caller]
    fn no_retry(&self, of: &Value, says: &str) {
        let problem = expect_problem(&self.retry(of).send(), "conflict", 409);
        assert!(problem.to_string().contains(says), "{says:?}: {problem}");
    }
}

#[test]
fn a_sync_of_the_foreground_is_triggered() {
    let refuses = Arc::new(AtomicBool::new(true));
    let refused = Arc::clone(&refuses);
    let source = Server::start(move |_| match refused.load(Ordering::SeqCst) {
        true => Reply::status(401),
        false => reply(&contacts(1..4, 1), None),
    });
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    tidegate
        .sync("crm/contacts", "acme")
        .expect_code(RUN_FAILED);
    let check = tidegate.cmd("connections test crm acme").finish();
    check.expect_code(RUN_FAILED);
    let runs = tidegate.runs();
    refuses.store(false, Ordering::SeqCst);

    let served = Served::start(tidegate);
    let answer = served.retry(&runs[0]).send();
    assert_eq!(answer.status, 202);
    let job = answer.json();
    let place = format!("/v1/jobs/{}", job["job"].as_str().unwrap());
    assert_eq!(answer.header("location"), Some(place.as_str()));
    assert_eq!(
        (&job["kind"], &job["name"], &job["connection"]),
        (&json!("sync"), &json!("contacts"), &json!("acme"))
    );
    let done = served.job_in(&job, &["succeeded"]);
    served.no_retry(&done, "succeeded");
    served.no_retry(&runs[1], "connections test crm acme");
    let missing = json!({"run": "run_01JD3A80000000000000000000"});
    expect_problem(&served.retry(&missing).send(), "not-found", 404);

    // By the command.
    let cmd = |run: &Value| {
        let run = run["run"].as_str().unwrap();
        served.tidegate.cmd(&format!("runs retry {run} --json"))
    };
    let job = cmd(&runs[0]).ok().json();
    served.job_in(&job, &["succeeded"]);
    cmd(&done).refused(CONFLICT, &["succeeded"]);
}

#[test]
fn a_dead_job_is_queued_again_and_one_that_goes_on_is_the_answer() {
    let refuses = Arc::new(AtomicBool::new(true));
    let refused = Arc::clone(&refuses);
    let gate = Gate::default();
    let held = gate.clone();
    let source = Server::start(move |_| match refused.load(Ordering::SeqCst) {
        true => Reply::status(404),
        false => reply(&contacts(1..4, 1), None).behind(&held),
    });
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    let served = Served::start(tidegate);
    let job = served.post(TRIGGER, &json!({}), 202);
    let dead = served.job_in(&job, &["dead"]);
    refuses.store(false, Ordering::SeqCst);
    assert_eq!(served.retry(&dead).ok(202)["job"], job["job"]);
    gate.arrived();
    let running = served.job_in(&job, &["running"]);
    assert_eq!(served.retry(&dead).ok(202)["job"], job["job"]);
    served.no_retry(&running, "has not ended");
    gate.open();
    served.job_in(&job, &["succeeded"]);
    served.no_retry(&dead, "has since");
    let listed = served.get("/v1/jobs");
    assert_eq!(listed["jobs"].as_array().unwrap().len(), 1);
}

#[test]
fn an_action_is_done_again_if_its_input_is_kept() {
    let gate = Gate::default();
    let held = gate.clone();
    let acts = Acts::new(move |_| Reply::json(&json!({"id": "i1"})).behind(&held));
    let (tidegate, server) = acts.into_parts();
    let served = Served::start(tidegate);
    let call = |action: &str, input: &Value| {
        let call = served.call("POST", &format!("{ACTIONS}/{action}"));
        call.json(input)
    };
    let later = |action: &str, input: &Value| {
        let call = call(action, input).header("Prefer", "respond-async");
        call.ok(202)
    };
    let bad = json!({"kind": "config"});
    let waited = call("fail", &bad).send().json();
    served.no_retry(&waited, "tidegate invoke acts/fail");

    let job = later("fail", &bad);
    let dead = served.job_in(&job, &["dead"]);
    assert_eq!(served.retry(&dead).ok(202)["job"], job["job"]);
    served.job_in(&job, &["dead"]);

    // One that was given up: another job does the same, under the same key.
    let job = later("create", &json!({"name": "a"}));
    gate.arrived();
    let cancel = format!("/v1/jobs/{}/cancel", job["job"].as_str().unwrap());
    served.call("POST", &cancel).ok(200);
    let cancelled = served.job_in(&job, &["cancelled"]);
    gate.open();
    let again = served.retry(&cancelled).ok(202);
    assert_ne!(again["job"], job["job"]);
    let done = served.job_in(&again, &["succeeded"]);
    assert_eq!(done["output"], json!({"id": "i1"}));
    let asked = server.requests();
    let keys: Vec<_> = asked
        .iter()
        .map(|request| request.header("idempotency-key"))
        .collect();
    assert_eq!(keys, [job["job"].as_str(); 2]);
    // Under that key it has been done.
    served.no_retry(&cancelled, "the same idempotency key since");
}
