//! What can be broken in a header, in sequence sets and in snapshots.

use super::damage::{CONTACT, DEAL, Row, late};
use super::raw::{number, of_feed};

pub const ROWS: &[Row] = &[
    // The header.
    (
        "the header is gone",
        |raw| raw.remove(&of_feed(b'f', DEAL, &[])),
        "record \"d-1\"",
        "the feed ends at 0",
    ),
    (
        "the header is cut",
        |raw| raw.put(&of_feed(b'f', DEAL, &[]), &[1, 4]),
        "crm/acme/Deal, key f",
        "ends too early",
    ),
    (
        "the end of the feed",
        |raw| raw.header(DEAL, |header| header[0] = 3),
        "crm/acme/Deal",
        "the feed ends at 3",
    ),
    (
        "the count of live records",
        |raw| raw.header(DEAL, |header| header[1] += 1),
        "crm/acme/Deal, header",
        "3 live records, and there are 2",
    ),
    (
        "the count of deleted records",
        |raw| raw.header(DEAL, |header| header[2] += 1),
        "crm/acme/Deal, header",
        "2 deleted records, and there are 1",
    ),
    (
        "the bytes of bodies",
        |raw| raw.header(DEAL, |header| header[3] = 1),
        "crm/acme/Deal, header",
        "1 bytes of live bodies, and there are 10",
    ),
    (
        "the count of entries",
        |raw| raw.header(DEAL, |header| header[4] = 1),
        "crm/acme/Deal, header",
        "1 entries in segments, and there are 4",
    ),
    (
        "the count of segments",
        |raw| raw.header(DEAL, |header| header[5] = 1),
        "crm/acme/Deal, header",
        "1 segments, and there are 2",
    ),
    (
        "the bytes of segments",
        |raw| raw.header(DEAL, |header| header[6] = 1),
        "crm/acme/Deal, header",
        "1 bytes of segments",
    ),
    (
        "the last fold",
        |raw| raw.header(DEAL, |header| header[7] = 9),
        "crm/acme/Deal, header",
        "ends at 4, and was folded at 9",
    ),
    (
        "the count of journal entries",
        |raw| raw.header(DEAL, |header| header[8] = 9),
        "crm/acme/Deal, header",
        "9 journal entries, and there are 1",
    ),
    (
        "the count of pruned records",
        |raw| raw.header(DEAL, |header| header[9] = 9),
        "crm/acme/Deal, header",
        "9 pruned records, and there are 0",
    ),
    (
        "how far retention came",
        |raw| raw.header(CONTACT, |header| header[10] = 1),
        "crm/acme/Contact, header",
        "retention came up to sequence 1",
    ),
    // The sets.
    (
        "what was superseded",
        |raw| raw.remove(&of_feed(b'j', DEAL, &number(4))),
        "crm/acme/Deal, sequence 1",
        "the live set has it, and the index does not",
    ),
    (
        "a live record that no reader gets",
        |raw| raw.put(&of_feed(b'j', DEAL, &number(4)), &[1, 1, 1, 1, 4, 0, 0]),
        "crm/acme/Deal, sequence 2",
        "the live set lacks it",
    ),
    (
        "a deletion that is no tomb",
        |raw| raw.put(&of_feed(b'j', DEAL, &number(4)), &[1, 1, 0, 0, 0]),
        "crm/acme/Deal, sequence 3",
        "the tomb set lacks it",
    ),
    (
        "a tomb that is no deletion",
        |raw| raw.put(&of_feed(b'j', DEAL, &number(4)), &[1, 1, 0, 1, 3, 1, 0]),
        "crm/acme/Deal, sequence 4",
        "the tomb set has it",
    ),
    (
        "a pruned record that the set lacks",
        |raw| raw.remove(&of_feed(b'p', CONTACT, &number(0))),
        "crm/acme/Contact, sequence",
        "the pruned set lacks it",
    ),
    (
        "a journal entry that is cut",
        |raw| raw.put(&of_feed(b'j', DEAL, &number(4)), &[5]),
        "crm/acme/Deal, key j",
        "ends too early",
    ),
    (
        "a journal entry from elsewhere",
        |raw| raw.put(&of_feed(b'j', DEAL, &number(8)), &[0, 0, 0]),
        "crm/acme/Deal, key j",
        "a journal entry of sequence 8",
    ),
    (
        "a chunk that is no bitmap",
        |raw| raw.put(&of_feed(b'n', DEAL, &number(0)), b"nonsense"),
        "crm/acme/Deal, key n",
        "no bitmap",
    ),
    // Snapshots.
    (
        "a snapshot of no sync",
        |raw| {
            raw.put(
                &of_feed(b'v', CONTACT, &number(9)),
                br#"{"begin_seq":1,"next_delta":0,"repeated":false,"ending":null}"#,
            );
        },
        "crm/acme/Contact, key v",
        "sync number 9",
    ),
    (
        "a snapshot from later",
        |raw| {
            raw.put(
                &of_feed(b'v', CONTACT, &number(1)),
                br#"{"begin_seq":9999,"next_delta":0,"repeated":false,"ending":null}"#,
            );
        },
        "crm/acme/Contact, key v",
        "began at sequence 9999",
    ),
    (
        "seen for no snapshot",
        |raw| raw.put(&of_feed(b'w', CONTACT, &[1, 9, 1, 1]), &[0]),
        "crm/acme/Contact, key w",
        "a snapshot that is not open",
    ),
    (
        "a seen chunk for no snapshot",
        |raw| raw.put(&of_feed(b'W', CONTACT, &[1, 9, 0]), b""),
        "crm/acme/Contact, key W",
        "a snapshot that is not open",
    ),
    (
        "seen that came later",
        |raw| raw.put(&of_feed(b'w', CONTACT, &[1, 1, 1, 200]), &late()),
        "crm/acme/Contact, key w",
        "sequence 9999 is counted as seen",
    ),
];
