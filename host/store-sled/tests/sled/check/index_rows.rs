//! What can be broken in an index and in segments.

use super::damage::{CONTACT, DEAL, Row, copy, flip_a_bit, move_key, nth, remove_nth};
use super::raw::{number, of_feed};

pub const ROWS: &[Row] = &[
    // The index.
    (
        "a pack is gone",
        |raw| remove_nth(raw, b'x', 3),
        "crm/acme/Contact",
        "does not begin where the one before it ends",
    ),
    (
        "the first pack is gone",
        |raw| remove_nth(raw, b'x', 0),
        "crm/acme/Contact",
        "does not begin with the empty id",
    ),
    (
        "the last pack is gone",
        |raw| {
            let last = raw.keys(&of_feed(b'x', CONTACT, &[])).len() - 1;
            remove_nth(raw, b'x', last);
        },
        "crm/acme/Contact",
        "the index goes on with a pack from id",
    ),
    (
        "a pack is cut",
        |raw| raw.change(&nth(raw, b'x', 2), |value| value.truncate(30)),
        "crm/acme/Contact, key x",
        "ends too early",
    ),
    (
        "a record in another's pack",
        |raw| raw.pack(CONTACT, 2, |pack| pack.entries[0].id = b"zzz".to_vec()),
        "crm/acme/Contact",
        "record \"zzz\" is not in its place",
    ),
    (
        "a record beyond the end of its feed",
        |raw| raw.pack(DEAL, 0, |pack| pack.entries[0].seq = 99),
        "record \"d-1\"",
        "at sequence 99",
    ),
    (
        "two records in one place",
        |raw| raw.pack(DEAL, 0, |pack| pack.entries[1].seq = pack.entries[0].seq),
        "crm/acme/Deal, sequence",
        "two records of the index",
    ),
    (
        "a record with another's entry",
        |raw| raw.pack(DEAL, 0, |pack| pack.entries[1].id = b"d-11".to_vec()),
        "record \"d-2\"",
        "another record at this sequence",
    ),
    (
        "an earlier state of a record",
        |raw| raw.pack(DEAL, 0, |pack| pack.entries[0].seq = 1),
        "record \"d-1\"",
        "deleted",
    ),
    (
        "the hash of a body",
        |raw| raw.pack(DEAL, 0, |pack| pack.entries[1].hash[0] ^= 1),
        "record \"d-2\"",
        "does not have the hash",
    ),
    (
        "when a record was first seen",
        |raw| raw.pack(DEAL, 0, |pack| pack.entries[1].first_seen = 7),
        "record \"d-2\"",
        "first seen at 7 ms",
    ),
    (
        "the length of a body",
        |raw| raw.pack(DEAL, 0, |pack| pack.entries[1].body_len = 7),
        "record \"d-2\"",
        "and the index says 7",
    ),
    (
        "a deletion that the index forgot",
        |raw| raw.pack(DEAL, 0, |pack| pack.entries[0].flags = 0),
        "record \"d-1\"",
        "the index does not",
    ),
    (
        "a deletion that the feed forgot",
        |raw| raw.pack(DEAL, 0, |pack| pack.entries[1].flags = 1),
        "record \"d-2\"",
        "the feed does not",
    ),
    // Segments.
    (
        "a flipped bit",
        flip_a_bit,
        "crm/acme/Contact, key g",
        "checksum",
    ),
    (
        "records of a damaged segment",
        flip_a_bit,
        "crm/acme/Contact",
        "can't be read, because of the segments that are damaged",
    ),
    (
        "a segment is gone",
        |raw| remove_nth(raw, b'g', 0),
        "crm/acme/Contact, record",
        "the index has it there, and no segment does",
    ),
    (
        "a segment under another key",
        |raw| {
            move_key(
                raw,
                &of_feed(b'g', DEAL, &number(1)),
                &of_feed(b'g', DEAL, &number(0)),
            );
        },
        "crm/acme/Deal, key g",
        "the segment begins with sequence 1",
    ),
    (
        "a segment that says it has more",
        |raw| raw.segment(DEAL, 0, |segment| segment.count = 9),
        "crm/acme/Deal, key g",
        "says that it has 9 entries, and has 2",
    ),
    (
        "a body that is another's",
        |raw| {
            raw.segment(DEAL, 0, |segment| {
                segment.entries[1].body = Some(br#"{"a": 2}"#.to_vec());
            });
        },
        "record \"d-2\"",
        "does not have the hash",
    ),
    (
        "a body that is no JSON",
        |raw| {
            raw.segment(DEAL, 0, |segment| {
                segment.entries[1].body = Some(br#"{"a": 1 "#.to_vec());
            });
        },
        "record \"d-2\"",
        "is no record's",
    ),
    (
        "an entry that comes twice",
        |raw| {
            copy(
                raw,
                &of_feed(b'g', DEAL, &number(1)),
                &of_feed(b'g', DEAL, &number(2)),
            );
        },
        "record \"d-2\"",
        "two segments have an entry",
    ),
    (
        "an entry beyond the end",
        |raw| raw.segment(DEAL, 0, |segment| segment.entries[1].gap = 50),
        "crm/acme/Deal, key g",
        "sequence 51 comes after 1, in a feed that ends at 4",
    ),
    (
        "flags that nothing knows",
        |raw| raw.segment(DEAL, 0, |segment| segment.entries[1].flags = 0x40),
        "crm/acme/Deal, key g",
        "unknown flags",
    ),
];
