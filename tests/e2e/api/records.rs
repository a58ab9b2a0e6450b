//! Records: by page, filter, id and time; as lines, waited for and followed.

use std::time::Instant;

use serde_json::{Value, json};

use super::client::Call;
use super::{Served, expect_problem, make_key};
use crate::support::cli::Tidegate;
use crate::support::crm::{MODEL, Source, changing, contact, contacts, reply, synced_twice};
use crate::support::server::{Gate, Server};
use crate::support::{PATIENCE, plugins};

const RECORDS: &str = "/v1/integrations/crm/connections/acme/models/Contact/records";

fn ids(page: &Value) -> Vec<&str> {
    let records = page["records"].as_array().unwrap();
    records
        .iter()
        .map(|record| record["id"].as_str().unwrap())
        .collect()
}

#[test]
fn the_feed_is_the_one_of_the_command() {
    let server = changing();
    let tidegate = synced_twice(&server);
    let all = tidegate.feed(MODEL, "acme", None);
    let served = Served::start(tidegate);
    let page = served.get(RECORDS);
    assert_eq!(page["records"], json!(all));
    assert_eq!(page["more"], false);
    assert_eq!(page["next_cursor"], all[3]["cursor"]);

    let models = served.get("/v1/integrations/crm/connections/acme/models");
    assert_eq!(models["models"][0]["model"], "Contact", "{models}");
    assert_eq!(models["models"][0]["live"], 3, "{models}");

    // Page by page.
    let mut paged: Vec<Value> = Vec::new();
    let mut target = format!("{RECORDS}?limit=3");
    loop {
        let page = served.get(&target);
        paged.extend(page["records"].as_array().unwrap().iter().cloned());
        target = format!(
            "{RECORDS}?limit=3&cursor={}",
            page["next_cursor"].as_str().unwrap()
        );
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(paged, all);

    for (filter, want) in [
        ("added", 2),
        ("updated", 1),
        ("deleted", 1),
        ("added,deleted", 3),
    ] {
        let page = served.get(&format!("{RECORDS}?filter={filter}"));
        assert_eq!(ids(&page).len(), want, "{filter}");
    }
    let by_ids = served.get(&format!("{RECORDS}?ids=c4,nobody,c1"));
    assert_eq!(ids(&by_ids), ["c4", "c1"]);
    assert_eq!(by_ids["records"][1]["body"], contact(1, 2));
    let by_list = served.get(&format!("{RECORDS}?ids=%5B%22c2%22%5D"));
    assert_eq!(ids(&by_list), ["c2"]);
    let changed = all[1]["last_modified_at"].as_str().unwrap();
    let later = served.get(&format!("{RECORDS}?modified_after={changed}"));
    assert_eq!(ids(&later).len(), 3, "{later}");

    let refusals = [
        ("cursor=x", 400, "invalid-request"),
        ("limit=0", 400, "invalid-request"),
        ("limit=10001", 400, "invalid-request"),
        ("limit=x", 400, "invalid-request"),
        ("wait=56", 400, "invalid-request"),
        ("filter=gone", 400, "invalid-request"),
        ("modified_after=soon", 400, "invalid-request"),
        ("ids=a&cursor=x", 400, "invalid-request"),
        ("unknown=1", 400, "invalid-request"),
    ];
    for (query, status, slug) in refusals {
        let answer = served.call("GET", &format!("{RECORDS}?{query}")).send();
        expect_problem(&answer, slug, status);
    }
    let many = vec!["x"; 1001].join(",");
    let answer = served.call("GET", &format!("{RECORDS}?ids={many}")).send();
    expect_problem(&answer, "invalid-request", 400);
    let missing = RECORDS.replace("Contact", "Nobody");
    expect_problem(&served.call("GET", &missing).send(), "not-found", 404);

    // A cursor of what was dropped.
    let cursor = page["next_cursor"].as_str().unwrap();
    let drop = json!({"integration": "crm", "connection": "acme", "model": "Contact"});
    assert_eq!(served.post("/v1/data/drop", &drop, 200)["records"], 4);
    let gone = served
        .call("GET", &format!("{RECORDS}?cursor={cursor}"))
        .send();
    expect_problem(&gone, "cursor-expired", 410);
}

#[test]
fn the_rest_of_the_feed_as_lines() {
    let server = Server::start(|_| reply(&contacts(0..2_500, 1), None));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    tidegate.sync_ok("crm/contacts", "acme");
    let all = tidegate.feed(MODEL, "acme", None);
    let served = Served::start(tidegate);
    let lines = |target: &str| -> Vec<Value> {
        let answer = served
            .call("GET", target)
            .header("Accept", "application/x-ndjson")
            .send();
        assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
        let text = String::from_utf8(answer.body).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let mut found = lines(RECORDS);
    let last = found.pop().unwrap();
    assert_eq!(found, all);
    assert_eq!(last["more"], false);
    // From a record in the middle, and from the end.
    let middle = all[1_200]["cursor"].as_str().unwrap();
    assert_eq!(
        lines(&format!("{RECORDS}?cursor={middle}")).len(),
        2_500 - 1_201 + 1
    );
    let end = last["next_cursor"].as_str().unwrap();
    assert_eq!(
        lines(&format!("{RECORDS}?cursor={end}")),
        std::slice::from_ref(&last)
    );
    // What is wrong is the answer, not a line.
    let bad = served
        .call("GET", &format!("{RECORDS}?cursor=x"))
        .header("Accept", "application/x-ndjson")
        .send();
    expect_problem(&bad, "invalid-request", 400);
    let page = served.get(&format!("{RECORDS}?limit=10000"));
    assert_eq!(page["records"].as_array().unwrap().len(), 2_500);
}

/// The plugin `acts` before a server that makes items; its action `create` commits one.
fn making() -> (Served, Server) {
    let acts = crate::actions::Acts::making_items();
    let (tidegate, server) = acts.into_parts();
    (Served::start(tidegate), server)
}

const ITEMS: &str = "/v1/integrations/acts/connections/acme/models/Item/records";
const CREATE: &str = "/v1/integrations/acts/connections/acme/actions/create";

#[test]
fn a_request_waits_for_changes() {
    let (served, _server) = making();
    served.post(CREATE, &json!({"name": "a"}), 200);
    let page = served.get(ITEMS);
    let cursor = page["next_cursor"].as_str().unwrap().to_owned();
    // Nothing comes: it waits its time.
    let began = Instant::now();
    let nothing = served.get(&format!("{ITEMS}?cursor={cursor}&wait=1"));
    assert_eq!(ids(&nothing), Vec::<&str>::new());
    assert!((900..5_000).contains(&began.elapsed().as_millis()));
    // Something comes: it answers at once.
    let call = served.call("GET", &format!("{ITEMS}?cursor={cursor}&wait=50"));
    let waiting = std::thread::spawn(move || call.ok(200));
    // The wait may or may not have begun by then: either way it sees the change.
    let began = Instant::now();
    served.post(CREATE, &json!({"name": "b"}), 200);
    let page = waiting.join().unwrap();
    assert_eq!(ids(&page), ["i2"]);
    // Well before the look that nobody's commit asks for.
    assert!(began.elapsed().as_secs() < 8, "{:?}", began.elapsed());
}

/// A UUID, which is the same for the same number.
fn uuid(number: u64) -> String {
    let hash = blake3::hash(&number.to_le_bytes()).to_hex();
    let part = |range: std::ops::Range<usize>| hash.get(range).unwrap().to_owned();
    format!(
        "{}-{}-4{}-a{}-{}",
        part(0..8),
        part(8..12),
        part(12..15),
        part(15..18),
        part(18..30)
    )
}

#[test]
fn a_thousand_uuids_are_looked_up_at_once() {
    let stored: Vec<Value> = (0..990)
        .map(|number| json!({"id": uuid(number), "name": "x".repeat(2000), "version": 1}))
        .collect();
    let server = Server::start(move |_| reply(&stored, None));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    tidegate.sync_ok("crm/contacts", "acme");
    let served = Served::start(tidegate);
    let lookup = format!("{RECORDS}/lookup");
    // In another order than they are stored, some that there never were among them.
    let asked: Vec<String> = (0..1000).rev().map(uuid).collect();
    let want: Vec<String> = (0..990).rev().map(uuid).collect();
    let found = served.post(&lookup, &json!({ "ids": asked }), 200);
    assert_eq!(ids(&found), want);
    assert_eq!(
        (&found["next_cursor"], &found["more"]),
        (&Value::Null, &json!(false))
    );
    // The same records as in the feed, each once.
    let twice = json!({"ids": [uuid(5), uuid(5), "nobody", uuid(2)]});
    let found = served.post(&lookup, &twice, 200);
    let query = format!("{RECORDS}?ids={},{}", uuid(5), uuid(2));
    assert_eq!(found, served.get(&query));
    assert_eq!(ids(&found), [uuid(5), uuid(2)]);
    let nothing = served.post(&lookup, &json!({"ids": []}), 200);
    assert_eq!(nothing["records"], json!([]));

    // A read, so the key of a reader will do, and an idempotency key has no meaning for it.
    let reader = make_key(&served.tidegate, "read", "");
    for _ in 0..2 {
        let call = Call::new(served.address, "POST", &lookup).key(&reader);
        let call = call.header("Idempotency-Key", "one").json(&twice);
        assert_eq!(call.ok(200), found);
    }
    // What is wrong with it.
    let many: Vec<String> = (0..1001).map(uuid).collect();
    for (body, part) in [
        (json!({ "ids": many }), "api_ids"),
        (json!({"ids": [1]}), "ids"),
        (json!({"id": ["a"]}), "id"),
        (json!({}), "ids"),
    ] {
        let answer = served.call("POST", &lookup).json(&body).send();
        let problem = expect_problem(&answer, "invalid-request", 400);
        assert!(problem.to_string().contains(part), "{problem}");
    }
    let missing = lookup.replace("Contact", "Nobody");
    let answer = served.call("POST", &missing).json(&twice).send();
    expect_problem(&answer, "not-found", 404);

    // As a query they are too long for a request's line, and that is said in words.
    let query = format!("{RECORDS}?ids={}", asked.join(","));
    let problem = expect_problem(&served.call("GET", &query).send(), "long-head", 431);
    assert!(
        problem["hint"].as_str().unwrap().contains("records/lookup"),
        "{problem}"
    );
    // So are headers, and both together.
    let long = served
        .call("GET", RECORDS)
        .header("X-Long", &"x".repeat(33_000));
    expect_problem(&long.send(), "long-head", 431);
}

#[test]
fn a_connection_that_is_removed_ends_what_reads_it() {
    let (served, _server) = making();
    served.post(CREATE, &json!({"name": "a"}), 200);
    let call = served
        .call("GET", ITEMS)
        .header("Accept", "text/event-stream");
    let mut events = call.begin();
    events.until("\"id\":\"i1\"");
    let cursor = served.get(ITEMS)["next_cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    let wait = served.call("GET", &format!("{ITEMS}?cursor={cursor}&wait=50"));
    let waiting = std::thread::spawn(move || wait.send());
    let place = ITEMS.split("/models").next().unwrap();
    let removed = served.call("DELETE", place).send();
    assert!((200..300).contains(&removed.status), "{removed:?}");
    let last = events.until("event: problem");
    let rest = String::from_utf8(events.whole().body).unwrap();
    assert!((last.clone() + &rest).contains("not-found"), "{last}{rest}");
    expect_problem(&waiting.join().unwrap(), "not-found", 404);
}

#[test]
fn changes_are_followed_as_events() {
    let (served, _server) = making();
    served.post(CREATE, &json!({"name": "a"}), 200);
    let follow = |last: Option<&str>| {
        let call = served
            .call("GET", ITEMS)
            .header("Accept", "text/event-stream");
        match last {
            Some(last) => call.header("Last-Event-ID", last).begin(),
            None => call.begin(),
        }
    };
    let mut events = follow(None);
    let first = events.until("\n\n");
    assert!(
        first.contains("event: record") && first.contains("\"id\":\"i1\""),
        "{first}"
    );
    let id = first
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap()
        .to_owned();
    let began = Instant::now();
    served.post(CREATE, &json!({"name": "b"}), 200);
    let second = events.until("\n\n");
    assert!(second.contains("\"id\":\"i2\""), "{second}");
    assert!(began.elapsed().as_secs() < 8, "{:?}", began.elapsed());
    // Cut off, and on from there.
    drop(events);
    let again = follow(Some(&id)).until("\n\n");
    assert!(
        again.contains("\"id\":\"i2\"") && !again.contains("\"id\":\"i1\""),
        "{again}"
    );
    // Neither a key that is revoked nor one that expires goes on reading, even if nothing happens.
    let revoked = make_key(&served.tidegate, "read", "");
    let expiring = make_key(&served.tidegate, "read", "--expires-in 6s");
    for (key, says) in [(&expiring, "expired"), (&revoked, "revoked")] {
        let call = served.bare("GET", ITEMS).key(key);
        let mut events = call.header("Accept", "text/event-stream").begin();
        events.until("\"id\":\"i2\"");
        if says == "revoked" {
            let keys = served.get("/v1/api-keys");
            let keys = keys["api_keys"].as_array().unwrap();
            for key in keys.iter().filter(|key| key["name"] == "read") {
                let place = format!("/v1/api-keys/{}", key["id"].as_str().unwrap());
                served.call("DELETE", &place).send();
            }
        }
        let last = events.until("event: problem");
        let rest = String::from_utf8(events.whole().body).unwrap();
        assert!((last.clone() + &rest).contains(says), "{last}{rest}");
    }
    // A server that stops ends the stream in order.
    let mut last = follow(None);
    last.until("\"id\":\"i2\"");
    served.running.signal(rustix::process::Signal::TERM);
    let rest = last.whole();
    assert_eq!(rest.status, 200);
    served.running.finish().expect_code(0);
}

#[test]
fn readers_see_a_sync_while_it_goes_on() {
    let gate = Gate::default();
    let held = gate.clone();
    let server = Server::start(move |request| match request.query("cursor") {
        None => reply(&contacts(0..10, 1), Some("next")),
        Some(_) => reply(&contacts(10..20, 1), None).behind(&held),
    });
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::demo_crm(), "crm", &server.origin());
    tidegate.connect("crm", "acme", &server.origin());
    let run = tidegate.cmd("run crm/contacts --connection acme").start();
    gate.arrived();
    run.kill();
    gate.open();
    let served = Served::start(tidegate);
    // What a killed process had committed is there, and its run is over.
    assert_eq!(ids(&served.get(RECORDS)).len(), 10);
    let runs = served.get("/v1/runs");
    assert_eq!(runs["runs"][0]["outcome"], "interrupted", "{runs}");
    let syncs = served.get("/v1/integrations/crm/connections/acme/syncs");
    assert_eq!(syncs["syncs"][0]["sync"], "companies", "{syncs}");
    let sync = &syncs["syncs"][1];
    assert_eq!(sync["sync"], "contacts", "{syncs}");
    assert_eq!(sync["models"], json!(["Contact"]), "{syncs}");
    assert!(sync["checkpoints"]["base"].is_object(), "{syncs}");
    assert_eq!(sync["last_run"]["run"], runs["runs"][0]["run"], "{syncs}");
    assert!(PATIENCE.as_secs() > 0);
}

#[test]
fn records_by_id_are_no_more_than_one_page_may_have() {
    // 40 records of 900,000 bytes, ten a page.
    let source = Server::start(|request| {
        let page: u32 = request.query("cursor").map_or(0, |at| at.parse().unwrap());
        let mut items = contacts(page * 10..(page + 1) * 10, 1);
        for item in &mut items {
            item["pad"] = "x".repeat(900_000).into();
        }
        let next = (page + 1).to_string();
        reply(&items, (page < 3).then_some(next.as_str()))
    });
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    tidegate.sync_ok("crm/contacts", "acme");
    let all = tidegate.feed(MODEL, "acme", None);
    assert_eq!(all.len(), 40);
    let served = Served::start(tidegate);
    let ask = |ids: &[&str]| {
        let target = format!("{RECORDS}?ids={}", ids.join(","));
        served.call("GET", &target).send()
    };
    let all: Vec<&str> = all.iter().map(|r| r["id"].as_str().unwrap()).collect();
    let problem = expect_problem(&ask(&all), "invalid-request", 400);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("api_page_bytes"), "{detail}");
    assert_eq!(ids(&ask(&all[..30]).json()), all[..30]);
    // The same one a thousand times is one record, in the place where it was asked first.
    let again = [&[all[7]], &vec![all[3]; 999][..]].concat();
    assert_eq!(ids(&ask(&again).json()), [all[7], all[3]]);
}
