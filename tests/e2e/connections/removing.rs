//! `connections remove`: asks, and leaves nothing, whatever runs were there.

use super::{connections, deployed};
use crate::support::cli::{INVALID, NOT_FOUND};
use crate::support::crm::{MODEL, contacts, reply};
use crate::support::server::{Gate, Server};

#[test]
fn it_asks_and_then_leaves_nothing() {
    let gate = Gate::default();
    let held = gate.clone();
    let server = Server::start(move |request| match request.query("cursor") {
        None => reply(&contacts(0..5, 1), Some("next")),
        Some(_) => reply(&contacts(5..9, 1), None).behind(&held),
    });
    let tidegate = deployed(&server);
    for name in ["acme", "bolt"] {
        tidegate.connect("crm", name, &server.origin());
    }
    // A run whose process dies in the middle is no obstacle.
    let running = tidegate.cmd("run crm/contacts -c acme").start();
    gate.arrived();
    running.kill();
    assert_eq!(tidegate.feed(MODEL, "acme", None).len(), 5);

    let refused = connections(&tidegate, "remove crm acme").refused(
        INVALID,
        &[
            "connection crm/acme would go: 1 connection, 1 model, 5 records",
            "nothing was removed",
            "--yes",
        ],
    );
    assert!(refused.stdout.is_empty());
    assert_eq!(tidegate.feed(MODEL, "acme", None).len(), 5);
    let gone = connections(&tidegate, "remove crm acme --yes --json")
        .ok()
        .json();
    for (figure, want) in [
        ("connections", 1),
        ("models", 1),
        ("records", 5),
        ("runs", 1),
    ] {
        assert_eq!(gone[figure], want, "{gone}");
    }
    assert!(tidegate.runs().is_empty());
    for words in ["remove crm acme --yes", "show crm acme", "test crm acme"] {
        connections(&tidegate, words).refused(NOT_FOUND, &["acme", "bolt"]);
    }
    tidegate.connect("crm", "acme", &server.origin());
    assert!(tidegate.feed(MODEL, "acme", None).is_empty());
    gate.open();
    tidegate.sync_ok("crm/contacts", "acme");
    assert_eq!(tidegate.feed(MODEL, "acme", None).len(), 9);
    let report = tidegate.cmd("data check --json").ok().json();
    assert_eq!(report["wrong"], 0, "{report}");
}

/// What removes the connection `acme`, and whether the cassettes of `bolt` stay.
const REMOVALS: [(&str, bool); 3] = [
    ("connections remove crm acme --yes", true),
    ("data drop crm -c acme --yes", true),
    ("data drop crm --yes", false),
];

#[test]
fn its_cassettes_go_with_it() {
    let server = Server::start(|_| reply(&contacts(0..5, 1), None));
    for (words, bolt_stays) in REMOVALS {
        let tidegate = deployed(&server);
        for name in ["acme", "bolt"] {
            tidegate.connect("crm", name, &server.origin());
            tidegate.cmd(&format!("cassettes on crm {name}")).ok();
            tidegate.sync_ok("crm/contacts", name);
        }
        let ring = |name: &str| tidegate.data().join("cassettes/crm").join(name);
        let kept = || tidegate.cmd("cassettes list --json").ok().lines().len();
        assert_eq!(kept(), 2);
        // As a crash right after the removal leaves them.
        let aside = tidegate.data().join("aside");
        if bolt_stays {
            std::fs::rename(ring("acme"), &aside).unwrap();
        }
        tidegate.cmd(words).ok();
        if bolt_stays {
            std::fs::rename(&aside, ring("acme")).unwrap();
            assert_eq!(kept(), 2, "{words}");
        }
        tidegate.cmd("runs").ok();
        assert!(!ring("acme").exists(), "{words}");
        assert_eq!(ring("bolt").exists(), bolt_stays, "{words}");
        assert_eq!(kept(), usize::from(bolt_stays), "{words}");
    }
    // Without a crash too, and nobody is recorded again who only has the same name.
    let tidegate = deployed(&server);
    tidegate.connect("crm", "acme", &server.origin());
    tidegate.cmd("cassettes on crm acme").ok();
    tidegate.sync_ok("crm/contacts", "acme");
    tidegate.cmd("connections remove crm acme --yes").ok();
    assert!(!tidegate.data().join("cassettes/crm/acme").exists());
    tidegate.connect("crm", "acme", &server.origin());
    tidegate.sync_ok("crm/contacts", "acme");
    assert!(
        tidegate
            .cmd("cassettes list --json")
            .ok()
            .lines()
            .is_empty()
    );
}
