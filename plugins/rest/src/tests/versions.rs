//! An id that a list has twice, in two versions.

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{FakeHost, Outcome, Reply, Request};

use super::{model, pages};
use crate::plugin;

/// A list in pages of two of what is in these; each pull is a full one.
fn listed(keys: Value, items: Vec<Value>) -> FakeHost {
    let mut all = json!({ "pagination": pages(), "full_pull_every_hours": 1 });
    all["incremental"] = json!({ "parameter": "since", "field": "/u", "format": "epoch_s" });
    for (name, value) in keys.as_object().unwrap() {
        all[name] = value.clone();
    }
    model(all).on(move |request: &Request| {
        let page: usize = request.query("page")?.parse().ok()?;
        let page: Vec<&Value> = items.iter().skip((page - 1) * 2).take(2).collect();
        Some(Reply::json(json!(page)).header("Date", "Mon, 05 Jan 2026 00:00:00 GMT"))
    })
}

/// A run after so many hours, or one of changes only.
fn run(host: &FakeHost, hours: u64) -> Outcome<()> {
    let outcome = host
        .clone()
        .now(1_767_571_200_000 + hours * 3_600_000)
        .run_sync(plugin(), "M");
    outcome.assert_ok();
    outcome
}

fn item(id: u32, version: u32, updated: Value) -> Value {
    json!({ "id": id, "v": version, "u": updated })
}

#[test]
fn the_later_version_counts_wherever_it_is() {
    let u = |n: i64| json!(1_767_225_600 + n);
    let other = |id| item(id, 1, u(0));
    // (the list, the version of 2 that counts)
    for (items, counts) in [
        // On two pages, the later one last, first, and between.
        (
            vec![other(1), item(2, 1, u(1)), other(3), item(2, 2, u(2))],
            2,
        ),
        (
            vec![other(1), item(2, 2, u(2)), other(3), item(2, 1, u(1))],
            2,
        ),
        (
            vec![
                item(2, 1, u(1)),
                other(1),
                item(2, 3, u(3)),
                other(3),
                item(2, 2, u(2)),
                other(4),
            ],
            3,
        ),
        // On one page.
        (
            vec![item(2, 1, u(1)), item(2, 2, u(2)), other(1), other(3)],
            2,
        ),
        (
            vec![item(2, 2, u(2)), item(2, 1, u(1)), other(1), other(3)],
            2,
        ),
        // Of the same time, the first.
        (
            vec![other(1), item(2, 1, u(1)), other(3), item(2, 2, u(1))],
            1,
        ),
        (
            vec![item(2, 1, u(1)), item(2, 2, u(1)), other(1), other(3)],
            1,
        ),
    ] {
        for deletes in [false, true] {
            let host = listed(json!({ "full_pull_with_deletes": deletes }), items.clone());
            run(&host, 0);
            assert_eq!(host.records("M")["2"]["v"], counts, "{items:?}");
            // Full pulls, and those of changes (which this list answers with everything).
            for hours in [2, 2, 4, 6, 6] {
                let totals = run(&host, hours).totals("M");
                assert_eq!(
                    (totals.updated, totals.deleted, totals.added),
                    (0, 0, 0),
                    "{items:?}"
                );
                assert_eq!(host.records("M")["2"]["v"], counts, "{items:?}");
            }
        }
    }
}

#[test]
fn what_comes_once_again_is_stored_as_it_comes() {
    // The later version is not in the list any more: the next full pull forgets that there were two, and the one
    // after it stores the other.
    let state = std::rc::Rc::new(std::cell::Cell::new(true));
    let has_both = state.clone();
    let keys = json!({
        "pagination": pages(), "full_pull_every_hours": 1, "full_pull_with_deletes": true,
        "incremental": { "parameter": "since", "field": "/u", "format": "epoch_s" },
    });
    let host = model(keys).on(move |request: &Request| {
        let items = [
            item(1, 1, json!(1)),
            item(2, 1, json!(1)),
            item(3, 1, json!(1)),
            item(2, 2, json!(2)),
        ];
        let count = if has_both.get() { 4 } else { 3 };
        let page: usize = request.query("page")?.parse().ok()?;
        let page: Vec<&Value> = items[..count].iter().skip((page - 1) * 2).take(2).collect();
        Some(Reply::json(json!(page)).header("Date", "Mon, 05 Jan 2026 00:00:00 GMT"))
    });
    run(&host, 0);
    state.set(false);
    for (hours, version) in [(2, 2), (4, 1), (6, 1)] {
        assert_eq!(run(&host, hours).totals("M").deleted, 0);
        assert_eq!(host.records("M")["2"]["v"], version, "after {hours} h");
    }
}

#[test]
fn without_times_that_can_be_compared_the_last_one_counts() {
    let items = vec![
        item(1, 1, Value::Null),
        item(2, 1, Value::Null),
        item(3, 1, json!(5)),
        item(2, 2, Value::Null),
    ];
    let host = listed(json!({}), items);
    run(&host, 0);
    assert_eq!(host.records("M")["2"]["v"], 2);
}
