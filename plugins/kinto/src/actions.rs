//! Writing to the collection: create, update, delete. What Kinto answers becomes the record here at
//! once, so that the next sync finds it unchanged.
//!
//! `If-Match` with the `last_modified` that the caller knows (or that is stored here) keeps a write
//! from undoing a change that nobody here has seen. Such a request is not repeated by the host: if
//! only its answer was lost, a repeat would be a conflict with itself.

use serde_json::value::RawValue;
use tidegate_sdk::prelude::*;
use tidegate_sdk::{RequestBuilder, Response, encode};

use crate::{Config, Head};

const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 412;

fn id_schema() -> Value {
    json!({ "type": "string", "pattern": "^[a-zA-Z0-9][a-zA-Z0-9_-]*$" })
}

#[derive(Deserialize)]
pub(crate) struct Create {
    record: serde_json::Map<String, Value>,
}

pub(crate) fn create_schema() -> Value {
    json!({
        "type": "object",
        "required": ["record"],
        "additionalProperties": false,
        "properties": {
            "record": { "type": "object", "properties": { "id": id_schema() } }
        }
    })
}

#[derive(Deserialize)]
pub(crate) struct Update {
    id: String,
    changes: Option<Value>,
    record: Option<Value>,
    last_modified: Option<u64>,
}

pub(crate) fn update_schema() -> Value {
    json!({
        "type": "object",
        "required": ["id"],
        "additionalProperties": false,
        "properties": {
            "id": id_schema(),
            "changes": { "type": "object" },
            "record": { "type": "object" },
            "last_modified": { "type": "integer", "minimum": 1 }
        },
        "oneOf": [{ "required": ["changes"] }, { "required": ["record"] }]
    })
}

#[derive(Deserialize)]
pub(crate) struct Delete {
    id: String,
    last_modified: Option<u64>,
}

pub(crate) fn delete_schema() -> Value {
    json!({
        "type": "object",
        "required": ["id"],
        "additionalProperties": false,
        "properties": {
            "id": id_schema(),
            "last_modified": { "type": "integer", "minimum": 1 }
        }
    })
}

pub(crate) async fn create(cx: Cx, create: Create) -> Result<Box<RawValue>> {
    let path = records_path(&cx)?;
    let body = json!({ "data": create.record });
    let id = create.record.get("id").and_then(Value::as_str);
    let request = match id {
        // PUT would replace a record of this id.
        Some(id) => cx
            .put(format!("{path}/{}", encode(id)))
            .header("If-None-Match", "*")
            .never_retry(),
        None => cx.post(path),
    };
    let response = request.json_body(&body).send_any().await?;
    if response.status() == PRECONDITION_FAILED {
        return Err(rejected(
            "exists",
            "a record of this id is there already",
            &response,
        ));
    }
    answered(&cx, response).await
}

pub(crate) async fn update(cx: Cx, update: Update) -> Result<Box<RawValue>> {
    let path = format!("{}/{}", records_path(&cx)?, encode(&update.id));
    let (request, data) = match (update.changes, update.record) {
        (Some(changes), _) => (cx.patch(path), changes),
        (None, record) => (cx.put(path), record.unwrap_or_default()),
    };
    let request = request.json_body(&json!({ "data": data }));
    let request = if_match(&cx, request, &update.id, update.last_modified).await?;
    let response = request.send_any().await?;
    answered(&cx, checked(&cx, response, &update.id).await?).await
}

pub(crate) async fn delete(cx: Cx, delete: Delete) -> Result<Box<RawValue>> {
    let path = format!("{}/{}", records_path(&cx)?, encode(&delete.id));
    let request = if_match(&cx, cx.delete(path), &delete.id, delete.last_modified).await?;
    let response = checked(&cx, request.send_any().await?, &delete.id).await?;
    let data = data(&response.or_failure(&cx)?)?;
    cx.batch(Head::model()).delete(&delete.id).commit().await?;
    Ok(data)
}

fn records_path(cx: &Cx) -> Result<String> {
    let config: Config = cx.config()?;
    Ok(format!("{}/records", config.path()))
}

/// The request, on the condition that the record is as the caller knows it, or as it is stored here.
async fn if_match(
    cx: &Cx,
    request: RequestBuilder,
    id: &str,
    known: Option<u64>,
) -> Result<RequestBuilder> {
    let known = match known {
        Some(known) => Some(known),
        None => {
            let stored: Vec<Option<Value>> = cx.get_records(Head::MODEL, [id]).await?;
            let stored = stored.into_iter().flatten().next();
            stored.and_then(|record| record.get("last_modified")?.as_u64())
        }
    };
    Ok(match known {
        Some(known) => request
            .header("If-Match", format!("\"{known}\""))
            .never_retry(),
        None => request,
    })
}

/// The response, unless it says that the record has changed or is not there.
async fn checked(cx: &Cx, response: Response, id: &str) -> Result<Response> {
    match response.status() {
        PRECONDITION_FAILED => Err(rejected(
            "conflict",
            "the record has changed at the server since it was read; read it again and decide anew",
            &response,
        )),
        NOT_FOUND => {
            cx.batch(Head::model()).delete(id).commit().await?;
            let message = format!("the server has no record {id:?}");
            Err(Failure::rejected(message).code("not-found"))
        }
        _ => Ok(response),
    }
}

/// A rejection with the record as the server has it, which Kinto tells along with a 412.
fn rejected(code: &str, message: &str, response: &Response) -> Failure {
    let answer: Value = response.json().unwrap_or_default();
    let current = answer.pointer("/details/existing");
    let payload = json!({ "current": current });
    Failure::rejected(message).code(code).payload(payload)
}

/// The record that Kinto answers, stored.
async fn answered(cx: &Cx, response: Response) -> Result<Box<RawValue>> {
    let data = data(&response.or_failure(cx)?)?;
    let head: Head<'_> = serde_json::from_str(data.get()).context("the record in the answer")?;
    cx.batch(Head::model())
        .save_json(head.id, data.get())
        .commit()
        .await?;
    Ok(data)
}

/// The record in an answer, as the text that came.
fn data(response: &Response) -> Result<Box<RawValue>> {
    #[derive(Deserialize)]
    struct Answer {
        data: Box<RawValue>,
    }
    Ok(response.json::<Answer>()?.data)
}
