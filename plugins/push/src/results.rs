//! `results`: what became of each record of a list, as an expression of the config makes it of the answer.
//!
//! | it makes | meaning |
//! |---|---|
//! | `true`, `false` | all were taken, or none |
//! | a list | a result for each record, in the order sent, or each with its `id` or `index` |
//! | `{"failed": […]}` | those that were not taken; all others were |

use serde::Deserialize;
use serde_json::Value;
use tidegate_sdk::Response;
use tidegate_sdk::prelude::*;

use crate::answer::{Answer, ItemOutcome};
use crate::plan::Request;

/// What the expression made.
#[derive(Debug)]
pub(crate) enum Results {
    All,
    None,
    Each(Vec<OneResult>),
}

/// The result of one record.
#[derive(Debug, Clone, Default)]
pub(crate) struct OneResult {
    /// An HTTP status, or whether it was taken.
    status: Option<u16>,
    ok: bool,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Made {
    Whole(bool),
    List(Vec<Item>),
    Failed(FailedOnly),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailedOnly {
    failed: Vec<FailedItem>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FailedItem {
    Index(u64),
    Id(String),
    Object(ItemObject),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Ok(bool),
    Status(u16),
    Object(ItemObject),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemObject {
    id: Option<Value>,
    index: Option<u64>,
    status: Option<Value>,
    ok: Option<bool>,
    message: Option<Value>,
}

impl Results {
    /// What `made`, JSON text, says of the records `ids`. `Err` says what is wrong with it.
    pub(crate) fn read(made: &str, ids: &[&str]) -> Result<Self, String> {
        let read = serde_json::from_str::<Made>(made).map_err(|_| {
            let begins: String = made.chars().take(80).collect();
            format!(
                "it makes neither true or false, nor a list of results (statuses, booleans, or objects with \
                 id or index, status or ok, and message), nor {{\"failed\": […]}}, but {begins}"
            )
        })?;
        match read {
            Made::Whole(true) => Ok(Results::All),
            Made::Whole(false) => Ok(Results::None),
            Made::List(items) => of_list(items, ids),
            Made::Failed(failed) => of_failed(failed.failed, ids),
        }
    }

    /// The same as what becomes of the records.
    pub(crate) fn answer(self, request: &Request, response: &Response) -> Answer {
        match self {
            Results::All => Answer::Acknowledged,
            Results::None => Answer::Rejected(rejected(response, None)),
            Results::Each(each) => {
                let each = each.into_iter().map(|one| match (one.status, one.ok) {
                    (Some(status), _) => by_status(request, status, one.message.as_deref()),
                    (None, true) => ItemOutcome::Acknowledged,
                    (None, false) => {
                        ItemOutcome::Rejected(rejected(response, one.message.as_deref()))
                    }
                });
                Answer::Each(each.collect())
            }
        }
    }
}

/// What a status means for one record of a list.
pub(crate) fn by_status(request: &Request, status: u16, message: Option<&str>) -> ItemOutcome {
    let said = match message {
        Some(message) => format!("answered {status}: {message}"),
        None => format!("answered {status}"),
    };
    match status {
        200..=299 => ItemOutcome::Acknowledged,
        status if request.gone.contains(&status) => ItemOutcome::Acknowledged,
        408 | 425 | 429 | 500.. => {
            let failure = Failure::transient(said).code(format!("http-{status}"));
            ItemOutcome::Failed(failure)
        }
        status => ItemOutcome::Rejected(Failure::rejected(said).code(format!("http-{status}"))),
    }
}

fn rejected(response: &Response, message: Option<&str>) -> Failure {
    let said = message.unwrap_or("the destination did not take it");
    let message = format!("answered {}: {said}", response.status());
    Failure::rejected(message).code("answer-failed")
}

fn of_list(items: Vec<Item>, ids: &[&str]) -> Result<Results, String> {
    let objects = items.into_iter().map(|item| match item {
        Item::Ok(ok) => ItemObject {
            ok: Some(ok),
            ..ItemObject::default()
        },
        Item::Status(status) => ItemObject {
            status: Some(status.into()),
            ..ItemObject::default()
        },
        Item::Object(item) => item,
    });
    let objects: Vec<ItemObject> = objects.collect();
    let (found, sent) = (objects.len(), ids.len());
    if found != sent {
        return Err(format!(
            "it makes {found} results of it, and {sent} were sent"
        ));
    }
    let are_placed = objects
        .iter()
        .any(|item| item.id.is_some() || item.index.is_some());
    let mut each: Vec<Option<OneResult>> = vec![None; sent];
    for (position, item) in objects.into_iter().enumerate() {
        let place = if are_placed {
            placed(&item, ids)?
        } else {
            position
        };
        let one = one(item)?;
        match each.get_mut(place) {
            Some(slot @ None) => *slot = Some(one),
            _ => return Err("it makes two results for one record".to_owned()),
        }
    }
    let each: Option<Vec<OneResult>> = each.into_iter().collect();
    each.map(Results::Each)
        .ok_or_else(|| "a record has no result".to_owned())
}

fn of_failed(failed: Vec<FailedItem>, ids: &[&str]) -> Result<Results, String> {
    let taken = OneResult {
        ok: true,
        ..OneResult::default()
    };
    let mut each = vec![taken; ids.len()];
    for item in failed {
        let item = match item {
            FailedItem::Index(index) => ItemObject {
                index: Some(index),
                ..ItemObject::default()
            },
            FailedItem::Id(id) => ItemObject {
                id: Some(id.into()),
                ..ItemObject::default()
            },
            FailedItem::Object(item) => item,
        };
        let place = placed(&item, ids)?;
        let failed = one(ItemObject {
            ok: Some(false),
            ..item
        })?;
        if failed.status.is_some_and(|status| status < 300) {
            return Err("a failed record has a status of success".to_owned());
        }
        if let Some(slot) = each.get_mut(place) {
            *slot = failed;
        }
    }
    Ok(Results::Each(each))
}

/// Which record an item is about.
fn placed(item: &ItemObject, ids: &[&str]) -> Result<usize, String> {
    if let Some(index) = item.index {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        return match index < ids.len() {
            true => Ok(index),
            false => Err(format!(
                "it speaks of record {index}, and {} were sent",
                ids.len()
            )),
        };
    }
    let id = match &item.id {
        Some(Value::String(id)) => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => return Err("a result has neither an id nor an index".to_owned()),
    };
    let place = ids.iter().position(|sent| *sent == id);
    place.ok_or_else(|| format!("it speaks of `{id}`, which was not sent"))
}

fn one(item: ItemObject) -> Result<OneResult, String> {
    let status = match item.status {
        None | Some(Value::Null) => None,
        Some(status) => {
            let number = status
                .as_u64()
                .or_else(|| status.as_str()?.trim().parse().ok());
            let number = number.and_then(|number| u16::try_from(number).ok());
            let number = number.filter(|status| (100..600).contains(status));
            Some(number.ok_or_else(|| format!("{status} is no HTTP status"))?)
        }
    };
    let Some(ok) = item.ok.or(status.map(|status| status < 300)) else {
        return Err("a result says neither `status` nor `ok`".to_owned());
    };
    let message = match item.message {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text),
        Some(other) => Some(other.to_string()),
    };
    Ok(OneResult {
        status,
        ok,
        message,
    })
}
