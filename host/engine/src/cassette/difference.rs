//! What a replay did otherwise than the recording, commit by commit, for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::json_diff::{cut, json_diff};
use super::shape::{Ask, CommitAsk, End, LoggedLine};
use crate::record::{Page, Skipped};

/// Most differences that are told; what is behind them is counted.
const DIFFERENCES_MAX: usize = 50;
/// Most paths that are told of one body.
const PATHS_MAX: usize = 8;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where: `commit 2, model Contact, record "c1"`.
    pub place: String,
    /// What: `/name: "old" → "new"`, one for each path.
    pub what: Vec<String>,
}

impl Difference {
    #[must_use]
    pub fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: vec![what.into()],
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)?;
        for what in &self.what {
            write!(f, "\n  {what}")?;
        }
        Ok(())
    }
}

/// How what a replay did to the store, and its end, differ from the recording; empty when they
/// are equal, byte for byte.
#[must_use]
pub fn differences(
    recorded: &[&Ask],
    replayed: &[&Ask],
    ends: Option<(&End, &End)>,
) -> Vec<Difference> {
    let mut found = Vec::new();
    let labels = labels(if recorded.len() >= replayed.len() {
        recorded
    } else {
        replayed
    });
    let label = |index: usize| labels.get(index).map_or("", String::as_str);
    // A step that was left out or added in the middle is told once, not as a change of all that follow.
    let shorter = recorded.len().min(replayed.len());
    let start = same(recorded.iter().zip(replayed));
    let tail = same(recorded.iter().rev().zip(replayed.iter().rev())).min(shorter - start);
    let middle = |steps: &[&Ask]| start..steps.len() - tail;
    let old = recorded.get(middle(recorded)).unwrap_or_default();
    let new = replayed.get(middle(replayed)).unwrap_or_default();
    for index in 0..old.len().max(new.len()) {
        let place = label(start + index);
        match (old.get(index), new.get(index)) {
            (Some(old), Some(new)) => step(place, old, new, &mut found),
            (Some(old), None) => {
                found.push(Difference::new(format!("{place} is missing"), summary(old)));
            }
            (None, Some(new)) => {
                found.push(Difference::new(format!("{place} is new"), summary(new)));
            }
            (None, None) => {}
        }
    }
    if let Some((old, new)) = ends {
        end(old, new, &mut found);
    }
    let more = found.len().saturating_sub(DIFFERENCES_MAX);
    found.truncate(DIFFERENCES_MAX);
    if more > 0 {
        found.push(Difference::new(
            "elsewhere",
            format!("{more} more differences"),
        ));
    }
    found
}

/// How the log of a replay differs from the recorded one: the first line that does, and the counts.
#[must_use]
pub fn log_differences(recorded: &[LoggedLine], replayed: &[LoggedLine]) -> Vec<Difference> {
    let shown = |line: Option<&LoggedLine>| {
        line.map_or("(none)".to_owned(), |line| {
            let fields = line.fields.as_deref().unwrap_or_default();
            cut(&format!(
                "{} {} {fields}",
                line.level.as_str(),
                line.message
            ))
        })
    };
    let longer = recorded.len().max(replayed.len());
    let Some(at) = (0..longer).find(|at| recorded.get(*at) != replayed.get(*at)) else {
        return Vec::new();
    };
    let (old, new) = (shown(recorded.get(at)), shown(replayed.get(at)));
    let mut what = vec![format!("{old} → {new}")];
    if recorded.len() != replayed.len() {
        what.push(format!("{} lines → {}", recorded.len(), replayed.len()));
    }
    vec![Difference {
        place: format!("log line {}", at + 1),
        what,
    }]
}

fn same<'a>(pairs: impl Iterator<Item = (&'a &'a Ask, &'a &'a Ask)>) -> usize {
    pairs.take_while(|(a, b)| a == b).count()
}

/// `commit 1`, `commit 2`, `begin-snapshot 1`, … for each step.
fn labels(steps: &[&Ask]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let label = |step: &&Ask| {
        let kind = kind(step);
        let count = counts.entry(kind).or_default();
        *count += 1;
        format!("{kind} {count}")
    };
    steps.iter().map(label).collect()
}

fn kind(step: &Ask) -> &'static str {
    match step {
        Ask::Commit(_) => "commit",
        Ask::BeginSnapshot { .. } => "begin-snapshot",
        Ask::RepeatSnapshot { .. } => "repeat-snapshot",
        Ask::EndSnapshot { .. } => "end-snapshot",
        Ask::MergeMetadata { .. } => "merge-metadata",
        Ask::Send(_)
        | Ask::Get { .. }
        | Ask::Unseen { .. }
        | Ask::ReadFeed { .. }
        | Ask::Sleep { .. } => "call",
    }
}

fn summary(step: &Ask) -> String {
    match step {
        Ask::Commit(commit) => {
            let pages = commit.pages.iter().map(|page| {
                let (saved, deleted) = (page.save.len(), page.delete.len());
                format!("{}: {saved} saved, {deleted} deleted", page.model)
            });
            let mut parts: Vec<String> = pages.collect();
            if let Some(checkpoint) = &commit.checkpoint {
                parts.push(format!("checkpoint {}", cut(checkpoint)));
            }
            parts.join("; ")
        }
        Ask::BeginSnapshot { model, restart } => format!("of {model}, restart: {restart}"),
        Ask::RepeatSnapshot { model, .. } => format!("of {model}"),
        Ask::EndSnapshot { model, proof, .. } => format!("of {model}, proof: {proof:?}"),
        Ask::MergeMetadata { patch } => cut(patch),
        other => cut(&format!("{other:?}")),
    }
}

fn step(place: &str, old: &Ask, new: &Ask, found: &mut Vec<Difference>) {
    match (old, new) {
        _ if old == new => {}
        (Ask::Commit(old), Ask::Commit(new)) => commit(place, old, new, found),
        (
            Ask::EndSnapshot {
                model,
                proof,
                checkpoint,
            },
            Ask::EndSnapshot {
                model: new_model,
                proof: new_proof,
                checkpoint: new_checkpoint,
            },
        ) if model == new_model && proof == new_proof => text(
            format!("{place}, checkpoint"),
            checkpoint.as_deref(),
            new_checkpoint.as_deref(),
            found,
        ),
        (Ask::MergeMetadata { patch: old }, Ask::MergeMetadata { patch: new }) => {
            text(place.to_owned(), Some(old), Some(new), found);
        }
        _ => found.push(Difference::new(
            place,
            format!(
                "{} {} → {} {}",
                kind(old),
                summary(old),
                kind(new),
                summary(new)
            ),
        )),
    }
}

fn commit(place: &str, old: &CommitAsk, new: &CommitAsk, found: &mut Vec<Difference>) {
    for index in 0..old.pages.len().max(new.pages.len()) {
        match (old.pages.get(index), new.pages.get(index)) {
            (Some(old), Some(new)) if old.model == new.model => {
                page(&format!("{place}, model {}", old.model), old, new, found);
            }
            (Some(old), Some(new)) => found.push(Difference::new(
                format!("{place}, page {}", index + 1),
                format!("model {} → {}", old.model, new.model),
            )),
            (Some(old), None) => found.push(Difference::new(
                format!("{place}, model {}", old.model),
                "the page is missing",
            )),
            (None, Some(new)) => found.push(Difference::new(
                format!("{place}, model {}", new.model),
                "the page is new",
            )),
            (None, None) => {}
        }
    }
    text(
        format!("{place}, checkpoint"),
        old.checkpoint.as_deref(),
        new.checkpoint.as_deref(),
        found,
    );
}

fn page(place: &str, old: &Page, new: &Page, found: &mut Vec<Difference>) {
    if old == new {
        return;
    }
    let before = found.len();
    let bodies = |page: &Page| -> BTreeMap<String, String> {
        let pairs = page.save.iter().map(|s| (s.id.clone(), s.body.clone()));
        pairs.collect()
    };
    let (old_bodies, new_bodies) = (bodies(old), bodies(new));
    for (id, body) in &old_bodies {
        let place = format!("{place}, record {id:?}");
        match new_bodies.get(id) {
            Some(other) => text(place, Some(body), Some(other), found),
            None => found.push(Difference::new(place, "is not saved any more")),
        }
    }
    for id in new_bodies.keys().filter(|id| !old_bodies.contains_key(*id)) {
        let place = format!("{place}, record {id:?}");
        found.push(Difference::new(place, "is saved now"));
    }
    let deletes = |page: &Page| -> BTreeSet<String> { page.delete.iter().cloned().collect() };
    let (old_deletes, new_deletes) = (deletes(old), deletes(new));
    for id in old_deletes.difference(&new_deletes) {
        let place = format!("{place}, record {id:?}");
        found.push(Difference::new(place, "is not deleted any more"));
    }
    for id in new_deletes.difference(&old_deletes) {
        let place = format!("{place}, record {id:?}");
        found.push(Difference::new(place, "is deleted now"));
    }
    for index in 0..old.skipped.len().max(new.skipped.len()) {
        let (old, new) = (old.skipped.get(index), new.skipped.get(index));
        if old != new {
            let name = |skipped: Option<&Skipped>| {
                skipped.map_or("nothing".to_owned(), Skipped::to_string)
            };
            found.push(Difference::new(
                format!("{place}, skipped {}", index + 1),
                format!("{} → {}", name(old), name(new)),
            ));
        }
    }
    if found.len() == before {
        found.push(Difference::new(place, "the same records in another order"));
    }
}

/// Two JSON texts, or none.
fn text(place: String, old: Option<&str>, new: Option<&str>, found: &mut Vec<Difference>) {
    let what = match (old, new) {
        (Some(old), Some(new)) if old != new => json_diff(old, new, PATHS_MAX),
        (Some(old), None) => vec![format!("{} → (none)", cut(old))],
        (None, Some(new)) => vec![format!("(none) → {}", cut(new))],
        _ => return,
    };
    found.push(Difference { place, what });
}

fn end(old: &End, new: &End, found: &mut Vec<Difference>) {
    let described = |end: &End| {
        let mut text = end.outcome.as_str().to_owned();
        if let Some(failure) = &end.failure {
            let limit = failure.limit.as_deref().unwrap_or("no limit");
            text += &format!(
                " ({}, blame {}, {limit}): {}",
                failure.class.as_str(),
                failure.blame.as_str(),
                cut(&failure.message)
            );
        }
        text
    };
    text(
        "the output".to_owned(),
        old.output.as_deref(),
        new.output.as_deref(),
        found,
    );
    let payload = |end: &End| {
        let failure = end.failure.as_ref()?;
        failure.payload.as_ref().map(ToString::to_string)
    };
    let (before, after) = (payload(old), payload(new));
    let place = "the failure's payload".to_owned();
    text(place, before.as_deref(), after.as_deref(), found);
    let without_values = |end: &End| {
        let mut end = end.clone();
        end.output = None;
        if let Some(failure) = &mut end.failure {
            failure.payload = None;
        }
        end
    };
    if without_values(old) != without_values(new) {
        let what = format!("{} → {}", described(old), described(new));
        found.push(Difference::new("the outcome", what));
    }
}
