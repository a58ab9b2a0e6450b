//! The database as bytes: keys, packs and segments taken apart and put together again, as
//! `docs/store-format.md` describes them.

use std::path::Path;

use crate::common::sled_of;

/// The tree of a store that is closed.
pub struct Raw {
    pub db: sled::Db,
    file: std::path::PathBuf,
}

pub fn number(number: u64) -> Vec<u8> {
    let digits: Vec<u8> = number
        .to_be_bytes()
        .into_iter()
        .skip_while(|b| *b == 0)
        .collect();
    [vec![digits.len() as u8], digits].concat()
}

/// A key of a feed: tag, number of the feed, then whatever.
pub fn of_feed(tag: u8, feed: u64, rest: &[u8]) -> Vec<u8> {
    [&[tag][..], &number(feed), rest].concat()
}

pub fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub fn take(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

fn take_bytes(bytes: &mut &[u8]) -> Vec<u8> {
    let len = take(bytes) as usize;
    let (taken, rest) = bytes.split_at(len);
    *bytes = rest;
    taken.to_vec()
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// An entry of an index pack.
#[derive(Debug, Clone)]
pub struct Indexed {
    pub id: Vec<u8>,
    pub flags: u8,
    pub seq: u64,
    pub hash: [u8; 16],
    pub first_seen: u64,
    pub body_len: u64,
}

#[derive(Debug, Clone)]
pub struct Pack {
    pub end: Vec<u8>,
    pub entries: Vec<Indexed>,
}

impl Pack {
    fn decode(value: &[u8]) -> Self {
        let mut bytes = &value[1..];
        let end = take_bytes(&mut bytes);
        let mut entries = Vec::new();
        while !bytes.is_empty() {
            let id = take_bytes(&mut bytes);
            let flags = bytes[0];
            bytes = &bytes[1..];
            let seq = take(&mut bytes);
            let hash = bytes[..16].try_into().unwrap();
            bytes = &bytes[16..];
            let (first_seen, body_len) = (take(&mut bytes), take(&mut bytes));
            entries.push(Indexed {
                id,
                flags,
                seq,
                hash,
                first_seen,
                body_len,
            });
        }
        Self { end, entries }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![1];
        put_bytes(&mut out, &self.end);
        for entry in &self.entries {
            put_bytes(&mut out, &entry.id);
            out.push(entry.flags);
            put(&mut out, entry.seq);
            out.extend(entry.hash);
            put(&mut out, entry.first_seen);
            put(&mut out, entry.body_len);
        }
        out
    }
}

/// An entry of a segment.
#[derive(Debug, Clone)]
pub struct Entry {
    pub gap: u64,
    pub flags: u8,
    pub first_seen: u64,
    pub distance: u64,
    pub id: Vec<u8>,
    pub body: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
pub struct Segment {
    pub first_seq: u64,
    pub count: u64,
    pub entries: Vec<Entry>,
}

impl Segment {
    fn decode(value: &[u8]) -> Self {
        let mut bytes = &value[5..];
        let (first_seq, count, len) = (take(&mut bytes), take(&mut bytes), take(&mut bytes));
        let raw = lz4_flex::block::decompress(bytes, len as usize).unwrap();
        let mut bytes = &raw[..];
        let mut entries = Vec::new();
        while !bytes.is_empty() {
            let gap = take(&mut bytes);
            let flags = bytes[0];
            bytes = &bytes[1..];
            let (first_seen, distance) = (take(&mut bytes), take(&mut bytes));
            let id = take_bytes(&mut bytes);
            let body = (flags & 4 == 0).then(|| take_bytes(&mut bytes));
            entries.push(Entry {
                gap,
                flags,
                first_seen,
                distance,
                id,
                body,
            });
        }
        Self {
            first_seq,
            count,
            entries,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut raw = Vec::new();
        for entry in &self.entries {
            put(&mut raw, entry.gap);
            raw.push(entry.flags);
            put(&mut raw, entry.first_seen);
            put(&mut raw, entry.distance);
            put_bytes(&mut raw, &entry.id);
            if let Some(body) = &entry.body {
                put_bytes(&mut raw, body);
            }
        }
        let mut checked = Vec::new();
        for number in [self.first_seq, self.count, raw.len() as u64] {
            put(&mut checked, number);
        }
        checked.extend(lz4_flex::block::compress(&raw));
        let crc = crc32fast::hash(&checked).to_le_bytes();
        [&[1][..], &crc, &checked].concat()
    }
}

impl Raw {
    pub fn open(root: &Path) -> Self {
        let db = sled_of(root);
        let file = root.join("db/db");
        Self { db, file }
    }

    /// Close it, and wait until sled's own threads have let go of the file.
    pub fn close(self) {
        self.db.flush().unwrap();
        drop(self.db);
        std::fs::File::open(self.file).unwrap().lock().unwrap();
    }

    /// Keys with this beginning.
    pub fn keys(&self, prefix: &[u8]) -> Vec<Vec<u8>> {
        let keys = self.db.scan_prefix(prefix).keys();
        keys.map(|key| key.unwrap().to_vec()).collect()
    }

    /// The value in one piece at `key`.
    pub fn get(&self, key: &[u8]) -> Vec<u8> {
        let stored = self.db.get(key).unwrap().unwrap();
        assert_eq!(stored[0], 0, "in one piece");
        stored[1..].to_vec()
    }

    pub fn put(&self, key: &[u8], value: &[u8]) {
        self.db.insert(key, [&[0], value].concat()).unwrap();
    }

    pub fn remove(&self, key: &[u8]) {
        self.db.remove(key).unwrap().unwrap();
    }

    pub fn change(&self, key: &[u8], change: impl FnOnce(&mut Vec<u8>)) {
        let mut value = self.get(key);
        change(&mut value);
        self.put(key, &value);
    }

    /// Replace text in a JSON row.
    pub fn replace(&self, key: &[u8], from: &str, to: &str) {
        self.change(key, |value| {
            let text = String::from_utf8(value.clone()).unwrap();
            assert!(text.contains(from), "{from} in {text}");
            *value = text.replace(from, to).into_bytes();
        });
    }

    /// Change the numbers of a header, in the order of `docs/store-format.md`.
    pub fn header(&self, feed: u64, change: impl FnOnce(&mut Vec<u64>)) {
        self.change(&of_feed(b'f', feed, &[]), |value| {
            let mut bytes = &value[1..];
            let mut numbers = Vec::new();
            while !bytes.is_empty() {
                numbers.push(take(&mut bytes));
            }
            change(&mut numbers);
            value.truncate(1);
            numbers.iter().for_each(|number| put(value, *number));
        });
    }

    /// Change the pack with this number, counted from the feed's first.
    pub fn pack(&self, feed: u64, index: usize, change: impl FnOnce(&mut Pack)) {
        let key = self.keys(&of_feed(b'x', feed, &[]))[index].clone();
        self.change(&key, |value| {
            let mut pack = Pack::decode(value);
            change(&mut pack);
            *value = pack.encode();
        });
    }

    /// Change the segment with this number, counted from the feed's first.
    pub fn segment(&self, feed: u64, index: usize, change: impl FnOnce(&mut Segment)) {
        let key = self.keys(&of_feed(b'g', feed, &[]))[index].clone();
        self.change(&key, |value| {
            let mut segment = Segment::decode(value);
            change(&mut segment);
            *value = segment.encode();
        });
    }
}
