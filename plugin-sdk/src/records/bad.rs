//! Records of the outside API that can't be stored: how many of them a run may leave out.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::host::{Batch, ModelOutcome};

/// What becomes of records that can't be stored: without a usable id, too large, too deep, with a
/// number out of range or half of a surrogate pair. [`Cx::on_bad_record`](crate::Cx::on_bad_record)
/// sets it for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBadRecord {
    /// The run fails at the first; nothing of its commit is stored.
    Fail,
    /// They are left out, counted (`skipped`) and named in the run's log, as long as they are no more
    /// than this share of the records that the run has saved and skipped so far, or than `least`.
    /// Beyond that the run fails, and nothing of that commit is stored.
    Skip {
        /// Of the run's records; 100 and more is all of them.
        percent: u8,
        /// As many in any case.
        least: u32,
    },
}

impl Default for OnBadRecord {
    /// One in a hundred, and ten in any case.
    fn default() -> Self {
        OnBadRecord::Skip {
            percent: 1,
            least: 10,
        }
    }
}

impl OnBadRecord {
    /// How many of so many records may be skipped.
    fn allows(self, records: u64) -> u64 {
        match self {
            OnBadRecord::Fail => 0,
            OnBadRecord::Skip { percent, least } => {
                let percent = u64::from(percent.min(100));
                u64::from(least).max(records.saturating_mul(percent) / 100)
            }
        }
    }
}

/// What a run has saved and skipped so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) policy: Cell<OnBadRecord>,
    records: Cell<u64>,
    skipped: Cell<u64>,
    /// An item was decoded as the plugin expects it.
    decoded: Cell<bool>,
    /// The skipped ones, by model.
    by_model: RefCell<BTreeMap<String, u64>>,
}

impl Tally {
    /// How many of the next so many records may be skipped.
    pub(crate) fn left(&self, records: usize) -> usize {
        let allowed = self
            .policy
            .get()
            .allows(self.records.get() + to_u64(records));
        usize::try_from(allowed.saturating_sub(self.skipped.get())).unwrap_or(usize::MAX)
    }

    /// So many items were decoded as the plugin expects them.
    pub(super) fn decoded(&self, count: usize) {
        if count > 0 {
            self.decoded.set(true);
        }
    }

    pub(super) fn has_decoded(&self) -> bool {
        self.decoded.get()
    }

    /// Tell each batch how many of its records may be skipped. False when it is clear already that
    /// they are too many.
    pub(super) fn allow(&self, batches: &mut [Batch]) -> bool {
        let known: usize = batches.iter().map(|batch| batch.skipped.len()).sum();
        let records: usize = batches.iter().map(|batch| batch.save.len()).sum();
        let spare = self.left(records + known).checked_sub(known);
        for batch in batches {
            let may = spare.map_or(0, |spare| spare + batch.skipped.len());
            batch.may_skip = u32::try_from(may).unwrap_or(u32::MAX);
        }
        spare.is_some()
    }

    /// Count what a commit of so many records did.
    pub(super) fn count(&self, records: usize, outcome: &[ModelOutcome]) {
        self.records.set(self.records.get() + to_u64(records));
        let mut by_model = self.by_model.borrow_mut();
        for outcome in outcome.iter().filter(|outcome| outcome.skipped > 0) {
            let skipped = u64::from(outcome.skipped);
            self.skipped.set(self.skipped.get() + skipped);
            *by_model.entry(outcome.model.clone()).or_default() += skipped;
        }
    }

    /// How many records of the model this run has skipped.
    pub(crate) fn skipped_of(&self, model: &str) -> u64 {
        self.by_model.borrow().get(model).copied().unwrap_or(0)
    }
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::OnBadRecord;

    #[test]
    fn shares() {
        let default = OnBadRecord::default();
        for (records, allowed) in [(0, 10), (999, 10), (1_000, 10), (1_100, 11), (5_000, 50)] {
            assert_eq!(default.allows(records), allowed, "{records}");
        }
        let all = OnBadRecord::Skip {
            percent: 200,
            least: 0,
        };
        assert_eq!((all.allows(7), OnBadRecord::Fail.allows(7)), (7, 0));
    }
}
