//! What a commit must keep to: the contract's rules and limits.

use serde_json::Value;

use crate::host::{Page, StoreError};

const ID_MAX: usize = 512;
const BODY_MAX: usize = 1024 * 1024;
const DEPTH_MAX: usize = 64;
const COMMIT_RECORDS_MAX: usize = 10_000;
const COMMIT_BYTES_MAX: usize = 16 * 1024 * 1024;
const CHECKPOINT_MAX: usize = 64 * 1024;

pub(super) fn invalid<T>(text: String) -> Result<T, StoreError> {
    Err(StoreError::invalid(text))
}

pub(super) fn check_model(model: &str, models: &[String]) -> Result<(), StoreError> {
    if models.iter().any(|known| known == model) {
        return Ok(());
    }
    Err(StoreError::denied(format!(
        "the manifest does not list the model {model} here; it lists: {}",
        models.join(", ")
    )))
}

pub(super) fn check_sizes(pages: &[Page]) -> Result<(), StoreError> {
    let records: usize = pages
        .iter()
        .map(|page| page.save.len() + page.delete.len() + page.skipped.len())
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

/// What is wrong with an id.
pub(super) fn check_id(id: &str) -> Result<(), &'static str> {
    if id.is_empty() {
        Err("is empty")
    } else if id.len() > ID_MAX {
        Err("is longer than 512 bytes")
    } else if id.chars().any(char::is_control) {
        Err("has a control character")
    } else {
        Ok(())
    }
}

/// The body, decoded, or what is wrong with it.
pub(super) fn check_body(body: &str) -> Result<Value, String> {
    if body.len() > BODY_MAX {
        let bytes = body.len();
        return Err(format!("the body is {bytes} bytes; at most {BODY_MAX}"));
    }
    // As the host does: half of a surrogate pair is stored as U+FFFD.
    let mended = crate::mended(body);
    match serde_json::from_str::<Value>(mended.as_deref().unwrap_or(body)) {
        Ok(value) if depth(&value) > DEPTH_MAX => {
            Err(format!("the body is nested deeper than {DEPTH_MAX} levels"))
        }
        Ok(value) if value.is_object() => Ok(value),
        Ok(_) => Err("the body is not a JSON object".to_owned()),
        Err(error) => Err(format!("the body is not JSON: {error}")),
    }
}

/// How deep objects and lists nest; serde_json reads no more than 128 levels.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(elements) => 1 + elements.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
