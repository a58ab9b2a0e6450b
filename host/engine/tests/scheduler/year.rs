//! A leap year with both of its nights: each moment has exactly one outcome, at its time.

use tidegate_engine::Timestamp;
use tidegate_engine::schedule::{Definition, When};

use crate::host::{Host, at, cron, every, sync_of};

const BEGIN: &str = "2028-01-01T00:00:00Z";
const END: &str = "2029-01-01T00:00:00Z";

#[test]
fn a_year_passes() {
    let mut host = Host::new(BEGIN, &["acme"]);
    // Each with how often it is due in that year.
    let rows: [(&str, When, usize); 9] = [
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
            When::At {
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
    // Each with the moments of the night on which the clock goes forward, and of the one on which it goes back.
    let rows: [(&str, &str, &[&str], &[&str]); 3] = [
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
    ];
    for (expression, zone, forward, back) in rows {
        for (night, moments) in [("03", forward), ("1", back)] {
            let month = if night == "03" {
                if zone.starts_with('E') {
                    "2028-03-25"
                } else {
                    "2028-03-11"
                }
            } else if zone.starts_with('E') {
                "2028-10-28"
            } else {
                "2028-11-04"
            };
            let begin = format!("{month}T12:00:00Z");
            let mut host = Host::new(&begin, &["acme"]);
            let definition =
                Definition::new(sync_of("acme", "contacts"), vec![cron(expression, zone)]);
            let id = host.put(definition).id;
            host.live_until(Timestamp(host.now.0 + 24 * crate::host::HOUR));
            let moments: Vec<Timestamp> = moments.iter().map(|text| at(text)).collect();
            assert_eq!(host.started(id), moments, "{expression} {zone} {month}");
        }
    }
}
