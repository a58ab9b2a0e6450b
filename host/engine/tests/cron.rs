//! Cron expressions as six libraries read them: `vectors/cron.json`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use jiff::Timestamp as Moment;
use serde_json::Value;
use tidegate_engine::Timestamp;
use tidegate_engine::schedule::{Cron, Timing};

/// What we refuse although some libraries take it, and why.
const REFUSED: [(&str, &str); 10] = [
    ("0 0 * * FRI-MON", "ranges that wrap: most refuse them"),
    ("50-10 * * * *", "as above"),
    (
        "0 0 * * L5",
        "all but one refuse it; 5L is the usual spelling",
    ),
    (
        "*/15 * * * * *",
        "six fields: nothing here runs by the second",
    ),
    ("30 0 12 * * *", "as above"),
    ("0 0 0 1 1 *", "as above"),
    ("59 59 23 31 12 *", "as above"),
    ("* * * *", "four fields: a typing error"),
    ("", "as above"),
    ("1,,2 * * * *", "all but one refuse it"),
];

/// Where the libraries split, and what we choose: the first fires after `start`, in UTC.
const CHOSEN: [(&str, &str, &[&str]); 4] = [
    // A month without a 31st has no weekday nearest to it.
    (
        "0 0 31W * *",
        "UTC",
        &["2026-01-30T00:00:00Z", "2026-03-31T00:00:00Z"],
    ),
    // "Every two hours" leaves out what the clock leaves out.
    (
        "0 */2 * * *",
        "America/New_York",
        &[
            "2026-03-08T05:00:00Z",
            "2026-03-08T08:00:00Z",
            "2026-03-08T10:00:00Z",
        ],
    ),
    // And so does "every twenty minutes within the hour that is left out".
    (
        "0-59/20 2 * * *",
        "Europe/Berlin",
        &["2026-03-30T00:00:00Z", "2026-03-30T00:20:00Z"],
    ),
    // A day that was left out has no noon, and the next one does.
    (
        "0 12 * * *",
        "Pacific/Apia",
        &[
            "2011-12-28T22:00:00Z",
            "2011-12-29T22:00:00Z",
            "2011-12-30T22:00:00Z",
            "2011-12-31T22:00:00Z",
        ],
    ),
];

fn at(text: &str) -> Timestamp {
    let moment: Moment = text.parse().unwrap();
    Timestamp(u64::try_from(moment.as_millisecond()).unwrap())
}

fn shown(at: Timestamp) -> String {
    let ms = i64::try_from(at.0).unwrap();
    Moment::from_millisecond(ms).unwrap().to_string()
}

#[test]
fn we_read_them_as_most_do() {
    let vectors: Value = serde_json::from_str(include_str!("vectors/cron.json")).unwrap();
    let mut compared = 0;
    let mut wrong = Vec::new();
    for vector in vectors["vectors"].as_array().unwrap() {
        let text = |key: &str| vector[key].as_str().unwrap();
        let (expression, zone) = (text("expr"), text("tz"));
        let cron = Cron::new(expression, zone);
        let place = format!("{expression:?} in {zone}: ");
        let expected = match text("verdict") {
            "split" => {
                let choice = CHOSEN
                    .iter()
                    .find(|(e, z, _)| *e == expression && *z == zone);
                choice.map(|(_, _, fires)| fires.iter().map(|f| (*f).to_owned()).collect())
            }
            "all-reject-or-empty" => None,
            _ => vector["expected"].as_array().map(|fires| {
                let fires = fires.iter().map(|fire| fire.as_str().unwrap().to_owned());
                fires.collect::<Vec<String>>()
            }),
        };
        let refused = REFUSED.iter().any(|(e, _)| *e == expression);
        match (cron, expected) {
            (Err(_), None) => {}
            (Err(_), Some(_)) if refused => {}
            (Err(error), Some(_)) => wrong.push(format!("{place}{error}")),
            (Ok(cron), None) => {
                let timing = Timing::Cron(Box::new(cron));
                let fires: Vec<String> = timing.preview(at(text("start")), 8).map(shown).collect();
                wrong.push(format!(
                    "{place}nobody takes it, and here it is due {fires:?}"
                ));
            }
            (Ok(cron), Some(expected)) => {
                let timing = Timing::Cron(Box::new(cron));
                let fires = timing.preview(at(text("start")), expected.len());
                let fires: Vec<String> = fires.map(shown).collect();
                if fires != expected {
                    wrong.push(format!("{place}{fires:?} instead of {expected:?}"));
                }
                compared += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= 90, "{compared}");
}
