//! Records, pages, changes and the rules that a page must keep before it reaches a store.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::{Name, Timestamp};

/// What last happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Saved for the first time, or again after a deletion.
    Added,
    /// Saved with another body.
    Updated,
    /// Gone at the source; the last body is kept.
    Deleted,
}

impl Action {
    /// The word for people and programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

/// A record as the change feed and `get` show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub id: String,
    /// JSON text as it was saved; `None` when retention pruned it.
    pub body: Option<String>,
    pub action: Action,
    pub first_seen_at: Timestamp,
    pub last_modified_at: Timestamp,
    /// When it was deleted, for a deleted record.
    pub deleted_at: Option<Timestamp>,
    /// Its place in the change feed.
    pub seq: u64,
}

/// A record to save.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Save {
    pub id: String,
    /// JSON text; an object.
    pub body: String,
}

/// Changes of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    pub model: Name,
    pub save: Vec<Save>,
    /// Taken before the saves, so that an id in both ends up saved.
    pub delete: Vec<String>,
}

/// What a commit did to one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    pub added: u64,
    pub updated: u64,
    pub deleted: u64,
    pub unchanged: u64,
}

impl Counts {
    /// Add another commit's counts.
    pub fn add(&mut self, other: Self) {
        self.added += other.added;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.unchanged += other.unchanged;
    }

    /// All that was looked at.
    #[must_use]
    pub fn total(self) -> u64 {
        self.added + self.updated + self.deleted + self.unchanged
    }
}

/// Why a page is refused. Nothing of its commit is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    #[error(
        "model {model}: record {index} has an empty id; each record needs the id it has at its source"
    )]
    EmptyId { model: Name, index: usize },
    #[error(
        "model {model}: the id of record {index} has {bytes} bytes; the limit record_id_bytes is {max}"
    )]
    LongId {
        model: Name,
        index: usize,
        bytes: usize,
        max: u64,
    },
    #[error("model {model}: the id of record {index}, {id:?}, has a control character")]
    ControlInId {
        model: Name,
        index: usize,
        id: String,
    },
    #[error(
        "model {model}: the body of record {id:?} has {bytes} bytes; the limit record_bytes is {max}"
    )]
    LongBody {
        model: Name,
        id: String,
        bytes: usize,
        max: u64,
    },
    #[error("model {model}: the body of record {id:?} is not a JSON object: {reason}")]
    Body {
        model: Name,
        id: String,
        reason: String,
    },
    #[error(
        "model {model}: the body of record {id:?} is nested deeper than the limit json_depth, {max}",
        max = crate::limits::JSON_DEPTH
    )]
    DeepBody { model: Name, id: String },
    #[error(
        "a commit of {records} records and deletions; the limit records_per_commit is {max}: commit smaller pages"
    )]
    ManyRecords { records: usize, max: u64 },
    #[error(
        "a commit of {bytes} bytes of bodies; the limit commit_bytes is {max}: commit smaller pages"
    )]
    ManyBytes { bytes: u64, max: u64 },
    #[error("the checkpoint has {bytes} bytes; the limit checkpoint_bytes is {max}")]
    LongCheckpoint { bytes: usize, max: u64 },
    #[error("the metadata would have {bytes} bytes when merged; the limit is {max}")]
    LongMetadata { bytes: usize, max: usize },
    #[error("the checkpoint is not JSON: {reason}")]
    Checkpoint { reason: String },
}

/// Check ids, sizes and counts, and resolve repeated ids so that the last of each wins and no id
/// is both deleted and saved. Bodies are parsed by whoever hashes them ([`crate::canonical`]).
///
/// Returns the repeated ids (at most 20 of them), for the run's log.
pub fn prepare(pages: &mut [Page], limits: &Limits) -> Result<Vec<String>, PageError> {
    let records = pages
        .iter()
        .map(|p| p.save.len() + p.delete.len())
        .sum::<usize>();
    if records as u64 > limits.records_per_commit {
        return Err(PageError::ManyRecords {
            records,
            max: limits.records_per_commit,
        });
    }
    let bytes = pages
        .iter()
        .flat_map(|p| &p.save)
        .map(|s| s.body.len() as u64)
        .sum::<u64>();
    if bytes > limits.commit_bytes {
        return Err(PageError::ManyBytes {
            bytes,
            max: limits.commit_bytes,
        });
    }
    let mut repeated = Vec::new();
    for page in pages {
        let ids = page.save.iter().map(|s| &s.id).chain(&page.delete);
        for (index, id) in ids.enumerate() {
            check_id(&page.model, index, id, limits)?;
        }
        for save in &page.save {
            if save.body.len() as u64 > limits.record_bytes {
                return Err(PageError::LongBody {
                    model: page.model.clone(),
                    id: save.id.clone(),
                    bytes: save.body.len(),
                    max: limits.record_bytes,
                });
            }
        }
        keep_last(page, &mut repeated);
    }
    Ok(repeated)
}

/// Check a checkpoint's size and that it is JSON.
pub fn check_checkpoint(checkpoint: &str, limits: &Limits) -> Result<(), PageError> {
    if checkpoint.len() as u64 > limits.checkpoint_bytes {
        return Err(PageError::LongCheckpoint {
            bytes: checkpoint.len(),
            max: limits.checkpoint_bytes,
        });
    }
    check_is_json(checkpoint)
}

/// Check that a checkpoint is JSON.
pub fn check_is_json(checkpoint: &str) -> Result<(), PageError> {
    serde_json::from_str::<serde::de::IgnoredAny>(checkpoint)
        .map(|_| ())
        .map_err(|error| PageError::Checkpoint {
            reason: error.to_string(),
        })
}

pub(crate) fn check_id(
    model: &Name,
    index: usize,
    id: &str,
    limits: &Limits,
) -> Result<(), PageError> {
    let model = || model.clone();
    if id.is_empty() {
        return Err(PageError::EmptyId {
            model: model(),
            index,
        });
    }
    if id.len() as u64 > limits.record_id_bytes {
        let max = limits.record_id_bytes;
        return Err(PageError::LongId {
            model: model(),
            index,
            bytes: id.len(),
            max,
        });
    }
    // ASCII first: almost every id is, and `char::is_control` costs a table look-up.
    if id.bytes().any(|b| !(0x20..0x7f).contains(&b)) && id.chars().any(char::is_control) {
        return Err(PageError::ControlInId {
            model: model(),
            index,
            id: id.to_owned(),
        });
    }
    Ok(())
}

fn keep_last(page: &mut Page, repeated: &mut Vec<String>) {
    const REPORTED_MAX: usize = 20;
    let mut seen: HashSet<&str> = HashSet::with_capacity(page.save.len() + page.delete.len());
    let mut drop_saves = HashSet::new();
    for (index, save) in page.save.iter().enumerate().rev() {
        if !seen.insert(&save.id) {
            drop_saves.insert(index);
            if repeated.len() < REPORTED_MAX {
                repeated.push(save.id.clone());
            }
        }
    }
    let keep_deletes: Vec<bool> = page.delete.iter().map(|id| seen.insert(id)).collect();
    if drop_saves.is_empty() && keep_deletes.iter().all(|keep| *keep) {
        return;
    }
    for (id, keep) in page.delete.iter().zip(&keep_deletes) {
        if !keep && repeated.len() < REPORTED_MAX {
            repeated.push(id.clone());
        }
    }
    let mut index = 0;
    page.save.retain(|_| {
        index += 1;
        !drop_saves.contains(&(index - 1))
    });
    let mut keep = keep_deletes.into_iter();
    page.delete.retain(|_| keep.next().unwrap_or(true));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(save: &[(&str, &str)], delete: &[&str]) -> Page {
        Page {
            model: "Contact".parse().unwrap(),
            save: save
                .iter()
                .map(|(id, body)| Save {
                    id: (*id).into(),
                    body: (*body).into(),
                })
                .collect(),
            delete: delete.iter().map(|id| (*id).into()).collect(),
        }
    }

    #[test]
    fn the_last_of_an_id_wins() {
        let mut pages = [page(
            &[("a", "1"), ("b", "2"), ("a", "3")],
            &["b", "c", "c"],
        )];
        let repeated = prepare(&mut pages, &Limits::default()).unwrap();
        assert_eq!(pages[0], page(&[("b", "2"), ("a", "3")], &["c"]));
        assert_eq!(repeated, ["a", "b", "c"]);
    }

    #[test]
    fn bad_pages_are_refused() {
        let limits = Limits {
            records_per_commit: 3,
            record_bytes: 10,
            ..Limits::default()
        };
        let long = "x".repeat(513);
        let rows: &[(Page, &str)] = &[
            (
                page(&[("a", "{}"), ("", "{}")], &[]),
                "record 1 has an empty id",
            ),
            (page(&[(&long, "{}")], &[]), "record_id_bytes is 512"),
            (page(&[("a\nb", "{}")], &[]), "control character"),
            (page(&[("a\u{85}", "{}")], &[]), "control character"),
            (
                page(&[("a", "{\"k\": \"0123456789\"}")], &[]),
                "record_bytes is 10",
            ),
            (
                page(&[("a", "{}")], &["b", "c", "d"]),
                "records_per_commit is 3",
            ),
        ];
        for (page, message) in rows {
            let error = prepare(&mut [page.clone()], &limits)
                .unwrap_err()
                .to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
