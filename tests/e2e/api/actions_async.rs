//! Actions that are left to jobs: what comes of them, keys that act once, how many run at once.

use serde_json::{Value, json};

use super::client::Call;
use super::{Served, expect_problem};
use crate::actions::Acts;
use crate::support::cli::Tidegate;
use crate::support::http::{Request, Response};
use crate::support::server::{Gate, Reply, Server};
use crate::support::{PATIENCE, wait_until};

const ACTIONS: &str = "/v1/integrations/acts/connections/acme/actions";

fn served(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (Served, Server) {
    let (tidegate, server) = Acts::new(answer).into_parts();
    (Served::start(tidegate), server)
}

/// A server that makes an item of whatever is posted.
fn making_items() -> (Served, Server) {
    let (tidegate, server) = Acts::making_items().into_parts();
    (Served::start(tidegate), server)
}

impl Served {
    /// A request to run an action later; `action` may have a query.
    fn later(&self, action: &str, input: &Value) -> Call {
        let call = self.call("POST", &format!("{ACTIONS}/{action}"));
        call.json(input).header("Prefer", "respond-async")
    }

    /// The same, which is queued: the job.
    #[track_caller]
    fn queued(&self, action: &str, input: &Value) -> Value {
        self.later(action, input).ok(202)
    }

    /// A request to run an action under a key, and wait for it.
    fn keyed(&self, key: &str, action: &str, input: &Value) -> Response {
        let call = self.call("POST", &format!("{ACTIONS}/{action}"));
        call.json(input).header("Idempotency-Key", key).send()
    }

    /// End the server, and look for anything wrong in what it leaves.
    #[track_caller]
    fn checked(self) -> Tidegate {
        let Self {
            tidegate, running, ..
        } = self;
        running.signal(rustix::process::Signal::TERM);
        running.finish().expect_code(0);
        tidegate.cmd("data check").ok();
        tidegate
    }
}

fn place(job: &Value) -> String {
    format!("/v1/jobs/{}", job["job"].as_str().unwrap())
}

#[test]
fn the_answer_is_a_job_and_the_job_has_the_output() {
    let (served, server) = making_items();
    let answer = served.later("create", &json!({"name": "a"})).send();
    assert_eq!(answer.status, 202);
    let job = answer.json();
    assert_eq!(answer.header("preference-applied"), Some("respond-async"));
    assert_eq!(answer.header("location"), Some(place(&job).as_str()));
    assert_eq!(
        (&job["kind"], &job["name"], &job["priority"]),
        (&json!("action"), &json!("create"), &json!("normal"))
    );
    let done = served.job_in(&job, &["succeeded"]);
    assert_eq!(done["output"], json!({"id": "i1", "name": "a"}));
    // Its id is the key that the API got.
    let asked = server.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("idempotency-key"), job["job"].as_str());
    let listed = served.get("/v1/jobs");
    assert!(listed["jobs"][0].get("output").is_none(), "{listed}");

    // Preferences are a list, in any case; a priority is the job's.
    let call = served.call("POST", &format!("{ACTIONS}/echo?priority=high"));
    let call = call.body("application/json", b" [1, 2.50] ");
    let call = call.header("Prefer", "wait=10, Respond-Async; x=1");
    let job = call.ok(202);
    assert_eq!(job["priority"], "high");
    let done = served.job_in(&job, &["succeeded"]);
    assert_eq!(done["output"], json!([1, 2.5]));
    // Another preference is none of it.
    let call = served
        .call("POST", &format!("{ACTIONS}/echo"))
        .json(&json!(1));
    let waited = call.header("Prefer", "return=minimal").ok(200);
    assert_eq!(waited["output"], 1);

    let tidegate = served.checked();
    let shown = tidegate.cmd(&format!(
        "jobs show {} --json",
        job["job"].as_str().unwrap()
    ));
    assert_eq!(shown.ok().json()["output"], json!([1, 2.5]));
}

#[test]
fn the_same_key_is_the_same_job() {
    let gate = Gate::default();
    let held = gate.clone();
    let (served, server) = served(move |_| Reply::json(&json!({"id": "i1"})).behind(&held));
    let input = json!({"name": "a"});
    let queue = |key: &str, input: &Value| {
        let call = served.later("create", input);
        call.header("Idempotency-Key", key).send()
    };
    let first = queue("k", &input);
    assert_eq!(first.status, 202);
    let job = first.json();
    gate.arrived();
    // While it runs: the same job; nobody acts beside it, and nobody with another input.
    assert_eq!(queue("k", &input).json()["job"], job["job"]);
    expect_problem(&served.keyed("k", "create", &input), "conflict", 409);
    let other = json!({"name": "b"});
    expect_problem(&queue("k", &other), "conflict", 409);
    expect_problem(&served.keyed("k", "create", &other), "conflict", 409);
    gate.open();
    let done = served.job_in(&job, &["succeeded"]);
    // And after it: the same job, and its result for who waits.
    let again = queue("k", &input);
    assert_eq!((again.status, &again.json()["job"]), (202, &job["job"]));
    let waited = served.keyed("k", "create", &input).json();
    assert_eq!(
        (&waited["repeated"], &waited["output"], &waited["run"]),
        (&json!(true), &done["output"], &done["run"])
    );
    expect_problem(&queue("k", &other), "conflict", 409);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(server.requests()[0].header("idempotency-key"), Some("k"));

    // What somebody waited for is not done again later.
    let waited = served.keyed("k2", "create", &input).json();
    let later = queue("k2", &input);
    assert_eq!(later.status, 200);
    assert_eq!(later.header("preference-applied"), None);
    let later = later.json();
    assert_eq!(
        (&later["repeated"], &later["run"]),
        (&json!(true), &waited["run"])
    );
    assert_eq!(server.requests().len(), 2);
    expect_problem(&queue(&"k".repeat(256), &input), "invalid-request", 400);
    served.checked();
}

#[test]
fn a_concurrency_key_bounds_how_many_run_at_once() {
    let gate = Gate::default();
    let held = gate.clone();
    let (served, _server) = served(move |_| Reply::json(&json!({})).behind(&held));
    let one = "hold?concurrency_key=account-7&concurrency=1";
    let first = served.queued(one, &json!({}));
    gate.arrived();
    served.job_in(&first, &["running"]);
    let second = served.queued(one, &json!({}));
    // Those with another key, or none, overtake it.
    let other = served.queued("hold?concurrency_key=account-8&concurrency=1", &json!({}));
    let free = served.queued("hold", &json!({}));
    for job in [&other, &free] {
        served.job_in(job, &["running"]);
    }
    assert_eq!(served.get(&place(&second))["state"], "queued");
    gate.open();
    for job in [&first, &second, &other, &free] {
        let job = served.job_in(job, &["succeeded"]);
        assert_eq!(job["attempts"], 0);
    }
}

#[test]
fn what_can_not_be_queued_is_refused() {
    let (served, server) = served(|_| Reply::status(500));
    let ok = json!({"name": "a"});
    let rows = [
        ("create?concurrency_key=k", ok.clone(), 400),
        ("create?concurrency=1", ok.clone(), 400),
        ("create?concurrency_key=k&concurrency=0", ok.clone(), 400),
        ("create?concurrency_key=k&concurrency=101", ok.clone(), 400),
        ("create?concurrency_key=k&concurrency=x", ok.clone(), 400),
        ("create?concurrency_key=&concurrency=1", ok.clone(), 400),
        (
            "create?concurrency_key=a%20b&concurrency=1",
            ok.clone(),
            400,
        ),
        ("create?priority=urgent", ok.clone(), 400),
        ("create?delay=1", ok, 400),
        ("create", json!({"qty": 1}), 400),
        ("nothing", json!({}), 404),
        ("echo", json!("x".repeat(64 * 1024)), 413),
    ];
    for (action, input, status) in rows {
        let answer = served.later(action, &input).send();
        let said = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, status, "{action}: {said}");
    }
    let nobody = "/v1/integrations/acts/connections/nobody/actions/echo";
    let call = served.call("POST", nobody).json(&json!({}));
    let missing = call.header("Prefer", "respond-async").send();
    expect_problem(&missing, "not-found", 404);
    // What a job is to be like means nothing for who waits.
    let call = served.call("POST", &format!("{ACTIONS}/echo?priority=low"));
    let problem = expect_problem(&call.json(&json!({})).send(), "invalid-request", 400);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("respond-async"), "{detail}");
    assert_eq!(served.get("/v1/jobs")["jobs"], json!([]));
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn failures_are_the_jobs_and_only_rejections_are_final() {
    let (served, _server) = served(|_| Reply::status(500));
    let queue = |key: &str, kind: &str| {
        let call = served.later("fail", &json!({"kind": kind}));
        call.header("Idempotency-Key", key).ok(202)
    };
    // The same again would be rejected again.
    let rejected = served.job_in(&queue("r", "rejected"), &["dead"]);
    assert_eq!(
        (&rejected["failure"]["class"], &rejected["output"]),
        (&json!("rejected"), &Value::Null)
    );
    assert_eq!(queue("r", "rejected")["job"], rejected["job"]);
    let waited = served.keyed("r", "fail", &json!({"kind": "rejected"}));
    expect_problem(&waited, "rejected", 422);

    // What is dead for another reason may be tried again under its key, by one job at a time.
    let first = served.job_in(&queue("c", "config"), &["dead"]);
    assert_eq!(first["failure"]["class"], "config");
    let second = queue("c", "config");
    assert_ne!(second["job"], first["job"]);
    served.job_in(&second, &["dead"]);
    let redrive = |job: &Value| {
        served
            .call("POST", &format!("{}/redrive", place(job)))
            .send()
    };
    expect_problem(&redrive(&first), "conflict", 409);
    assert_eq!(redrive(&second).status, 200);
    served.job_in(&second, &["dead"]);

    // What may pass is tried again, and holds its key meanwhile.
    let job = queue("t", "transient");
    let waiting = wait_until("it failed once", PATIENCE, || {
        let job = served.get(&place(&job));
        (job["attempts"] == 1).then_some(job)
    });
    assert_eq!(
        (&waiting["state"], &waiting["failure"]["class"]),
        (&json!("queued"), &json!("transient"))
    );
    assert_eq!(queue("t", "transient")["job"], job["job"]);
    let beside = served.keyed("t", "fail", &json!({"kind": "transient"}));
    expect_problem(&beside, "conflict", 409);
    served
        .call("POST", &format!("{}/cancel", place(&job)))
        .ok(200);
    served.job_in(&job, &["cancelled"]);
    assert_ne!(queue("t", "transient")["job"], job["job"]);
    served.checked();
}

#[test]
fn a_killed_server_goes_on_under_the_same_key() {
    let gate = Gate::default();
    let held = gate.clone();
    let (served, server) = served(move |_| Reply::json(&json!({"id": "i1"})).behind(&held));
    let job = served.queued("create", &json!({"name": "a"}));
    gate.arrived();
    served.job_in(&job, &["running"]);
    let served = served.killed();
    gate.open();
    let done = served.job_in(&job, &["succeeded"]);
    assert_eq!(done["output"], json!({"id": "i1"}));
    let asked = server.requests();
    let keys: Vec<_> = asked
        .iter()
        .map(|request| request.header("idempotency-key"))
        .collect();
    assert_eq!(keys, [job["job"].as_str(); 2]);
    served.checked();
}

#[test]
fn what_may_be_done_is_not_tried_again() {
    for reply in [
        Reply::text("OK"),
        Reply::json(&json!({"id": "i1"})).cut(),
        Reply::status(504),
    ] {
        let (served, server) = served(move |_| reply.clone());
        let job = served.queued("create", &json!({"name": "Ada"}));
        let dead = served.job_in(&job, &["dead", "succeeded"]);
        assert_eq!(
            (&dead["state"], &dead["failure"]["may_be_done"]),
            (&json!("dead"), &json!(true)),
            "{dead}"
        );
        assert_eq!(server.requests().len(), 1);
        served.checked();
    }
}
