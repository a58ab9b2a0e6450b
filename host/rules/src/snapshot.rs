//! Snapshots: pulls of everything that the source has of a model, which find what was deleted there.
//!
//! What a pull did not see need not be gone: a list that moves while it is read page by page hides
//! records that live. So a snapshot is read in passes, and its end needs a [`Proof`].

use serde::{Deserialize, Serialize};

use crate::{Name, Timestamp};

/// Why what the last pass of a snapshot did not see is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// Nothing says so: what was not seen stays.
    #[default]
    None,
    /// The whole list came in one answer.
    OneAnswer,
    /// The pass before it was whole, too. The store compares: the last one must have seen whatever
    /// the one before it saw.
    TwoPasses,
}

/// How a snapshot ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndSnapshot {
    pub proof: Proof,
    pub guard: SnapshotGuard,
    /// JSON text; `None` leaves the checkpoint as it is.
    pub checkpoint: Option<String>,
    pub now: Timestamp,
}

/// What the end of a snapshot did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    pub deleted: u64,
    /// Unseen, and not proven to be gone.
    pub kept: u64,
}

/// What a pass has not seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unseen {
    pub ids: Vec<String>,
    /// Where those that come after begin.
    pub next: Option<u64>,
    /// Of the whole model, each record once.
    pub unseen: u64,
    pub seen: u64,
}

/// The guard against deleting too much said no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the pull of {model} saw {seen} of {live} records, so ending its snapshot would delete {would_delete}, \
     and the limit snapshot_delete_percent is {max_share_percent}, never everything; nothing was deleted. If the \
     records really are gone, run it once with --allow-deletes"
)]
pub struct SnapshotRefusal {
    pub model: Name,
    pub live: u64,
    pub seen: u64,
    pub would_delete: u64,
    pub max_share_percent: u8,
}

/// How much one snapshot may delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotGuard {
    /// Percent of the live records, 0 to 100.
    pub max_share_percent: u8,
    /// The operator said that this run may delete whatever is gone, even everything.
    pub allow_all: bool,
}

impl Default for SnapshotGuard {
    fn default() -> Self {
        Self {
            max_share_percent: 50,
            allow_all: false,
        }
    }
}

impl SnapshotGuard {
    /// Whether deleting `would_delete` of `live` records is fine. Deleting everything needs
    /// `allow_all`, and so does a larger share than allowed.
    pub fn check(&self, model: &Name, live: u64, would_delete: u64) -> Result<(), SnapshotRefusal> {
        let share_is_fine =
            u128::from(would_delete) * 100 <= u128::from(live) * u128::from(self.max_share_percent);
        if self.allow_all || would_delete == 0 || (share_is_fine && would_delete < live) {
            return Ok(());
        }
        Err(SnapshotRefusal {
            model: model.clone(),
            live,
            seen: live - would_delete,
            would_delete,
            max_share_percent: self.max_share_percent,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_refuses_large_shares_and_everything() {
        let model: Name = "Contact".parse().unwrap();
        // (max share, live, would delete, fine)
        let rows = [
            (50, 100, 50, true),
            (50, 100, 51, false),
            (100, 100, 99, true),
            (100, 100, 100, false),
            (50, 0, 0, true),
            (0, 10, 0, true),
            (0, 10, 1, false),
            (50, 1, 1, false),
        ];
        for (max_share_percent, live, would_delete, fine) in rows {
            let guard = SnapshotGuard {
                max_share_percent,
                allow_all: false,
            };
            let checked = guard.check(&model, live, would_delete);
            assert_eq!(
                checked.is_ok(),
                fine,
                "{max_share_percent} {live} {would_delete}"
            );
            let guard = SnapshotGuard {
                allow_all: true,
                ..guard
            };
            assert!(guard.check(&model, live, would_delete).is_ok());
        }
    }
}
