//! Expressions compared with jq: `jq.jsonl` has programs, inputs and what jq 1.8 makes of them (`tests/jq/compare.py`
//! asks a real one). Where ours is another result, the row has it under `ours`, and `docs/push-plugin.md` says so.

use tidegate_sdk::ConfigPath;
use tidegate_sdk::prelude::*;

use crate::jq::{self, Jq};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    program: String,
    /// JSON text.
    input: String,
    /// The values, or `error`.
    jq: Value,
    /// The same of ours, where it differs; or `refused` for what is no expression here.
    ours: Option<Value>,
}

fn ours(row: &Row) -> Value {
    let Ok(program) = Jq::new(&row.program, false, &ConfigPath::new("test").at("jq")) else {
        return json!("refused");
    };
    let input = jq::parse(&row.input).unwrap();
    let texts = program.all(input, "").and_then(|values| {
        let texts = values.iter().map(jq::text);
        texts.collect::<Result<Vec<_>, _>>()
    });
    match texts {
        Ok(texts) => texts
            .iter()
            .map(|text| serde_json::from_str::<Value>(text).unwrap())
            .collect(),
        Err(_) => json!("error"),
    }
}

/// Numbers are compared as the doubles that they mean.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, one)| other.get(name).is_some_and(|other| same(one, other)))
        }
        _ => one == other,
    }
}

#[test]
fn expressions_mean_what_jq_means() {
    let rows = include_str!("jq.jsonl").lines();
    let rows: Vec<Row> = rows
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(rows.len() >= 300);
    let mut wrong = Vec::new();
    for row in &rows {
        let found = ours(row);
        let is_same = same(&found, &row.jq);
        let is_expected = match &row.ours {
            Some(expected) => !is_same && same(&found, expected),
            None => is_same,
        };
        if !is_expected {
            let (program, input, jq) = (&row.program, &row.input, &row.jq);
            wrong.push(format!("{program}\t{input}\tjq {jq}\tours {found}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
