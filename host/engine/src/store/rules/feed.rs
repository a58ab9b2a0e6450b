//! Where a read of a feed begins, goes on, and expires.

use crate::cursor::{Cursor, CursorError};

/// What reading needs to know of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedEnd {
    pub store: u64,
    /// The number of the feed; 0 for a model that nothing was ever saved of.
    pub feed: u64,
    pub last_seq: u64,
    /// The highest sequence of an entry, not a deletion, whose body retention removed.
    pub pruned_seq: u64,
}

impl FeedEnd {
    /// The cursor of whoever has read everything.
    #[must_use]
    pub fn cursor(self) -> Cursor {
        Cursor {
            store: self.store,
            feed: self.feed,
            seq: self.last_seq,
            pruned: self.pruned_seq,
        }
    }
}

/// Where a read of a feed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedPosition {
    store: u64,
    feed: u64,
    /// The sequence of the last entry that was read.
    pub seq: u64,
    /// See [`Cursor::pruned`].
    known: u64,
    from_start: bool,
}

/// Where to begin to read a feed.
///
/// A model that nothing was ever saved of has no feed yet; its readers get a cursor with the feed
/// 0, which means the start of whatever feed comes to be.
///
/// Who begins at the start gets what pruning left, and knows how far pruning has come. Who goes on
/// from a cursor expects the body of everything after it: once pruning has passed the cursor, it
/// expires. So nobody misses a body without being told.
pub fn start_of(cursor: Option<Cursor>, end: FeedEnd) -> Result<FeedPosition, CursorError> {
    let from_start = FeedPosition {
        store: end.store,
        feed: end.feed,
        seq: 0,
        known: end.pruned_seq,
        from_start: true,
    };
    let Some(cursor) = cursor else {
        return Ok(from_start);
    };
    if cursor.store != end.store {
        return Err(CursorError::OtherStore);
    }
    if cursor.feed == 0 && cursor.seq == 0 {
        return Ok(from_start);
    }
    if cursor.feed != end.feed {
        return Err(CursorError::OtherFeed);
    }
    if cursor.seq > end.last_seq {
        return Err(CursorError::Ahead);
    }
    if cursor.seq == 0 {
        return Ok(from_start);
    }
    if cursor.seq < end.pruned_seq && cursor.pruned < end.pruned_seq {
        return Err(CursorError::Expired);
    }
    Ok(FeedPosition {
        seq: cursor.seq,
        known: cursor.pruned,
        from_start: false,
        ..from_start
    })
}

impl FeedPosition {
    /// Go past an entry that has no body and is no deletion. A backend that prunes while others
    /// read may meet one that the end of the feed did not tell of.
    pub fn pass_pruned(&mut self, seq: u64) -> Result<(), CursorError> {
        if seq > self.known && !self.from_start {
            return Err(CursorError::Expired);
        }
        self.known = self.known.max(seq);
        Ok(())
    }

    /// The cursor of this place, given how far pruning has come.
    #[must_use]
    pub fn cursor(&self, pruned_seq: u64) -> Cursor {
        let passed = if self.seq >= pruned_seq {
            pruned_seq
        } else {
            0
        };
        Cursor {
            store: self.store,
            feed: self.feed,
            seq: self.seq,
            pruned: self.known.max(passed),
        }
    }
}
