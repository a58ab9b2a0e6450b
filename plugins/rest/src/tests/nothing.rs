//! Answers that say that there is nothing, and next pages of a server that names itself otherwise.

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{Reply, get};

use super::{model, records, stored};
use crate::plugin;

#[test]
fn nothing_new() {
    let with = |keys: Value| {
        let mut all = json!({
            "pagination": { "style": "page", "end_statuses": [404] },
            "incremental": { "parameter": "since", "field": "/at" },
        });
        all.as_object_mut()
            .unwrap()
            .extend(keys.as_object().unwrap().clone());
        all
    };
    let absent = json!({ "records_may_be_absent": true });
    for (keys, nothing) in [
        (json!({}), Reply::status(204)),
        (json!({}), Reply::status(304)),
        (json!({}), Reply::status(404)),
        (absent.clone(), Reply::status(200)),
        (json!({ "empty_statuses": [400] }), Reply::status(400)),
    ] {
        let at = "2025-12-31T12:00:00Z";
        let host = model(with(keys))
            .respond(get("/m").query("page", 1), json!([{ "id": 1, "at": at }]))
            .respond(get("/m").query("page", 2), Reply::status(204))
            .respond_always(get("/m").query("since", "2025-12-31T11:59:59Z"), nothing);
        host.run_sync(plugin(), "M").assert_ok();
        for _ in 0..2 {
            let outcome = host.run_sync(plugin(), "M");
            outcome.assert_ok();
            assert_eq!(outcome.requests.len(), 1);
            assert_eq!(
                outcome.checkpoint().unwrap()["mark"],
                1_767_182_400_000_i64,
                "it stays"
            );
        }
        assert_eq!(stored(&host), ["1"]);
    }
}

#[test]
fn nothing_at_all_has_to_be_said() {
    let absent = json!({ "records_may_be_absent": true });
    let named = |status: u16| json!({ "empty_statuses": [status] });
    for (keys, reply, is_list) in [
        (json!({}), Reply::status(204), false),
        (json!({}), Reply::status(304), false),
        (json!({}), Reply::status(200), false),
        (json!({}), Reply::status(404), false),
        (absent.clone(), Reply::status(204), true),
        (absent, Reply::status(200), true),
        (named(204), Reply::status(204), true),
        (named(404), Reply::status(404), true),
        (named(404), Reply::status(410), false),
    ] {
        let host = model(keys.clone()).respond(get("/m"), reply);
        let outcome = host.run_sync(plugin(), "M");
        assert_eq!(
            outcome.result.is_ok(),
            is_list,
            "{keys}: {:?}",
            outcome.result
        );
    }
}

#[test]
fn a_server_that_names_itself_otherwise() {
    let list = |next: &str| {
        let header = format!("<{next}>; rel='next'");
        Reply::json(records(1..=1)).header("Link", header)
    };
    for next in [
        "http://api.example.com/base/m2?page=2",
        "http://inner:8001/base/m2?page=2",
        "https://api.example.com/base/m2?page=2",
        "/base/m2?page=2",
    ] {
        let host = model(json!({ "pagination": { "style": "link" } }))
            .respond(get("/m"), list(next))
            .respond(get("/m2").query("page", 2), records(2..=2));
        let outcome = host.run_sync(plugin(), "M");
        outcome.assert_ok();
        assert_eq!(stored(&host), ["1", "2"], "{next}");
        let told = outcome
            .logs
            .iter()
            .any(|line| line.message.contains("another origin"));
        assert_eq!(told, next.starts_with("http://"), "{next}");
    }
    // As given, and granted or not.
    for granted in [true, false] {
        let keys = json!({ "pagination": { "style": "link", "next_url_origin": "as_given" } });
        let mut host = model(keys)
            .respond(get("/m"), list("https://cdn.example.com/m2?page=2"))
            .respond(
                get("https://cdn.example.com/m2").query("page", 2),
                records(2..=2),
            );
        if granted {
            host = host.allow_host("https://cdn.example.com");
        }
        let outcome = host.run_sync(plugin(), "M");
        let code = outcome
            .result
            .as_ref()
            .err()
            .and_then(|f| f.code.as_deref());
        assert_eq!(code, (!granted).then_some("http-denied"));
    }
}
