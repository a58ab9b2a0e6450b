//! A second deploy under the same name: an upgrade that keeps connections, checkpoints, records
//! and grants.

use crate::support::cli::Tidegate;
use crate::support::crm::{MODEL, Source, contacts, reply};
use crate::support::plugins;
use crate::support::server::Server;

#[test]
fn an_upgrade_keeps_everything_and_says_from_what_to_what() {
    let server = Server::start(|request| match request.query("updated_since") {
        None => reply(&contacts(0..10, 1), None),
        Some(_) => reply(&contacts(0..2, 2), None),
    });
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    tidegate.sync_ok("crm/contacts", "acme");
    let stored = tidegate.feed(MODEL, "acme", None);
    let runs = tidegate.runs();
    let connections = tidegate.cmd("connections list crm --json").ok().lines();
    let old = tidegate.cmd("integrations --json").ok().json();

    let next = plugins::demo_crm_next();
    let deployed = tidegate.cmd("deploy --as crm --yes").arg(&next).ok();
    assert!(
        deployed
            .stdout
            .contains("upgraded crm from version 0.1.0 to 0.2.0"),
        "{}",
        deployed.stdout
    );
    assert!(deployed.stdout.contains("replaces"), "{}", deployed.stdout);

    let new = tidegate.cmd("integrations --json").ok().json();
    assert_eq!(
        (&old["version"], &new["version"]),
        (&"0.1.0".into(), &"0.2.0".into())
    );
    assert_ne!(old["digest"], new["digest"]);
    assert_eq!(old["grants"], new["grants"]);
    assert_eq!(
        tidegate.cmd("connections list crm --json").ok().lines(),
        connections
    );
    assert_eq!(tidegate.feed(MODEL, "acme", None), stored);
    assert_eq!(tidegate.runs(), runs);

    // The new version goes on from the old one's checkpoint.
    let run = tidegate.sync_ok("crm/contacts", "acme");
    assert_eq!(run["plugin_version"], "0.2.0", "{run}");
    assert_eq!(run["figures"]["counts"]["Contact"]["updated"], 2, "{run}");
    assert_eq!(tidegate.runs()[0]["plugin_version"], "0.1.0");

    // And back, as a program sees it.
    let back = tidegate
        .cmd("deploy --as crm --yes --json")
        .arg(plugins::demo_crm())
        .ok()
        .json();
    assert_eq!(
        (&back["previous_version"], &back["version"]),
        (&"0.2.0".into(), &"0.1.0".into())
    );
    assert_eq!(tidegate.feed(MODEL, "acme", None).len(), 10);
}

#[test]
fn the_same_component_again_changes_nothing() {
    let server = Server::start(|_| reply(&contacts(0..3, 1), None));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    tidegate.sync_ok("crm/contacts", "acme");
    let stored = tidegate.feed(MODEL, "acme", None);
    let grants = tidegate.cmd("integrations --json").ok().json()["grants"].clone();
    tidegate
        .cmd("deploy --as crm --yes")
        .arg(plugins::demo_crm())
        .ok();
    assert_eq!(
        tidegate.cmd("integrations --json").ok().json()["grants"],
        grants
    );
    assert_eq!(tidegate.feed(MODEL, "acme", None), stored);
    tidegate.sync_ok("crm/contacts", "acme");
}
