//! Numbers through a plugin: what is stored is the number that the API sent, to the last digit.
//!
//! `TIDEGATE_NUMBERS=1000000 cargo test -p tidegate-sdk --test sdk numbers` tries a million.

#[path = "../vectors/numbers.rs"]
mod vectors;

use tidegate_sdk::prelude::*;
use tidegate_sdk::serde_json::value::RawValue;

use self::vectors::{how_many, number};
use crate::{host, run};

const BATCH: usize = 1_000;

/// What the README's plugins do with a number.
#[derive(Serialize, Deserialize)]
struct Order {
    id: usize,
    total: f64,
}

#[test]
fn numbers_stay_what_they_are() {
    let mut numbers = (0..).map(number);
    for _ in 0..how_many(20_000).div_ceil(BATCH) {
        let texts: Vec<String> = numbers.by_ref().take(BATCH).collect();
        let records = texts.iter().enumerate();
        let records = records.map(|(id, text)| format!("{{\"id\":{id},\"total\":{text}}}"));
        let records: Vec<String> = records.collect();
        let sent = records.clone();
        let outcome = run(&host(), move |cx| {
            let records = sent.clone();
            async move {
                let mut commit = cx.batch("M");
                for (at, record) in records.iter().enumerate() {
                    let order: Order = serde_json::from_str(record)?;
                    let value: Value = serde_json::from_str(record)?;
                    let raw: &RawValue = serde_json::from_str(record)?;
                    commit.save_with_id(format!("struct-{at}"), &order)?;
                    commit.save_with_id(format!("value-{at}"), &value)?;
                    commit.save_json(format!("raw-{at}"), raw.get());
                }
                commit.commit().await?;
                Ok(())
            }
        });
        outcome.assert_ok();
        for saved in &outcome.commits[0].batches[0].save {
            let (way, at) = saved.id.split_once('-').unwrap();
            let sent = &texts[at.parse::<usize>().unwrap()];
            let stored = saved
                .body
                .split_once("\"total\":")
                .unwrap()
                .1
                .trim_end_matches('}');
            if way == "raw" {
                assert_eq!(stored, sent);
            } else {
                // The standard library reads decimals exactly.
                let [stored, sent] = [stored, sent].map(|text| text.parse::<f64>().unwrap());
                assert_eq!(
                    stored.to_bits(),
                    sent.to_bits(),
                    "{way} of {sent:?}: {stored:?}"
                );
            }
        }
    }
}
