//! Reads of records: change feeds, records by id, counts. They run beside the writer.

use tidegate_engine::cursor::Cursor;
use tidegate_engine::memory::rules;
use tidegate_engine::record::Record;
use tidegate_engine::store::{Changes, ModelStats, ReadChanges};
use tidegate_engine::{ConnectionKey, ModelKey, Name, StoreError};

use crate::disk::{Disk, View, damaged};
use crate::feeds::Feeds;
use crate::layout::keys::{self, Tag};
use crate::layout::pack::Pack;
use crate::layout::rows::{self, ConnectionRow};
use crate::segments;

/// Entries that one read looks at when its filter lets nothing through.
const SCAN_MAX: usize = 50_000;

/// What readers share.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) disk: std::sync::Arc<Disk>,
    pub(crate) feeds: std::sync::Arc<Feeds>,
    pub(crate) store_id: u64,
}

/// Records that were found; or that some of what was found is not flushed yet.
#[derive(Debug)]
pub(crate) enum Found {
    Records(Vec<Option<Record>>),
    Unflushed,
}

impl Found {
    pub(crate) fn records(self) -> Result<Vec<Option<Record>>, StoreError> {
        match self {
            Self::Records(records) => Ok(records),
            Self::Unflushed => Err(StoreError::Backend(
                "a record was not flushed though the store was".into(),
            )),
        }
    }
}

/// The row of a connection.
pub(crate) fn connection(
    view: &View<'_>,
    key: &ConnectionKey,
) -> Result<ConnectionRow, StoreError> {
    let row = view.row(
        &keys::connection(&key.integration, &key.connection),
        rows::decode,
    )?;
    row.ok_or_else(|| StoreError::NotFound {
        what: "connection",
        name: key.to_string(),
    })
}

impl Reader {
    /// The number of a model's feed, if anything was ever written to it.
    fn feed_number(&self, key: &ModelKey) -> Result<Option<u64>, StoreError> {
        let view = self.disk.view();
        let connection = connection(&view, &key.connection)?.number;
        view.row(&keys::model(connection, &key.model), keys::decode_number)
    }

    pub(crate) fn changes(&self, read: &ReadChanges) -> Result<Changes, StoreError> {
        let Some(number) = self.feed_number(&read.model)? else {
            rules::start_of(read.after, self.store_id, 0, 0)?;
            let next = Cursor {
                store: self.store_id,
                feed: 0,
                seq: 0,
            };
            return Ok(Changes {
                records: Vec::new(),
                next,
                more: false,
            });
        };
        let feed = self.feeds.get(number);
        let last_seq = feed.with(&self.disk.view(), |feed| feed.last_seq)?;
        let mut after = rules::start_of(read.after, self.store_id, number, last_seq)?;

        let limit = read.limit.max(1);
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut scanned = 0;
        let mut full = false;
        while !full && scanned < SCAN_MAX {
            let wanted: Vec<u64> = feed.with(&self.disk.view(), |feed| {
                feed.live
                    .from(after + 1)
                    .take(limit.min(SCAN_MAX))
                    .collect()
            })?;
            if wanted.is_empty() {
                break;
            }
            // A view for each segment, so that the writer waits for one only.
            let find = |seq| segments::find(&self.disk.view(), number, seq);
            let missing = segments::visit(find, &wanted, |entry| {
                after = entry.seq;
                scanned += 1;
                if read.filter.matches(entry.action) {
                    bytes += entry.body.map_or(0, str::len);
                    records.push(entry.to_record());
                }
                full = records.len() >= limit || (bytes >= read.bytes_max && bytes > 0);
                !full
            })?;
            self.check_missing(number, &missing)?;
            if !full {
                after = wanted.last().copied().unwrap_or(after);
            }
        }
        let more = feed.with(&self.disk.view(), |feed| {
            feed.live.from(after + 1).next().is_some()
        })?;
        let next = Cursor {
            store: self.store_id,
            feed: number,
            seq: after,
        };
        Ok(Changes {
            records,
            next,
            more,
        })
    }

    /// Entries may be missing because they were superseded and compacted away since the list was
    /// made; then their successors come later in the feed. One that is live is lost.
    fn check_missing(&self, number: u64, missing: &[u64]) -> Result<(), StoreError> {
        let feed = self.feeds.get(number);
        let live = |feed: &crate::feeds::Published| {
            missing.iter().copied().find(|seq| feed.live.contains(*seq))
        };
        match feed.with(&self.disk.view(), live)? {
            Some(seq) => Err(segments::lost(number, seq)),
            None => Ok(()),
        }
    }

    /// Records by id, in the order asked.
    pub(crate) fn records(&self, model: &ModelKey, ids: &[String]) -> Result<Found, StoreError> {
        let Some(number) = self.feed_number(model)? else {
            return Ok(Found::Records(vec![None; ids.len()]));
        };
        let feed = self.feeds.get(number);
        let view = self.disk.view();
        let last_seq = feed.with(&view, |feed| feed.last_seq)?;
        let prefix = keys::of_feed(Tag::Pack, number);
        let mut wanted = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            let found = view.at_or_before(&prefix, &keys::pack(number, id.as_bytes()))?;
            let Some((key, value)) = found else { continue };
            let pack = Pack::decode(&value).map_err(|corrupt| damaged(&key, corrupt))?;
            let Some(entry) = pack.get(id.as_bytes()) else {
                continue;
            };
            if entry.seq > last_seq {
                return Ok(Found::Unflushed);
            }
            wanted.push((entry.seq, index));
        }
        wanted.sort_unstable();
        let mut sequences: Vec<u64> = wanted.iter().map(|(seq, _)| *seq).collect();
        sequences.dedup();
        let mut records = vec![None; ids.len()];
        let mut wanted = wanted.iter().peekable();
        let missing = segments::visit(
            |seq| segments::find(&view, number, seq),
            &sequences,
            |entry| {
                while let Some((_, index)) = wanted.next_if(|(seq, _)| *seq <= entry.seq) {
                    if let Some(slot) = records.get_mut(*index) {
                        *slot = Some(entry.to_record());
                    }
                }
                true
            },
        )?;
        match missing.first() {
            Some(seq) => Err(segments::lost(number, *seq)),
            None => Ok(Found::Records(records)),
        }
    }

    pub(crate) fn models(
        &self,
        key: &ConnectionKey,
    ) -> Result<Vec<(Name, ModelStats)>, StoreError> {
        let mut feeds = Vec::new();
        {
            let view = self.disk.view();
            let prefix = keys::models(connection(&view, key)?.number);
            for item in view.prefix(&prefix) {
                let (key, value) = item?;
                let bad = |corrupt| damaged(&key, corrupt);
                let name = keys::rest(&key, &prefix)
                    .and_then(keys::decode_name)
                    .map_err(bad)?;
                feeds.push((name, keys::decode_number(&value).map_err(bad)?));
            }
        }
        let mut models = Vec::new();
        for (name, number) in feeds {
            let stats = self
                .feeds
                .get(number)
                .with(&self.disk.view(), |feed| feed.stats)?;
            if stats.live + stats.deleted > 0 {
                models.push((name, stats));
            }
        }
        Ok(models)
    }
}
