//! From the records of one page to what is saved, deleted and skipped.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;
use tidegate_sdk::prelude::*;
use tidegate_sdk::{Found, scalar_text};

use crate::incremental::Mark;
use crate::latest::Latest;
use crate::plan::Plan;

/// How much of a record goes into a message.
const EXCERPT_CHARS: usize = 120;
/// One record without an id is a bad record; a page without any is a pointer that leads nowhere.
const PAGE_WITHOUT_IDS: usize = 2;

/// The changes that one page holds.
#[derive(Debug, Default)]
pub(crate) struct Changes<'a> {
    pub(crate) save: Vec<Record<'a>>,
    /// Ids and bodies of what came in an older version than is stored, which stays.
    pub(crate) again: Vec<(String, String)>,
    /// Ids. A record that comes again after its deletion is in `save` too, which wins.
    pub(crate) delete: Vec<String>,
    /// What can't be told from another record, and so not stored.
    pub(crate) skip: Vec<Skip>,
    /// The latest of the records.
    pub(crate) mark: Option<Mark>,
}

/// One record, as the text that came.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) id: String,
    pub(crate) body: &'a RawValue,
    /// Which one of the page it was, from 0.
    pub(crate) position: usize,
}

/// A record that is left out.
#[derive(Debug)]
pub(crate) struct Skip {
    pub(crate) id: Option<String>,
    pub(crate) position: usize,
    pub(crate) reason: String,
}

/// What is known of a record.
struct Known {
    id: Option<String>,
    gone: bool,
}

impl<'a> Changes<'a> {
    /// Fails when no record of the page has an id, or a time that can be read: then the config points
    /// at the wrong place.
    pub(crate) fn of(plan: &Plan, records: &[&'a RawValue]) -> Result<Self> {
        let fields = &plan.fields;
        let mut changes = Changes::default();
        changes.save.reserve(records.len());
        // By id, how many records had been saved when it was deleted.
        let mut deleted = BTreeMap::new();
        let mut latest = Latest::of(plan);
        let mut found = vec![Found::Nothing; fields.finder.len()];
        for (position, record) in records.iter().enumerate() {
            let known = match fields.finder.find(record.get(), &mut found) {
                Ok(()) => {
                    if let Some(latest) = &mut latest {
                        latest.add(found.get(fields.marks.clone()).unwrap_or_default())?;
                    }
                    Known::of(plan, &found)
                }
                Err(_) => Known::of_odd(plan, record),
            };
            let Some(id) = known.id else {
                let begins: String = record.get().chars().take(EXCERPT_CHARS).collect();
                changes.skip.push(Skip {
                    id: None,
                    position,
                    reason: format!(
                        "it has no text or number that is its id at {} (it begins: {begins})",
                        fields.id_names
                    ),
                });
                continue;
            };
            if known.gone {
                deleted.insert(id, changes.save.len());
            } else {
                changes.save.push(Record {
                    id,
                    body: record,
                    position,
                });
            }
        }
        let is_useless = changes.skip.len() == records.len() && !fields.watch.has_ids();
        if records.len() >= PAGE_WITHOUT_IDS && is_useless {
            return Err(fields.no_ids(records.len()));
        }
        changes.delete(deleted);
        changes.mark = match latest {
            Some(latest) => latest.mark(records)?,
            None => None,
        };
        Ok(changes)
    }

    /// A commit deletes before it saves, so what was saved of an id before its deletion must go.
    fn delete(&mut self, deleted: BTreeMap<String, usize>) {
        if deleted.is_empty() {
            return;
        }
        let mut position = 0;
        self.save.retain(|record| {
            let keep = deleted.get(&record.id).is_none_or(|at| position >= *at);
            position += 1;
            keep
        });
        self.delete.extend(deleted.into_keys());
    }
}

impl Known {
    fn of(plan: &Plan, found: &[Found<'_>]) -> Self {
        let fields = &plan.fields;
        let there = |found: &Found<'_>| !matches!(found, Found::Nothing);
        fields.watch.record(found.iter().map(there));
        let id = id_of(found.get(fields.ids.clone()).unwrap_or_default());
        if id.is_some() {
            fields.watch.id();
        }
        let gone = fields.tombstone.as_ref().is_some_and(|(index, value)| {
            let raw = found.get(*index).and_then(Found::value);
            if let (Some(raw), Some(value)) = (raw, value) {
                fields.watch.tombstone(is_of_kind(raw, value));
            }
            raw.is_some_and(|raw| is_tombstone(raw, value.as_ref()))
        });
        Known { id, gone }
    }

    /// Of a record that can't be read as it stands. With half of a surrogate pair in a member's name it can
    /// once that is mended, as the host does before it stores it.
    fn of_odd(plan: &Plan, record: &RawValue) -> Self {
        let mended = tidegate_sdk::mended(record.get());
        let mut found = vec![Found::Nothing; plan.fields.finder.len()];
        let text = mended.as_deref().unwrap_or(record.get());
        match plan.fields.finder.find(text, &mut found) {
            Ok(()) => Known::of(plan, &found),
            Err(_) => Known {
                id: None,
                gone: false,
            },
        }
    }
}

/// The id that the values of one or several pointers make. Several are joined with `:`, each
/// percent-encoded, so that no two combinations are the same.
fn id_of(found: &[Found<'_>]) -> Option<String> {
    let mut parts = found.iter().map(|found| {
        let text = scalar_text(found.value()?)?;
        (!text.is_empty()).then_some(text)
    });
    let first = parts.next()??;
    if found.len() == 1 {
        return Some(first.into_owned());
    }
    let mut id = tidegate_sdk::encode(&first);
    for part in parts {
        id.push(':');
        id.push_str(&tidegate_sdk::encode(&part?));
    }
    Some(id)
}

/// Whether a field says that its record is deleted: it has the value configured, or, without one,
/// any but false, zero and the empty text.
fn is_tombstone(raw: &RawValue, value: Option<&Value>) -> bool {
    match value {
        None => !matches!(raw.get(), "false" | "0" | "\"\""),
        Some(value) => serde_json::from_str::<Value>(raw.get()).is_ok_and(|found| found == *value),
    }
}

/// Whether a value is of the same type as the one that the config has.
fn is_of_kind(raw: &RawValue, value: &Value) -> bool {
    let begins = raw.get().as_bytes().first();
    match value {
        Value::Null => false,
        Value::Bool(_) => matches!(begins, Some(b't' | b'f')),
        Value::Number(_) => matches!(begins, Some(b'-' | b'0'..=b'9')),
        Value::String(_) => begins == Some(&b'"'),
        Value::Array(_) => begins == Some(&b'['),
        Value::Object(_) => begins == Some(&b'{'),
    }
}
