//! Numbers through an expression, and to a destination: what arrives is the number that the record has, to the last digit.
//!
//! `TIDEGATE_NUMBERS=1000000` tries a million.

#[path = "../../../../plugin-sdk/tests/vectors/numbers.rs"]
mod vectors;

use tidegate_sdk::ConfigPath;
use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{Change, ChangeAction, FakeHost, Reply, Request};

use self::vectors::{how_many, number};
use super::{plugin, push};
use crate::jq::{self, Jq};

/// The standard library reads decimals exactly.
fn bits(text: &str) -> u64 {
    text.parse::<f64>().unwrap().to_bits()
}

#[test]
fn an_expression_leaves_a_number_what_it_is() {
    let program = |text| Jq::new(text, false, &ConfigPath::new("test").at("jq")).unwrap();
    // What takes a number along as it is, and what looks at it meanwhile.
    let programs = [
        ".",
        "{v: .} | .v",
        "[., 1] | sort_by(0) | .[0]",
        "tojson | fromjson",
    ]
    .map(|text| (text, program(text)));
    for sent in (0..).map(number).take(how_many(20_000)) {
        for (text, program) in &programs {
            let values = program.all(jq::parse(&sent).unwrap(), "").unwrap();
            let [value] = &values[..] else {
                panic!("{text} of {sent}: {values:?}")
            };
            let got = jq::text(value).unwrap();
            assert_eq!(bits(&got), bits(&sent), "{text} of {sent}: {got}");
        }
    }
}

#[test]
fn a_destination_gets_the_number_that_the_record_has() {
    let mut numbers = (0..).map(number);
    let count = how_many(20_000);
    for batch in 0..count.div_ceil(1_000) {
        let sent: Vec<String> = numbers.by_ref().take(1_000).collect();
        // As they are, and by an expression.
        let save = match batch % 2 {
            0 => json!({ "method": "POST", "path": "/all", "per": "page", "body": "{records: .}" }),
            _ => {
                json!({ "method": "POST", "path": "/all", "per": "page", "body": "{records: map({n, id})}" })
            }
        };
        let config = push(json!({ "save": save, "page_size": 1_000 }));
        let host = FakeHost::new()
            .base_url("https://api.example.com")
            .config(json!({ "pushes": { "people": config } }))
            .on(|_: &Request| Some(Reply::json(json!({}))));
        for (at, number) in sent.iter().enumerate() {
            let change = Change {
                id: at.to_string(),
                action: ChangeAction::Added,
                body: Some(format!("{{\"id\":\"{at}\",\"n\":{number}}}")),
                first_seen_at: 1,
                last_modified_at: 1,
                cursor: at.to_string(),
            };
            drop(host.clone().feed_change("crm", "Contact", change));
        }
        let outcome = host.run_sync(plugin(), "people");
        outcome.assert_ok();
        let mut arrived = 0;
        for request in &outcome.requests {
            let body = String::from_utf8(request.body.clone().unwrap()).unwrap();
            for record in body.split("\"n\":").skip(1) {
                let got: String = record
                    .chars()
                    .take_while(|c| !matches!(c, ',' | '}'))
                    .collect();
                assert_eq!(bits(&got), bits(&sent[arrived]), "{}: {got}", sent[arrived]);
                arrived += 1;
            }
        }
        assert_eq!(arrived, 1_000);
    }
}
