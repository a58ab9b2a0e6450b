//! What casts doubt on the list: records that come twice, totals that change, pages that lead in
//! circles.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::value::RawValue;
use tidegate_sdk::SeenIds;
use tidegate_sdk::prelude::*;

use super::Puller;
use super::again::Reading;
use crate::checkpoint::Etag;
use crate::incremental::Mark;
use crate::latest;
use crate::page::Changes;
use crate::paging::{Body, Place};

/// So many pages in a row without an id that is new are a circle.
const STALE_PAGES_MAX: u32 = 10;
/// How much of a record goes into a message.
const EXCERPT_CHARS: usize = 120;

/// What this run has noticed in this reading of the list.
#[derive(Debug, Default)]
pub(super) struct Watch {
    ids: SeenIds,
    /// The ids of the page before, as a hash, with what it was asked for.
    last: Option<(Option<String>, u64)>,
    /// Pages in a row without an id that is new.
    stale: u32,
    /// Pages that were asked for in the same way, and how many were before what is asked for moved on: so many may
    /// bring the same again.
    alike: u32,
    before: u32,
    /// What a list of changes is compared by with its next reading.
    pub(super) reading: Reading,
    /// Of the first answer, if that is the last one.
    pub(super) etag: Option<Etag>,
}

impl Watch {
    /// Of a reading that another run may have begun.
    pub(super) fn of_reading(is_partial: bool) -> Self {
        let mut watch = Watch::default();
        watch.reading.is_partial = is_partial;
        watch
    }
}

/// The ids of a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ids {
    pub(super) any: bool,
    /// How many came for the first time.
    fresh: usize,
    /// Of all of them.
    hash: u64,
}

impl Puller<'_> {
    /// Take in the ids of a page. In a full pull the first record of an id counts, unless something
    /// tells which is newer: a list that has a record twice, in two versions, would change it at
    /// every pull. Tells which ids had come before, too, and how often they came again.
    pub(super) fn saw(&mut self, changes: &mut Changes<'_>) -> (Ids, BTreeMap<String, usize>) {
        let mut hasher = DefaultHasher::new();
        let saved = changes.save.iter().map(|record| &record.id);
        for id in saved.chain(&changes.delete) {
            id.hash(&mut hasher);
        }
        let any = !(changes.save.is_empty() && changes.delete.is_empty());
        if let Some(full) = &mut self.full {
            for skip in &changes.skip {
                full.skipped(skip.id.as_deref());
            }
        }
        let needs_order = self.compares_readings();
        let (full, ids) = (&mut self.full, &mut self.watch.ids);
        let first_counts = self.pull.full && self.plan.incremental.is_none();
        let mut fresh = 0;
        let mut again = BTreeMap::new();
        let read: Vec<String> = match needs_order {
            true => changes
                .save
                .iter()
                .map(|record| record.id.clone())
                .collect(),
            false => Vec::new(),
        };
        changes.save.retain(|record| {
            let is_new = match full {
                Some(full) => full.saw(&record.id),
                None => ids.insert(&record.id),
            };
            fresh += usize::from(is_new);
            if !is_new && !first_counts {
                *again.entry(record.id.clone()).or_default() += 1;
            }
            is_new || !first_counts
        });
        for id in &changes.delete {
            fresh += usize::from(ids.insert(id));
        }
        if needs_order {
            self.watch
                .reading
                .page(read.iter().chain(&changes.delete), fresh);
        }
        let ids = Ids {
            any,
            fresh,
            hash: hasher.finish(),
        };
        (ids, again)
    }

    /// Notice records that changed before what was asked for. The first and the last of a page are enough.
    pub(super) fn watch_times(&self, asks_for_changes: bool, records: &[&RawValue]) {
        let Some(Mark::Time(mark)) = &self.stored.mark else {
            return;
        };
        let Some(incremental) = self.plan.incremental.as_ref().filter(|_| asks_for_changes) else {
            return;
        };
        if self.pull.full {
            return;
        }
        let from = incremental.earliest(*mark);
        let ends = records.first().into_iter().chain(records.last());
        for record in ends {
            if latest::time(self.plan, record).is_some_and(|time| time < from) {
                self.plan.fields.watch.older(|| {
                    format!(
                        "changes were asked for since {}, and a record has an earlier time (it begins: {})",
                        self.since().unwrap_or_default(),
                        record.get().chars().take(EXCERPT_CHARS).collect::<String>()
                    )
                });
            }
        }
    }

    /// Whether a page that was asked for only to see whether it is one brought nothing but what was read
    /// before.
    pub(super) fn is_the_start_again(&self, changes: &Changes<'_>) -> bool {
        let probes = self.pull.counted.probes && matches!(self.pull.at, Place::Cursor(_));
        let seen = |id: &String| match &self.full {
            Some(full) => full.has_seen(id),
            None => self.watch.ids.contains(id),
        };
        let mut ids = changes
            .save
            .iter()
            .map(|record| &record.id)
            .chain(&changes.delete);
        probes && changes.skip.is_empty() && ids.all(seen)
    }

    /// Notice pages that lead in circles.
    pub(super) fn watch_page(&mut self, since: Option<String>, page: Ids) -> Result<()> {
        if !page.any {
            return Ok(());
        }
        let this = (since, page.hash);
        let before = self.watch.last.replace(this.clone());
        let moved_on = before.as_ref().is_some_and(|(since, _)| *since != this.0);
        if moved_on {
            self.watch.before = std::mem::take(&mut self.watch.alike);
        }
        self.watch.alike += 1;
        self.watch.stale = match page.fresh {
            0 if !moved_on => self.watch.stale + 1,
            _ => 0,
        };
        let stale = self.watch.stale;
        let same = stale > 0 && before.as_ref() == Some(&this);
        let ends = self.pull.at == Place::End;
        if (same && (stale > 1 || ends)) || stale >= STALE_PAGES_MAX + self.watch.before {
            return Err(self.looped("it has no record that the pages before did not have"));
        }
        Ok(())
    }

    /// Compare what the API says that there is with what it said before, and with what came.
    pub(super) fn watch_total(&mut self, before: Option<u64>, body: &Body<'_>) {
        let counted = &mut self.pull.counted;
        if body.total.is_some() {
            counted.total = body.total;
        }
        if counted.refuted {
            return;
        }
        let (records, total) = (counted.records, counted.total);
        if let (Some(before), Some(now)) = (before, body.total)
            && before != now
        {
            let doubt = format!("the total changed from {before} to {now} while it was read");
            if now < before {
                self.lossy(doubt);
            } else {
                self.doubt(doubt);
            }
        }
        if let Some(total) = total
            && self.pull.at == Place::End
            && records != total
        {
            let doubt = format!("{records} records came of {total}");
            if records < total {
                self.lossy(doubt);
            } else {
                self.doubt(doubt);
            }
        }
    }

    /// What was not seen may live.
    pub(super) fn doubt(&mut self, why: String) {
        if let Some(full) = &mut self.full {
            full.doubt(why);
        }
    }

    /// Records may have been missed, new ones too.
    pub(super) fn lossy(&mut self, why: String) {
        self.pull.lossy.get_or_insert_with(|| why.clone());
        self.doubt(why);
    }

    /// Say which ids came twice, if nothing else does.
    pub(super) fn warn_of_repeats(&self) {
        // A list that overlaps by design brings some again.
        if self.full.is_some() || self.is_ordered() {
            return;
        }
        if let Some(ids) = self.watch.ids.repeated() {
            warn!(
                "{}: ids more than once in one pull: {ids}; either the list moved while it was \
                 read, or `models.{}.id` is not what tells one record from another",
                self.plan.model, self.plan.model
            );
        }
    }

    pub(super) fn looped(&self, problem: &str) -> Failure {
        Failure::other(format!(
            "{}: page {} of this run: {problem}; see `models.{}.pagination`",
            self.plan.path,
            self.asked.len(),
            self.plan.model
        ))
        .code("pagination-loop")
    }
}
