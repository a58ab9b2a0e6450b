//! Reads of records: change feeds, records by id, counts. They run beside the writer.

use tidegate_engine::canonical::BodyHash;
use tidegate_engine::cursor::CursorError;
use tidegate_engine::record::{Action, Record};
use tidegate_engine::store::rules::{self, FeedEnd, FeedPosition};
use tidegate_engine::store::{Changes, ModelStats, ReadChanges};
use tidegate_engine::{ConnectionKey, ModelKey, Name, StoreError};

use crate::disk::{Disk, Rows, View, damaged};
use crate::feeds::Feeds;
use crate::integrations::Integrations;
use crate::layout::keys::{self, Tag};
use crate::layout::pack::{Entry, Pack};
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
    pub(crate) integrations: std::sync::Arc<Integrations>,
}

/// The row of a connection.
pub(crate) fn connection(
    view: &Rows<'_>,
    key: &ConnectionKey,
) -> Result<ConnectionRow, StoreError> {
    let row = view.row(
        &keys::connection(&key.integration, &key.connection),
        rows::decode,
    )?;
    let unfinished = keys::unfinished_imports().name(key.integration.as_str());
    match row {
        Some(row) if view.get(&unfinished)?.is_none() => Ok(row),
        _ => Err(StoreError::NotFound {
            what: "connection",
            name: key.to_string(),
        }),
    }
}

/// The number of a model's feed, if there ever was a change of it.
pub(crate) fn feed_number(view: &Rows<'_>, key: &ModelKey) -> Result<Option<u64>, StoreError> {
    let connection = connection(view, &key.connection)?.number;
    view.row(&keys::model(connection, &key.model), keys::decode_number)
}

/// An answer about records; or that some of what was found is not flushed yet.
#[derive(Debug)]
pub(crate) enum Found<T> {
    All(Vec<Option<T>>),
    Unflushed,
}

impl<T> Found<T> {
    /// What was found right after a flush.
    pub(crate) fn all(self) -> Result<Vec<Option<T>>, StoreError> {
        match self {
            Self::All(all) => Ok(all),
            Self::Unflushed => Err(StoreError::Backend(
                "a record was not flushed though the store was".into(),
            )),
        }
    }
}

impl Reader {
    /// The next changes of a feed, and where the page goes on if it is to have more.
    pub(crate) fn changes(
        &self,
        read: &ReadChanges,
    ) -> Result<(Changes, FeedPosition), StoreError> {
        let number = || feed_number(&self.disk.view(), &read.model);
        let mut feed = number()?;
        loop {
            if let Some(feed) = feed
                && let Some(found) =
                    self.changes_of(feed, read, |end| rules::start_of(read.after, end))?
            {
                return Ok(found);
            }
            // There is no change of the feed yet, or it was dropped just now.
            let again = number()?;
            if again == feed {
                return self.nothing(feed.unwrap_or(0), read);
            }
            feed = again;
        }
    }

    /// More of a page that has come to this place; `None` if its feed was dropped meanwhile. The reader is the one
    /// that it was: one that began at the start takes what a pruning has left since.
    pub(crate) fn go_on(
        &self,
        read: &ReadChanges,
        place: FeedPosition,
    ) -> Result<Option<(Changes, FeedPosition)>, StoreError> {
        self.changes_of(place.cursor(0).feed, read, |_| Ok(place))
    }

    /// The answer for a feed without changes.
    fn nothing(
        &self,
        feed: u64,
        read: &ReadChanges,
    ) -> Result<(Changes, FeedPosition), StoreError> {
        let end = FeedEnd {
            store: self.store_id,
            feed,
            ..FeedEnd::default()
        };
        let place = rules::start_of(read.after, end)?;
        let changes = Changes {
            records: Vec::new(),
            next: place.cursor(0),
            more: false,
            newest: 0,
        };
        Ok((changes, place))
    }

    /// The next changes of the feed `number`, from a place on; `None` if there is no such feed.
    fn changes_of(
        &self,
        number: u64,
        read: &ReadChanges,
        from: impl FnOnce(FeedEnd) -> Result<FeedPosition, CursorError>,
    ) -> Result<Option<(Changes, FeedPosition)>, StoreError> {
        let feed = self.feeds.get(number);
        let end = feed.with(&self.disk.view(), |feed| {
            feed.exists.then_some(FeedEnd {
                store: self.store_id,
                feed: number,
                last_seq: feed.last_seq,
                pruned_seq: feed.pruned_seq,
            })
        })?;
        let Some(end) = end else { return Ok(None) };
        let mut place = from(end)?;

        let limit = read.limit.max(1);
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut scanned = 0;
        let mut full = false;
        while !full && scanned < SCAN_MAX {
            let wanted: Vec<u64> = feed.with(&self.disk.view(), |feed| {
                feed.live
                    .from(place.seq + 1)
                    .take(limit.min(SCAN_MAX))
                    .collect()
            })?;
            if wanted.is_empty() {
                break;
            }
            // A view for each segment, so that the writer waits for one only.
            let find = |seq| segments::find(&self.disk.view(), number, seq);
            let mut expired = None;
            let missing = segments::visit(find, &wanted, |entry| {
                if entry.body.is_none() && entry.action != Action::Deleted {
                    expired = place.pass_pruned(entry.seq).err();
                }
                place.seq = entry.seq;
                scanned += 1;
                if read.filter.matches(entry.action) {
                    bytes += entry.body.map_or(0, str::len);
                    records.push(entry.to_record());
                }
                full = records.len() >= limit || (bytes >= read.bytes_max && bytes > 0);
                !full && expired.is_none()
            })?;
            if let Some(expired) = expired {
                return Err(expired.into());
            }
            self.check_missing(number, &missing)?;
            if !full {
                place.seq = wanted.last().copied().unwrap_or(place.seq);
            }
        }
        let more = feed.with(&self.disk.view(), |feed| {
            feed.live.from(place.seq + 1).next().is_some()
        })?;
        let changes = Changes {
            records,
            next: place.cursor(end.pruned_seq),
            more,
            // What was read may have come after that.
            newest: end.last_seq.max(place.seq),
        };
        Ok(Some((changes, place)))
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

    /// Look records up in the index: where each of `ids` that is found was asked for, and what the
    /// index says; `None` if some of it is not flushed yet.
    fn look_up(
        &self,
        view: &View<'_>,
        number: u64,
        ids: &[String],
    ) -> Result<Option<Vec<(usize, Entry)>>, StoreError> {
        let feed = self.feeds.get(number);
        let prefix = keys::of_feed(Tag::Pack, number);
        let mut entries = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            let found = view.at_or_before(&prefix, &keys::pack(number, id.as_bytes()))?;
            let Some((key, value)) = found else { continue };
            let pack = Pack::decode(&value).map_err(|corrupt| damaged(&key, corrupt))?;
            let Some(entry) = pack.get(id.as_bytes()) else {
                continue;
            };
            let Some(seq) = feed.with(view, |feed| feed.seen_at(entry.seq))? else {
                return Ok(None);
            };
            entries.push((index, Entry { seq, ..*entry }));
        }
        Ok(Some(entries))
    }

    /// Records by id, in the order asked: of as many of the first ids as fit into `bytes_max`, of one at least.
    pub(crate) fn records(
        &self,
        model: &ModelKey,
        ids: &[String],
        bytes_max: u64,
    ) -> Result<Found<Record>, StoreError> {
        let view = self.disk.view();
        let mut records = vec![None; ids.len()];
        let Some(number) = feed_number(&view, model)? else {
            return Ok(Found::All(records));
        };
        let Some(mut entries) = self.look_up(&view, number, ids)? else {
            return Ok(Found::Unflushed);
        };
        // The index knows the lengths, so no body is read that is not wanted.
        let mut bytes = 0_u64;
        let too_many = entries.iter().position(|(index, entry)| {
            bytes = bytes.saturating_add(entry.body_len);
            bytes > bytes_max && *index > 0
        });
        if let Some((at, (first, _))) = too_many.and_then(|at| Some((at, *entries.get(at)?))) {
            entries.truncate(at);
            records.truncate(first);
        }
        let mut wanted: Vec<(u64, usize)> = entries
            .into_iter()
            .map(|(index, entry)| (entry.seq, index))
            .collect();
        wanted.sort_unstable();
        let mut sequences: Vec<u64> = wanted.iter().map(|(seq, _)| *seq).collect();
        sequences.dedup();
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
            None => Ok(Found::All(records)),
        }
    }

    /// Hashes and lengths of bodies as they were saved, by id, in the order asked.
    pub(crate) fn hashes(
        &self,
        model: &ModelKey,
        ids: &[String],
    ) -> Result<Found<(BodyHash, u64)>, StoreError> {
        let view = self.disk.view();
        let mut hashes = vec![None; ids.len()];
        let Some(number) = feed_number(&view, model)? else {
            return Ok(Found::All(hashes));
        };
        let Some(entries) = self.look_up(&view, number, ids)? else {
            return Ok(Found::Unflushed);
        };
        for (index, entry) in entries {
            if let Some(slot) = hashes.get_mut(index) {
                *slot = Some((entry.hash, entry.body_len));
            }
        }
        Ok(Found::All(hashes))
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
