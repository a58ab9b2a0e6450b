//! A pointer, parameter or flag of the config that leads nowhere is told: by a run, and by the check of the
//! connection.

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{FakeHost, LogLine, Reply, Request};

use super::{model, pages};
use crate::plugin;

/// A list of three records on one page. It leaves its headers out when the parameter `bare` is there.
fn api(request: &Request) -> Option<Reply> {
    let is_further = ["page", "offset", "cursor"].iter().any(|name| {
        request
            .query(name)
            .is_some_and(|value| value != "0" && value != "1")
    });
    let data: Vec<Value> = match is_further {
        true => Vec::new(),
        false => (1..=3)
            .map(|id| json!({ "id": id, "updated": "2026-01-02T00:00:00Z", "gone": "N", "next": null }))
            .collect(),
    };
    let reply = Reply::json(json!({
        "data": data, "next": null, "has_more": false, "meta": { "total": 3, "pages": 1 },
    }));
    Some(match request.query("bare") {
        Some(_) => reply,
        None => reply
            .header("ETag", "\"1\"")
            .header("X-Next", "")
            .header("Link", "<https://api.example.com/base/m>; rel=\"first\""),
    })
}

fn host(keys: &Value) -> FakeHost {
    let mut all = json!({ "records": "/data" });
    for (name, value) in keys.as_object().unwrap() {
        all[name] = value.clone();
    }
    model(all).on(api)
}

fn warns_of(logs: &[LogLine], key: &str) -> bool {
    let told = format!("`models.M.{key}`");
    logs.iter().any(|line| line.message.contains(&told))
}

fn paged(style: &str, keys: Value) -> Value {
    let mut pagination = json!({ "style": style, "page_size": 3, "page_size_parameter": "size" });
    for (name, value) in keys.as_object().unwrap() {
        pagination[name] = value.clone();
    }
    json!({ "pagination": pagination })
}

fn cursor(keys: Value) -> Value {
    let mut all = paged("cursor", keys);
    all["pagination"]["parameter"] = json!("cursor");
    all
}

#[test]
fn what_leads_nowhere_is_told() {
    let bare = |mut keys: Value| {
        keys["query"] = json!({ "bare": true });
        keys
    };
    let deleting = |mut keys: Value, how: Value| {
        keys["full_pull_with_deletes"] = how;
        keys
    };
    let incremental =
        |field: &str| json!({ "incremental": { "parameter": "since", "field": field } });
    // (the key, a config where it leads nowhere, and one where it leads somewhere)
    let rows = [
        (
            "records",
            json!({ "records": "/items", "records_may_be_absent": true }),
            json!({ "records_may_be_absent": true }),
        ),
        (
            "tombstone.field",
            json!({ "tombstone": { "field": "/deleted" } }),
            json!({ "tombstone": { "field": "/gone", "value": "Y" } }),
        ),
        (
            "tombstone.value",
            json!({ "tombstone": { "field": "/gone", "value": true } }),
            json!({ "tombstone": { "field": "/gone", "value": "Y" } }),
        ),
        (
            "incremental.field",
            incremental("/changed"),
            incremental("/updated"),
        ),
        (
            "pagination.cursor_pointer",
            cursor(json!({ "cursor_pointer": "/meta/next" })),
            cursor(json!({ "cursor_pointer": "/next" })),
        ),
        (
            "pagination.cursor_header",
            cursor(json!({ "cursor_header": "X-Nxt" })),
            cursor(json!({ "cursor_header": "X-Next" })),
        ),
        (
            "pagination.url_pointer",
            paged("next_url", json!({ "url_pointer": "/links/next" })),
            paged("next_url", json!({ "url_pointer": "/next" })),
        ),
        (
            "pagination.url_header",
            paged("next_url", json!({ "url_header": "Next" })),
            paged("next_url", json!({ "url_header": "X-Next" })),
        ),
        (
            "pagination.style",
            bare(paged("link", json!({}))),
            paged("link", json!({})),
        ),
        (
            "pagination.more_pointer",
            paged("page", json!({ "more_pointer": "/more" })),
            paged("page", json!({ "more_pointer": "/has_more" })),
        ),
        (
            "pagination.total_pointer",
            paged("offset", json!({ "total_pointer": "/total" })),
            paged("offset", json!({ "total_pointer": "/meta/total" })),
        ),
        (
            "pagination.total_pages_pointer",
            paged("page", json!({ "total_pages_pointer": "/meta" })),
            paged("page", json!({ "total_pages_pointer": "/meta/pages" })),
        ),
        (
            "pagination.page_size_parameter",
            paged("page", json!({ "page_size": 2 })),
            paged("page", json!({})),
        ),
        (
            "full_pull_with_deletes",
            deleting(cursor(json!({ "cursor_pointer": "/next" })), json!(true)),
            deleting(
                cursor(json!({ "cursor_pointer": "/next", "stable_order": true })),
                json!(true),
            ),
        ),
        (
            "full_pull_with_deletes",
            deleting(paged("link", json!({})), json!(true)),
            deleting(paged("link", json!({})), json!({ "confirm": "/m/{id}" })),
        ),
        (
            "full_pull_with_deletes",
            deleting(
                paged("next_url", json!({ "url_pointer": "/next" })),
                json!(true),
            ),
            deleting(paged("page", json!({})), json!(true)),
        ),
        (
            "conditional",
            bare(json!({ "conditional": true })),
            json!({ "conditional": true }),
        ),
    ];
    for (key, wrong, right) in rows {
        let ran = host(&wrong).run_sync(plugin(), "M");
        assert!(
            warns_of(&ran.assert_ok().logs, key),
            "a run, {key}: {:?}",
            ran.logs
        );
        let checked = host(&wrong).run_check(plugin());
        assert!(
            warns_of(&checked.assert_ok().logs, key),
            "a check, {key}: {:?}",
            checked.logs
        );
        let ran = host(&right).run_sync(plugin(), "M");
        assert!(
            !warns_of(&ran.assert_ok().logs, key),
            "a run, {key}: {:?}",
            ran.logs
        );
        let checked = host(&right).run_check(plugin());
        assert!(
            !warns_of(&checked.assert_ok().logs, key),
            "a check, {key}: {:?}",
            checked.logs
        );
    }
}

#[test]
fn what_fails_a_run_is_told_by_a_check() {
    for (key, keys) in [
        ("records", json!({ "records": "/items" })),
        ("id", json!({ "id": "/key" })),
        (
            "incremental.header",
            json!({ "incremental": { "parameter": "since", "header": "X-Version" } }),
        ),
        (
            "incremental.format",
            json!({ "incremental": { "parameter": "since", "field": "/gone", "format": "epoch_s" } }),
        ),
        (
            "pagination.more_pointer",
            paged("page", json!({ "more_pointer": "/meta" })),
        ),
    ] {
        let failure = host(&keys).run_sync(plugin(), "M").failure().clone();
        assert!(
            failure.message.contains(&format!("models.M.{key}`")),
            "{failure}"
        );
        let checked = host(&keys).run_check(plugin());
        assert!(
            warns_of(&checked.assert_ok().logs, key),
            "{key}: {:?}",
            checked.logs
        );
    }
}

#[test]
fn pages_of_another_size_than_asked_for() {
    let of = |size: usize| {
        model(json!({ "pagination": { "style": "page", "page_size": 10, "page_size_parameter": "n" } })).on(
            move |request: &Request| {
                let page: usize = request.query("page")?.parse().ok()?;
                let ids = (1..=12).skip((page - 1) * size).take(size);
                Some(Reply::json(ids.map(|id| json!({ "id": id })).collect::<Vec<_>>()))
            },
        )
    };
    for (size, told) in [
        (5, Some("5 items at most")),
        (11, Some("has 11 items")),
        (10, None),
    ] {
        let outcome = of(size).run_sync(plugin(), "M");
        let says = |text: &str| outcome.logs.iter().any(|line| line.message.contains(text));
        assert_eq!(outcome.assert_ok().totals("M").added, 12);
        assert_eq!(
            says("page_size_parameter"),
            told.is_some(),
            "{size}: {:?}",
            outcome.logs
        );
        assert!(told.is_none_or(says), "{size}: {:?}", outcome.logs);
    }
}

#[test]
fn a_parameter_that_the_api_does_not_heed() {
    for heeds in [true, false] {
        let keys = json!({ "incremental": { "parameter": "since", "field": "/u" }, "pagination": pages() });
        let host = model(keys).on(move |request: &Request| {
            let since = request.query("since").unwrap_or_default();
            let page = request.query("page") == Some("1");
            let all =
                (1..=2).map(|day| json!({ "id": day, "u": format!("2026-01-0{day}T00:00:00Z") }));
            let is_new = |item: &Value| !heeds || item["u"].as_str() >= Some(since);
            let items: Vec<Value> = all.filter(|item| page && is_new(item)).collect();
            Some(Reply::json(items).header("Date", "Mon, 05 Jan 2026 00:00:00 GMT"))
        });
        for run in 0..2 {
            let outcome = host.run_sync(plugin(), "M");
            let told = warns_of(&outcome.assert_ok().logs, "incremental.parameter");
            assert_eq!(told, run == 1 && !heeds, "{:?}", outcome.logs);
        }
    }
}

#[test]
fn each_model_is_looked_at_by_a_check() {
    let models = |count: usize| -> Value {
        let model = |name: usize| {
            (
                format!("M{name:02}"),
                json!({ "path": format!("/m{name}"), "records": "/d" }),
            )
        };
        json!({ "check": "/me", "models": (0..count).map(model).collect::<tidegate_sdk::serde_json::Map<_, _>>() })
    };
    let host = super::host(models(12)).on(|request: &Request| {
        Some(match request.path.as_str() {
            "/me" => Reply::json(json!({})),
            "/m3" => Reply::status(403),
            "/m4" => Reply::json(json!({ "items": [] })),
            _ => Reply::json(json!({ "d": [] })),
        })
    });
    let outcome = host.run_check(plugin());
    outcome.assert_ok();
    assert_eq!(outcome.requests.len(), 1 + 10, "so many are enough");
    for (name, says) in [("M03", "403"), ("M04", "`models.M04.records`")] {
        let told = |line: &LogLine| line.message.contains(name) && line.message.contains(says);
        assert!(outcome.logs.iter().any(told), "{name}: {:?}", outcome.logs);
    }
}
