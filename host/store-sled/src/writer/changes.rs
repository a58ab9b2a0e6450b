//! Works out what saves, deletions and imports do to one feed, and turns that into writes.
//!
//! Two steps: [`plan`] only reads and may fail; [`Plan::write`] gives out sequences and changes the
//! feed in memory. Ids are looked up in their order, so that each index pack is read once, while
//! sequences follow the order of the page.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use tidegate_engine::canonical::BodyHash;
use tidegate_engine::record::{Action, Counts};
use tidegate_engine::store::ModelStats;
use tidegate_engine::transfer::ImportedRecord;
use tidegate_engine::{StoreError, Timestamp};

use crate::disk::{View, Writes, damaged};
use crate::feeds::Publication;
use crate::layout::keys::{self, Tag};
use crate::layout::pack::{Entry, Pack};
use crate::layout::segment::{Builder, Built, FeedEntry};
use crate::segments;

use super::feed::FeedState;

/// What an operation does to its record.
#[derive(Debug, Clone, Copy)]
pub(super) enum RecordEffect<'a> {
    Save(&'a str, BodyHash),
    Delete,
    /// Leaves the record as it is, and open snapshots count it as seen.
    Skip,
    /// Takes over a record that must be new, with the history it has.
    Import(&'a ImportedRecord),
}

/// A save, a deletion, an import, or none of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Op<'a> {
    pub(super) id: &'a str,
    /// Which page of the commit it is from.
    pub(super) page: usize,
    pub(super) what: RecordEffect<'a>,
}

/// The state that an operation replaces.
#[derive(Debug, Clone, Copy)]
enum PriorState {
    Stored(Entry),
    /// The result of an earlier operation of the same commit.
    Op(usize, Entry),
}

impl PriorState {
    fn entry(&self) -> &Entry {
        match self {
            Self::Stored(entry) | Self::Op(_, entry) => entry,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Change {
    action: Action,
    before: Option<PriorState>,
    /// What the index will say; its sequence is not known yet.
    after: Entry,
    modified: Timestamp,
}

/// An index pack that changes.
#[derive(Debug)]
struct PackPlan {
    first_id: Vec<u8>,
    value: sled::IVec,
    /// Operations whose results it gets, by id.
    ops: Vec<usize>,
}

/// What a commit does to one feed.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    ops: Vec<Op<'a>>,
    changes: Vec<Option<Change>>,
    packs: Vec<PackPlan>,
    /// Sequences of records that were saved unchanged, or skipped, sorted.
    seen: Vec<u64>,
    /// Whether a record without an id was skipped.
    holes: bool,
    /// Bodies of stored records that get deleted, by sequence.
    bodies: HashMap<u64, Option<String>>,
}

/// What the operations so far come to.
struct Decided {
    /// One for each operation.
    changes: Vec<Option<Change>>,
    /// Sequences of records that a pull saw and left as they are.
    seen: Vec<u64>,
    /// Sequences of records that were deleted.
    gone: Vec<u64>,
}

impl Decided {
    /// Decide the operations on one id, in their order. The last that changes the record is what its pack shows.
    fn of_one_id(
        &mut self,
        ops: &[Op<'_>],
        same: &[usize],
        stored: Option<PriorState>,
        now: Timestamp,
        counts: &mut [Counts],
    ) -> Option<usize> {
        let mut before = stored;
        let mut last = None;
        for number in same {
            let Some(op) = ops.get(*number) else { continue };
            let change = decide(op, before, now);
            if let Some(counts) = counts.get_mut(op.page)
                && !matches!(op.what, RecordEffect::Skip)
            {
                count(counts, change.as_ref());
            }
            if let Some(PriorState::Stored(entry)) = before {
                let kept = matches!(op.what, RecordEffect::Save(..) | RecordEffect::Skip);
                match &change {
                    None if kept => self.seen.push(entry.seq),
                    Some(change) if change.action == Action::Deleted => self.gone.push(entry.seq),
                    _ => {}
                }
            }
            if let Some(change) = change {
                before = Some(PriorState::Op(*number, change.after));
                last = Some(*number);
                if let Some(slot) = self.changes.get_mut(*number) {
                    *slot = Some(change);
                }
            }
        }
        last
    }
}

/// Work out what `ops` do to the feed `number`; adds up `counts` by page.
pub(super) fn plan<'a>(
    view: &View<'_>,
    number: u64,
    ops: Vec<Op<'a>>,
    now: Timestamp,
    counts: &mut [Counts],
) -> Result<Plan<'a>, StoreError> {
    let mut order: Vec<usize> = (0..ops.len()).collect();
    let id = |op: &usize| ops.get(*op).map(|op| op.id).unwrap_or_default();
    if !order.is_sorted_by(|a, b| id(a) <= id(b)) {
        // Stable: operations on one id stay in their order.
        order.sort_by(|a, b| id(a).cmp(id(b)));
    }
    let mut decided = Decided {
        changes: vec![None; ops.len()],
        seen: Vec::new(),
        gone: Vec::new(),
    };
    let mut packs = Vec::new();

    let prefix = keys::of_feed(Tag::Pack, number);
    let mut rest = order.chunk_by(|a, b| id(a) == id(b)).peekable();
    while let Some(first) = rest.peek().and_then(|same| same.first()) {
        let found = view.at_or_before(&prefix, &keys::pack(number, id(first).as_bytes()))?;
        let (key, value) = found.unwrap_or_else(|| (prefix.clone().into(), sled::IVec::default()));
        let bad = |corrupt| damaged(&key, corrupt);
        let pack = if value.is_empty() {
            Pack::EMPTY
        } else {
            Pack::decode(&value).map_err(bad)?
        };
        let mut changed = Vec::new();
        while let Some(same) = rest.next_if(|same| {
            same.first()
                .is_some_and(|op| pack.covers(id(op).as_bytes()))
        }) {
            let stored = same.first().and_then(|op| pack.get(id(op).as_bytes()));
            let stored = stored.copied().map(PriorState::Stored);
            changed.extend(decided.of_one_id(&ops, same, stored, now, counts));
        }
        if !changed.is_empty() {
            let first_id = keys::rest(&key, &prefix).map_err(bad)?.to_vec();
            packs.push(PackPlan {
                first_id,
                value: value.clone(),
                ops: changed,
            });
        }
    }
    let Decided {
        changes,
        mut seen,
        mut gone,
    } = decided;
    seen.sort_unstable();
    seen.dedup();
    gone.sort_unstable();
    let bodies = bodies(view, number, &gone)?;
    Ok(Plan {
        ops,
        changes,
        packs,
        seen,
        holes: false,
        bodies,
    })
}

/// What `op` does to a record that is as `before` says; `None` when nothing changes.
fn decide(op: &Op<'_>, before: Option<PriorState>, now: Timestamp) -> Option<Change> {
    let old = before.as_ref().map(PriorState::entry);
    let (action, after) = match (op.what, old) {
        (RecordEffect::Skip, _) => return None,
        (RecordEffect::Delete, None) => return None,
        (RecordEffect::Delete, Some(old)) if old.deleted => return None,
        (RecordEffect::Delete, Some(old)) => (
            Action::Deleted,
            Entry {
                deleted: true,
                ..*old
            },
        ),
        (RecordEffect::Save(_, hash), Some(old)) if !old.deleted && old.hash == hash => {
            return None;
        }
        (RecordEffect::Save(body, hash), old) => {
            let action = match old {
                Some(old) if !old.deleted => Action::Updated,
                _ => Action::Added,
            };
            let first_seen = old.map_or(now, |old| old.first_seen);
            let body_len = body.len() as u64;
            (
                action,
                Entry {
                    seq: 0,
                    hash,
                    first_seen,
                    body_len,
                    deleted: false,
                },
            )
        }
        (RecordEffect::Import(record), _) => (
            record.action,
            Entry {
                seq: 0,
                hash: record.hash,
                first_seen: record.first_seen_at,
                body_len: record.body_len,
                deleted: record.action == Action::Deleted,
            },
        ),
    };
    let modified = match op.what {
        RecordEffect::Import(record) => record.last_modified_at,
        RecordEffect::Save(..) | RecordEffect::Delete | RecordEffect::Skip => now,
    };
    Some(Change {
        action,
        before,
        after,
        modified,
    })
}

fn count(counts: &mut Counts, change: Option<&Change>) {
    match change.map(|change| change.action) {
        None => counts.unchanged += 1,
        Some(Action::Added) => counts.added += 1,
        Some(Action::Updated) => counts.updated += 1,
        Some(Action::Deleted) => counts.deleted += 1,
    }
}

fn bodies(
    view: &View<'_>,
    feed: u64,
    sequences: &[u64],
) -> Result<HashMap<u64, Option<String>>, StoreError> {
    let mut bodies = HashMap::with_capacity(sequences.len());
    let missing = segments::visit(
        |seq| segments::find(view, feed, seq),
        sequences,
        |entry| {
            bodies.insert(entry.seq, entry.body.map(str::to_owned));
            true
        },
    )?;
    match missing.first() {
        Some(seq) => Err(segments::lost(feed, *seq)),
        None => Ok(bodies),
    }
}

impl Plan<'_> {
    /// The same, with the word that open snapshots are not whole.
    pub(super) fn with_holes(self, holes: bool) -> Self {
        Self { holes, ..self }
    }

    /// The first record, if any, that was there before an operation on it.
    pub(super) fn replaced(&self) -> Option<&str> {
        let mut ops = self.ops.iter().zip(&self.changes);
        let replaces = |change: &Option<Change>| change.is_some_and(|c| c.before.is_some());
        let (op, _) = ops.find(|(_, change)| replaces(change))?;
        Some(op.id)
    }

    /// Give out sequences, change the feed in memory and collect the writes.
    pub(super) fn write(
        &self,
        view: &View<'_>,
        feed: &mut FeedState,
        writes: &mut Writes,
    ) -> Result<Option<Publication>, StoreError> {
        feed.mark_seen(view, writes, &self.seen)?;
        if self.holes {
            feed.mark_holes(writes)?;
        }
        if self.packs.is_empty() {
            return Ok(None);
        }
        let first_new = feed.header.last_seq + 1;
        let number = feed.published.number;
        let mut sequences = vec![0; self.ops.len()];
        let mut superseded = Vec::new();
        let mut tombs = Vec::new();
        let mut pruned = Vec::new();
        let mut builder = Builder::default();
        for (index, (op, change)) in self.ops.iter().zip(&self.changes).enumerate() {
            let Some(change) = change else { continue };
            feed.header.last_seq += 1;
            let seq = feed.header.last_seq;
            if let Some(slot) = sequences.get_mut(index) {
                *slot = seq;
            }
            let before = match change.before {
                Some(PriorState::Stored(entry)) => Some(entry.seq),
                Some(PriorState::Op(op, _)) => sequences.get(op).copied(),
                None => None,
            };
            superseded.extend(before);
            if change.action == Action::Deleted {
                tombs.push(seq);
            }
            let body = self.body(op, change);
            let was_pruned = before
                .is_some_and(|seq| feed.pruned.contains(seq) || pruned.binary_search(&seq).is_ok());
            count_stats(&mut feed.header.stats, change, was_pruned, body.is_none());
            if body.is_none() {
                pruned.push(seq);
                // Only an import brings a record that is there without its body.
                if change.action != Action::Deleted {
                    feed.header.pruned_seq = seq;
                }
            }
            let entry = FeedEntry {
                seq,
                action: change.action,
                first_seen: change.after.first_seen,
                last_modified: change.modified,
                id: op.id,
                body,
            };
            if let Some(built) = builder.push(&entry) {
                put_segment(feed, writes, &built);
            }
        }
        if let Some(built) = builder.finish() {
            put_segment(feed, writes, &built);
        }
        self.put_packs(number, &sequences, writes)?;

        superseded.sort_unstable();
        let new = first_new..=feed.header.last_seq;
        update_sets(feed, new, &superseded, &tombs, &pruned);
        feed.put_sets(view, writes, &superseded, &tombs, &pruned)?;
        Ok(Some(Publication::Changed {
            feed: feed.published.clone(),
            last_seq: feed.header.last_seq,
            pruned_seq: feed.header.pruned_seq,
            superseded,
            stats: feed.header.stats,
        }))
    }

    /// The body that an entry gets: the saved one, or of a deletion the last one.
    fn body<'s>(&'s self, op: &Op<'s>, change: &Change) -> Option<&'s str> {
        match (op.what, change.before) {
            (RecordEffect::Save(body, _), _) => Some(body),
            (RecordEffect::Import(record), _) => record.body.as_deref(),
            (RecordEffect::Delete, Some(PriorState::Stored(entry))) => {
                self.bodies.get(&entry.seq)?.as_deref()
            }
            (RecordEffect::Delete, Some(PriorState::Op(before, _))) => {
                match self.ops.get(before)?.what {
                    RecordEffect::Save(body, _) => Some(body),
                    RecordEffect::Import(_) | RecordEffect::Delete | RecordEffect::Skip => None,
                }
            }
            (RecordEffect::Delete, None) | (RecordEffect::Skip, _) => None,
        }
    }

    fn put_packs(
        &self,
        feed: u64,
        sequences: &[u64],
        writes: &mut Writes,
    ) -> Result<(), StoreError> {
        for plan in &self.packs {
            let key = keys::pack(feed, &plan.first_id);
            let bad = |corrupt| damaged(key.as_ref(), corrupt);
            let pack = match plan.value.is_empty() {
                true => Pack::EMPTY,
                false => Pack::decode(&plan.value).map_err(bad)?,
            };
            let entry = |op: &usize| {
                let change = self.changes.get(*op)?.as_ref()?;
                let entry = Entry {
                    seq: *sequences.get(*op)?,
                    ..change.after
                };
                Some((self.ops.get(*op)?.id.as_bytes(), entry))
            };
            let changes: Vec<(&[u8], Entry)> = plan.ops.iter().filter_map(entry).collect();
            for (first_id, value) in pack.with(&plan.first_id, &changes) {
                writes.put_new(keys::pack(feed, &first_id), &value);
            }
        }
        Ok(())
    }
}

/// Count what `change` made of a record, given whether it had no body and has none now.
fn count_stats(stats: &mut ModelStats, change: &Change, was_pruned: bool, is_pruned: bool) {
    if let Some(old) = change.before.as_ref().map(PriorState::entry) {
        stats.pruned -= u64::from(was_pruned);
        if old.deleted {
            stats.deleted -= 1;
        } else {
            stats.live -= 1;
            stats.live_bytes -= if was_pruned { 0 } else { old.body_len };
        }
    }
    stats.pruned += u64::from(is_pruned);
    if change.after.deleted {
        stats.deleted += 1;
    } else {
        stats.live += 1;
        stats.live_bytes += if is_pruned { 0 } else { change.after.body_len };
    }
}

/// Take the new sequences into the feed's sets, and those that they supersede out of them.
fn update_sets(
    feed: &mut FeedState,
    new: RangeInclusive<u64>,
    superseded: &[u64],
    tombs: &[u64],
    pruned: &[u64],
) {
    feed.live.insert_range(*new.start(), *new.end());
    for seq in superseded {
        feed.live.remove(*seq);
        feed.tombs.remove(*seq);
        feed.pruned.remove(*seq);
    }
    for seq in tombs.iter().filter(|seq| feed.live.contains(**seq)) {
        feed.tombs.insert(*seq);
    }
    for seq in pruned.iter().filter(|seq| feed.live.contains(**seq)) {
        feed.pruned.insert(*seq);
    }
}

fn put_segment(feed: &mut FeedState, writes: &mut Writes, built: &Built) {
    feed.header.segments += 1;
    feed.header.entries += built.entries;
    feed.header.segment_bytes += built.value.len() as u64;
    let key = keys::of_feed(Tag::Segment, feed.published.number).number(built.first_seq);
    writes.put_new(key, &built.value);
}
