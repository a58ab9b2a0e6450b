//! An id that comes twice in one pull, in two versions. With times to compare, the later one counts, wherever it
//! is in the list: a list that has a record twice would change it at every pull otherwise.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;
use tidegate_sdk::prelude::*;

use super::Puller;
use crate::latest;
use crate::page::{Changes, Record};
use crate::plan::Plan;

/// So many ids that came twice are remembered, of at most so many bytes each: they are part of the checkpoint.
const TWICE_MAX: usize = 200;
const ID_BYTES_MAX: usize = 100;

/// What counts of an id.
#[derive(Debug, Clone, Copy)]
enum BestVersion {
    Stored,
    /// The record at this place of what is to be saved.
    New(usize),
}

impl Puller<'_> {
    /// Of the ids that came again on this page (and how often), and of those that are known to, keep the version with
    /// the latest time.
    pub(super) async fn keep_the_latest(
        &mut self,
        changes: &mut Changes<'_>,
        again: BTreeMap<String, usize>,
    ) -> Result<()> {
        let is_known = |id: &String| self.stored.twice.contains(id) || self.pull.twice.contains(id);
        let is_quiet =
            again.is_empty() && self.stored.twice.is_empty() && self.pull.twice.is_empty();
        if is_quiet || !latest::is_in_records(self.plan) {
            return Ok(());
        }
        let saved = changes.save.iter().map(|record| &record.id);
        let in_question = |id: &&String| {
            (again.contains_key(*id) || is_known(id)) && !changes.delete.contains(*id)
        };
        let ids: BTreeSet<String> = saved.filter(in_question).cloned().collect();
        for id in again.keys().filter(|id| id.len() <= ID_BYTES_MAX) {
            if self.pull.twice.len() < TWICE_MAX {
                self.pull.twice.insert(id.clone());
            }
        }
        if ids.is_empty() {
            return Ok(());
        }
        let bodies: Vec<Option<Box<RawValue>>> =
            self.cx.get_records(&self.plan.model, &ids).await?;
        let stored: BTreeMap<&String, Option<Box<RawValue>>> = ids.iter().zip(bodies).collect();
        let candidates = Candidates {
            plan: self.plan,
            ids: &ids,
            stored: &stored,
            again: &again,
        };
        let (best, seen_before) = candidates.best(&changes.save);
        for (id, (of, _)) in &best {
            if matches!(of, BestVersion::Stored)
                && !seen_before.contains(*id)
                && let Some(Some(body)) = stored.get(*id)
            {
                // It is in the list, so it counts as seen; what is stored stays.
                changes.again.push(((*id).clone(), body.get().to_owned()));
            }
        }
        let mut place = 0;
        changes.save.retain(|record| {
            let counts = match best.get(&record.id) {
                Some((BestVersion::New(at), _)) => *at == place,
                Some((BestVersion::Stored, _)) => false,
                None => true,
            };
            place += 1;
            counts
        });
        Ok(())
    }

    /// The ids that came twice, to be remembered for the next pull.
    pub(super) fn twice(&self) -> BTreeSet<String> {
        let mut twice = self.pull.twice.clone();
        if !self.pull.full {
            let before = self.stored.twice.iter();
            let room = TWICE_MAX.saturating_sub(twice.len());
            twice.extend(before.take(room).cloned());
        }
        twice
    }
}

/// By id, with the time of the version.
type BestVersions<'a> = BTreeMap<&'a String, (BestVersion, Option<i64>)>;

/// The versions of the ids in question: what is stored, and what this page has.
struct Candidates<'a> {
    plan: &'a Plan,
    ids: &'a BTreeSet<String>,
    stored: &'a BTreeMap<&'a String, Option<Box<RawValue>>>,
    /// How often each came in this pull.
    again: &'a BTreeMap<String, usize>,
}

impl<'a> Candidates<'a> {
    /// The version that counts of each id, with its time; and the ids that this pull has stored already.
    fn best(&self, save: &[Record<'_>]) -> (BestVersions<'a>, BTreeSet<&'a String>) {
        let mut best = BTreeMap::new();
        let mut seen_before = BTreeSet::new();
        for id in self.ids {
            let here = save.iter().filter(|record| record.id == *id).count();
            if self.again.get(id).is_some_and(|again| *again >= here) {
                seen_before.insert(id);
            }
            if let Some(Some(body)) = self.stored.get(id) {
                best.insert(id, (BestVersion::Stored, latest::time(self.plan, body)));
            }
        }
        for (place, record) in save.iter().enumerate() {
            let Some(id) = self.ids.get(&record.id) else {
                continue;
            };
            let new = latest::time(self.plan, record.body);
            let wins = match best.get(id) {
                None => true,
                Some((of, old)) => match (old, new) {
                    (Some(old), Some(new)) if *old == new => {
                        // Of two in one pull the first; but what is stored from before may have changed since.
                        matches!(of, BestVersion::Stored) && !seen_before.contains(id)
                    }
                    (Some(old), Some(new)) => *old < new,
                    // Nothing to compare: the last one.
                    _ => true,
                },
            };
            if wins {
                best.insert(id, (BestVersion::New(place), new));
            }
        }
        (best, seen_before)
    }
}
