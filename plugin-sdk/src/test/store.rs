//! The records of the fake host: the contract's rules, and counting.

use std::collections::BTreeMap;

use serde_json::Value;

use super::snapshots::Snapshot;
use crate::host::{ModelOutcome, Page, StoreError};

const ID_MAX: usize = 512;
const BODY_MAX: usize = 1024 * 1024;
const COMMIT_RECORDS_MAX: usize = 10_000;
const COMMIT_BYTES_MAX: usize = 16 * 1024 * 1024;
const CHECKPOINT_MAX: usize = 64 * 1024;
const GET_IDS_MAX: usize = 1_000;

/// What the fake host stores of records, over several runs.
#[derive(Debug, Clone)]
pub(super) struct Records {
    pub(super) live: BTreeMap<String, BTreeMap<String, Value>>,
    /// A number for each id of a model, in the order in which they were stored first.
    pub(super) places: BTreeMap<String, BTreeMap<String, u64>>,
    /// The open snapshots, by model.
    pub(super) snapshots: BTreeMap<String, Snapshot>,
    /// How much of a model a snapshot may delete.
    pub(super) snapshot_delete_percent: u64,
}

/// What to do with an id: save a body, or delete.
type Change = Option<Value>;

impl Records {
    pub(super) fn new() -> Self {
        Records {
            live: BTreeMap::new(),
            places: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            snapshot_delete_percent: 50,
        }
    }

    pub(super) fn of(&self, model: &str) -> BTreeMap<String, Value> {
        self.live.get(model).cloned().unwrap_or_default()
    }

    pub(super) fn all(&self) -> BTreeMap<String, BTreeMap<String, Value>> {
        self.live.clone()
    }

    pub(super) fn put(&mut self, model: String, id: String, body: Value) {
        self.place(&model, &id);
        self.live.entry(model).or_default().insert(id, body);
    }

    /// Apply all pages, or nothing. Returns what happened, and ids that occurred twice.
    pub(super) fn commit(
        &mut self,
        pages: &[Page],
        checkpoint: Option<&str>,
        models: &[String],
    ) -> Result<(Vec<ModelOutcome>, Vec<String>), StoreError> {
        check_sizes(pages)?;
        if let Some(checkpoint) = checkpoint {
            check_checkpoint(checkpoint)?;
        }
        let mut order: Vec<&str> = Vec::new();
        let mut changes: BTreeMap<&str, BTreeMap<&str, Change>> = BTreeMap::new();
        let mut twice = Vec::new();
        for page in pages {
            check_model(&page.model, models)?;
            if !order.contains(&page.model.as_str()) {
                order.push(&page.model);
            }
            let of_model = changes.entry(&page.model).or_default();
            for (position, id) in page.delete.iter().enumerate() {
                check_id(&page.model, "delete", position, id)?;
                if of_model.insert(id, None).is_some() {
                    twice.push(format!("{} `{id}`", page.model));
                }
            }
            for (position, saved) in page.save.iter().enumerate() {
                check_id(&page.model, "save", position, &saved.id)?;
                let body = check_body(&page.model, position, &saved.body)?;
                if of_model.insert(&saved.id, Some(body)).is_some() {
                    twice.push(format!("{} `{}`", page.model, saved.id));
                }
            }
        }
        let outcomes = order
            .into_iter()
            .map(|model| self.apply(model, changes.remove(model).unwrap_or_default()))
            .collect();
        Ok((outcomes, twice))
    }

    fn apply(&mut self, model: &str, changes: BTreeMap<&str, Change>) -> ModelOutcome {
        for (id, _) in changes.iter().filter(|(_, change)| change.is_some()) {
            self.place(model, id);
        }
        let live = self.live.entry(model.to_owned()).or_default();
        let mut seen = self.snapshots.get_mut(model);
        let mut outcome = ModelOutcome {
            model: model.to_owned(),
            ..ModelOutcome::default()
        };
        for (id, change) in changes {
            let Some(body) = change else {
                outcome.deleted += u32::from(live.remove(id).is_some());
                continue;
            };
            if let Some(seen) = &mut seen {
                seen.seen.insert(id.to_owned());
            }
            match live.get(id) {
                Some(stored) if *stored == body => outcome.unchanged += 1,
                Some(_) => outcome.updated += 1,
                None => outcome.added += 1,
            }
            live.insert(id.to_owned(), body);
        }
        outcome
    }

    fn place(&mut self, model: &str, id: &str) {
        let places = self.places.entry(model.to_owned()).or_default();
        let next = places.len() as u64 + 1;
        places.entry(id.to_owned()).or_insert(next);
    }

    pub(super) fn get(
        &self,
        model: &str,
        ids: &[String],
        models: &[String],
    ) -> Result<Vec<Option<String>>, StoreError> {
        check_model(model, models)?;
        if ids.len() > GET_IDS_MAX {
            let count = ids.len();
            return invalid(format!("{count} ids at once; at most {GET_IDS_MAX}"));
        }
        let live = self.live.get(model);
        let body = |id: &String| live.and_then(|live| live.get(id)).map(Value::to_string);
        Ok(ids.iter().map(body).collect())
    }
}

pub(super) fn invalid<T>(text: String) -> Result<T, StoreError> {
    Err(StoreError::Invalid(text))
}

pub(super) fn check_model(model: &str, models: &[String]) -> Result<(), StoreError> {
    if models.iter().any(|known| known == model) {
        return Ok(());
    }
    Err(StoreError::Denied(format!(
        "the manifest does not list the model {model} here; it lists: {}",
        models.join(", ")
    )))
}

fn check_sizes(pages: &[Page]) -> Result<(), StoreError> {
    let records: usize = pages
        .iter()
        .map(|page| page.save.len() + page.delete.len())
        .sum();
    if records > COMMIT_RECORDS_MAX {
        return invalid(format!(
            "a commit of {records} records; at most {COMMIT_RECORDS_MAX}: commit in several steps"
        ));
    }
    let saved = pages.iter().flat_map(|page| &page.save);
    let bytes: usize = saved.map(|saved| saved.body.len()).sum();
    if bytes > COMMIT_BYTES_MAX {
        return invalid(format!(
            "a commit of {bytes} bytes; at most {COMMIT_BYTES_MAX}: commit in several steps"
        ));
    }
    Ok(())
}

pub(super) fn check_checkpoint(checkpoint: &str) -> Result<(), StoreError> {
    if checkpoint.len() > CHECKPOINT_MAX {
        let bytes = checkpoint.len();
        return invalid(format!(
            "a checkpoint of {bytes} bytes; at most {CHECKPOINT_MAX}"
        ));
    }
    match serde_json::from_str::<Value>(checkpoint) {
        Ok(_) => Ok(()),
        Err(error) => invalid(format!("the checkpoint is not JSON: {error}")),
    }
}

fn check_id(model: &str, list: &str, position: usize, id: &str) -> Result<(), StoreError> {
    let problem = if id.is_empty() {
        "is empty"
    } else if id.len() > ID_MAX {
        "is longer than 512 bytes"
    } else if id.chars().any(char::is_control) {
        "has a control character"
    } else {
        return Ok(());
    };
    invalid(format!("{model}: {list}[{position}]: the id {problem}"))
}

fn check_body(model: &str, position: usize, body: &str) -> Result<Value, StoreError> {
    let place = format!("{model}: save[{position}]: the body");
    if body.len() > BODY_MAX {
        return invalid(format!(
            "{place} is {} bytes; at most {BODY_MAX}",
            body.len()
        ));
    }
    match serde_json::from_str::<Value>(body) {
        Ok(value) if value.is_object() => Ok(value),
        Ok(_) => invalid(format!("{place} is not a JSON object")),
        Err(error) => invalid(format!("{place} is not JSON: {error}")),
    }
}
