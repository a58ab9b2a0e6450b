//! A leap year with both of its nights: each moment has exactly one outcome, at its time.

use tidegate_engine::Timestamp;
use tidegate_engine::schedule::{Definition, DstGap, ScheduleRule};

use crate::host::{DAY, Host, at, cron, every, sync_of};

const BEGIN: &str = "2028-01-01T00:00:00Z";
const END: &str = "2029-01-01T00:00:00Z";

#[test]
fn a_year_passes() {
    let mut host = Host::new(BEGIN, &["acme"]);
    // Each with how often it is due in that year.
    let rows: [(&str, ScheduleRule, usize); 9] = [
        ("every-10m", every("10m"), 366 * 144),
        ("every-6h", every("6h"), 366 * 4),
        ("night-berlin", cron("30 2 * * *", "Europe/Berlin"), 366),
        (
            "night-new-york",
            cron("30 1 * * *", "America/New_York"),
            366,
        ),
        // An hour less in March, one more in November.
        (
            "half-hours",
            cron("*/30 1-2 * * *", "America/New_York"),
            366 * 4,
        ),
        ("leap-day", cron("0 12 29 2 *", "UTC"), 1),
        ("weekdays", cron("0 9 * * 1-5", "Asia/Tokyo"), 260),
        ("month-ends", cron("0 0 L * *", "UTC"), 12),
        (
            "once",
            ScheduleRule::At {
                at: at("2028-07-04T12:00:00Z"),
            },
            1,
        ),
    ];
    let mut made = Vec::new();
    for (sync, when, _) in &rows {
        let definition = Definition::new(sync_of("acme", sync), vec![when.clone()]);
        made.push(host.put(definition).id);
    }
    host.live_until(Timestamp(at(END).0 - 1));
    for ((sync, when, count), id) in rows.iter().zip(made) {
        let timing = when.timing().unwrap();
        let after = at(BEGIN);
        let due = timing
            .preview(after, usize::MAX)
            .take_while(|due| *due < at(END));
        let due: Vec<Timestamp> = due.collect();
        assert_eq!(host.started(id), due, "{sync}");
        assert_eq!(
            host.fires(id).len(),
            due.len(),
            "{sync}: no moment has two outcomes"
        );
        // Midnight of the first day is not after it.
        assert!(
            due.len() == *count || due.len() + 1 == *count,
            "{sync}: {} of {count}",
            due.len()
        );
        let progress = host.schedule(id).progress;
        assert_eq!(
            (progress.fires, progress.missed, progress.overlaps),
            (due.len() as u64, 0, 0),
            "{sync}"
        );
        assert_eq!(progress.completed, *sync == "once");
    }
}

#[test]
fn nights_on_which_clocks_change() {
    // Each with the moments of the day around the night on which the clock goes forward, and around the one on
    // which it goes back.
    let rows: [(&str, &str, &[&str], &[&str]); 8] = [
        (
            "30 2 * * *",
            "Europe/Berlin",
            &["2028-03-26T01:00:00Z"],
            &["2028-10-29T00:30:00Z"],
        ),
        (
            "30 1 * * *",
            "America/New_York",
            &["2028-03-12T06:30:00Z"],
            &["2028-11-05T05:30:00Z"],
        ),
        (
            "*/30 2 * * *",
            "Europe/Berlin",
            &[],
            &[
                "2028-10-29T00:00:00Z",
                "2028-10-29T00:30:00Z",
                "2028-10-29T01:00:00Z",
                "2028-10-29T01:30:00Z",
            ],
        ),
        // Lists and ranges name fixed times, too.
        (
            "30 2,14 * * *",
            "Europe/Berlin",
            &["2028-03-25T13:30:00Z", "2028-03-26T01:00:00Z"],
            &["2028-10-28T12:30:00Z", "2028-10-29T00:30:00Z"],
        ),
        (
            "0,30 2 * * *",
            "Europe/Berlin",
            &["2028-03-26T01:00:00Z"],
            &["2028-10-29T00:00:00Z", "2028-10-29T00:30:00Z"],
        ),
        (
            "0 1-3 * * *",
            "Europe/Berlin",
            &["2028-03-26T00:00:00Z", "2028-03-26T01:00:00Z"],
            &[
                "2028-10-28T23:00:00Z",
                "2028-10-29T00:00:00Z",
                "2028-10-29T02:00:00Z",
            ],
        ),
        (
            "45,59 1 * * 0",
            "America/New_York",
            &["2028-03-12T06:45:00Z", "2028-03-12T06:59:00Z"],
            &["2028-11-05T05:45:00Z", "2028-11-05T05:59:00Z"],
        ),
        // The last hour of a Saturday is left out, and comes twice.
        (
            "30 23 * * 6",
            "America/Nuuk",
            &["2028-03-26T01:00:00Z"],
            &["2028-10-29T00:30:00Z"],
        ),
    ];
    for (expression, zone, forward, back) in rows {
        let begins = match zone {
            "America/New_York" => ["2028-03-11T12:00:00Z", "2028-11-04T12:00:00Z"],
            _ => ["2028-03-25T12:00:00Z", "2028-10-28T12:00:00Z"],
        };
        for (begin, moments) in begins.into_iter().zip([forward, back]) {
            let started = a_day_of(begin, cron(expression, zone), &[]);
            let moments: Vec<Timestamp> = moments.iter().map(|text| at(text)).collect();
            assert_eq!(started, moments, "{expression} {zone} {begin}");
        }
    }
}

#[test]
fn what_is_left_out_can_be_skipped() {
    let rows: [(&str, &[&str]); 3] = [
        ("30 2 * * *", &[]),
        ("30 2,14 * * *", &["2028-03-25T13:30:00Z"]),
        ("0 2,3 * * *", &["2028-03-26T01:00:00Z"]),
    ];
    for (expression, moments) in rows {
        let when = ScheduleRule::Cron {
            cron: expression.to_owned(),
            timezone: "Europe/Berlin".to_owned(),
            dst_gap: DstGap::Skip,
        };
        let moments: Vec<Timestamp> = moments.iter().map(|text| at(text)).collect();
        let started = a_day_of("2028-03-25T12:00:00Z", when, &[]);
        assert_eq!(started, moments, "{expression}");
    }
}

#[test]
fn what_is_excluded_is_so_in_both_hours() {
    // Each with how many of the 24 hours around that night are left.
    for (exclude, hours) in [("0 2 * * *", 22), ("0 0-5 * * *", 17), ("* 0-5 * * *", 17)] {
        let exclude = [cron(exclude, "Europe/Berlin")];
        let started = a_day_of("2028-10-28T11:30:00Z", every("1h"), &exclude);
        assert_eq!(started.len(), hours, "{exclude:?}");
    }
}

/// What starts within a day.
fn a_day_of(begin: &str, when: ScheduleRule, exclude: &[ScheduleRule]) -> Vec<Timestamp> {
    let mut host = Host::new(begin, &["acme"]);
    let mut definition = Definition::new(sync_of("acme", "contacts"), vec![when]);
    definition.exclude = exclude.to_vec();
    let id = host.put(definition).id;
    host.live_until(Timestamp(host.now.0 + DAY));
    host.started(id)
}
