//! The records of the fake host: the contract's rules, and counting.

use std::collections::BTreeMap;

use serde_json::Value;

use super::snapshots::Snapshot;
use super::store_rules::{
    check_body, check_checkpoint, check_id, check_model, check_sizes, invalid,
};
use crate::host::{ModelOutcome, Page, Skipped, StoreError};

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

/// What a commit did.
#[derive(Debug, Default)]
pub(super) struct Committed {
    pub(super) outcome: Vec<ModelOutcome>,
    /// For the log.
    pub(super) twice: Vec<String>,
    pub(super) skipped: Vec<(String, Skipped)>,
}

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

    /// Apply all pages, or nothing.
    pub(super) fn commit(
        &mut self,
        pages: &[Page],
        checkpoint: Option<&str>,
        models: &[String],
    ) -> Result<Committed, StoreError> {
        check_sizes(pages)?;
        if let Some(checkpoint) = checkpoint {
            check_checkpoint(checkpoint)?;
        }
        let mut order: Vec<&str> = Vec::new();
        let mut changes: BTreeMap<&str, BTreeMap<&str, Change>> = BTreeMap::new();
        let mut committed = Committed::default();
        for page in pages {
            check_model(&page.model, models)?;
            if !order.contains(&page.model.as_str()) {
                order.push(&page.model);
            }
            let of_model = changes.entry(&page.model).or_default();
            for (position, id) in page.delete.iter().enumerate() {
                check_id(id).or_else(|problem| {
                    let model = &page.model;
                    invalid(format!("{model}: delete[{position}]: the id {problem}"))
                })?;
                if of_model.insert(id, None).is_some() {
                    committed.twice.push(format!("{} `{id}`", page.model));
                }
            }
            let mut skipped = page.skipped.clone();
            for (position, saved) in page.save.iter().enumerate() {
                let body = check_id(&saved.id)
                    .map_err(|problem| format!("the id {problem}"))
                    .and_then(|()| check_body(&saved.body));
                match body {
                    Ok(body) => {
                        if of_model.insert(&saved.id, Some(body)).is_some() {
                            let id = &saved.id;
                            committed.twice.push(format!("{} `{id}`", page.model));
                        }
                    }
                    Err(reason) => skipped.push(Skipped {
                        id: Some(saved.id.clone()).filter(|id| !id.is_empty()),
                        position: u32::try_from(position).unwrap_or(u32::MAX),
                        reason,
                    }),
                }
            }
            if let Some(first) = skipped.first()
                && skipped.len() as u64 > u64::from(page.may_skip)
            {
                let (at, reason, most) = (first.position, &first.reason, page.may_skip);
                return invalid(format!(
                    "{}: save[{at}]: {reason} (and the page has more such records than the {most} that may \
                     be skipped)",
                    page.model
                ));
            }
            let named = skipped.into_iter().map(|s| (page.model.clone(), s));
            committed.skipped.extend(named);
        }
        committed.outcome = order
            .into_iter()
            .map(|model| {
                let changes = changes.remove(model).unwrap_or_default();
                let of_model = committed.skipped.iter().filter(|(of, _)| of == model);
                let skipped: Vec<&Skipped> = of_model.map(|(_, skipped)| skipped).collect();
                self.apply(model, changes, &skipped)
            })
            .collect();
        Ok(committed)
    }

    fn apply(
        &mut self,
        model: &str,
        changes: BTreeMap<&str, Change>,
        skipped: &[&Skipped],
    ) -> ModelOutcome {
        for (id, _) in changes.iter().filter(|(_, change)| change.is_some()) {
            self.place(model, id);
        }
        let live = self.live.entry(model.to_owned()).or_default();
        let mut snapshot = self.snapshots.get_mut(model);
        let mut outcome = ModelOutcome {
            model: model.to_owned(),
            skipped: u32::try_from(skipped.len()).unwrap_or(u32::MAX),
            ..ModelOutcome::default()
        };
        if let Some(snapshot) = &mut snapshot {
            let ids = skipped.iter().filter_map(|skipped| skipped.id.clone());
            snapshot.seen.extend(ids);
            snapshot.holes |= skipped.iter().any(|skipped| skipped.id.is_none());
        }
        for (id, change) in changes {
            let Some(body) = change else {
                outcome.deleted += u32::from(live.remove(id).is_some());
                continue;
            };
            if let Some(snapshot) = &mut snapshot {
                snapshot.seen.insert(id.to_owned());
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
