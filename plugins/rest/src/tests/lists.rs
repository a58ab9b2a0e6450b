//! Where lists end, and what does not count as the whole of one.

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{FakeHost, Outcome, Reply, Request, get};

use super::{host, model, records, stored};
use crate::plugin;

/// A list whose pages are these, by number.
fn paged(keys: Value, pages: Vec<Value>) -> FakeHost {
    let mut pagination = json!({ "style": "page", "page_size": 3, "page_size_parameter": "n" });
    let own = keys.as_object().unwrap().clone();
    for (name, value) in own {
        pagination[name] = value;
    }
    let keys = json!({ "records": "/d", "pagination": pagination });
    model(keys).on(move |request: &Request| {
        let page: usize = request.query("page")?.parse().ok()?;
        let answer = pages.get(page - 1).cloned();
        Some(Reply::json(answer.unwrap_or(json!({ "d": [] }))))
    })
}

pub(super) fn said(outcome: &Outcome<()>, text: &str) -> bool {
    outcome.logs.iter().any(|line| line.message.contains(text))
}

#[test]
fn short_and_empty_pages_are_not_the_end() {
    let page = |ids: std::ops::RangeInclusive<u32>, more: Value| {
        let mut page = more;
        page["d"] = records(ids);
        page
    };
    #[allow(clippy::reversed_empty_ranges, reason = "an empty page")]
    let empty = 1..=0;
    let with = |more: &Value| {
        [1..=3, 4..=5, empty.clone(), 6..=8]
            .map(|ids| page(ids, more.clone()))
            .to_vec()
    };
    // The API's pages, all of them.
    let total_pages = json!({ "total_pages_pointer": "/pages" });
    let host = paged(total_pages, with(&json!({ "pages": 4 })));
    host.run_sync(plugin(), "M").assert_ok();
    assert_eq!(stored(&host).len(), 8);
    // The number of records.
    let host = paged(
        json!({ "total_pointer": "/total" }),
        with(&json!({ "total": "8" })),
    );
    host.run_sync(plugin(), "M").assert_ok();
    assert_eq!(stored(&host).len(), 8);
    // Nothing but short pages, one after the other.
    let pages = [1..=3, 4..=5, 6..=7]
        .map(|ids| page(ids, json!({})))
        .to_vec();
    let host = paged(json!({}), pages);
    host.run_sync(plugin(), "M").assert_ok();
    assert_eq!(stored(&host).len(), 7);
}

#[test]
fn totals_that_are_none() {
    // What the API says at each page of two, of six records; whether it is said.
    for (total, wrong) in [
        (json!(2), true),
        (json!(0), true),
        (json!(4), true),
        (json!(6), false),
        (json!("6"), false),
        (json!(6.0), false),
        (json!(-1), false),
        (Value::Null, false),
        (json!({ "value": 6 }), false),
        (json!(50), false),
    ] {
        let pagination = json!({ "style": "offset", "total_pointer": "/total" });
        let answered = total.clone();
        let host = model(json!({ "records": "/d", "pagination": pagination })).on(
            move |request: &Request| {
                let from: u32 = request.query("offset")?.parse().ok()?;
                let ids = from + 1..=(from + 2).min(6);
                Some(Reply::json(json!({ "d": records(ids), "total": answered })))
            },
        );
        let outcome = host.run_sync(plugin(), "M");
        outcome.assert_ok();
        assert_eq!(stored(&host).len(), 6, "{total}");
        assert_eq!(said(&outcome, "is not how much there is"), wrong, "{total}");
    }
}

#[test]
fn flags_in_every_form() {
    for (yes, no) in [
        (json!(true), json!(false)),
        (json!("true"), json!("FALSE")),
        (json!(1), json!(0)),
        (json!("1"), json!("0")),
        (json!("Y"), json!("n")),
        (json!("yes"), json!("No")),
    ] {
        let pages = vec![
            json!({ "d": records(1..=3), "more": yes }),
            json!({ "d": records(4..=4), "more": yes }),
            json!({ "d": records(5..=7), "more": no }),
            json!({ "d": records(8..=9), "more": no }),
        ];
        let host = paged(json!({ "more_pointer": "/more" }), pages);
        host.run_sync(plugin(), "M").assert_ok();
        assert_eq!(stored(&host).len(), 7, "{yes} {no}");
    }
    let pages = vec![json!({ "d": records(1..=3), "more": "soon" })];
    let host = paged(json!({ "more_pointer": "/more" }), pages);
    let failure = host.run_sync(plugin(), "M").failure().clone();
    assert_eq!(failure.kind, FailureKind::Config);
    assert!(
        failure
            .message
            .contains("`models.M.pagination.more_pointer`"),
        "{failure}"
    );
}

#[test]
fn cursors_that_end_otherwise_than_by_null() {
    let pagination = json!({ "style": "cursor", "parameter": "c", "cursor_pointer": "/next" });
    for last in [
        json!(null),
        json!(""),
        json!(false),
        json!({}),
        json!([]),
        json!(0),
        json!("0"),
        json!(-1),
        json!("-1"),
        // The one that was just asked with.
        json!("b"),
    ] {
        let host = model(json!({ "records": "/d", "pagination": pagination }))
            .respond(
                get("/m").without_query("c"),
                json!({ "d": records(1..=2), "next": "b" }),
            )
            .respond(
                get("/m").query("c", "b"),
                json!({ "d": records(3..=4), "next": last }),
            )
            // What 0 and -1 are is asked for once.
            .respond_always(
                get("/m").query("c", "0"),
                json!({ "d": records(1..=2), "next": "b" }),
            )
            .respond_always(get("/m").query("c", "-1"), Reply::status(400));
        host.run_sync(plugin(), "M").assert_ok();
        assert_eq!(stored(&host).len(), 4, "{last}");
    }
    // Here it is a cursor as others are.
    let host = model(json!({ "records": "/d", "pagination": pagination }))
        .respond(
            get("/m").without_query("c"),
            json!({ "d": records(1..=2), "next": 0 }),
        )
        .respond(
            get("/m").query("c", "0"),
            json!({ "d": records(3..=4), "next": null }),
        );
    host.run_sync(plugin(), "M").assert_ok();
    assert_eq!(stored(&host).len(), 4);
    let mut named = pagination;
    named["end_values"] = json!(["end"]);
    let host = model(json!({ "records": "/d", "pagination": named }))
        .respond(
            get("/m").without_query("c"),
            json!({ "d": records(1..=2), "next": 0 }),
        )
        .respond(
            get("/m").query("c", "0"),
            json!({ "d": records(3..=4), "next": "end" }),
        );
    host.run_sync(plugin(), "M").assert_ok();
    assert_eq!(stored(&host).len(), 4);
}

#[test]
fn pages_that_never_end_do() {
    let volatile = |ids: [std::ops::RangeInclusive<u32>; 2]| {
        let mut count = 0;
        move |_: &Request| {
            count += 1;
            let ids = if count % 2 == 1 {
                ids[0].clone()
            } else {
                ids[1].clone()
            };
            let records: Vec<Value> = ids.map(|id| json!({ "id": id, "read": count })).collect();
            Some(Reply::json(
                json!({ "d": records, "next": format!("c{count}"), "total": 4, "pages": 2 }),
            ))
        }
    };
    let page = json!({ "style": "page", "page_size": 2, "page_size_parameter": "n" });
    let two_pages = json!({ "style": "page", "total_pages_pointer": "/pages" });
    let offset = json!({ "style": "offset", "total_pointer": "/total" });
    let cursor = json!({ "style": "cursor", "parameter": "c", "cursor_pointer": "/next" });
    for (pagination, ids) in [
        // The API does not know the parameter; something in each record is another each time.
        (page, [1..=2, 1..=2]),
        (two_pages, [1..=2, 1..=2]),
        (offset, [1..=2, 1..=2]),
        // Two pages in turn, under new names.
        (cursor, [1..=2, 3..=4]),
    ] {
        let host = model(json!({ "records": "/d", "pagination": pagination })).on(volatile(ids));
        let outcome = host.run_sync(plugin(), "M");
        let code = outcome.failure().code.clone();
        assert_eq!(code.as_deref(), Some("pagination-loop"), "{pagination}");
        assert!(outcome.requests.len() < 20);
    }
}

#[test]
fn a_list_that_is_cut_deletes_nothing() {
    let cut = [
        // Fewer than the total.
        (
            json!({ "style": "offset", "total_pointer": "/total" }),
            json!({ "d": records(1..=3), "total": 4 }),
        ),
        // More, and no next page.
        (
            json!({ "style": "cursor", "parameter": "c", "cursor_pointer": "/next", "more_pointer": "/more" }),
            json!({ "d": records(1..=3), "more": "1" }),
        ),
        // Pages that are empty although they should not be.
        (
            json!({ "style": "page", "total_pages_pointer": "/pages" }),
            json!({ "d": records(1..=3), "pages": 9 }),
        ),
    ];
    for (pagination, first) in cut {
        let keys =
            json!({ "records": "/d", "pagination": pagination, "full_pull_with_deletes": true });
        let host = (1..=4).fold(model(keys), |host, id| {
            host.record("M", id.to_string(), json!({ "id": id }))
        });
        let total = first["total"].clone();
        let pages = first["pages"].clone();
        let host = host.on(move |request: &Request| {
            let later = |name: &str, at: &str| request.query(name).is_some_and(|v| v != at);
            if later("offset", "0") || later("page", "1") {
                let empty = json!({ "d": [], "total": total, "pages": pages });
                return Some(Reply::json(empty));
            }
            Some(Reply::json(first.clone()))
        });
        let outcome = host.run_sync(plugin(), "M");
        outcome.assert_ok();
        assert_eq!(stored(&host), ["1", "2", "3", "4"], "{pagination}");
        assert!(said(&outcome, "nothing was deleted"), "{pagination}");
    }
}

#[test]
fn a_cursor_that_names_itself_deletes_nothing() {
    let pagination = json!({ "style": "cursor", "parameter": "c", "cursor_pointer": "/next", "stable_order": true });
    for (last, deletes) in [
        // It may be a session's, and there would be more.
        (json!({ "d": records(3..=4), "next": "b" }), false),
        (json!({ "d": [], "next": "b" }), true),
        (json!({ "d": records(3..=4), "next": null }), true),
    ] {
        let keys = json!({
            "records": "/d", "pagination": pagination, "full_pull_with_deletes": true,
        });
        let host = model(keys)
            .record("M", "9", json!({ "id": 9 }))
            .respond_always(
                get("/m").without_query("c"),
                json!({ "d": records(1..=2), "next": "b" }),
            )
            .respond_always(get("/m").query("c", "b"), last.clone());
        let outcome = host.run_sync(plugin(), "M");
        outcome.assert_ok();
        let is_gone = !stored(&host).contains(&"9".to_owned());
        assert_eq!(is_gone, deletes, "{last}");
        assert_eq!(said(&outcome, "nothing was deleted"), !deletes, "{last}");
    }
}

#[test]
fn a_list_of_one_page_that_links_on_deletes_nothing() {
    let host = model(json!({ "full_pull_with_deletes": true }))
        .record("M", "1", json!({ "id": 1 }))
        .record("M", "2", json!({ "id": 2 }))
        .respond_always(
            get("/m"),
            Reply::json(records(1..=1)).header("Link", "</m?page=2>; rel=next"),
        );
    let outcome = host.run_sync(plugin(), "M");
    outcome.assert_ok();
    assert_eq!(stored(&host), ["1", "2"]);
    assert!(said(&outcome, "`pagination` is missing"));
}

#[test]
fn the_first_of_an_id_counts_in_a_full_pull() {
    let pagination = json!({ "style": "cursor", "parameter": "c", "cursor_pointer": "/next" });
    let host = model(json!({ "records": "/d", "pagination": pagination }))
        .respond_always(
            get("/m").without_query("c"),
            json!({ "d": [{ "id": 1, "v": 1 }, { "id": 2, "v": 1 }], "next": "b" }),
        )
        .respond_always(
            get("/m").query("c", "b"),
            json!({ "d": [{ "id": 3, "v": 1 }, { "id": 2, "v": 2 }], "next": null }),
        );
    host.run_sync(plugin(), "M").assert_ok();
    let again = host.run_sync(plugin(), "M");
    let totals = again.assert_ok().totals("M");
    assert_eq!((totals.updated, totals.unchanged), (0, 3));
    assert_eq!(host.records("M")["2"]["v"], 1);
    assert!(said(&again, "more than once in one pull: 2"));
}

#[test]
fn the_config_may_say_what_an_answer_means() {
    let answer = json!({ "d": [{ "id": 1 }], "errors": [{ "code": "PARTIAL" }] });
    let rule = json!([{ "pointer": "/errors/0/code", "equals": "PARTIAL", "action": "success" }]);
    let host = model(json!({ "records": "/d", "responses": rule })).respond(get("/m"), answer);
    host.run_sync(plugin(), "M").assert_ok();
    assert_eq!(stored(&host), ["1"]);

    let rule = json!([{ "status": 404, "action": "empty" }]);
    let host = model(json!({ "responses": rule })).respond(get("/m"), Reply::status(404));
    host.run_sync(plugin(), "M").assert_ok();
    assert!(stored(&host).is_empty());
}

#[test]
fn a_place_that_may_not_be_asked_for_is_no_dead_end() {
    let link = |url: &str| Reply::json(records(1..=1)).header("Link", format!("<{url}>; rel=next"));
    let keys = json!({ "pagination": { "style": "link" } });
    let host = model(keys)
        .respond(get("/m"), link("https://other.example/m?page=2"))
        .respond(get("/m"), link("https://api.example.com/base/m2"))
        .respond(get("/m2"), records(2..=2));
    let failed = host.run_sync(plugin(), "M");
    assert_eq!(failed.failure().code.as_deref(), Some("http-denied"));
    // The server was mended: the next run reads the list.
    host.run_sync(plugin(), "M").assert_ok();
    assert_eq!(stored(&host), ["1", "2"]);
}

#[test]
fn a_base_url_that_changes_starts_the_pull_over() {
    let next =
        Reply::json(records(1..=1)).header("Link", "<https://api.example.com/base/m2>; rel=next");
    let host = model(json!({ "pagination": { "style": "link" } }))
        .respond(get("https://api.example.com/base/m"), next)
        .kill_after_commits(1);
    host.run_sync(plugin(), "M");
    let host = host
        .base_url("https://api.example.net/base")
        .respond(get("https://api.example.net/base/m"), records(1..=3));
    let outcome = host.run_sync(plugin(), "M");
    outcome.assert_ok();
    assert_eq!(stored(&host), ["1", "2", "3"]);
    assert!(said(&outcome, "another host"));
}

/// A list of changes, in seconds.
pub(super) fn changing(more: Value) -> FakeHost {
    let mut since = json!({ "parameter": "since", "field": "/at", "format": "epoch_s" });
    for (name, value) in more.as_object().unwrap() {
        since[name] = value.clone();
    }
    host(json!({ "models": { "M": { "path": "/m", "incremental": since } } }))
}

pub(super) fn dated(records: Value) -> Reply {
    Reply::json(records).header("Date", "Thu, 01 Jan 1970 00:01:40 GMT")
}

#[test]
fn a_record_from_the_future_hides_nothing() {
    for ordered in [false, true] {
        let host = changing(json!({ "ordered": ordered }))
            .respond(
                get("/m").without_query("since"),
                dated(json!([{ "id": 1, "at": 50 }, { "id": 2, "at": 9_000 }])),
            )
            .respond(
                get("/m").query("since", 99),
                dated(json!([{ "id": 3, "at": 101 }, { "id": 2, "at": 9_000 }])),
            );
        let outcome = host.run_sync(plugin(), "M");
        outcome.assert_ok();
        assert!(said(&outcome, "ahead of the API's clock"));
        host.run_sync(plugin(), "M").assert_ok();
        assert_eq!(stored(&host), ["1", "2", "3"], "ordered: {ordered}");
    }
}

#[test]
fn what_changed_last_has_to_come_again() {
    for (again, wrong) in [
        (json!([]), true),
        (json!([{ "id": 1, "at": 49 }]), true),
        (json!([{ "id": 1, "at": 50 }]), false),
        (json!([{ "id": 1, "at": 60 }]), false),
    ] {
        let host = changing(json!({}))
            .respond(
                get("/m").without_query("since"),
                dated(json!([{ "id": 1, "at": 50 }])),
            )
            .respond(get("/m").query("since", 49), dated(again.clone()));
        host.run_sync(plugin(), "M").assert_ok();
        let outcome = host.run_sync(plugin(), "M");
        outcome.assert_ok();
        assert_eq!(said(&outcome, "did not come again"), wrong, "{again}");
    }
}

#[test]
fn a_mark_that_has_expired_pulls_everything() {
    let host = changing(json!({}))
        .checkpoint("M", json!({ "mark": 50_000 }))
        .respond(get("/m").query("since", 49), Reply::status(410))
        .respond(
            get("/m").without_query("since"),
            dated(json!([{ "id": 1, "at": 90 }])),
        );
    let outcome = host.run_sync(plugin(), "M");
    outcome.assert_ok();
    assert_eq!(stored(&host), ["1"]);
    assert!(said(&outcome, "everything is pulled"));
    assert_eq!(outcome.checkpoint().unwrap()["mark"], 90_000);
}

#[test]
fn a_pull_that_may_have_missed_records_leaves_the_mark() {
    let incremental = json!({ "parameter": "since", "field": "/at", "format": "epoch_s" });
    let pagination = json!({ "style": "offset", "total_pointer": "/total" });
    let keys = json!({ "records": "/d", "pagination": pagination, "incremental": incremental });
    let mut answer = 0;
    let host = model(keys).on(move |_: &Request| {
        answer += 1;
        let page = |id: u32, total: u32| json!({ "d": [{ "id": id, "at": id }], "total": total });
        Some(Reply::json(match answer {
            1 => page(1, 3),
            // One of those before was deleted, so that another was jumped over.
            2 => page(3, 2),
            3 => json!({ "d": [], "total": 2 }),
            4 => page(2, 2),
            5 => page(3, 2),
            _ => json!({ "d": [], "total": 2 }),
        }))
    });
    let outcome = host.run_sync(plugin(), "M");
    outcome.assert_ok();
    assert!(said(&outcome, "the total changed from 3 to 2"));
    assert!(outcome.checkpoint().unwrap().get("mark").is_none());
    let outcome = host.run_sync(plugin(), "M");
    assert_eq!(outcome.requests[0].query("since"), None, "everything again");
    assert_eq!(outcome.assert_ok().checkpoint().unwrap()["mark"], 3_000);
    assert_eq!(stored(&host), ["1", "2", "3"]);
}
