//! From a collection of a real Kinto through a transform to another one, killed at 50 random
//! moments while the source changes: in the end the destination is the transformed source.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::cli::Tidegate;
use crate::support::kinto::{Kinto, PASSWORD, USER};
use crate::support::{live_for, plugins, root};

const TOTAL: usize = 120;
const KILLS: u64 = 50;
/// More runs than this are not needed for them.
const RUNS_MAX: u64 = 400;
/// Of the collection that is pushed to.
const PEOPLE: &str = "/v1/buckets/crm/collections/people";

/// Random enough to spread the kills, and the same in each test run.
fn random(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn record(number: u64, version: u64) -> Value {
    let email = (number % 7 != version % 7).then(|| format!("c{number}@example.com"));
    json!({ "id": format!("c{number:03}"), "first": "C", "last": format!("{number}-{version}"), "email": email })
}

/// What `plugins/push/examples/kinto.json` makes of a record.
fn transformed(record: &Value) -> Option<Value> {
    let email = record["email"].as_str()?;
    let name = format!("{} {}", record["first"].as_str()?, record["last"].as_str()?);
    Some(json!({ "email": email, "name": name, "tags": [] }))
}

#[test]
fn killed_fifty_times_the_destination_is_the_transformed_source() {
    let Some(kinto) = Kinto::start("push") else {
        return;
    };
    kinto.put(PEOPLE, &json!({}));
    let tidegate = set_up(&kinto);
    let first: Vec<Value> = (0..TOTAL as u64).map(|number| record(number, 0)).collect();
    kinto.save(&first);
    tidegate.sync_ok("crm/Record", "main");
    let mut chance = 20_261_121;
    let (mut interrupted, mut version) = (0, 0);
    // How long a run may live at most: so that about half of them are killed before their end,
    // however fast the machine is.
    let mut longest = 400;
    while interrupted < KILLS {
        version += 1;
        assert!(version < RUNS_MAX, "only {interrupted} runs were killed");
        // Some are saved and some deleted between the kills, most of them while others wait.
        let number = random(&mut chance) % TOTAL as u64;
        let saved: Vec<Value> = (number..number + 12)
            .map(|number| record(number, version))
            .collect();
        kinto.save(&saved);
        kinto.delete(&[format!("c{:03}", number + 3)]);
        if version % 5 == 0 {
            tidegate.sync_ok("crm/Record", "main");
        }
        let running = tidegate.cmd("run out/people --connection main").start();
        live_for(Duration::from_millis(random(&mut chance) % longest));
        if running.kill().code.is_none() {
            interrupted += 1;
            longest += longest / 8;
        } else {
            longest -= longest / 8;
        }
    }
    tidegate.sync_ok("crm/Record", "main");
    tidegate.sync_ok("out/people", "main");
    let want: BTreeMap<String, Value> = kinto
        .records()
        .into_iter()
        .filter_map(|(id, record)| Some((id, transformed(&record)?)))
        .collect();
    assert!(want.len() > TOTAL / 2);
    let mut people = kinto.records_of(&format!("{PEOPLE}/records"));
    for person in people.values_mut() {
        let person = person.as_object_mut().unwrap();
        // What Kinto adds.
        person.remove("id");
        person.remove("last_modified");
    }
    assert_eq!(people, want);
    // And the push knows it.
    let known = tidegate.feed("out/people", "main", None);
    let known = known
        .into_iter()
        .filter(|record| record["action"] != "deleted");
    let known: BTreeMap<String, Value> = known
        .map(|record| {
            (
                record["id"].as_str().unwrap().to_owned(),
                record["body"].clone(),
            )
        })
        .collect();
    assert_eq!(known, want);
    assert_eq!(
        tidegate.sync_ok("out/people", "main")["figures"]["requests"],
        0
    );
}

/// `plugins/rest` as `crm`, `plugins/push` as `out`, both with their examples, on this server.
fn set_up(kinto: &Kinto) -> Tidegate {
    let tidegate = Tidegate::new();
    let origin = format!("http://{}", kinto.address());
    tidegate.deploy(&plugins::rest(), "crm", &origin);
    super::deploy(&tidegate, &origin, "--allow-feed crm/Record");
    for (integration, example) in [
        ("crm", "plugins/rest/examples/kinto.json"),
        ("out", "plugins/push/examples/kinto.json"),
    ] {
        let words = format!("connections add {integration} main --base-url {origin}/v1");
        let secrets =
            "--secret username=env:KINTO_USER --secret password=env:KINTO_PASSWORD --config";
        let cmd = tidegate.cmd(&words).words(secrets);
        cmd.arg(format!("@{}", root().join(example).display()))
            .env("KINTO_USER", USER)
            .env("KINTO_PASSWORD", PASSWORD)
            .ok();
    }
    tidegate
}
