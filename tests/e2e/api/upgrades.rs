//! A plugin is upgraded while its runs go on: they end on what they began with, the next start on the new one.

use serde_json::{Value, json};

use super::Served;
use crate::support::cli::Tidegate;
use crate::support::crm::{Source, contacts, reply};
use crate::support::plugins;
use crate::support::server::{Gate, Server};
use crate::support::{PATIENCE, wait_until};

const TRIGGER: &str = "/v1/integrations/crm/connections/acme/syncs/contacts/trigger";

/// The run of a job that has succeeded.
#[track_caller]
fn run_of(served: &Served, job: &Value) -> Value {
    let place = format!("/v1/jobs/{}", job["job"].as_str().unwrap());
    let job = wait_until("the job succeeds", PATIENCE, || {
        let job = served.get(&place);
        (job["state"] == "succeeded").then_some(job)
    });
    served.get(&format!("/v1/runs/{}", job["run"].as_str().unwrap()))
}

#[test]
fn runs_end_on_the_version_they_began_with() {
    let gate = Gate::default();
    let held = gate.clone();
    let source = Server::start(move |request| match request.query("cursor").as_deref() {
        None => reply(&contacts(1..3, 1), Some("2")),
        _ => reply(&contacts(3..5, 1), None).behind(&held),
    });
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    let served = Served::start(tidegate);
    let old = served.post(TRIGGER, &json!({}), 202);
    gate.arrived();
    let deploy = served.tidegate.cmd("deploy").arg(plugins::demo_crm_next());
    deploy.words("--as crm --yes").ok();
    gate.open();
    let run = run_of(&served, &old);
    assert_eq!(
        (&run["plugin_version"], &run["outcome"]),
        (&json!("0.1.0"), &json!("success"))
    );
    let first = run["plugin"].clone();
    let run = run_of(&served, &served.post(TRIGGER, &json!({}), 202));
    assert_eq!(run["plugin_version"], "0.2.0");
    assert_ne!(run["plugin"], first);

    // One command, and the next run is on the old one again.
    served.tidegate.cmd("rollback crm").ok();
    let run = run_of(&served, &served.post(TRIGGER, &json!({}), 202));
    assert_eq!(
        (&run["plugin_version"], &run["plugin"]),
        (&json!("0.1.0"), &first)
    );
}
