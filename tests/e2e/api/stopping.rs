//! A server that stops: a sync comes to its next checkpoint, and the next run goes on there.

use rustix::process::Signal;
use serde_json::json;

use super::Served;
use crate::support::cli::{OK, RUN_FAILED, Tidegate};
use crate::support::crm::{MODEL, Source, contacts, reply};
use crate::support::http::Request;
use crate::support::server::{Gate, Server};
use crate::support::{PATIENCE, wait_until};

const TRIGGER: &str = "/v1/integrations/crm/connections/acme/syncs/contacts/trigger";

/// The number of the page that is asked for.
fn number(request: &Request) -> u32 {
    let cursor = request.query("cursor");
    cursor.map_or(1, |cursor| cursor.parse().unwrap())
}

/// A server on a source with so many pages of two contacts, the second of which waits at the gate.
fn paging(pages: u32) -> (Served, Server, Gate) {
    let gate = Gate::default();
    let held = gate.clone();
    let source = Server::start(move |request| {
        let number = number(request);
        let next = (number < pages).then(|| (number + 1).to_string());
        let page = reply(&contacts(number * 2..number * 2 + 2, 1), next.as_deref());
        match number {
            2 => page.behind(&held),
            _ => page,
        }
    });
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    // Far longer than a page takes.
    let served = Served::start_with(tidegate, "--grace 60s");
    (served, source, gate)
}

/// The numbers of the pages that were asked for, in order.
fn asked(source: &Server) -> Vec<u32> {
    source.requests().iter().map(number).collect()
}

/// Tell the server to stop while it waits for the second page, which comes once it is stopping.
fn stop(served: &Served, gate: &Gate) {
    gate.arrived();
    served.running.signal(Signal::TERM);
    wait_until("the port to close", PATIENCE, || {
        std::net::TcpStream::connect(served.address).err().map(drop)
    });
    gate.open();
}

#[test]
fn a_job_stops_at_its_next_checkpoint_and_goes_on_there() {
    let (served, source, gate) = paging(4);
    let job = served.post(TRIGGER, &json!({}), 202);
    stop(&served, &gate);
    let Served {
        tidegate,
        running,
        manage,
        ..
    } = served;
    running.finish().expect_code(OK);
    assert_eq!(asked(&source), [1, 2], "nothing is asked after the commit");
    let runs = tidegate.runs();
    assert_eq!(
        (&runs[0]["outcome"], &runs[0]["figures"]["commits"]),
        (&json!("interrupted"), &json!(2)),
        "{runs:?}"
    );
    let jobs = tidegate.cmd("jobs list --json").ok().lines();
    assert_eq!(
        (&jobs[0]["state"], &jobs[0]["attempts"]),
        (&json!("queued"), &json!(0)),
        "{jobs:?}"
    );
    let syncs = tidegate.cmd("syncs list crm --connection acme --json");
    let syncs = syncs.ok().lines();
    let mut syncs = syncs.iter();
    let sync = syncs.find(|sync| sync["sync"] == "contacts").unwrap();
    let position = &sync["checkpoints"]["base"]["position"];
    assert_eq!(*position, json!({"cursor": "3"}), "{sync}");

    let served = Served::again(tidegate, manage);
    let job = served.job_in(&job, &["succeeded"]);
    assert_eq!(job["attempts"], 0, "{job}");
    assert_eq!(asked(&source), [1, 2, 3, 4], "no page twice");
    assert_eq!(served.tidegate.feed(MODEL, "acme", None).len(), 8);
}

#[test]
fn a_run_whose_last_checkpoint_it_was_succeeds() {
    let (served, source, gate) = paging(2);
    served.post(TRIGGER, &json!({}), 202);
    stop(&served, &gate);
    served.running.finish().expect_code(OK);
    assert_eq!(asked(&source), [1, 2]);
    assert_eq!(served.tidegate.runs()[0]["outcome"], "success");
}

#[test]
fn a_sync_that_a_command_waits_for_stops_there_too() {
    let (served, source, gate) = paging(4);
    let run = served.tidegate.cmd("run crm/contacts -c acme --json");
    let run = run.start();
    stop(&served, &gate);
    let ended = run.finish();
    ended.expect_refusal(RUN_FAILED, &["the server stopped"]);
    assert_eq!(ended.json()["outcome"], "interrupted");
    served.running.finish().expect_code(OK);
    served.tidegate.sync_ok("crm/contacts", "acme");
    assert_eq!(asked(&source), [1, 2, 3, 4], "no page twice");
}
