//! From the records of one page to what is saved and deleted.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;
use tidegate_sdk::prelude::*;

use crate::find::Found;
use crate::incremental::Mark;
use crate::latest::Latest;
use crate::plan::Plan;
use crate::pointer::scalar;

/// How much of a record goes into a message.
const EXCERPT_CHARS: usize = 120;

/// The changes that one page holds.
#[derive(Debug, Default)]
pub(crate) struct Changes<'a> {
    pub(crate) save: Vec<Record<'a>>,
    /// Ids. A record that comes again after its deletion is in `save` too, which wins.
    pub(crate) delete: Vec<String>,
    /// The latest of the records.
    pub(crate) mark: Option<Mark>,
}

/// One record, as the text that came.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) id: String,
    pub(crate) body: &'a RawValue,
}

impl<'a> Changes<'a> {
    /// Fails at the first record that has no usable id, or a mark that can't be read.
    pub(crate) fn of(plan: &Plan, records: &[&'a RawValue]) -> Result<Self> {
        let fields = &plan.fields;
        let mut changes = Changes::default();
        changes.save.reserve(records.len());
        // By id, how many records had been saved when it was deleted.
        let mut deleted = BTreeMap::new();
        let mut latest = plan.incremental.as_ref().and_then(Latest::new);
        let mut found = vec![Found::Nothing; fields.finder.len()];
        for (index, record) in records.iter().enumerate() {
            fields.finder.find(record.get(), &mut found)?;
            let ids = found.get(fields.ids.clone()).unwrap_or_default();
            let id = id_of(ids).ok_or_else(|| {
                let begins: String = record.get().chars().take(EXCERPT_CHARS).collect();
                Failure::other(format!(
                    "{}: record {} of the page has no text or number that is its id at {} (it \
                     begins: {begins})",
                    plan.model,
                    index + 1,
                    fields.id_names
                ))
                .code("record-invalid")
            })?;
            if let Some(latest) = &mut latest {
                latest.add(found.get(fields.marks.clone()).unwrap_or_default())?;
            }
            let gone = fields.tombstone.as_ref().is_some_and(|(index, value)| {
                found
                    .get(*index)
                    .and_then(Found::value)
                    .is_some_and(|raw| is_tombstone(raw, value.as_ref()))
            });
            if gone {
                deleted.insert(id, changes.save.len());
            } else {
                changes.save.push(Record { id, body: record });
            }
        }
        changes.delete(deleted);
        changes.mark = latest.map_or(Ok(None), Latest::mark)?;
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

/// The id that the values of one or several pointers make. Several are joined with `:`, each
/// percent-encoded, so that no two combinations are the same.
fn id_of(found: &[Found<'_>]) -> Option<String> {
    let mut parts = found.iter().map(|found| {
        let text = scalar(found.value()?)?;
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
