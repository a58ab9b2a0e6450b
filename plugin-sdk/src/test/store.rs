//! The records of the fake host. What may be stored, and what is a change, the contract's rules say.

use std::collections::BTreeMap;

use serde_json::Value;
use tidegate_rules::Name;
use tidegate_rules::canonical::{self, BodyHash};
use tidegate_rules::limits::{GET_IDS_MAX, SKIPPED_REASON_BYTES_MAX};
use tidegate_rules::record::{self, Save};

use super::declared::Grants;
use super::snapshots::Snapshot;
use crate::host::{Batch, ModelOutcome, Skipped, StoreError};
use crate::text::truncated;

/// What the fake host stores of records, over several runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    pub(super) live: BTreeMap<String, BTreeMap<String, Stored>>,
    /// A number for each id of a model, in the order in which they were stored first.
    pub(super) places: BTreeMap<String, BTreeMap<String, u64>>,
    /// The open snapshots, by model and sync.
    pub(super) snapshots: BTreeMap<String, BTreeMap<String, Snapshot>>,
}

/// A record that is not deleted.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// JSON text, as it was saved.
    body: String,
    hash: BodyHash,
}

impl Stored {
    fn value(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// What a commit did.
#[derive(Debug, Default)]
pub(super) struct Committed {
    pub(super) outcome: Vec<ModelOutcome>,
    /// What was left out, for the log.
    pub(super) skipped: Vec<(Name, record::Skipped)>,
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "an error as `or_else` gives it"
)]
pub(super) fn invalid<T>(text: impl ToString) -> Result<T, StoreError> {
    Err(StoreError::invalid(text.to_string()))
}

/// The model, if the run may write it.
pub(super) fn granted(grants: &Grants, model: &str) -> Result<Name, StoreError> {
    record::granted(&grants.models, model).map_err(StoreError::denied)
}

impl Records {
    pub(super) fn of(&self, model: &str) -> BTreeMap<String, Value> {
        let live = self.live.get(model).into_iter().flatten();
        live.map(|(id, stored)| (id.clone(), stored.value()))
            .collect()
    }

    pub(super) fn all(&self) -> BTreeMap<String, BTreeMap<String, Value>> {
        let models = self.live.keys();
        models
            .map(|model| (model.clone(), self.of(model)))
            .collect()
    }

    /// A record that is there before any run.
    pub(super) fn put(&mut self, model: &str, id: &str, body: &Value) -> Result<(), String> {
        let mut body = body.to_string();
        let hash = canonical::settle(&mut body).map_err(|error| error.to_string())?;
        self.place(model, id);
        let live = self.live.entry(model.to_owned()).or_default();
        live.insert(id.to_owned(), Stored { body, hash });
        Ok(())
    }

    /// Apply all batches, which were checked.
    pub(super) fn commit(&mut self, pages: Vec<record::Page>) -> Result<Committed, StoreError> {
        let mut committed = Committed::default();
        for page in pages {
            committed.outcome.push(self.apply(&page)?);
            let model = page.model;
            let named = page.skipped.into_iter().map(|s| (model.clone(), s));
            committed.skipped.extend(named);
        }
        Ok(committed)
    }

    fn apply(&mut self, page: &record::Page) -> Result<ModelOutcome, StoreError> {
        let model = page.model.as_str();
        for save in &page.save {
            self.place(model, &save.id);
        }
        let live = self.live.entry(model.to_owned()).or_default();
        let mut outcome = ModelOutcome {
            model: model.to_owned(),
            skipped: u32::try_from(page.skipped.len()).unwrap_or(u32::MAX),
            ..ModelOutcome::default()
        };
        for id in &page.delete {
            match live.remove(id) {
                Some(_) => outcome.deleted += 1,
                None => outcome.unchanged += 1,
            }
        }
        for Save { id, body, hash } in &page.save {
            let Some(hash) = *hash else {
                return invalid("a page that was not prepared");
            };
            match live.get(id) {
                Some(stored) if stored.hash == hash => {
                    outcome.unchanged += 1;
                    continue;
                }
                Some(_) => outcome.updated += 1,
                None => outcome.added += 1,
            }
            let body = body.clone();
            live.insert(id.clone(), Stored { body, hash });
        }
        for snapshot in self
            .snapshots
            .entry(model.to_owned())
            .or_default()
            .values_mut()
        {
            snapshot.saw(page);
        }
        Ok(outcome)
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
        grants: &Grants,
    ) -> Result<Vec<Option<String>>, StoreError> {
        granted(grants, model)?;
        if ids.len() > GET_IDS_MAX {
            let count = ids.len();
            return invalid(format!("{count} ids; the most at once is {GET_IDS_MAX}"));
        }
        let live = self.live.get(model);
        let body = |id: &String| Some(live?.get(id)?.body.clone());
        Ok(ids.iter().map(body).collect())
    }
}

/// The batches of a commit as they are stored, and the ids that came twice. `checkpoint`: of a sync only.
pub(super) fn prepared(
    batches: &[Batch],
    checkpoint: Option<&str>,
    grants: &Grants,
    is_sync: bool,
) -> Result<(Vec<record::Page>, Vec<String>), StoreError> {
    let mut prepared = Vec::with_capacity(batches.len());
    for batch in batches {
        prepared.push(of_guest(batch, granted(grants, &batch.model)?));
    }
    let twice = record::prepare(&mut prepared, &grants.limits).or_else(invalid)?;
    check_checkpoint(checkpoint, grants, is_sync)?;
    Ok((prepared, twice))
}

/// A checkpoint is a sync's, and within its limit.
pub(super) fn check_checkpoint(
    checkpoint: Option<&str>,
    grants: &Grants,
    is_sync: bool,
) -> Result<(), StoreError> {
    match checkpoint {
        None => Ok(()),
        Some(_) if !is_sync => invalid("only a sync has a checkpoint"),
        Some(text) => record::check_checkpoint(text, &grants.limits).or_else(invalid),
    }
}

fn of_guest(batch: &Batch, model: Name) -> record::Page {
    let save = batch.save.iter().map(|saved| Save {
        id: saved.id.clone(),
        body: saved.body.clone(),
        hash: None,
    });
    let skipped = batch
        .skipped
        .iter()
        .map(|skipped: &Skipped| record::Skipped {
            id: skipped.id.clone(),
            position: skipped.position,
            reason: truncated(&skipped.reason, SKIPPED_REASON_BYTES_MAX).to_owned(),
        });
    record::Page {
        model,
        save: save.collect(),
        delete: batch.delete.clone(),
        skipped: skipped.collect(),
        may_skip: batch.may_skip,
    }
}
