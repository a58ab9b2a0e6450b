//! Lists that count their places, and changes that are asked for over several pages of one: when a record that
//! was read is deleted, the first of the next page moves onto a page that was read already. So such a list is
//! read until two readings show that nothing moved: each record of the first is still there in the second, in the
//! same order, and none of the first came twice. Then nothing that was there all the time was passed over.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use tidegate_sdk::prelude::*;

use super::{Puller, Watch};
use crate::checkpoint::Pull;
use crate::commit::commit;
use crate::page::Changes;
use crate::paging::{Counted, Place};

/// How often a list is read in one pull, until two readings agree.
const READINGS_MAX: u32 = 3;
/// Of a longer list nothing can be said.
const ORDER_MAX: usize = 1_000_000;

/// One reading of the list, as far as this run made it.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Hashes of the ids, in their order.
    order: Vec<u64>,
    /// An id came twice.
    twice: bool,
    /// A page was asked for by its number although the list is ordered.
    pub(super) is_counted: bool,
    /// Another run began it, or it is too long.
    pub(super) is_partial: bool,
    /// Pages with records, and the records of the last of them.
    filled: u32,
    last: u64,
}

impl Reading {
    /// The next page has these ids, so many of which came for the first time.
    pub(super) fn page<'i>(&mut self, ids: impl Iterator<Item = &'i String>, fresh: usize) {
        let before = self.order.len();
        self.order.extend(ids.map(|id| hash(id)));
        let count = self.order.len() - before;
        self.twice |= fresh < count;
        if count > 0 {
            self.filled += 1;
            self.last = u64::try_from(count).unwrap_or(u64::MAX);
        }
        if self.order.len() > ORDER_MAX {
            self.order.clear();
            self.is_partial = true;
        }
    }

    /// Whether this reading, with the one before it, passed over nothing that was there all the time.
    fn agrees(&self, before: &Reading) -> bool {
        let same = self.order == before.order;
        let whole = !before.is_partial && !self.is_partial;
        whole && (same || (!before.twice && is_within(&before.order, &self.order)))
    }
}

/// Whether the first occurs within the second, in this order, with others between.
fn is_within(first: &[u64], second: &[u64]) -> bool {
    let mut rest = second.iter();
    first.iter().all(|id| rest.any(|other| other == id))
}

fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

impl Puller<'_> {
    /// Whether the order in which ids come may have to be compared.
    pub(super) fn compares_readings(&self) -> bool {
        self.plan.incremental.is_some() && !self.pull.full && self.plan.paging.counts()
    }

    /// Whether what this list passes over would be missed until the next full pull.
    pub(super) fn needs_two_readings(&self) -> bool {
        self.compares_readings() && (!self.is_ordered() || self.watch.reading.is_counted)
    }

    /// The list was read to its end, and these are its last changes. True when it is to be read once more, which is
    /// stored with them.
    pub(super) async fn reads_again(&mut self, changes: &mut Changes<'_>) -> Result<bool> {
        if !self.needs_two_readings() || self.pull.lossy.is_some() || self.came_in_one_answer() {
            return Ok(false);
        }
        let reading = std::mem::take(&mut self.watch.reading);
        let before = self.before.replace(reading);
        if let (Some(before), Some(reading)) = (&before, &self.before)
            && reading.agrees(before)
        {
            return Ok(false);
        }
        if self.pull.reading + 1 >= READINGS_MAX {
            self.lossy(format!(
                "the list moved each of {READINGS_MAX} times that it was read"
            ));
            return Ok(false);
        }
        debug!(
            "{}: reading the list once more, as it may have moved between its pages",
            self.plan.model
        );
        self.pull = Pull {
            at: Place::Start,
            counted: Counted::default(),
            reading: self.pull.reading + 1,
            // In an ordered list it says where to go on.
            found: self.pull.found.clone().filter(|_| !self.is_ordered()),
            ..self.pull.clone()
        };
        self.asked = BTreeSet::new();
        self.watch = Watch::default();
        self.plan.answers.restart();
        let checkpoint = self.checkpoint();
        commit(self.cx, self.plan, std::mem::take(changes), &checkpoint).await?;
        Ok(true)
    }

    /// Whether nothing could move between answers: there was one, or those after it were only to see that there is
    /// no more.
    fn came_in_one_answer(&self) -> bool {
        let Reading {
            filled,
            last,
            is_partial,
            ..
        } = self.watch.reading;
        let is_short = self.plan.paging.size().is_some_and(|size| last < size);
        !is_partial && (filled == 0 || (filled == 1 && (self.asked.len() == 1 || is_short)))
    }
}

#[cfg(test)]
mod tests {
    use super::Reading;

    fn reading(pages: &[&[&str]]) -> Reading {
        let mut reading = Reading::default();
        let mut seen = std::collections::BTreeSet::new();
        for page in pages {
            let ids: Vec<String> = page.iter().map(|id| (*id).to_owned()).collect();
            let fresh = ids.iter().filter(|id| seen.insert((*id).clone())).count();
            reading.page(ids.iter(), fresh);
        }
        reading
    }

    #[test]
    fn what_two_readings_show() {
        for (first, second, agree) in [
            (
                &[&["a", "b"][..], &["c"]][..],
                &[&["a", "b"][..], &["c"]][..],
                true,
            ),
            // One more, wherever it is.
            (&[&["a", "b"], &["c"]], &[&["x", "a"], &["b", "c"]], true),
            // One is gone: the one after it may have been passed over.
            (&[&["a", "b"], &["d"]], &[&["b", "c"], &["d"]], false),
            // One has moved.
            (&[&["a", "b"], &["c"]], &[&["b", "c"], &["a"]], false),
            // One came twice, so that something moved.
            (
                &[&["a", "b"], &["b", "d"]],
                &[&["a", "b"], &["c", "d"]],
                false,
            ),
            // It always does.
            (
                &[&["a", "b"], &["b", "d"]],
                &[&["a", "b"], &["b", "d"]],
                true,
            ),
        ] {
            let (first, second) = (reading(first), reading(second));
            assert_eq!(second.agrees(&first), agree, "{first:?} {second:?}");
        }
        let mut partial = reading(&[&["a"]]);
        partial.is_partial = true;
        assert!(!reading(&[&["a"]]).agrees(&partial));
    }
}
