//! What can be broken among idempotency keys, when they expire, and results; and among API keys.

use serde_json::json;
use tidegate_engine::Timestamp;
use tidegate_engine::job::JobId;
use tidegate_engine::run::RunId;

use super::damage::{ACME, Row};
use super::work_rows::job_id;
use crate::common::run_id;

/// The row of a key of `acme`'s action `create`.
fn key_row(run: RunId, expires_at: Option<u64>) -> (Vec<u8>, Vec<u8>) {
    let row = json!({"run": run, "input": "00", "expires_at": expires_at, "kept": false});
    let key = [b"e", ACME, b"create\0k"].concat();
    (key, row.to_string().into_bytes())
}

/// The same of a key that a job holds, or nobody.
fn job_key_row(job: Option<JobId>) -> (Vec<u8>, Vec<u8>) {
    let row = json!({"job": job, "input": "00", "expires_at": null, "kept": false});
    let key = [b"e", ACME, b"push\0k"].concat();
    (key, row.to_string().into_bytes())
}

fn api_key(name: &str) -> String {
    json!({
        "id": "key_00000000000000000000000001", "name": name, "digest": "00".repeat(32),
        "scopes": ["read"], "created_at": 1,
    })
    .to_string()
}

pub const ROWS: &[Row] = &[
    (
        "a key of a run that is not there",
        |raw| {
            let (key, row) = key_row(run_id(77), Some(5));
            raw.put(&key, &row);
        },
        "idempotency keys",
        "is not one of its connection",
    ),
    (
        "a key that is held by a run that does not hold it",
        |raw| {
            let (key, row) = key_row(run_id(500), None);
            raw.put(&key, &row);
        },
        "idempotency keys",
        "which does not hold it",
    ),
    (
        "a key of a job that is not there",
        |raw| {
            let (key, row) = job_key_row(Some(JobId::from_parts(Timestamp(77), 77)));
            raw.put(&key, &row);
        },
        "idempotency keys",
        "is not one of its connection",
    ),
    (
        "a key that is held by a job that does not hold it",
        |raw| {
            let (key, row) = job_key_row(Some(job_id()));
            raw.put(&key, &row);
        },
        "idempotency keys",
        "whether that holds it, and errs",
    ),
    (
        "a key of nobody",
        |raw| {
            let (key, row) = job_key_row(None);
            raw.put(&key, &row);
        },
        "idempotency keys",
        "nobody ever took it",
    ),
    (
        "a key that nothing says the expiry of",
        |raw| {
            let (key, row) = key_row(run_id(1), Some(5));
            raw.put(&key, &row);
        },
        "idempotency keys",
        "nothing says when it expires",
    ),
    (
        "a key that expires at another time",
        |raw| {
            let (key, row) = key_row(run_id(1), Some(5));
            raw.put(&key, &row);
            raw.put(&[b"h\x01\x05", &key[1..]].concat(), b"");
            raw.put(&[b"h\x01\x06", &key[1..]].concat(), b"");
        },
        "idempotency keys",
        "does not expire then",
    ),
    (
        "a key's row is no JSON",
        |raw| raw.put(&key_row(run_id(1), None).0, b"{"),
        "create",
        "not the JSON",
    ),
    (
        "a result of a run that is not there",
        |raw| raw.put(&[&b"q"[..], &run_id(77).to_bytes()].concat(), b"7"),
        "idempotency keys",
        "a result of a run that is not there",
    ),
    (
        "an API key under another one's id",
        |raw| {
            raw.put(
                b"Akey_00000000000000000000000009\0",
                api_key("reader").as_bytes(),
            );
        },
        "API keys",
        "its row is of key_",
    ),
    (
        "an API key without a name",
        |raw| raw.put(b"Akey_00000000000000000000000001\0", api_key("").as_bytes()),
        "API keys",
        "1 to 100 bytes",
    ),
    (
        "an API key that is no JSON",
        |raw| raw.put(b"Akey_00000000000000000000000001\0", b"{"),
        "key_",
        "not the JSON",
    ),
];
