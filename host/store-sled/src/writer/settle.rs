//! Does now what was put off: purges, keys that have expired, and compaction of all feeds.
//!
//! The space is sled's to use again. Its files do not become smaller: 0.34 cuts off a file's last
//! segment only when that happens to be free.

use tidegate_engine::StoreError;

use crate::disk::damaged;
use crate::layout::header::Header;
use crate::layout::keys::{self, Key, Tag};

use super::Writer;
use super::compact::is_wanted;

/// Headers that one step looks at.
const HEADERS: usize = 1000;

/// How far settling has come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Settling {
    /// The first feed to look at next.
    feed: u64,
    all_seen: bool,
}

impl Settling {
    pub(crate) fn is_done(&self) -> bool {
        self.all_seen
    }
}

impl Writer {
    /// Do a bounded part of what was put off.
    pub(crate) fn settle_step(&mut self, mut settling: Settling) -> Result<Settling, StoreError> {
        self.flush()?;
        if self.wants_ending() {
            self.ending_step()?;
            return Ok(settling);
        }
        if self.wants_purge() {
            self.purge_step()?;
            return Ok(settling);
        }
        if self.wants_expiry() {
            self.expiry_step()?;
            return Ok(settling);
        }
        if self.wants_request_expiry() {
            self.request_expiry_step()?;
            return Ok(settling);
        }
        if self.wants_compaction() {
            self.compact_step()?;
            return Ok(settling);
        }
        let prefix = Key::new(Tag::Feed);
        let first = prefix.clone().number(settling.feed);
        let mut wanted = None;
        settling.all_seen = true;
        for (looked_at, item) in self
            .view()
            .range(&first, &prefix.after_prefix())
            .enumerate()
        {
            let (key, value) = item?;
            let bad = |corrupt| damaged(&key, corrupt);
            let number = keys::rest(&key, &prefix).and_then(keys::split_number);
            let (number, _) = number.map_err(bad)?;
            if looked_at >= HEADERS {
                (settling.feed, settling.all_seen) = (number, false);
                break;
            }
            let header = Header::decode(&value).map_err(bad)?;
            // The feeds of imports that are not finished are not anybody's yet.
            if is_wanted(&header, self.tuning.compact_slack)
                && !self.feeds.contains_key(&number)
                && self
                    .view()
                    .get(&keys::dropped_feeds().number(number))?
                    .is_none()
            {
                (settling.feed, settling.all_seen) = (number + 1, false);
                wanted = Some(number);
                break;
            }
        }
        if let Some(number) = wanted {
            // From here on it is among those that want it.
            self.load_feed(number)?;
        }
        Ok(settling)
    }
}
