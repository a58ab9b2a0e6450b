//! Time that does not pass as it should: hosts that were down, clocks that step, pauses and edits.

use futures::executor::block_on;
use tidegate_engine::board::Board;
use tidegate_engine::schedule::{
    Definition, DefinitionError, FireOutcome, Misfire, Origin, Pause, ScheduleId, ScheduleRule,
};
use tidegate_engine::store::parts::*;
use tidegate_engine::store::{Backfill, PutSchedule, RefirePolicy};
use tidegate_engine::{StoreError, Timestamp};

use crate::host::{DAY, HOUR, Host, MINUTE, NoOutcomes, action_of, at, cron, every, sync_of};

const NOW: &str = "2028-05-01T00:00:30Z";

#[test]
fn a_host_that_was_down_for_a_week() {
    // Each with how many fires are made up for, and how many moments are missed.
    let rows = [
        (
            "by default the latest is",
            Misfire::Latest,
            None,
            10,
            1,
            7 * 24 * 60 - 1,
        ),
        (
            "a window too short",
            Misfire::Latest,
            Some(1),
            10,
            1,
            7 * 24 * 60 - 1,
        ),
        ("none is", Misfire::Skip, None, 10, 1, 7 * 24 * 60 - 1),
        (
            "all of the window are",
            Misfire::All,
            Some(10 * MINUTE),
            10,
            10,
            7 * 24 * 60 - 10,
        ),
        (
            "as many as the cap allows",
            Misfire::All,
            Some(DAY),
            3,
            3,
            7 * 24 * 60 - 3,
        ),
    ];
    for (what, misfire, window, cap, fires, missed) in rows {
        let mut host = Host::new(NOW, &["acme"]);
        let mut definition = Definition::new(sync_of("acme", "contacts"), vec![every("1m")]);
        definition.misfire = misfire;
        definition.catchup_window_ms = window;
        definition.max_catchup = cap;
        let id = host.put(definition).id;
        host.now = Timestamp(host.now.0 + 7 * DAY);
        host.fire();
        host.work();
        let progress = host.schedule(id).progress;
        assert_eq!((progress.fires, progress.missed), (fires, missed), "{what}");
        // The range that was missed is told, and nothing is fired twice.
        let first = at("2028-05-01T00:01:00Z");
        let missed_range = host.fires(id).remove(&first).unwrap();
        assert!(
            matches!(missed_range, FireOutcome::Missed { moments, .. } if moments == missed),
            "{what}: {missed_range:?}"
        );
        assert!(host.fire().is_empty(), "{what}");
        host.live_until(Timestamp(host.now.0 + 10 * MINUTE));
        assert_eq!(host.schedule(id).progress.fires, fires + 10, "{what}");
    }
}

#[test]
fn a_day_late_is_too_late_for_a_skipping_schedule() {
    let rows = [
        (Misfire::Skip, 30_000, 1),
        (Misfire::Skip, 120_000, 0),
        (Misfire::Latest, 120_000, 1),
    ];
    for (misfire, late, fires) in rows {
        let mut host = Host::new(NOW, &["acme"]);
        let mut definition =
            Definition::new(sync_of("acme", "contacts"), vec![cron("0 6 * * *", "UTC")]);
        definition.misfire = misfire;
        let id = host.put(definition).id;
        host.now = Timestamp(at("2028-05-01T06:00:00Z").0 + late);
        host.fire();
        assert_eq!(
            host.schedule(id).progress.fires,
            fires,
            "{misfire:?} {late}"
        );
    }
}

#[test]
fn the_window_goes_by_the_latest_moment() {
    // Five minutes lie between the two that were missed, and a day after the second.
    let mut host = Host::new(NOW, &["acme"]);
    let when = vec![cron("0,5 6 * * *", "UTC")];
    let id = host
        .put(Definition::new(sync_of("acme", "contacts"), when))
        .id;
    host.now = at("2028-05-01T06:20:00Z");
    host.fire();
    assert_eq!(host.started(id), [at("2028-05-01T06:05:00Z")]);
}

#[test]
fn a_pause_ends_when_it_was_to_end() {
    // Each with when the server is there again, after a pause until six, and what starts then.
    let rows: [(&str, &[&str]); 3] = [
        ("2028-05-01T06:30:00Z", &[]),
        ("2028-05-01T07:30:00Z", &["2028-05-01T07:00:00Z"]),
        ("2028-05-01T09:10:00Z", &["2028-05-01T09:00:00Z"]),
    ];
    for (back, moments) in rows {
        let mut host = Host::new(NOW, &["acme"]);
        let definition = Definition::new(sync_of("acme", "contacts"), vec![every("1h")]);
        let id = host.put(definition).id;
        let pause = Pause {
            at: host.now,
            note: String::new(),
            until: Some(at("2028-05-01T06:00:00Z")),
            failures: None,
        };
        block_on(host.store.pause_schedule(id, pause)).unwrap();
        host.now = at(back);
        host.fire();
        let moments: Vec<Timestamp> = moments.iter().map(|text| at(text)).collect();
        assert_eq!(host.started(id), moments, "{back}");
        let progress = host.schedule(id).progress;
        assert!(progress.paused.is_none(), "{back}");
        // Each moment since has an outcome.
        let passed = host.now.since(at("2028-05-01T06:00:00Z")) / HOUR;
        assert_eq!(progress.fires + progress.missed, passed, "{back}");
        assert!(progress.next.is_some_and(|next| next.at > host.now));
    }
}

#[test]
fn a_moment_of_the_past_is_refused_unless_it_is_known() {
    let mut host = Host::new(NOW, &["acme"]);
    let once = |text| ScheduleRule::At { at: at(text) };
    let soon = "2028-05-01T01:00:00Z";
    let mut definition = Definition::new(sync_of("acme", "contacts"), vec![once(soon)]);
    definition.dedup_key = Some("first-import".into());
    let put = |host: &Host, id, definition: &Definition| {
        let put = PutSchedule {
            id,
            definition: definition.clone(),
            origin: Origin::User,
            revision: None,
            now: host.now,
        };
        block_on(host.store.put_schedule(put))
    };
    let first = ScheduleId::from_parts(Timestamp(1), 1);
    let second = ScheduleId::from_parts(Timestamp(1), 2);
    put(&host, first, &definition).unwrap();
    host.live_until(Timestamp(host.now.0 + DAY));
    assert!(host.schedule(first).progress.completed);
    // The same again, by its key or its id, and with another label.
    for id in [second, first] {
        definition.labels.insert("by".into(), id.to_string());
        let schedule = put(&host, id, &definition).unwrap();
        assert_eq!((schedule.id, schedule.progress.fires), (first, 1));
    }
    // Another moment, by either, and a new schedule.
    definition.when.push(once("2028-05-01T02:00:00Z"));
    let mut other = definition.clone();
    (other.dedup_key, other.when) = (None, vec![once(soon), every("1h")]);
    for (id, definition) in [
        (second, &definition),
        (first, &definition),
        (second, &other),
    ] {
        let refused = put(&host, id, definition);
        let past = StoreError::Definition(DefinitionError::Past);
        assert_eq!(refused, Err(past), "{id}");
    }
    definition.when[1] = once("2028-05-03T00:00:00Z");
    let schedule = put(&host, first, &definition).unwrap();
    assert!(!schedule.progress.completed, "due again");
}

#[test]
fn exclusions_however_long_complete_nothing() {
    // All but a minute of December, or of the eleven other months, by one rule or by many.
    let rows: [(&str, &[&str], &str); 4] = [
        (
            "2028-12-23T23:58:30Z",
            &["* * 24-31 12 *"],
            "2029-01-01T00:00:00Z",
        ),
        (
            "2028-12-23T23:58:30Z",
            &["0-29 * 24-31 12 *", "30-59 * 24-31 12 *"],
            "2029-01-01T00:00:00Z",
        ),
        (
            "2028-12-31T23:58:30Z",
            &["* * * 1-11 *"],
            "2029-12-01T00:00:00Z",
        ),
        (
            "2028-12-31T23:58:30Z",
            &["* 0-22 * * *", "0-58 23 * * *"],
            "2029-01-01T23:59:00Z",
        ),
    ];
    for (begin, exclude, next) in rows {
        for zone in ["UTC", "Europe/Berlin"] {
            let mut host = Host::new(begin, &["acme"]);
            host.now = local(begin, zone);
            let mut definition = Definition::new(action_of("acme"), vec![cron("* * * * *", zone)]);
            definition.exclude = exclude.iter().map(|rule| cron(rule, zone)).collect();
            let id = host.put(definition).id;
            let before = Timestamp(host.now.0 + MINUTE / 2);
            let next = local(next, zone);
            host.live_until(next);
            let started = host.started(id);
            assert_eq!(started.last(), Some(&next), "{exclude:?} {zone}");
            assert_eq!(started[0], before, "{exclude:?} {zone}");
            assert!(started.len() <= 2, "{exclude:?} {zone}: {started:?}");
            assert_eq!(host.schedule(id).progress.missed, 0, "{exclude:?} {zone}");
        }
    }
}

/// The moment at which clocks in `zone` show what `text` says without its `Z`.
fn local(text: &str, zone: &str) -> Timestamp {
    let shown: jiff::civil::DateTime = text.trim_end_matches('Z').parse().unwrap();
    let ms = shown.in_tz(zone).unwrap().timestamp().as_millisecond();
    Timestamp(u64::try_from(ms).unwrap())
}

#[test]
fn what_can_t_be_read_is_never_due() {
    let mut host = Host::new(NOW, &["acme"]);
    let definition = Definition::new(sync_of("acme", "contacts"), vec![every("1h")]);
    let mut schedule = host.put(definition);
    // Of a build that knew more.
    schedule.definition.when = vec![cron("0 6 * * *", "Mars/Olympus")];
    let paused = Pause {
        at: host.now,
        note: String::new(),
        until: Some(host.now),
        failures: None,
    };
    for paused in [None, Some(paused)] {
        schedule.progress.paused = paused;
        let mut board = Board::default();
        board.load_schedule(schedule.clone());
        assert_eq!(board.next_wake(), None);
        let later = Timestamp(host.now.0 + DAY);
        let (fired, changes) = board.fire_due(later, 10, &NoOutcomes).unwrap();
        assert!(fired.is_empty() && changes.is_empty(), "{changes:?}");
    }
}

#[test]
fn a_clock_that_steps() {
    let mut host = Host::new(NOW, &["acme"]);
    let definition = Definition::new(sync_of("acme", "contacts"), vec![every("10m")]);
    let id = host.put(definition).id;
    host.live_until(Timestamp(host.now.0 + HOUR));
    assert_eq!(host.started(id).len(), 6);
    // A year ahead, where it fires once; and back.
    let right = host.now;
    host.now = Timestamp(right.0 + 366 * DAY);
    host.fire();
    host.work();
    assert_eq!(host.started(id).len(), 7);
    host.now = right;
    assert!(host.fire().is_empty(), "nothing is due at once");
    host.live_until(Timestamp(right.0 + HOUR));
    assert_eq!(
        host.started(id).len(),
        13,
        "it does not wait for the year to pass"
    );
    // A second back: nothing is fired again.
    host.now = Timestamp(host.now.0 - 1000);
    host.fire();
    host.live_until(Timestamp(host.now.0 + 10 * MINUTE));
    assert_eq!(host.started(id).len(), 14);
    // Two hours back: what has its outcome keeps it.
    let before = host.started(id);
    host.now = Timestamp(host.now.0 - 2 * HOUR);
    host.fire();
    host.live_until(Timestamp(host.now.0 + 2 * HOUR));
    assert_eq!(host.started(id), before);
    assert_eq!(host.jobs().len(), before.len(), "one job for each");
    // A job that was queued again would be the same one: its id comes from its moment.
    assert_eq!(host.runs(), before.len(), "and one run");
}

#[test]
fn pauses_and_edits_are_no_reason_to_catch_up() {
    let mut host = Host::new(NOW, &["acme"]);
    let mut definition = Definition::new(sync_of("acme", "contacts"), vec![every("10m")]);
    definition.misfire = Misfire::All;
    definition.catchup_window_ms = Some(DAY);
    let id = host.put(definition.clone()).id;
    let pause = |until| Pause {
        at: host.now,
        note: "the API moves".into(),
        until,
        failures: None,
    };
    block_on(host.store.pause_schedule(id, pause(None))).unwrap();
    host.live_until(Timestamp(host.now.0 + DAY));
    assert_eq!(host.schedule(id).progress.fires, 0, "paused");
    block_on(host.store.resume_schedule(id, host.now)).unwrap();
    host.fire();
    assert_eq!(host.schedule(id).progress.fires, 0, "resumed");
    host.live_until(Timestamp(host.now.0 + HOUR));
    assert_eq!(host.schedule(id).progress.fires, 6);

    // It resumes by itself.
    let until = Timestamp(host.now.0 + DAY);
    let pause = Pause {
        at: host.now,
        note: String::new(),
        until: Some(until),
        failures: None,
    };
    block_on(host.store.pause_schedule(id, pause)).unwrap();
    host.live_until(Timestamp(host.now.0 + DAY + HOUR));
    assert_eq!(host.schedule(id).progress.fires, 12);

    // While it is due and the host is down, somebody changes it.
    host.now = Timestamp(host.now.0 + DAY);
    definition.when = vec![every("20m")];
    host.put_as(id, definition.clone());
    host.fire();
    let progress = host.schedule(id).progress;
    assert_eq!((progress.fires, progress.missed), (12, 0));
    host.live_until(Timestamp(host.now.0 + HOUR));
    assert_eq!(host.schedule(id).progress.fires, 15);

    // A change of its labels is none of its times.
    let next = host.schedule(id).progress.next;
    definition.labels.insert("tier".into(), "gold".into());
    let changed = host.put_as(id, definition);
    assert_eq!(changed.progress.next, next);
}

#[test]
fn bounds_and_exclusions() {
    let mut host = Host::new(NOW, &["acme"]);
    let mut definition = Definition::new(
        sync_of("acme", "contacts"),
        vec![every("1h"), cron("30 12 * * *", "UTC")],
    );
    definition.exclude = vec![cron("0 0-5 * * *", "UTC")];
    definition.start_at = Some(at("2028-05-02T00:00:00Z"));
    definition.end_at = Some(at("2028-05-02T23:30:00Z"));
    let id = host.put(definition.clone()).id;
    definition.max_fires = Some(3);
    let few = host.put(definition).id;
    host.live_until(Timestamp(host.now.0 + 7 * DAY));
    assert_eq!(
        host.started(id).len(),
        18 + 1,
        "each hour from 6 on, and once between"
    );
    assert!(host.schedule(id).progress.completed);
    assert_eq!(host.started(few).len(), 3);
    assert!(host.schedule(few).progress.completed);
    // Nor are there more of them when several are made up for at once.
    let mut definition = Definition::new(sync_of("acme", "contacts"), vec![every("1h")]);
    (definition.misfire, definition.catchup_window_ms) = (Misfire::All, Some(DAY));
    definition.max_fires = Some(3);
    let few = host.put(definition).id;
    host.now = Timestamp(host.now.0 + DAY);
    host.fire();
    assert_eq!(host.schedule(few).progress.fires, 3);
    assert!(host.schedule(few).progress.completed);
}

#[test]
fn what_is_due_together_starts_apart() {
    let mut host = Host::new(NOW, &["acme"]);
    let mut starts = Vec::new();
    for number in 0..1000 {
        let sync = format!("sync-{number}");
        let mut definition = Definition::new(sync_of("acme", &sync), vec![every("1h")]);
        definition.spread_ms = HOUR;
        starts.push(host.put(definition).progress.next.unwrap());
    }
    let hour = at("2028-05-01T01:00:00Z");
    assert!(starts.iter().all(|due| due.scheduled_for == hour));
    for tenth in 0..10 {
        let from = Timestamp(hour.0 + tenth * HOUR / 10);
        let within = starts
            .iter()
            .filter(|due| due.at >= from && due.at.0 < from.0 + HOUR / 10);
        let within = within.count();
        assert!(
            (60..140).contains(&within),
            "{within} start in tenth {tenth}"
        );
    }
    let again = host.schedule(host_schedule(&host)).progress.next;
    assert_eq!(again, Some(starts[0]), "always the same");
    // Whoever measures how late it is knows since when it was due.
    host.now = starts.iter().map(|due| due.at).max().unwrap();
    let mut due_at: Vec<_> = starts.iter().map(|due| due.at.0).collect();
    let fired = host.fire().into_iter();
    let own = fired.flat_map(|f| {
        let spread_ms = f.spread_ms;
        f.fires
            .into_iter()
            .map(move |f| f.scheduled_for.0 + spread_ms)
    });
    let mut measured: Vec<_> = own.collect();
    due_at.sort_unstable();
    measured.sort_unstable();
    assert_eq!(measured, due_at);
}

fn host_schedule(host: &Host) -> tidegate_engine::schedule::ScheduleId {
    let filter = tidegate_engine::store::ScheduleFilter {
        limit: 1,
        ..Default::default()
    };
    block_on(host.store.schedules(filter)).unwrap()[0].id
}

#[test]
fn backfills_fill_what_is_empty() {
    let mut host = Host::new(NOW, &["acme"]);
    let definition = Definition::new(sync_of("acme", "contacts"), vec![every("1h")]);
    let id = host.put(definition).id;
    host.now = Timestamp(host.now.0 + 5 * HOUR);
    host.fire();
    host.work();
    assert_eq!(host.started(id).len(), 1, "the latest");
    let hours = |from: u64, to: u64| {
        (from..to)
            .map(|hour| Timestamp(at("2028-05-01T00:00:00Z").0 + hour * HOUR))
            .collect()
    };
    let rows = [
        (RefirePolicy::Never, 4),
        (RefirePolicy::Never, 0),
        (RefirePolicy::Failed, 0),
        (RefirePolicy::Always, 5),
    ];
    for (again, count) in rows {
        let backfill = Backfill {
            schedule: id,
            moments: hours(1, 6),
            again,
            now: host.now,
        };
        let fires = block_on(host.store.backfill(backfill)).unwrap();
        assert_eq!(fires.len(), count, "{again:?}");
        // One at a time.
        if count > 0 {
            assert_eq!(host.claim(10, Default::default()).len(), 1);
            host.now = Timestamp(host.now.0 + 1);
            block_on(host.store.recover_runs(
                tidegate_engine::run::Failure::new(
                    tidegate_engine::run::FailureClass::Internal,
                    tidegate_engine::run::Blame::Host,
                    "gone",
                ),
                host.now,
            ))
            .unwrap();
        }
        host.work();
        host.now = Timestamp(host.now.0 + 1000);
    }
    assert_eq!(host.started(id).len(), 5);
}
