//! `tidegate schedules preview`: when cron expressions and intervals are due, and what is refused;
//! and `schedules add` with all of its options.

use serde_json::json;

use crate::support::cli::{INVALID, Tidegate};
use crate::support::crm::Source;

#[test]
fn the_next_moments() {
    let tidegate = Tidegate::new();
    // (what, after, local times)
    let rows: &[(&[&str], &str, &[&str])] = &[
        (
            &["--cron", "30 2 * * *", "--timezone", "Europe/Berlin"],
            "2026-03-27T12:00:00Z",
            &[
                "2026-03-28T02:30:00+01:00",
                "2026-03-29T03:00:00+02:00",
                "2026-03-30T02:30:00+02:00",
            ],
        ),
        (
            &["--cron", "*/30 * * * *", "--timezone", "America/New_York"],
            "2026-11-01T05:00:00Z",
            &[
                "2026-11-01T01:30:00-04:00",
                "2026-11-01T01:00:00-05:00",
                "2026-11-01T01:30:00-05:00",
            ],
        ),
        (
            &["--cron", "@yearly"],
            "2026-03-27T12:00:00Z",
            &["2027-01-01T00:00:00+00:00", "2028-01-01T00:00:00+00:00"],
        ),
        (
            &["--every", "6h"],
            "2026-03-27T12:00:00Z",
            &["2026-03-27T18:00:00+00:00", "2026-03-28T00:00:00+00:00"],
        ),
    ];
    for (what, after, local) in rows {
        let count = local.len().to_string();
        let mut cmd = tidegate.cmd("schedules preview --json");
        for word in *what {
            cmd = cmd.arg(word);
        }
        let lines = cmd.words(&format!("--after {after} --count {count}")).ok();
        let shown: Vec<String> = lines
            .lines()
            .iter()
            .map(|line| line["local"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(shown, *local, "{what:?}");
    }
}

#[test]
fn what_is_no_schedule() {
    let tidegate = Tidegate::new();
    let rows: &[(&[&str], &[&str])] = &[
        (&["--cron", "* * * *"], &["five fields", "has 4"]),
        (&["--cron", "61 * * * *"], &["61 * * * *"]),
        (&["--cron", "0 0 30 2 *"], &["never due"]),
        (
            &["--cron", "@daily", "--timezone", "Berlin"],
            &["Berlin", "IANA"],
        ),
        (&["--every", "5s"], &["10s"]),
        (&["--every", "often"], &["often", "15m"]),
        (
            &["--every", "1h", "--after", "1969-01-01T00:00:00Z"],
            &["1970"],
        ),
        (
            &["--every", "1h", "--cron", "@daily"],
            &["cannot be used with"],
        ),
        (&[], &["--cron", "--every"]),
    ];
    for (what, says) in rows {
        let mut cmd = tidegate.cmd("schedules preview");
        for word in *what {
            cmd = cmd.arg(word);
        }
        cmd.refused(INVALID, says);
    }
}

#[test]
fn all_that_a_schedule_may_be_told() {
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, "http://127.0.0.1:1");
    let add = "schedules add crm/contacts -c acme --json";
    let added = tidegate
        .cmd(add)
        .words("--every 15m --every 1h --at 2099-01-31T06:00:00Z --timezone Europe/Berlin")
        .words("--dst-gap skip --exclude at=2099-01-01T00:00:00Z --exclude every=7h")
        .words("--start-at 2098-01-01T00:00:00Z --end-at 2099-12-31T00:00:00Z --max-fires 1000")
        .words("--spread 1m --overlap allow=3 --misfire all --catchup-window 2h --max-catchup 20")
        .words("--max-attempts 7 --retry-first 2s --retry-max 30m --priority low --queue-ttl 1d")
        .words("--pause-on-failures 4 --dedup-key d1 --external-id e1 --label a=b --label c=d=e")
        .arg("--cron=0 6 * * 1-5")
        .arg("--exclude=cron=* * 25 12 *")
        .ok()
        .json();
    let show = format!(
        "schedules show {} --json",
        added["schedule"].as_str().unwrap()
    );
    let shown = tidegate.cmd(&show).ok().json();
    let cron = |cron: &str| json!({"cron": cron, "timezone": "Europe/Berlin", "dst_gap": "skip"});
    let rows = [
        (
            "when",
            json!([
                {"every": "15m"}, {"every": "1h"}, cron("0 6 * * 1-5"), {"at": "2099-01-31T06:00:00.000Z"},
            ]),
        ),
        (
            "exclude",
            json!([{"at": "2099-01-01T00:00:00.000Z"}, {"every": "7h"}, cron("* * 25 12 *")]),
        ),
        ("start_at", json!("2098-01-01T00:00:00.000Z")),
        ("end_at", json!("2099-12-31T00:00:00.000Z")),
        ("max_fires", json!(1000)),
        ("spread_ms", json!(60_000)),
        ("overlap", json!({"policy": "allow", "max": 3})),
        ("misfire", json!("all")),
        ("catchup_window_ms", json!(7_200_000)),
        ("max_catchup", json!(20)),
        (
            "retry",
            json!({"max_attempts": 7, "first_ms": 2_000, "max_ms": 1_800_000}),
        ),
        ("priority", json!("low")),
        ("queue_ttl_ms", json!(86_400_000)),
        ("pause_on_failures", json!(4)),
        ("dedup_key", json!("d1")),
        ("external_id", json!("e1")),
        ("labels", json!({"a": "b", "c": "d=e"})),
    ];
    for (name, want) in rows {
        assert_eq!(shown[name], want, "{name}: {shown}");
    }

    let rows: &[(&str, &[&str])] = &[
        ("--every 1h --exclude @daily", &["every=INTERVAL"]),
        ("--every 1h --exclude every=1s", &["10s"]),
        ("--every 1h --timezone Europe/Berlin", &["cron"]),
        ("--every 1h --label a", &["NAME=VALUE"]),
        ("--every 1h --label a=1 --label a=2", &["label", "twice"]),
        ("--every 1h --max-fires 0", &["max_fires"]),
    ];
    for (words, says) in rows {
        tidegate.cmd(add).words(words).refused(INVALID, says);
    }
}
