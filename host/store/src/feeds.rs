//! What readers may see of each feed: the state as of the last flush.
//!
//! sled shows a reader what was applied but not flushed, and a crash would take that back: a
//! consumer would have seen a sequence that is given out again, or lose its place. So the feeds
//! that are in use are kept here as of the last flush, and readers go by that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_engine::StoreError;
use tidegate_engine::store::ModelStats;

use crate::disk::{View, damaged};
use crate::layout::codec::Reader;
use crate::layout::header::Header;
use crate::layout::keys::{self, Tag};
use crate::layout::seqset::{SeqSet, read_runs};

/// A feed as readers see it.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) last_seq: u64,
    /// Sequences that are the latest of their records.
    pub(crate) live: SeqSet,
    pub(crate) stats: ModelStats,
}

/// A change of a feed that is applied, and published once it is flushed.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) feed: Arc<Feed>,
    pub(crate) last_seq: u64,
    pub(crate) superseded: Vec<u64>,
    pub(crate) stats: ModelStats,
}

/// A feed in use.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) number: u64,
    state: Mutex<Option<Published>>,
}

/// The feeds in use, by number.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    in_use: Mutex<HashMap<u64, Arc<Feed>>>,
}

impl Feeds {
    /// The feed `number`; loaded when it is first looked at.
    pub(crate) fn get(&self, number: u64) -> Arc<Feed> {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(Feed {
                number,
                state: Mutex::new(None),
            })
        };
        Arc::clone(in_use.entry(number).or_insert_with(new))
    }

    /// Forget all feeds but those for which `keep` says otherwise. Only the writer may do this, and
    /// only when everything is published: what is loaded next is what is on disk.
    pub(crate) fn forget(&self, keep: impl Fn(u64) -> bool) {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        in_use.retain(|number, _| keep(*number));
    }

    pub(crate) fn count(&self) -> usize {
        self.in_use
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

impl Feed {
    /// Look at the published state, loading it if need be.
    ///
    /// The writer does this before it changes anything of a feed, so what is loaded here has no
    /// unflushed changes in it.
    pub(crate) fn with<T>(
        &self,
        view: &View<'_>,
        look: impl FnOnce(&Published) -> T,
    ) -> Result<T, StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(published) = &*state {
            return Ok(look(published));
        }
        let Loaded {
            header, mut live, ..
        } = load(view, self.number)?;
        live.forget_dirty();
        let published = Published {
            last_seq: header.last_seq,
            live,
            stats: header.stats,
        };
        Ok(look(state.insert(published)))
    }
}

impl Publication {
    /// Show readers the change.
    pub(crate) fn publish(&self) {
        let mut state = self
            .feed
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(published) = &mut *state else { return };
        published
            .live
            .insert_range(published.last_seq + 1, self.last_seq);
        for seq in &self.superseded {
            published.live.remove(*seq);
        }
        published.live.forget_dirty();
        published.last_seq = self.last_seq;
        published.stats = self.stats;
    }
}

/// A feed's header and sequence sets as they are on disk.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) header: Header,
    pub(crate) live: SeqSet,
    /// Live sequences that are deletions.
    pub(crate) tombs: SeqSet,
}

/// Load a feed; one that was never written is empty.
pub(crate) fn load(view: &View<'_>, feed: u64) -> Result<Loaded, StoreError> {
    let header = view
        .row(&keys::of_feed(Tag::Feed, feed), Header::decode)?
        .unwrap_or_default();
    let mut live = load_chunks(view, &keys::of_feed(Tag::Live, feed))?;
    let mut tombs = load_chunks(view, &keys::of_feed(Tag::Tomb, feed))?;
    live.insert_range(header.folded_seq + 1, header.last_seq);
    for item in view.prefix(&keys::of_feed(Tag::Journal, feed)) {
        let (key, value) = item?;
        let mut reader = Reader(&value);
        let mut runs = || read_runs(&mut reader).map_err(|c| damaged(&key, c));
        for (first, last) in runs()? {
            (first..=last).for_each(|seq| live.remove(seq));
        }
        for (first, last) in runs()? {
            tombs.insert_range(first, last);
        }
    }
    // A deletion that was superseded later is none any more.
    tombs.retain(&live);
    Ok(Loaded {
        header,
        live,
        tombs,
    })
}

/// Load a set from its chunks.
pub(crate) fn load_chunks(view: &View<'_>, prefix: &keys::Key) -> Result<SeqSet, StoreError> {
    let mut set = SeqSet::default();
    for item in view.prefix(prefix) {
        let (key, value) = item?;
        let chunk = keys::rest(&key, prefix).and_then(keys::split_number);
        let loaded = chunk.and_then(|(chunk, _)| set.load_chunk(chunk, &value));
        loaded.map_err(|corrupt| damaged(&key, corrupt))?;
    }
    Ok(set)
}
