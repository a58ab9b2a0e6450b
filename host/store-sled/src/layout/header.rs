//! A feed's header: where it ends, what it counts, and what of its sequence sets is folded.

use tidegate_engine::store::ModelStats;

use super::Corrupt;
use super::codec::{Reader, put_number};

const VERSION: u8 = 1;

/// One for each feed, rewritten by every commit that changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Header {
    /// The last sequence given out.
    pub(crate) last_seq: u64,
    pub(crate) stats: ModelStats,
    /// Entries in segments, superseded ones included.
    pub(crate) entries: u64,
    pub(crate) segments: u64,
    /// Bytes of segments as stored.
    pub(crate) segment_bytes: u64,
    /// The stored chunks of the sequence sets are as of this sequence.
    pub(crate) folded_seq: u64,
    /// Journal entries since then.
    pub(crate) journal_entries: u64,
    /// The highest sequence of an entry, not a deletion, whose body was pruned.
    pub(crate) pruned_seq: u64,
}

impl Header {
    /// Records, deleted ones included; as many sequences are live.
    pub(crate) fn records(&self) -> u64 {
        self.stats.live + self.stats.deleted
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        let ModelStats {
            live,
            deleted,
            live_bytes,
            pruned,
        } = self.stats;
        for number in [
            self.last_seq,
            live,
            deleted,
            live_bytes,
            self.entries,
            self.segments,
            self.segment_bytes,
            self.folded_seq,
            self.journal_entries,
            pruned,
            self.pruned_seq,
        ] {
            put_number(&mut out, number);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        let mut reader = Reader(bytes);
        reader.version(VERSION)?;
        let mut header = Self {
            last_seq: reader.number()?,
            stats: ModelStats {
                live: reader.number()?,
                deleted: reader.number()?,
                live_bytes: reader.number()?,
                ..ModelStats::default()
            },
            entries: reader.number()?,
            segments: reader.number()?,
            segment_bytes: reader.number()?,
            folded_seq: reader.number()?,
            journal_entries: reader.number()?,
            pruned_seq: 0,
        };
        header.stats.pruned = reader.number()?;
        header.pruned_seq = reader.number()?;
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let header = Header {
            last_seq: 9,
            stats: ModelStats {
                live: 1,
                deleted: 2,
                live_bytes: 300,
                pruned: 3,
            },
            entries: 4,
            segments: 5,
            segment_bytes: 600,
            folded_seq: 7,
            journal_entries: 8,
            pruned_seq: 6,
        };
        assert_eq!(Header::decode(&header.encode()), Ok(header));
        assert!(Header::decode(&[9]).is_err());
        let whole = header.encode();
        for length in 0..whole.len() {
            assert!(Header::decode(&whole[..length]).is_err(), "{length}");
        }
    }
}
