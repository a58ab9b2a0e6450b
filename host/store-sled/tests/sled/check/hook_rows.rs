//! What can be broken among webhook endpoints, events, deliveries, and which of these wait.

use super::damage::{Row, move_key};
use crate::common::endpoint_id;

/// The key of the delivery of the only event to an endpoint.
pub fn delivery_key(endpoint: u64) -> Vec<u8> {
    [&b"D"[..], &endpoint_id(endpoint).to_bytes(), &[1, 1]].concat()
}

fn pending_key(endpoint: u64, seq: u8) -> Vec<u8> {
    let id = endpoint_id(endpoint).to_bytes();
    [&b"Y"[..], &id, b"crm\0acme\0", &[1, seq]].concat()
}

fn endpoint_key(endpoint: u64) -> Vec<u8> {
    [&b"E"[..], &endpoint_id(endpoint).to_bytes()].concat()
}

pub const ROWS: &[Row] = &[
    (
        "an endpoint under another id",
        |raw| move_key(raw, &endpoint_key(2), &endpoint_key(3)),
        "webhooks",
        "its row is of endpoint ep_",
    ),
    (
        "an endpoint's deliveries without it",
        |raw| raw.remove(&endpoint_key(2)),
        "event number 1 to ep_",
        "there is no such endpoint",
    ),
    (
        "an event under another number",
        |raw| move_key(raw, &[b'V', 1, 1], &[b'V', 1, 2]),
        "webhooks",
        "its row is of event number 1",
    ),
    (
        "an event's number given out again",
        |raw| raw.replace(b"acounters\0", r#""event":1"#, r#""event":0"#),
        "event number 1",
        "0 was the last number given out",
    ),
    (
        "a delivery without its event",
        |raw| raw.remove(&[b'V', 1, 1]),
        "event number 1 to ep_",
        "there is no such event",
    ),
    (
        "a delivery under another number",
        |raw| {
            let id = endpoint_id(1).to_bytes();
            let key = [&b"D"[..], &id, &[1, 7]].concat();
            let value = raw.db.get(delivery_key(1)).unwrap().unwrap();
            raw.db.insert(key, value).unwrap();
        },
        "webhooks",
        "its row is of event number 1 to ep_",
    ),
    (
        "a delivery that waits and nobody knows",
        |raw| raw.remove(&pending_key(1, 1)),
        "event number 1 to ep_",
        "is not among those that do",
    ),
    (
        "a wait for a delivery that is not there",
        |raw| raw.put(&pending_key(1, 9), b""),
        "webhooks",
        "no such delivery waits",
    ),
    (
        "an event's row is no JSON",
        |raw| raw.put(&[b'V', 1, 1], b"{"),
        "V",
        "not the JSON",
    ),
];
