//! `tidegate schedules preview`: when cron expressions and intervals are due, and what is refused.

use crate::support::cli::{INVALID, Tidegate};

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
