//! Numbers through an expression, and to a destination: what arrives is the number that the record has, to the last digit.
//!
//! `TIDEGATE_NUMBERS=1000000` tries a million.

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{Change, ChangeAction, FakeHost, Reply, Request};

use super::{plugin, push};
use crate::jq::{self, Jq};
use crate::plan::Key;

/// The same numbers each time; xorshift64*.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number as APIs write them: the shortest text of a double, 16 and 17 digits with a point among them, an
    /// exponent, an integer of 64 bits.
    fn text(&mut self) -> String {
        let pick = self.next();
        let sign = if pick & 1 == 0 { "" } else { "-" };
        match pick >> 1 & 3 {
            0 => loop {
                let double = f64::from_bits(self.next());
                if double.is_finite() {
                    return format!("{double:?}");
                }
            },
            1 => {
                let digits =
                    (self.next() % 90_000_000_000_000_000 + 10_000_000_000_000_000).to_string();
                let point = 1 + usize::try_from(self.next() % 15).unwrap();
                format!("{sign}{}.{}", &digits[..point], &digits[point..])
            }
            2 => format!(
                "{sign}0.{:017}e{}",
                self.next() % 100_000_000_000_000_000,
                self.next() % 300
            ),
            _ => format!("{sign}{}", self.next()),
        }
    }
}

fn how_many() -> usize {
    let set = std::env::var("TIDEGATE_NUMBERS").ok();
    set.map_or(20_000, |count| count.parse().unwrap())
}

/// The standard library reads decimals exactly.
fn bits(text: &str) -> u64 {
    text.parse::<f64>().unwrap().to_bits()
}

#[test]
fn an_expression_leaves_a_number_what_it_is() {
    let program = |text| Jq::new(text, false, &Key::of("test", "jq")).unwrap();
    // What takes a number along as it is, and what looks at it meanwhile.
    let programs = [
        (".", ""),
        ("{v: .} | .v", ""),
        ("[., 1] | sort_by(0) | .[0]", ""),
        ("tojson | fromjson", ""),
    ]
    .map(|(text, _)| (text, program(text)));
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    for _ in 0..how_many() {
        let sent = numbers.text();
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
    let mut numbers = Numbers(0x0bad_cafe_1234_5679);
    let count = how_many();
    for batch in 0..count.div_ceil(1_000) {
        let sent: Vec<String> = (0..1_000).map(|_| numbers.text()).collect();
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
