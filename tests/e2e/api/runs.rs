//! Runs by the API: listed, shown, their logs, cancelled.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Served, expect_problem};
use crate::actions::Acts;
use crate::support::crm::{changing, synced_twice};
use crate::support::server::Reply;
use crate::support::{PATIENCE, wait_until};

#[test]
fn listed_shown_and_logged() {
    let server = changing();
    let tidegate = synced_twice(&server);
    let mut shown = tidegate.cmd("runs --json").ok().lines();
    let logged = tidegate.logs(&shown[0]);
    let served = Served::start(tidegate);
    let listed = served.get("/v1/runs");
    assert_eq!(listed["runs"], json!(shown));
    let first = served.get("/v1/runs?limit=1");
    assert_eq!(
        (&first["runs"][0], &first["more"]),
        (&shown[0], &json!(true))
    );
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = served.get(&format!("/v1/runs?limit=1&cursor={cursor}"));
    assert_eq!(
        (&second["runs"][0], &second["next_cursor"]),
        (&shown[1], &Value::Null)
    );
    assert_eq!(
        served.get("/v1/runs?integration=crm")["runs"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let id = shown.remove(0);
    let one = format!("/v1/runs/{}", id["run"].as_str().unwrap());
    assert_eq!(served.get(&one), id);
    let log = served.get(&format!("{one}/logs"));
    assert_eq!(log["lines"], json!(logged));
    let lines = served
        .call("GET", &format!("{one}/logs"))
        .header("Accept", "application/x-ndjson")
        .send();
    assert_eq!(
        String::from_utf8(lines.body).unwrap().lines().count(),
        logged.len()
    );

    for (target, status, slug) in [
        ("/v1/runs/run_01JD3A80000000000000000000", 404, "not-found"),
        (
            "/v1/runs/run_01JD3A80000000000000000000/logs",
            404,
            "not-found",
        ),
        ("/v1/runs/nonsense", 400, "invalid-request"),
        ("/v1/runs?connection=acme", 400, "invalid-request"),
        ("/v1/runs?integration=nothing", 404, "not-found"),
        ("/v1/runs?limit=1001", 400, "invalid-request"),
    ] {
        expect_problem(&served.call("GET", target).send(), slug, status);
    }
    let ended = served.call("POST", &format!("{one}/cancel")).send();
    expect_problem(&ended, "conflict", 409);
}

#[test]
fn a_run_is_cancelled_within_a_tenth_of_a_second() {
    let (tidegate, _server) = Acts::new(|_| Reply::status(500)).into_parts();
    let served = Served::start(tidegate);
    let actions = "/v1/integrations/acts/connections/acme/actions";
    // Compiled and linked, so that nothing else takes time.
    served.post(&format!("{actions}/echo"), &json!(1), 200);
    // Busy, and idle.
    for action in ["loop", "sleep"] {
        let call = served
            .call("POST", &format!("{actions}/{action}"))
            .json(&json!({}));
        let waiting = std::thread::spawn(move || {
            let answer = call.send();
            (Instant::now(), answer)
        });
        let running = || {
            let runs = served.get("/v1/runs?limit=1");
            let run = &runs["runs"][0];
            let is_it = run["name"] == action && run["outcome"] == "running";
            is_it.then(|| run["run"].as_str().unwrap().to_owned())
        };
        let run = wait_until("the run to start", PATIENCE, running);
        let began = Instant::now();
        served
            .call("POST", &format!("/v1/runs/{run}/cancel"))
            .ok(202);
        let (ended, answer) = waiting.join().unwrap();
        expect_problem(&answer, "cancelled", 409);
        let took = ended.saturating_duration_since(began);
        // 100 ms for the guest; the rest is for a busy machine.
        assert!(took < Duration::from_millis(400), "{action}: {took:?}");
        let shown = served.get(&format!("/v1/runs/{run}"));
        assert_eq!(shown["outcome"], "cancelled", "{shown}");
    }
}
