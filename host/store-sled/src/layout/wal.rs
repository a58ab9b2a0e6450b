//! Records of the write-ahead log: what a group of commands wrote, with the numbers of the writes in it.
//!
//! A record is not taken apart before its checksum is seen to fit. What a crash leaves half written at the
//! log's end is no damage; what is not whole with whole records after it is.

use super::Corrupt;
use super::codec::{Reader, put_bytes, put_number};

/// What a record begins with. Its first byte is in no UTF-8 text, so nothing that a plugin stores looks
/// like a record.
const MAGIC: [u8; 4] = *b"\xffTGW";
/// Magic, CRC-32 of what follows it, length of the entries, first and last number.
const HEAD: usize = 4 + 4 + 4 + 8 + 8;

/// A record in the making.
#[derive(Debug)]
pub(crate) struct Encoder(Vec<u8>);

impl Default for Encoder {
    fn default() -> Self {
        Self(vec![0; HEAD])
    }
}

impl Encoder {
    /// Add a key and its value; `None` removes it.
    pub(crate) fn add(&mut self, key: &[u8], value: Option<&[u8]>) {
        put_bytes(&mut self.0, key);
        match value {
            None => put_number(&mut self.0, 0),
            Some(value) => {
                put_number(&mut self.0, value.len() as u64 + 1);
                self.0.extend_from_slice(value);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The record of the writes `first` to `last`.
    pub(crate) fn finish(mut self, first: u64, last: u64) -> Vec<u8> {
        let len = u32::try_from(self.0.len() - HEAD).unwrap_or(u32::MAX);
        let mut head = Vec::with_capacity(HEAD);
        head.extend(MAGIC);
        head.extend([0; 4]);
        head.extend(len.to_le_bytes());
        head.extend(first.to_le_bytes());
        head.extend(last.to_le_bytes());
        put_at(&mut self.0, 0, &head);
        let crc = crc32fast::hash(self.0.get(8..).unwrap_or_default());
        put_at(&mut self.0, 4, &crc.to_le_bytes());
        self.0
    }
}

fn put_at(bytes: &mut [u8], at: usize, put: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + put.len()) {
        place.copy_from_slice(put);
    }
}

/// A whole record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    /// Number of the first write in it.
    pub(crate) first: u64,
    /// And of the last.
    pub(crate) last: u64,
    entries: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record that `bytes` begin with, and what follows it.
    fn decode(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut reader = Reader(bytes.strip_prefix(&MAGIC)?);
        let crc = u32::from_le_bytes(reader.array().ok()?);
        let checked = reader.0;
        let len = u32::from_le_bytes(reader.array().ok()?);
        let first = u64::from_le_bytes(reader.array().ok()?);
        let last = u64::from_le_bytes(reader.array().ok()?);
        let entries = reader.take(usize::try_from(len).ok()?).ok()?;
        let checked = checked.get(..checked.len() - reader.0.len())?;
        let record = Self {
            first,
            last,
            entries,
        };
        (crc32fast::hash(checked) == crc).then_some((record, reader.0))
    }

    /// Its keys with their values, in the order of writing; `None` removes.
    pub(crate) fn entries(
        &self,
    ) -> impl Iterator<Item = Result<(&'a [u8], Option<&'a [u8]>), Corrupt>> + use<'a> {
        let mut reader = Reader(self.entries);
        std::iter::from_fn(move || (!reader.is_empty()).then(|| entry(&mut reader)))
    }
}

fn entry<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], Option<&'a [u8]>), Corrupt> {
    let key = reader.bytes()?;
    let value = match reader.number()?.checked_sub(1) {
        None => None,
        Some(len) => {
            let len = usize::try_from(len).map_err(|_| Corrupt("a length is too large"))?;
            Some(reader.take(len)?)
        }
    };
    Ok((key, value))
}

/// The records of a log that are not in the database, which has the writes up to number `applied`.
pub(crate) fn missing(log: &[u8], applied: u64) -> Result<Vec<Record<'_>>, Corrupt> {
    let mut rest = log;
    let (mut records, mut reached) = (Vec::new(), applied);
    while let Some((record, after)) = Record::decode(rest) {
        rest = after;
        if record.last <= reached {
            // The database has it; it may be left of the round before the log began anew.
            continue;
        }
        if record.first > reached + 1 {
            return Err(Corrupt(
                "the database lacks what it had when this log was begun: they are not of the same moment",
            ));
        }
        reached = record.last;
        records.push(record);
    }
    match has_later(rest, reached) {
        true => Err(Corrupt(
            "a record is damaged that is not the last one: what was acknowledged can't be read",
        )),
        false => Ok(records),
    }
}

/// Whether there is a whole record of writes after number `last` anywhere.
fn has_later(mut bytes: &[u8], last: u64) -> bool {
    while let Some(at) = bytes.windows(MAGIC.len()).position(|four| four == MAGIC) {
        bytes = bytes.get(at..).unwrap_or_default();
        if Record::decode(bytes).is_some_and(|(record, _)| record.first > last) {
            return true;
        }
        bytes = bytes.get(1..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(first: u64, last: u64) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.add(b"key", Some(&first.to_le_bytes()));
        encoder.add(b"gone", None);
        encoder.add(b"empty", Some(b""));
        encoder.finish(first, last)
    }

    /// The numbers of the records that are to be applied.
    fn found(log: &[u8], applied: u64) -> Result<Vec<(u64, u64)>, Corrupt> {
        let records = missing(log, applied)?;
        Ok(records.iter().map(|r| (r.first, r.last)).collect())
    }

    #[test]
    fn what_is_put_is_read() {
        let log = record(1, 3);
        let records = missing(&log, 0).unwrap();
        let entries: Vec<_> = records[0].entries().map(Result::unwrap).collect();
        let number = 1_u64.to_le_bytes();
        assert_eq!(
            entries,
            [
                (&b"key"[..], Some(&number[..])),
                (b"gone", None),
                (b"empty", Some(b"")),
            ]
        );
    }

    #[test]
    fn what_the_database_has_is_left_out() {
        let log = [record(5, 6), record(7, 9), record(12, 12)].concat();
        assert_eq!(found(&log, 12), Ok(vec![]));
        assert_eq!(found(&log, 11), Ok(vec![(12, 12)]));
        // Half of a record is there.
        assert!(found(&log, 8).is_err(), "10 and 11 are nowhere");
        let log = [record(5, 6), record(7, 9), record(10, 12)].concat();
        assert_eq!(found(&log, 8), Ok(vec![(7, 9), (10, 12)]));
        assert!(found(&log, 3).is_err(), "4 is nowhere");
    }

    #[test]
    fn a_torn_end_is_left_out() {
        let (head, tail) = ([record(1, 1), record(2, 2)].concat(), record(3, 3));
        for cut in 0..tail.len() {
            let mut log = [&head[..], &tail[..cut]].concat();
            assert_eq!(found(&log, 0), Ok(vec![(1, 1), (2, 2)]), "{cut}");
            log.extend([0; 100]);
            assert_eq!(found(&log, 0), Ok(vec![(1, 1), (2, 2)]), "{cut}");
        }
        for at in 0..tail.len() {
            let mut log = [&head[..], &tail].concat();
            log[head.len() + at] ^= 1;
            assert_eq!(found(&log, 0), Ok(vec![(1, 1), (2, 2)]), "{at}");
        }
    }

    #[test]
    fn damage_before_the_end_is_told() {
        let len = record(1, 1).len();
        for at in 0..len {
            let mut log = [record(1, 1), record(2, 2), record(3, 3)].concat();
            log[len + at] ^= 1;
            assert!(found(&log, 0).is_err(), "{at}");
            // The database has it.
            assert_eq!(found(&log, 3), Ok(vec![]), "{at}");
        }
    }

    #[test]
    fn an_earlier_round_is_left_out() {
        let round = [record(7, 7), record(8, 8)].concat();
        // As long as what it overwrote, and not.
        let log = [&round[..], &record(3, 3), &record(4, 6)].concat();
        assert_eq!(found(&log, 6), Ok(vec![(7, 7), (8, 8)]));
        let log = [&round[..], &record(3, 3)[5..], &record(4, 6)].concat();
        assert_eq!(found(&log, 6), Ok(vec![(7, 7), (8, 8)]));
    }
}
