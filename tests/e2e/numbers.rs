//! Numbers on their whole way: from an API, through a configured plugin, into the store, out of it, to a destination, into a
//! file and from that into another store. Each is the number that the API sent, to the last digit.
//!
//! `TIDEGATE_NUMBERS=1000000` sends a million.

#[path = "../../plugin-sdk/tests/vectors/numbers.rs"]
mod vectors;

use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::json;

use self::vectors::number;
use crate::support::cli::Tidegate;
use crate::support::plugins;
use crate::support::server::{Reply, Server};

const PAGE: usize = 1_000;

/// Whole pages of them.
fn how_many() -> usize {
    vectors::how_many(3_000).next_multiple_of(PAGE)
}

/// An API that has so many numbers, by pages.
fn source(count: usize) -> Server {
    Server::start(move |request| {
        let page: usize = request
            .target
            .split("page=")
            .nth(1)
            .and_then(|rest| rest.split('&').next()?.parse().ok())
            .unwrap();
        let first = (page - 1) * PAGE;
        let records = (first..count.min(first + PAGE))
            .map(|at| format!("{{\"id\":\"{at}\",\"n\":{}}}", number(at as u64)));
        let records: Vec<String> = records.collect();
        Reply::text(&format!("[{}]", records.join(","))).header("Content-Type", "application/json")
    })
}

/// The standard library reads decimals exactly.
fn bits(text: &str) -> u64 {
    text.parse::<f64>().unwrap().to_bits()
}

/// Compare all that a text has of records with what was sent; how many there are.
#[track_caller]
fn expect_sent(place: &str, text: &str) -> usize {
    let mut count = 0;
    // In a record, its id is before its number.
    let mut rest = text;
    while let Some(at) = rest.find("\"n\":") {
        let (before, after) = rest.split_at(at);
        let id = before.rsplit("\"id\":\"").next().unwrap();
        let id: u64 = id[..id.find('"').unwrap()].parse().unwrap();
        let after = &after["\"n\":".len()..];
        let end = after.find([',', '}']).unwrap();
        let (got, sent) = (&after[..end], number(id));
        assert_eq!(bits(got), bits(&sent), "{place}: {sent} is {got}");
        rest = &after[end..];
        count += 1;
    }
    count
}

#[test]
fn numbers_stay_what_they_are_on_every_way() {
    let count = how_many();
    let api = source(count);
    let arrived = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&arrived);
    let destination = Server::start(move |request| {
        let body = String::from_utf8(request.body.clone()).unwrap();
        *seen.lock().unwrap() += expect_sent("the destination", &body);
        Reply::json(&json!({}))
    });
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::rest(), "crm", &api.origin());
    // The number in the config is one, too.
    let initial = "98.37282740013183";
    let config = format!(
        "{{\"models\":{{\"Number\":{{\"path\":\"/numbers\",\"query\":{{\"scale\":{initial}}},\
         \"pagination\":{{\"style\":\"page\",\"parameter\":\"page\"}}}}}}}}"
    );
    let cmd = tidegate.cmd(&format!(
        "connections add crm acme --base-url {} --config",
        api.origin()
    ));
    let file = tidegate.data().with_file_name("crm.json");
    fs::write(&file, &config).unwrap();
    cmd.arg(format!("@{}", file.display())).ok();
    tidegate.sync_ok("crm/Number", "acme");

    let grants = format!(
        "--as out --yes --allow-host {} --allow-private 127.0.0.0/8",
        destination.origin()
    );
    let deploy = tidegate.cmd("deploy").arg(plugins::push());
    deploy.words(&grants).words("--allow-feed crm/Number").ok();
    let pushes = json!({ "pushes": { "numbers": {
        "from": { "integration": "crm", "model": "Number" },
        "save": { "method": "POST", "path": "/all", "per": "page", "body": "{records: map({id, n})}" },
        "page_size": PAGE,
    } } });
    fs::write(&file, pushes.to_string()).unwrap();
    let cmd = tidegate.cmd(&format!(
        "connections add out acme --base-url {} --config",
        destination.origin()
    ));
    cmd.arg(format!("@{}", file.display())).ok();
    tidegate.sync_ok("out/numbers", "acme");
    assert_eq!(*arrived.lock().unwrap(), count);

    // Out of the store, into a file, into another store, and out of that.
    let listed = tidegate
        .cmd("records crm Number -c acme --limit 1000000 --json")
        .ok();
    assert_eq!(expect_sent("records", &listed.stdout), count);
    let exported = tidegate.data().with_file_name("export.jsonl");
    tidegate.cmd("data export crm --output").arg(&exported).ok();
    let text = fs::read_to_string(&exported).unwrap();
    assert_eq!(expect_sent("the export", &text), count);
    assert!(text.contains(initial), "the config's number");
    let other = Tidegate::new();
    other.cmd("data import --yes").arg(&exported).ok();
    let again = other
        .cmd("records crm Number -c acme --limit 1000000 --json")
        .ok();
    assert_eq!(again.stdout.lines().count(), count);
    assert_eq!(expect_sent("the import", &again.stdout), count);
    let shown = other.cmd("connections show crm acme --json").ok();
    assert!(shown.stdout.contains(initial), "{}", shown.stdout);
    // What is pulled again is what is there.
    let run = other.sync_ok("crm/Number", "acme");
    let counts = &run["figures"]["counts"]["Number"];
    assert_eq!(counts["unchanged"], count, "{run}");

    // A cassette has the answers as they were.
    let cassette = tidegate.data().with_file_name("n.jsonl");
    tidegate
        .cmd("run crm/Number -c acme --reset --record")
        .arg(&cassette)
        .ok();
    tidegate.cmd("replay").arg(&cassette).ok();
}
