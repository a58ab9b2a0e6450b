//! Counting against looking at each moment.

use proptest::prelude::*;

use super::super::super::{Definition, Due, ScheduleId, ScheduleRule};
use super::*;
use crate::job::JobTarget;

fn cron(text: &str, timezone: &str) -> ScheduleRule {
    let (cron, timezone) = (text.to_owned(), timezone.to_owned());
    ScheduleRule::Cron {
        cron,
        timezone,
        dst_gap: Default::default(),
    }
}

fn every(text: &str) -> ScheduleRule {
    ScheduleRule::Every {
        every: text.parse().unwrap(),
    }
}

fn calendar(when: Vec<ScheduleRule>, exclude: Vec<ScheduleRule>) -> Calendar {
    let target = JobTarget::Sync {
        connection: crate::ConnectionKey {
            integration: "crm".parse().unwrap(),
            connection: "acme".parse().unwrap(),
        },
        sync: "contacts".parse().unwrap(),
        variant: "base".parse().unwrap(),
        reset: false,
        empty: false,
        allow_deletes: false,
    };
    let mut definition = Definition::new(target, when);
    definition.exclude = exclude;
    Calendar::new(ScheduleId::from_parts(Timestamp(1), 1), &definition).unwrap()
}

/// Moment by moment, as it fires.
fn moments(calendar: &Calendar, after: u64, until: u64) -> Vec<u64> {
    let mut moments = Vec::new();
    let mut after = Timestamp(after);
    loop {
        let next = calendar
            .when
            .iter()
            .filter_map(|timing| timing.next_after(after));
        let Some(next) = next.min().filter(|next| next.0 <= until) else {
            return moments;
        };
        if calendar.excluded_until(next).is_none() {
            moments.push(next.0);
        }
        after = next;
    }
}

/// Around midnight UTC of 2027-03-28, when clocks in Europe go forward an hour later; and of other days on which
/// some clock changes.
const DAYS: [u64; 8] = [
    1_806_192_000_000, // 2027-03-28
    1_824_940_800_000, // 2027-10-31, back in Europe
    1_804_982_400_000, // 2027-03-14, forward in America
    1_825_545_600_000, // 2027-11-07, back in America
    1_806_796_800_000, // 2027-04-04, back on Lord Howe Island, by half an hour
    1_325_203_200_000, // 2011-12-30, which Apia left out
    1_805_500_800_000, // 2027-03-20
    1_835_395_200_000, // 2028-02-29
];

fn any_when() -> impl Strategy<Value = ScheduleRule> {
    let zone = prop::sample::select(vec![
        "UTC",
        "Europe/Berlin",
        "America/St_Johns",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Apia",
    ]);
    let expression = prop::sample::select(vec![
        "* * * * *",
        "*/7 * * * *",
        "30 2 * * *",
        "0,30 0-5 * * 1-5",
        "15 */2 29 2 *",
        "0 0 L * *",
        "59 23 * * 0#1",
        "5/10 1,2,3 * 3,10 *",
        "@hourly",
    ]);
    let interval = prop::sample::select(vec!["10s", "13s", "1m", "7m", "1h", "25h", "1d"]);
    let day = prop::sample::select(DAYS.to_vec());
    prop_oneof![
        4 => (expression, zone).prop_map(|(expression, zone)| cron(expression, zone)),
        2 => interval.prop_map(every),
        1 => (day, 0..200_000_000u64).prop_map(|(day, ms)| ScheduleRule::At { at: Timestamp(day + ms) }),
        1 => (prop::sample::select(DAYS.to_vec()), 0..3000u64)
            .prop_map(|(day, minutes)| ScheduleRule::At { at: Timestamp(day + minutes * MINUTE_MS) }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn counting_is_looking_at_each(
        when in prop::collection::vec(any_when(), 1..4),
        exclude in prop::collection::vec(any_when(), 0..3),
        day in prop::sample::select(DAYS.to_vec()),
        before in 0..40 * HOUR_MS,
        long in 0..60 * HOUR_MS,
    ) {
        let calendar = calendar(when, exclude);
        let after = day + 6 * HOUR_MS - before;
        let until = after + long;
        let all = moments(&calendar, after, until);
        let mut counter = Counter::new(&calendar);
        let count = counter.count(Timestamp(after), Timestamp(until));
        prop_assert_eq!(count, all.len() as u64);
        // In two parts, and backwards.
        let middle = all.get(all.len() / 2).copied().unwrap_or(after);
        let parts = [(middle, until), (after, middle)]
            .map(|(from, to)| counter.count(Timestamp(from), Timestamp(to)));
        prop_assert_eq!(parts.iter().sum::<u64>(), count);
        let last = counter.last_before(Timestamp(until + 1), Timestamp(after));
        prop_assert_eq!(last.map(|at| at.0), all.last().copied());
    }
}

/// What a schedule that is far behind is told to have missed, and the figures that anybody can work out.
#[test]
fn what_was_missed_in_years_is_counted_exactly() {
    let year = 365 * DAY_MS;
    // 2026-01-01T00:00:00Z, and four years with a leap day.
    let start = 1_767_225_600_000;
    let rows: Vec<(Calendar, u64, u64)> = vec![
        (calendar(vec![every("10s")], vec![]), 15 * DAY_MS, 15 * 8640),
        (calendar(vec![every("10s")], vec![]), year, 365 * 8640),
        (
            calendar(vec![cron("* * * * *", "UTC")], vec![]),
            year,
            365 * 1440,
        ),
        // A year has as many minutes in Berlin.
        (
            calendar(vec![cron("* * * * *", "Europe/Berlin")], vec![]),
            year,
            365 * 1440,
        ),
        (
            calendar(
                vec![cron("*/5 0-23 * * *", "UTC")],
                vec![cron("* 12 * * *", "UTC")],
            ),
            year,
            365 * (288 - 12),
        ),
        (
            calendar(vec![every("1m"), every("90s")], vec![]),
            year,
            365 * 1920,
        ),
        (
            calendar(vec![every("1m")], vec![cron("* * * 12 *", "UTC")]),
            year,
            334 * 1440,
        ),
    ];
    for (calendar, long, want) in rows {
        let now = Timestamp(start + long);
        let first = calendar.due_after(Timestamp(start)).unwrap();
        let plan = calendar.plan(first, now);
        let missed: u64 = plan.missed.iter().map(|(.., count)| count).sum();
        assert_eq!(missed + plan.fires.len() as u64, want, "{calendar:?}");
        let last = calendar.next_after(*plan.fires.last().unwrap());
        assert!(last.is_none_or(|last| last > now), "{calendar:?}");
        let (from, until, _) = plan.missed[0];
        assert_eq!(from, first.scheduled_for);
        assert_eq!(calendar.next_after(until), plan.fires.first().copied());
    }
}

/// Of a long range some moments have outcomes of their own, as after a clock that went back.
#[test]
fn what_is_left_of_a_range_is_counted_exactly() {
    let calendar = calendar(vec![cron("*/2 * * * *", "UTC")], vec![]);
    let at = |number: u64| Timestamp(number * 2 * MINUTE_MS);
    let (first, last) = (at(1), at(1_000_000));
    // One is no moment of it any more.
    let own = [
        at(1),
        at(2),
        at(5),
        at(700_001),
        Timestamp(at(9).0 + 1),
        at(1_000_000),
    ];
    let left = calendar.without((first, last, 1_000_000), &own.into());
    assert_eq!(
        left,
        [
            (at(3), at(4), 2),
            (at(6), at(700_000), 699_995),
            (at(700_002), at(999_999), 299_998),
        ]
    );
    let whole = calendar.without((first, last, 1_000_000), &BTreeSet::new());
    assert_eq!(whole, [(first, last, 1_000_000)]);
    let due = Due {
        scheduled_for: first,
        at: first,
    };
    assert_eq!(
        calendar.plan(due, last).missed,
        [(first, at(999_999), 999_999)]
    );
}
