//! What readers may see of each feed: the state as of the last flush.
//!
//! sled shows a reader what was applied but not flushed, and a crash would take that back: a
//! consumer would have seen a sequence that is given out again, or lose its place. So the feeds
//! that are in use are kept here as of the last flush, and readers go by that.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_engine::StoreError;
use tidegate_engine::store::ModelStats;

use crate::disk::{View, damaged};
use crate::layout::header::Header;
use crate::layout::keys::{self, Tag};
use crate::layout::seqset::{JournalEntry, SeqSet};

/// A feed as readers see it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Published {
    /// False for a feed that was never written to, and for one that was dropped.
    pub(crate) exists: bool,
    pub(crate) last_seq: u64,
    /// See [`Header::pruned_seq`].
    pub(crate) pruned_seq: u64,
    /// Sequences that are the latest of their records.
    pub(crate) live: SeqSet,
    pub(crate) stats: ModelStats,
    /// What a snapshot deletes that ends in steps: the nth of these gets the nth sequence after the last one,
    /// and nobody may see that yet.
    ending: Option<Arc<SeqSet>>,
}

impl Published {
    /// The sequence at which a record is seen whose index entry says `seq`; `None` if that is not flushed.
    pub(crate) fn seen_at(&self, seq: u64) -> Option<u64> {
        let Some(later) = seq.checked_sub(self.last_seq).filter(|later| *later > 0) else {
            return Some(seq);
        };
        self.ending.as_ref()?.nth(later - 1)
    }
}

/// What is applied, and published once it is flushed.
#[derive(Debug)]
pub(crate) enum Publication {
    Changed {
        feed: Arc<Feed>,
        last_seq: u64,
        pruned_seq: u64,
        superseded: Vec<u64>,
        stats: ModelStats,
    },
    /// A snapshot has ended in steps, and deleted these.
    Ended {
        feed: Arc<Feed>,
        last_seq: u64,
        deleted: SeqSet,
        stats: ModelStats,
    },
    /// The feed of this number is gone.
    Dropped(u64),
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
        let mut in_use = self.in_use.lock();
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
        let mut in_use = self.in_use.lock();
        in_use.retain(|number, _| keep(*number));
    }

    /// Show readers what changed.
    pub(crate) fn publish(&self, publication: &Publication) {
        match publication {
            Publication::Changed {
                feed,
                last_seq,
                pruned_seq,
                superseded,
                stats,
            } => feed.change(*last_seq, *pruned_seq, superseded, *stats),
            Publication::Ended {
                feed,
                last_seq,
                deleted,
                stats,
            } => feed.end(*last_seq, deleted, *stats),
            Publication::Dropped(number) => {
                let mut in_use = self.in_use.lock();
                let Some(feed) = in_use.remove(number) else {
                    return;
                };
                drop(in_use);
                // Readers that found it before go on with an empty feed.
                let mut state = feed.state.lock();
                *state = Some(Published::default());
            }
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.in_use.lock().len()
    }
}

impl Published {
    fn of(loaded: &Loaded) -> Self {
        let Loaded {
            exists,
            header,
            live,
            ..
        } = loaded;
        let mut live = live.clone();
        live.forget_dirty();
        Self {
            exists: *exists,
            last_seq: header.last_seq,
            pruned_seq: header.pruned_seq,
            live,
            stats: header.stats,
            ending: None,
        }
    }
}

impl Feed {
    /// Look at the published state, loading it if need be.
    ///
    /// The writer makes its [`Self::offer`] before it changes anything of a feed, so what is loaded here has
    /// no unflushed changes in it.
    pub(crate) fn with<T>(
        &self,
        view: &View<'_>,
        look: impl FnOnce(&Published) -> T,
    ) -> Result<T, StoreError> {
        let mut state = self.state.lock();
        if let Some(published) = &*state {
            return Ok(look(published));
        }
        let loaded = load(view, self.number)?;
        Ok(look(state.insert(Published::of(&loaded))))
    }

    /// What the writer has loaded, which has not changed anything of the feed yet. It must not load while it
    /// holds what readers wait for: they have the database's lock by then, which loading waits for.
    pub(crate) fn offer(&self, loaded: &Loaded) {
        let mut state = self.state.lock();
        state.get_or_insert_with(|| Published::of(loaded));
    }

    /// A snapshot ends in steps and deletes these. Until it is published that it has, readers are shown the feed as
    /// it is now. The writer calls this before the first step, having made its [`Self::offer`].
    pub(crate) fn begin_ending(&self, unseen: Arc<SeqSet>) {
        let mut state = self.state.lock();
        if let Some(published) = &mut *state {
            published.ending = Some(unseen);
        }
    }

    fn end(&self, last_seq: u64, deleted: &SeqSet, stats: ModelStats) {
        let mut state = self.state.lock();
        let Some(published) = &mut *state else { return };
        published.live.remove_all(deleted);
        published
            .live
            .insert_range(published.last_seq + 1, last_seq);
        published.live.forget_dirty();
        published.last_seq = last_seq;
        published.stats = stats;
        published.ending = None;
    }

    fn change(&self, last_seq: u64, pruned_seq: u64, superseded: &[u64], stats: ModelStats) {
        let mut state = self.state.lock();
        let Some(published) = &mut *state else { return };
        published
            .live
            .insert_range(published.last_seq + 1, last_seq);
        for seq in superseded {
            published.live.remove(*seq);
        }
        published.live.forget_dirty();
        published.exists = true;
        published.last_seq = last_seq;
        published.pruned_seq = pruned_seq;
        published.stats = stats;
    }
}

/// A feed's header and sequence sets as they are on disk.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) exists: bool,
    pub(crate) header: Header,
    pub(crate) live: SeqSet,
    /// Live sequences that are deletions.
    pub(crate) tombs: SeqSet,
    /// Live sequences whose bodies were pruned.
    pub(crate) pruned: SeqSet,
}

/// Load a feed. One that was never written to is empty, and so is one that was dropped, whatever
/// may be left of it.
pub(crate) fn load(view: &View<'_>, feed: u64) -> Result<Loaded, StoreError> {
    let header = view.row(&keys::of_feed(Tag::Feed, feed), Header::decode)?;
    let Some(header) = header else {
        return Ok(Loaded {
            exists: false,
            header: Header::default(),
            live: SeqSet::default(),
            tombs: SeqSet::default(),
            pruned: SeqSet::default(),
        });
    };
    let mut live = load_chunks(view, &keys::of_feed(Tag::Live, feed))?;
    let mut tombs = load_chunks(view, &keys::of_feed(Tag::Tomb, feed))?;
    let mut pruned = load_chunks(view, &keys::of_feed(Tag::Pruned, feed))?;
    live.insert_range(header.folded_seq + 1, header.last_seq);
    for item in view.prefix(&keys::of_feed(Tag::Journal, feed)) {
        let (key, value) = item?;
        let journal = JournalEntry::decode(&value).map_err(|c| damaged(&key, c))?;
        for (first, last) in journal.superseded {
            (first..=last).for_each(|seq| live.remove(seq));
        }
        for (first, last) in journal.tombs {
            tombs.insert_range(first, last);
        }
        for (first, last) in journal.pruned {
            pruned.insert_range(first, last);
        }
    }
    // What was superseded later is neither any more.
    tombs.retain(&live);
    pruned.retain(&live);
    Ok(Loaded {
        exists: true,
        header,
        live,
        tombs,
        pruned,
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
