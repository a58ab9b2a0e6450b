//! Lists by the API: each comes in pages, under the same words, and a page goes on after what may be gone.

use serde_json::{Value, json};

use super::document::operations;
use super::{Served, expect_problem};
use crate::support::cli::Tidegate;
use crate::support::crm::{Source, changing};
use crate::support::plugins;

const INTEGRATIONS: &str = "/v1/integrations";

/// Operations whose answer is a list and no page: it is worked out, as long as is asked for.
const WORKED_OUT: [&str; 1] = ["schedules_preview"];

/// Where a part of the document is that it may only refer to.
fn resolved<'a>(document: &'a Value, part: &'a Value) -> &'a Value {
    match part["$ref"].as_str() {
        Some(place) => document.pointer(place.trim_start_matches('#')).unwrap(),
        None => part,
    }
}

#[test]
fn every_list_is_documented_to_come_in_pages() {
    let served = Served::start(Tidegate::new());
    let document = served.bare("GET", "/v1/openapi.json").ok(200);
    let paging = ["next_cursor", "more"];
    let mut lists = Vec::new();
    for (path, method, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        if method != "get" || WORKED_OUT.contains(&id) {
            continue;
        }
        let body = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let members = resolved(&document, body)["properties"].as_object();
        let members = members.cloned().unwrap_or_default();
        // An answer of nothing else than a list, or one that says of itself that it is one.
        let mut others = members
            .iter()
            .filter(|(name, _)| !paging.contains(&name.as_str()));
        let is_only_list = matches!(
            (others.next(), others.next()),
            (Some((_, one)), None) if one["type"] == "array"
        );
        let summary = operation["summary"].as_str().unwrap();
        if !is_only_list && !summary.starts_with("List ") {
            continue;
        }
        lists.push(id);
        for member in paging {
            assert!(members.contains_key(member), "{path} answers no {member}");
        }
        let parameters = operation["parameters"].as_array().unwrap();
        for name in ["cursor", "limit"] {
            let takes = |one: &Value| one["name"] == name && one["in"] == "query";
            assert!(parameters.iter().any(takes), "{path} takes no {name}");
        }
    }
    assert!(lists.len() >= 13, "{lists:?}");
}

/// What names the rows of a list, a row a page.
#[track_caller]
fn paged(served: &Served, target: &str, list: &str, name: &str) -> Vec<Value> {
    let mut names = Vec::new();
    let mut query = "?limit=1".to_owned();
    loop {
        let page = served.get(&format!("{target}{query}"));
        let rows = page[list].as_array().unwrap();
        assert!(rows.len() <= 1, "{page}");
        names.extend(rows.iter().map(|row| row[name].clone()));
        assert_eq!(page["more"], page["next_cursor"].is_string(), "{page}");
        let Some(cursor) = page["next_cursor"].as_str() else {
            return names;
        };
        query = format!("?limit=1&cursor={cursor}");
    }
}

#[test]
fn lists_are_read_row_by_row() {
    let source = changing();
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    for sync in ["crm/contacts", "crm/companies"] {
        tidegate.sync_ok(sync, "acme");
    }
    for name in ["b", "a", "c"] {
        tidegate.deploy(&plugins::demo_crm(), name, "http://127.0.0.1:1");
    }
    let served = Served::start_with(tidegate, "--webhook-allow-private 127.0.0.0/8");
    for n in 0..3 {
        let key = json!({"name": format!("k{n}"), "scopes": ["read"]});
        served.post("/v1/api-keys", &key, 201);
        let endpoint = json!({"url": format!("http://127.0.0.1:1/{n}")});
        served.post("/v1/webhooks", &endpoint, 201);
    }
    let acme = |list: &str| format!("{INTEGRATIONS}/crm/connections/acme/{list}");
    // (where, the list, what names a row, how many there are)
    let rows = [
        (INTEGRATIONS.to_owned(), "integrations", "integration", 4),
        ("/v1/api-keys".to_owned(), "api_keys", "id", 4),
        ("/v1/webhooks".to_owned(), "endpoints", "id", 3),
        (acme("models"), "models", "model", 2),
        (acme("syncs"), "syncs", "sync", 2),
    ];
    for (target, list, name, count) in rows {
        let whole = served.get(&target);
        let named = whole[list].as_array().unwrap().iter();
        let named: Vec<Value> = named.map(|row| row[name].clone()).collect();
        assert_eq!(named.len(), count, "{whole}");
        let sorted = named.is_sorted_by_key(|name| name.as_str());
        assert!(sorted, "{whole}");
        assert_eq!(
            (&whole["more"], &whole["next_cursor"]),
            (&json!(false), &Value::Null)
        );
        assert_eq!(paged(&served, &target, list, name), named);
        for bad in ["limit=0", "limit=1001", "limit=x", "cursor=%2F", "page=2"] {
            let answer = served.call("GET", &format!("{target}?{bad}")).send();
            expect_problem(&answer, "invalid-request", 400);
        }
    }
    // The command has all of them.
    let listed = served.tidegate.cmd("integrations --json").ok().lines();
    assert_eq!(listed.len(), 4, "{listed:?}");
}

/// Ids begin with the millisecond, in which several may be made.
#[test]
fn lists_are_in_the_order_of_creation() {
    let served = Served::start(Tidegate::new());
    let made = |target: &str, body: &Value, id: &str| {
        let made = served.post(target, body, 201);
        made.pointer(id).cloned().unwrap()
    };
    let mut all: [Vec<Value>; 2] = Default::default();
    for number in 0..90 {
        let endpoint = json!({"url": format!("https://hooks.example.com/{number}")});
        all[0].push(made("/v1/webhooks", &endpoint, "/id"));
        let key = json!({"name": format!("k{number}"), "scopes": ["read"]});
        all[1].push(made("/v1/api-keys", &key, "/id"));
    }
    for (target, list, made) in [
        ("/v1/webhooks", "endpoints", &all[0]),
        ("/v1/api-keys", "api_keys", &all[1]),
    ] {
        let listed = served.get(&format!("{target}?limit=1000"));
        let ids = listed[list].as_array().unwrap().iter();
        let ids: Vec<&Value> = ids.map(|row| &row["id"]).collect();
        let own: Vec<&Value> = made.iter().collect();
        assert!(ids.ends_with(&own), "{target}: {ids:?}");
    }
}

#[test]
fn a_page_goes_on_after_what_is_gone() {
    let tidegate = Tidegate::new();
    for name in ["a", "b", "c"] {
        tidegate.deploy(&plugins::demo_crm(), name, "http://127.0.0.1:1");
    }
    let served = Served::start(tidegate);
    let names = |page: &Value| {
        let rows = page["integrations"].as_array().unwrap().iter();
        let names = rows.map(|row| row["integration"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let first = served.get(&format!("{INTEGRATIONS}?limit=2"));
    assert_eq!(
        (names(&first), &first["more"]),
        (vec!["a".into(), "b".into()], &json!(true))
    );
    served.post("/v1/data/drop", &json!({"integration": "a"}), 200);
    served.post("/v1/data/drop", &json!({"integration": "b"}), 200);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = served.get(&format!("{INTEGRATIONS}?limit=2&cursor={cursor}"));
    assert_eq!(
        (names(&second), &second["more"]),
        (vec!["c".into()], &json!(false))
    );
}
