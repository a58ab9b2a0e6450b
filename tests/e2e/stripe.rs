//! A real Stripe-like server, synced by the configured plugin with the config that it ships:
//! `starting_after`, full pulls with deletions, a key that is refused.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::cli::Tidegate;
use crate::support::stripe::{KEY, Stripe};
use crate::support::tap::Tap;
use crate::support::{plugins, root};

const TOTAL: usize = 250;
/// As the example asks for.
const PAGE: usize = 100;

#[test]
fn pages_of_what_starts_after_the_last_one() {
    let Some(stripe) = Stripe::start("stripe") else {
        return;
    };
    let tap = Tap::before(stripe.address());
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::rest(), "stripe", &tap.origin());
    let connect = |name: &str, key: &str| {
        let origin = tap.origin();
        let words = format!(
            "connections add stripe {name} --base-url {origin} --secret token=env:STRIPE_KEY"
        );
        let example = root().join("plugins/rest/examples/stripe.json");
        let config = format!("@{}", example.display());
        let cmd = tidegate.cmd(&words).arg("--config").arg(&config);
        cmd.env("STRIPE_KEY", key).ok();
    };
    connect("acme", KEY);
    let customer = |number: usize, version: usize| {
        json!({
            "name": format!("Customer № {number}"),
            "metadata": {"version": version.to_string()},
        })
    };
    let mut ids: Vec<String> = (0..TOTAL)
        .map(|number| stripe.create(&customer(number, 1)))
        .collect();

    // (how often the list is read, the pages of it, what is counted)
    let sync = |passes: usize, pages: usize, counts: Value| {
        tap.take();
        let run = tidegate.sync_ok("stripe/Customer", "acme");
        let done = &run["figures"]["counts"]["Customer"];
        for (action, count) in counts.as_object().unwrap() {
            assert_eq!(&done[action], count, "{action}: {run}");
        }
        let asked = tap.take();
        assert_eq!(asked.len(), passes * pages, "{asked:#?}");
        let after = |page: usize| asked[page].query("starting_after");
        for (number, request) in asked.iter().enumerate() {
            assert_eq!(request.query("limit").as_deref(), Some("100"));
            let is_first = number.is_multiple_of(pages);
            assert_eq!(after(number).is_none(), is_first, "{request:?}");
            // Each pass asks for the same.
            assert_eq!(after(number), after(number % pages), "{request:?}");
        }
    };
    let expect_equal = |ids: &[String]| {
        let live = tidegate.feed("stripe/Customer", "acme", None);
        let live = live.iter().filter(|record| record["action"] != "deleted");
        let ours: BTreeMap<String, Value> = live
            .map(|record| {
                let id = record["id"].as_str().unwrap();
                (id.to_owned(), record["body"].clone())
            })
            .collect();
        assert_eq!(ours, stripe.customers(ids));
    };
    sync(1, TOTAL.div_ceil(PAGE), json!({"added": TOTAL}));
    expect_equal(&ids);

    for (number, id) in ids.iter().enumerate().skip(100).take(12) {
        stripe.update(id, &customer(number, 2));
    }
    for id in ids.drain(..7) {
        stripe.delete(&id);
    }
    // What a list of several pages does not show is deleted when a second pass, which reads the
    // same, does not show it either. All of that pass is unchanged, and counts.
    let left = ids.len();
    let unchanged = (left - 12) + left;
    let changed =
        json!({"added": 0, "updated": 12, "deleted": 7, "unchanged": unchanged, "skipped": 0});
    sync(2, left.div_ceil(PAGE), changed);
    expect_equal(&ids);
    // Nothing is unseen, so one pass is enough.
    let quiet = json!({"updated": 0, "deleted": 0, "unchanged": left});
    sync(1, left.div_ceil(PAGE), quiet);

    connect("stranger", "pk_no_such_key");
    let run = tidegate.sync("stripe/Customer", "stranger");
    let failure = &run.json()["failure"];
    assert_eq!(failure["class"], "auth", "{failure}");
}
