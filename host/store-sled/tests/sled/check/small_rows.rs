//! What can be broken among the small rows, the runs, and in what belongs to nothing.

use super::damage::{ACME, Row, move_key, run_key, sync_key};
use super::raw::of_feed;

pub const ROWS: &[Row] = &[
    // The small rows.
    (
        "a row that nothing knows",
        |raw| raw.put(b"aextra\0", b""),
        "the store's own rows",
        "nothing knows",
    ),
    (
        "an integration under another name",
        |raw| move_key(raw, b"icrm\0", b"ierp\0"),
        "ierp",
        "its row is of integration crm",
    ),
    (
        "an integration that is gone",
        |raw| raw.remove(b"icrm\0"),
        "crm/acme",
        "its integration is not there",
    ),
    (
        "an integration's row is no JSON",
        |raw| raw.put(b"icrm\0", b"{"),
        "icrm",
        "not the JSON",
    ),
    (
        "a connection under another name",
        |raw| move_key(raw, b"ccrm\0bolt\0", b"ccrm\0nuts\0"),
        "nuts",
        "its row is of connection crm/bolt",
    ),
    (
        "a connection's number given out again",
        |raw| raw.replace(b"acounters\0", r#""connection":2"#, r#""connection":1"#),
        "crm/bolt",
        "its connection has the number 2",
    ),
    (
        "two connections with one number",
        |raw| raw.replace(b"ccrm\0bolt\0", r#""number":2"#, r#""number":1"#),
        "crm/bolt",
        "has the number 1, which crm/acme has",
    ),
    (
        "a feed's number given out again",
        |raw| raw.replace(b"acounters\0", r#""feed":2"#, r#""feed":1"#),
        "crm/acme/Deal",
        "its feed has the number 2",
    ),
    (
        "a sync's number given out again",
        |raw| raw.replace(b"acounters\0", r#""sync":2"#, r#""sync":1"#),
        "crm/deals (acme)",
        "its row has the number 2",
    ),
    (
        "a fence given out again",
        |raw| raw.replace(b"acounters\0", r#""fence":2"#, r#""fence":1"#),
        "run_",
        "its fence is 2",
    ),
    (
        "a model of no connection",
        |raw| raw.put(&[b"m\x01\x09", &b"X\0"[..]].concat(), &7u64.to_be_bytes()),
        "key m",
        "connection number 9, which no connection has",
    ),
    (
        "two models with one feed",
        |raw| raw.put(&[b"m", ACME, b"X\0"].concat(), &2u64.to_be_bytes()),
        "crm/acme/X",
        "its feed, number 2, is that of crm/acme/Deal too",
    ),
    (
        "a model's row is no number",
        |raw| raw.put(&[b"m", ACME, b"Deal\0"].concat(), b"two"),
        "Deal",
        "should be a number",
    ),
    (
        "two syncs with one number",
        |raw| raw.replace(&sync_key("deals"), r#""number":2"#, r#""number":1"#),
        "crm/deals (acme)",
        "has the number 1",
    ),
    (
        "a checkpoint of no sync",
        |raw| raw.put(b"k\x01\x09", b"1"),
        "key k",
        "sync number 9, which no sync has",
    ),
    (
        "a checkpoint that is no JSON",
        |raw| raw.put(b"k\x01\x01", b"{"),
        "crm/contacts (acme)",
        "its checkpoint is not JSON",
    ),
    // Runs.
    (
        "a run under another id",
        |raw| move_key(raw, &run_key(b"r", 1), &run_key(b"r", 2)),
        "key r",
        "its row is of run_",
    ),
    (
        "a run that its integration does not list",
        |raw| raw.remove(&run_key(b"tcrm\0\x01", 1)),
        "run_",
        "the list of integration crm lacks it",
    ),
    (
        "a run that its connection does not list",
        |raw| raw.remove(&run_key(&[b"u", ACME, b"\x01"].concat(), 1)),
        "run_",
        "the list of connection crm/acme lacks it",
    ),
    (
        "a run that goes on for ever",
        |raw| raw.remove(&run_key(b"s", 500)),
        "run_",
        "has no end, and is not marked as running",
    ),
    (
        "a run that ended and goes on",
        |raw| raw.put(&run_key(b"s", 1), b""),
        "run_",
        "marked as running, and has ended",
    ),
    (
        "a list of an integration names no run",
        |raw| raw.put(&run_key(b"tcrm\0\x01", 9), b""),
        "run_",
        "under integration crm, and there is no such run",
    ),
    (
        "a list of another integration",
        |raw| raw.put(&run_key(b"terp\0\x01", 1), b""),
        "run_",
        "under integration erp, which it is not of",
    ),
    (
        "a list of what failed has what succeeded",
        |raw| raw.put(&run_key(b"tcrm\0\x02", 1), b""),
        "run_",
        "it is success, and a list has it as something else",
    ),
    (
        "a list of a connection names no run",
        |raw| raw.put(&run_key(&[b"u", ACME, b"\x01"].concat(), 9), b""),
        "run_",
        "under connection number 1, and there is no such run",
    ),
    (
        "a list of another connection",
        |raw| raw.put(&run_key(b"u\x01\x02\x01", 1), b""),
        "run_",
        "under connection number 2, which it is not of",
    ),
    (
        "a log of no run",
        |raw| raw.put(&[&run_key(b"l", 9)[..], &[0]].concat(), b"[]"),
        "run_",
        "it has log lines, and there is no such run",
    ),
    (
        "log lines from elsewhere",
        |raw| {
            move_key(
                raw,
                &[&run_key(b"l", 1)[..], &[0]].concat(),
                &[&run_key(b"l", 1)[..], &[1, 5]].concat(),
            );
        },
        "run_",
        "log lines from 5 are not in their order",
    ),
    // What belongs to nothing.
    (
        "a segment of no feed",
        |raw| raw.put(&of_feed(b'g', 9, &[1, 1]), b""),
        "key g",
        "feed number 9, which no model has",
    ),
    (
        "a header of no feed",
        |raw| raw.put(&of_feed(b'f', 9, &[]), b""),
        "key f",
        "feed number 9, which no model has",
    ),
    (
        "a kind that nothing knows",
        |raw| raw.put(b"Zwhat", b""),
        "key Zwhat",
        "kind that this version does not know",
    ),
    (
        "a part of nothing",
        |raw| raw.put(b"z\x01\x02kk\x00", b""),
        "key z",
        "a part of a value that has no such part",
    ),
    (
        "a part that is gone",
        |raw| {
            let key = raw.keys(b"z")[1].clone();
            raw.remove(&key);
        },
        "key",
        "a long value does not have its checksum",
    ),
    (
        "a part that is one too many",
        |raw| {
            let key = raw.keys(b"z").last().unwrap().clone();
            let mut more = key;
            *more.last_mut().unwrap() = 77;
            raw.put(&more, b"");
        },
        "key z",
        "a part of a value that has no such part",
    ),
];
