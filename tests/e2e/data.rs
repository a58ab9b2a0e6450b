//! `tidegate data`: checking, measuring, pruning and dropping; `moving` and `checked` are the rest.

mod checked;
mod moving;

use std::fs;

use serde_json::Value;

use crate::support::cli::{DATA_DIRECTORY, INVALID, NOT_FOUND, Tidegate};
use crate::support::crm::{MODEL, Source, changing, contacts, reply, synced_twice};
use crate::support::plugins;
use crate::support::server::Server;

/// Five contacts, whatever is asked.
fn constant() -> Server {
    Server::start(|_| reply(&contacts(0..5, 1), None))
}

fn synced(server: &Server) -> Tidegate {
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    tidegate.sync_ok("crm/contacts", "acme");
    tidegate
}

/// The feed without its places, which are each store's own.
fn feed(tidegate: &Tidegate) -> Vec<Value> {
    let mut records = tidegate.feed(MODEL, "acme", None);
    for record in &mut records {
        record.as_object_mut().unwrap().remove("cursor");
    }
    records
}

#[track_caller]
fn expect_clean(tidegate: &Tidegate) {
    let report = tidegate.cmd("data check --json").ok().json();
    assert_eq!(report["wrong"], 0, "{report}");
}

#[track_caller]
fn expect_unchanged(tidegate: &Tidegate, count: u64) {
    let run = tidegate.sync_ok("crm/contacts", "acme");
    let counts = &run["figures"]["counts"]["Contact"];
    assert_eq!(counts["unchanged"], count, "{run}");
    for other in ["added", "updated", "deleted"] {
        assert_eq!(counts[other], 0, "{run}");
    }
}

#[test]
fn a_healthy_directory() {
    let server = changing();
    let tidegate = synced_twice(&server);
    let said = tidegate.cmd("data check").ok().stdout;
    assert!(
        said.contains("nothing is wrong") && said.contains("4 records of 1 model"),
        "{said}"
    );
    expect_clean(&tidegate);

    let stats = tidegate.cmd("data stats --json").ok().json();
    for (figure, want) in [
        ("integrations", 1),
        ("connections", 1),
        ("models", 1),
        ("runs", 2),
        ("components", 1),
    ] {
        assert_eq!(stats[figure], want, "{stats}");
    }
    let total = &stats["total"];
    assert_eq!(
        (&total["live"], &total["deleted"], &total["pruned"]),
        (&3.into(), &1.into(), &0.into())
    );
    assert_eq!(total["dead_entries"], 2, "c1 and c3 have earlier states");
    assert!(
        stats["disk_bytes"].as_u64().unwrap() > 0 && total["segment_bytes"].as_u64().unwrap() > 0
    );
    assert_eq!(stats["largest"][0]["model"], "Contact");
    let table = tidegate.cmd("data stats").ok().stdout;
    assert!(
        table.contains("live share") && table.contains("66 %"),
        "{table}"
    );

    let nowhere = Tidegate::new();
    nowhere
        .cmd("data check")
        .refused(NOT_FOUND, &["no data directory", "--data"]);
    assert!(!nowhere.data().exists());
}

#[test]
fn a_damaged_directory() {
    let tidegate = synced(&constant());
    let component = fs::read_dir(tidegate.data().join("components"))
        .unwrap()
        .next()
        .unwrap();
    fs::write(component.unwrap().path(), "something else").unwrap();
    let check = tidegate
        .cmd("data check")
        .refused(DATA_DIRECTORY, &["is damaged: 1 finding", "hint"]);
    assert!(
        check.stdout.contains("integration crm, deployment 1"),
        "{}",
        check.stdout
    );
    assert!(
        check.stdout.contains("deploy the component again"),
        "{}",
        check.stdout
    );
    let report = tidegate
        .cmd("data check --json")
        .refused(DATA_DIRECTORY, &[])
        .json();
    assert_eq!(report["findings"].as_array().unwrap().len(), 1, "{report}");
    // As it says.
    fs::remove_dir_all(tidegate.data().join("cache")).unwrap();
    tidegate
        .cmd("deploy --as crm --yes")
        .arg(plugins::demo_crm())
        .ok();
    expect_clean(&tidegate);
}

#[test]
fn pruning_keeps_what_tells_changes() {
    let server = constant();
    let tidegate = synced(&server);
    let whole = tidegate.feed(MODEL, "acme", None);
    assert!(
        whole.iter().all(|record| record["pruned"] == false),
        "{whole:?}"
    );
    let cursor = whole[1]["cursor"].as_str().unwrap();

    let none = tidegate
        .cmd("data prune crm --older-than 30d --json")
        .ok()
        .json();
    assert_eq!(
        (&none["records"], &none["model"]),
        (&0.into(), &"Contact".into())
    );
    let said = tidegate
        .cmd("data prune crm Contact -c acme --older-than 0s")
        .ok()
        .stdout;
    assert!(said.contains("pruned 5 records"), "{said}");
    for (record, old) in feed(&tidegate).iter().zip(&whole) {
        assert_eq!(
            (&record["pruned"], &record["body"]),
            (&true.into(), &Value::Null)
        );
        assert_eq!(
            (&record["id"], &record["first_seen_at"]),
            (&old["id"], &old["first_seen_at"])
        );
    }
    let text = tidegate.cmd("records crm Contact -c acme").ok().stdout;
    assert!(text.contains("(pruned)"), "{text}");
    tidegate
        .cmd(&format!("records crm Contact -c acme --cursor {cursor}"))
        .refused(
            INVALID,
            &["older than what retention kept", "read from the start"],
        );
    expect_unchanged(&tidegate, 5);
    expect_clean(&tidegate);

    for age in ["soon", "1month", "-3d"] {
        tidegate
            .cmd(&format!("data prune crm --older-than={age}"))
            .refused(INVALID, &["30d"]);
    }
    tidegate
        .cmd("data prune crm Deal --older-than 1d")
        .refused(NOT_FOUND, &["Deal", "Contact"]);
    tidegate
        .cmd("data prune erp --older-than 1d")
        .refused(NOT_FOUND, &["erp", "crm"]);
}

#[test]
fn dropping_asks_and_then_leaves_nothing() {
    let server = constant();
    let tidegate = synced(&server);
    let ask = |words: &str, parts: &[&str]| {
        let refused = tidegate
            .cmd(&format!("data drop {words}"))
            .refused(INVALID, parts);
        assert!(refused.stderr.contains("--yes"), "{}", refused.stderr);
    };
    ask(
        "crm",
        &["integration crm would go: 1 connection, 1 model, 5 records"],
    );
    ask(
        "crm -c acme",
        &["connection crm/acme would go: 1 connection, 1 model, 5 records"],
    );
    ask(
        "crm Contact -c acme",
        &["model Contact of crm/acme would go", "5 records"],
    );
    tidegate
        .cmd("data drop crm Contact --yes")
        .refused(INVALID, &["--connection"]);
    assert_eq!(feed(&tidegate).len(), 5);

    let dropped = tidegate
        .cmd("data drop crm Contact -c acme --yes --json")
        .ok()
        .json();
    assert_eq!(
        (&dropped["models"], &dropped["records"]),
        (&1.into(), &5.into())
    );
    assert!(feed(&tidegate).is_empty());
    tidegate
        .cmd("data drop crm Contact -c acme --yes")
        .refused(NOT_FOUND, &["has no records"]);
    tidegate.cmd("run crm/contacts -c acme --reset").ok();
    assert_eq!(feed(&tidegate).len(), 5);

    let dropped = tidegate
        .cmd("data drop crm -c acme --yes --json")
        .ok()
        .json();
    assert_eq!(
        (&dropped["connections"], &dropped["runs"]),
        (&1.into(), &2.into())
    );
    tidegate
        .cmd("records crm Contact -c acme")
        .refused(NOT_FOUND, &["acme"]);
    assert!(tidegate.runs().is_empty());
    expect_clean(&tidegate);

    tidegate.cmd("data drop crm --yes").ok();
    assert!(tidegate.cmd("integrations --json").ok().lines().is_empty());
    let stats = tidegate.cmd("data stats --json").ok().json();
    assert_eq!(
        (&stats["components"], &stats["models"]),
        (&0.into(), &0.into())
    );
    expect_clean(&tidegate);
}

#[test]
fn compacting_gives_space_back() {
    let server = Server::start(|request| {
        let version = u32::from(request.query("updated_since").is_some());
        reply(&contacts(0..1500, version), None)
    });
    let tidegate = synced(&server);
    for _ in 0..3 {
        tidegate.sync_ok("crm/contacts", "acme");
    }
    tidegate.cmd("data drop crm Contact -c acme --yes").ok();
    let compacted = tidegate.cmd("data compact --json").ok().json();
    let bytes = |name: &str| compacted[name].as_u64().unwrap();
    assert!(
        bytes("disk_bytes_after") < bytes("disk_bytes_before"),
        "{compacted}"
    );
    assert_eq!(bytes("segment_bytes_after"), 0, "{compacted}");
    expect_clean(&tidegate);
    let said = tidegate.cmd("data compact").ok().stdout;
    assert!(said.contains("before") && said.contains("after"), "{said}");
}
