//! Numbers through a plugin: what is stored is the number that the API sent, to the last digit.
//!
//! `TIDEGATE_NUMBERS=1000000 cargo test -p tidegate-sdk --test sdk numbers` tries a million.

use tidegate_sdk::prelude::*;
use tidegate_sdk::serde_json::value::RawValue;

use crate::{host, run};

const BATCH: usize = 1_000;

/// What the README's plugins do with a number.
#[derive(Serialize, Deserialize)]
struct Order {
    id: usize,
    total: f64,
}

/// The same numbers each time; xorshift64*.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number as APIs write them: the shortest text of a double, or so many digits and an exponent.
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
            // Money and measures: 16 and 17 digits, a point among them.
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

#[test]
fn numbers_stay_what_they_are() {
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    for _ in 0..how_many().div_ceil(BATCH) {
        let texts: Vec<String> = (0..BATCH).map(|_| numbers.text()).collect();
        let records = texts.iter().enumerate();
        let records = records.map(|(id, text)| format!("{{\"id\":{id},\"total\":{text}}}"));
        let records: Vec<String> = records.collect();
        let sent = records.clone();
        let outcome = run(&host(), move |cx| {
            let records = sent.clone();
            async move {
                let mut commit = cx.page("M");
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
        for saved in &outcome.commits[0].pages[0].save {
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
