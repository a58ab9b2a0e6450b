//! Each example against its API: the first pull, changes, deletions, interruptions, and changes
//! while a pull is under way. After each, the stored records are those of the API.

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{FakeHost, Outcome};

use super::api::Api;
use super::dialects::{ALL, Dialect};
use super::{example, host};
use crate::plugin;

const RECORDS: u64 = 450;

fn set_up(dialect: Dialect) -> (Api, FakeHost) {
    let api = Api::with(dialect, RECORDS);
    // Each change has a number of its own in Kinto.
    if dialect == Dialect::Kinto {
        for number in 1..=RECORDS {
            api.pass(1);
            api.put(number, "first");
        }
    }
    let host = host(example(dialect.example().0)).on(api.handler());
    (api, host)
}

/// Pages of the first pull. Where each page begins a second before the last record, so as to lose
/// nothing, ten or twenty records come twice.
fn pages_of(dialect: Dialect) -> usize {
    let pages = usize::try_from(RECORDS)
        .unwrap()
        .div_ceil(dialect.page_size());
    // A total that is reached with a full page is asked about once more.
    pages + usize::from(matches!(dialect, Dialect::Link | Dialect::Offset))
}

/// Requests for lists, without those for details.
fn pages_asked_for(outcome: &Outcome<()>) -> usize {
    let lists = outcome
        .requests
        .iter()
        .filter(|r| !r.path.starts_with("/v2/products/"));
    lists.count()
}

fn assert_same(host: &FakeHost, api: &Api, what: &str) {
    let (_, model) = api.dialect.example();
    let (stored, wanted) = (host.records(model), api.records());
    let wrong: Vec<_> = stored
        .iter()
        .filter(|(id, body)| wanted.get(*id) != Some(body))
        .collect();
    let missing: Vec<_> = wanted
        .keys()
        .filter(|id| !stored.contains_key(*id))
        .collect();
    assert!(
        wrong.is_empty() && missing.is_empty(),
        "{:?}, {what}: wrong: {wrong:?}, missing: {missing:?}",
        api.dialect
    );
}

#[test]
fn the_first_pull_reads_everything_once() {
    for dialect in ALL {
        let (api, host) = set_up(dialect);
        let outcome = host.run_sync(plugin(), dialect.example().1);
        outcome.assert_ok();
        assert_same(&host, &api, "the first pull");
        assert_eq!(pages_asked_for(&outcome), pages_of(dialect), "{dialect:?}");
        if dialect == Dialect::Offset {
            assert!(outcome.in_flight_max > 1 && outcome.in_flight_max <= 8);
        }
    }
}

#[test]
fn later_pulls_read_changes_and_deletions() {
    for dialect in ALL {
        let (api, host) = set_up(dialect);
        let model = dialect.example().1;
        host.run_sync(plugin(), model).assert_ok();
        for round in ["second", "third"] {
            api.pass(10);
            api.put(5, round);
            api.pass(1);
            api.put(RECORDS, round);
            api.pass(1);
            api.put(RECORDS + 1, round);
            if dialect.has_tombstones() || dialect.is_always_full() {
                api.pass(1);
                api.delete(if round == "second" { 17 } else { 300 });
            }
            let outcome = host.run_sync(plugin(), model);
            outcome.assert_ok();
            assert_same(&host, &api, round);
            // Dates overlap by a day, which is everything here.
            if !dialect.is_always_full() && dialect != Dialect::Page {
                assert_eq!(outcome.requests.len(), 1, "{dialect:?}");
            }
        }
    }
}

#[test]
fn a_quiet_pull_changes_nothing() {
    for dialect in ALL {
        let (api, host) = set_up(dialect);
        let model = dialect.example().1;
        for _ in 0..3 {
            host.run_sync(plugin(), model).assert_ok();
            api.pass(60);
        }
        api.statuses();
        let outcome = host.run_sync(plugin(), model);
        let totals = outcome.totals(model);
        assert_eq!(
            (totals.added, totals.updated, totals.deleted),
            (0, 0, 0),
            "{dialect:?}"
        );
        assert_same(&host, &api, "quiet");
        if matches!(dialect, Dialect::Link | Dialect::Kinto) {
            assert_eq!(api.statuses(), [304], "{dialect:?}");
        }
    }
}

#[test]
fn a_killed_pull_goes_on_at_the_page_in_flight() {
    for dialect in ALL {
        let (api, host) = set_up(dialect);
        let model = dialect.example().1;
        let host = host.kill_after_commits(2);
        let killed = host.run_sync(plugin(), model);
        assert_eq!(killed.failure().code.as_deref(), Some("killed"));
        // Between the runs: of a page that is stored, and of one that is not.
        api.pass(5);
        api.put(1, "changed");
        api.pass(1);
        api.put(RECORDS - 1, "changed");
        let outcome = host.run_sync(plugin(), model);
        outcome.assert_ok();
        let left = pages_of(dialect) - 2;
        assert_eq!(
            pages_asked_for(&outcome),
            left,
            "{dialect:?}: the pages that were not stored"
        );
        // What changed on a page that was stored already is the next pull's.
        host.run_sync(plugin(), model).assert_ok();
        assert_same(&host, &api, "after a kill");
    }
}

#[test]
fn what_changes_while_it_is_read_is_not_lost() {
    for dialect in ALL {
        let (api, host) = set_up(dialect);
        let model = dialect.example().1;
        let changing = api.clone();
        let mut answers = 0;
        api.before_each_answer(move || {
            answers += 1;
            if (2..20).contains(&answers) {
                changing.pass(1);
                changing.put(answers, "changed on a page that was read");
                changing.pass(1);
                changing.put(RECORDS - answers, "changed on a page that was not");
                if dialect.has_tombstones() {
                    changing.pass(1);
                    changing.delete(20 + answers);
                }
            }
        });
        host.run_sync(plugin(), model).assert_ok();
        api.before_each_answer(|| ());
        host.run_sync(plugin(), model).assert_ok();
        assert_same(&host, &api, "changes under way");
    }
}

#[test]
fn a_full_pull_finds_deletions_also_when_it_is_interrupted() {
    for dialect in [Dialect::Offset, Dialect::Stripe, Dialect::Page] {
        let (api, host) = set_up(dialect);
        let model = dialect.example().1;
        host.run_sync(plugin(), model).assert_ok();
        api.delete(7);
        api.delete(440);
        // Those of page numbers are due once a day.
        let host = host.now(1_767_225_600_000 + 25 * 3_600_000);
        // In the first reading of the list, and in the second, or when records are asked for.
        for kill in [2, 3, 1, 2] {
            let killed = host
                .clone()
                .kill_after_commits(kill)
                .run_sync(plugin(), model);
            assert_eq!(
                killed.failure().code.as_deref(),
                Some("killed"),
                "{dialect:?} {kill}"
            );
        }
        host.run_sync(plugin(), model).assert_ok();
        assert_same(&host, &api, "a full pull");
    }
}

#[test]
fn stripe_events_are_incremental() {
    let config = example("stripe");
    let event = |n: i64| json!({ "id": format!("evt_{n}"), "created": 1_767_139_200 + n });
    let host = host(config)
        .respond(
            tidegate_sdk::test::get("/v1/events").without_query("created[gte]"),
            json!({ "data": [event(3), event(2)], "has_more": true }),
        )
        .respond(
            tidegate_sdk::test::get("/v1/events").query("starting_after", "evt_2"),
            json!({ "data": [event(1)], "has_more": false }),
        )
        .respond(
            tidegate_sdk::test::get("/v1/events").query("created[gte]", 1_767_139_202),
            json!({ "data": [event(4), event(3)], "has_more": false }),
        );
    host.run_sync(plugin(), "Event").assert_ok();
    host.run_sync(plugin(), "Event").assert_ok();
    host.assert_all_used();
    assert_eq!(host.records("Event").len(), 4);
}
