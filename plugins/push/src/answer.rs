//! What the destination's answer says of what was sent: all of it, or each record by itself.
//!
//! A 2xx acknowledges only what the body does not take back. Where it says that some of a list were not
//! taken, and not which, nothing of the list is acknowledged.

use serde_json::Value;
use tidegate_sdk::prelude::*;
use tidegate_sdk::{Expected, FailureKind, ItemResult, Response, Verdict, default_verdict};

use crate::config::RequestUnit;
use crate::jq;
use crate::plan::Request;
use crate::results::{self, Results};

/// Several records, each with a status of its own (RFC 4918 §13).
const MULTI_STATUS: u16 = 207;
/// How many of a list were taken, in the words of APIs (without case, `_` and `-`).
const TAKEN: [&str; 14] = [
    "accepted",
    "acceptedcount",
    "imported",
    "importedcount",
    "processed",
    "processedcount",
    "saved",
    "savedcount",
    "succeeded",
    "success",
    "successcount",
    "successful",
    "successfulcount",
    "successes",
];
/// How many, or which, were not.
const NOT_TAKEN: [&str; 20] = [
    "errorcount",
    "errors",
    "errorscount",
    "failed",
    "faileditems",
    "failedcount",
    "failedrecordcount",
    "failedputcount",
    "failedrecords",
    "failure",
    "failurecount",
    "failures",
    "invalid",
    "invalidcount",
    "numerrors",
    "rejected",
    "rejectedcount",
    "unprocessed",
    "unprocessedcount",
    "unprocesseditems",
];
/// Members whose own members are looked at, too.
const SUMMARIES: [&str; 6] = ["data", "meta", "result", "stats", "statistics", "summary"];

/// What the destination made of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    Acknowledged,
    Rejected(Failure),
    /// Each record by itself, in the order sent.
    Each(Vec<ItemOutcome>),
}

/// What it made of one record.
#[derive(Debug, Clone)]
pub(crate) enum ItemOutcome {
    Acknowledged,
    Rejected(Failure),
    /// Not now, or nobody knows.
    Failed(Failure),
}

/// Read an answer about the records `ids`.
pub(crate) fn read(
    cx: &Cx,
    request: &Request,
    response: &Response,
    ids: &[&str],
) -> Result<Answer> {
    let ruled = request.responses.ruled(cx, response);
    let is_ruled = ruled.is_some();
    match ruled {
        Some(Verdict::Failed(failure)) => return rejected_or_failed(failure),
        Some(Verdict::Gone) => return gone(request, response),
        Some(Verdict::Success | Verdict::Empty) => {}
        None if request.gone.contains(&response.status()) => return Ok(Answer::Acknowledged),
        None if response.status() >= 300 => {
            return fails(default_verdict(cx, response, Expected::Write));
        }
        None if response.is_html() && !request.accepts_html => return Err(a_page(response)),
        None => {}
    }
    if let Some(expression) = &request.results {
        return configured(request, expression, response, ids);
    }
    if is_ruled {
        return Ok(Answer::Acknowledged);
    }
    let is_list = request.per == RequestUnit::Page;
    if is_list || response.status() == MULTI_STATUS {
        if let Some(items) = response.item_results() {
            return of_items(request, response, &items, ids);
        }
        if response.status() == MULTI_STATUS {
            let why =
                "with a status of its own for each of what was sent, which can't be found in it";
            return Err(unclear(request, response, why));
        }
        if let Some(why) = incomplete(response, ids.len()) {
            return Err(unclear(request, response, &why));
        }
    }
    fails(default_verdict(cx, response, Expected::Write))
}

fn fails(verdict: Verdict) -> Result<Answer> {
    match verdict {
        Verdict::Failed(failure) => rejected_or_failed(failure),
        _ => Ok(Answer::Acknowledged),
    }
}

fn rejected_or_failed(failure: Failure) -> Result<Answer> {
    match failure.kind {
        FailureKind::Rejected => Ok(Answer::Rejected(failure)),
        _ => Err(failure),
    }
}

fn gone(request: &Request, response: &Response) -> Result<Answer> {
    if request.is_delete {
        return Ok(Answer::Acknowledged);
    }
    let message = format!("it is not there any more: answered {}", response.status());
    Ok(Answer::Rejected(Failure::rejected(message).code("gone")))
}

/// A page for people instead of an API's answer: a maintenance, a proxy, a login. What it stands for comes again, as
/// what had no answer does.
fn a_page(response: &Response) -> Failure {
    let mut failure = Failure::outcome_unknown(
        response,
        "with a page of HTML, which acknowledges nothing; if it is this destination's answer, a rule of \
         `responses` can say so",
    );
    failure.kind = FailureKind::Transient;
    failure.code("answer-html")
}

/// Some of what was sent may be taken, and nobody can tell which.
fn unclear(request: &Request, response: &Response, why: &str) -> Failure {
    let key = request.key.at("results");
    let advice =
        format!("{why}; nothing of it counts as acknowledged: `{key}` can say what was taken");
    Failure::outcome_unknown(response, advice)
}

/// What the config's expression makes of the answer.
fn configured(
    request: &Request,
    expression: &jq::Jq,
    response: &Response,
    ids: &[&str],
) -> Result<Answer> {
    let unfit = |problem: String| {
        unclear(
            request,
            response,
            &format!("which `results` can't be made of: {problem}"),
        )
    };
    let text = response.text()?;
    let body = jq::parse(text.strip_prefix('\u{feff}').unwrap_or(text)).map_err(unfit)?;
    let made = expression.run(body, "").map_err(unfit)?;
    let made = made.ok_or_else(|| unfit("it makes nothing of it".to_owned()))?;
    let made = jq::text(&made).map_err(unfit)?;
    let found = Results::read(&made, ids).map_err(unfit)?;
    Ok(found.answer(request, response))
}

/// The statuses that an answer has for the records, by their ids, or else in their order.
fn of_items(
    request: &Request,
    response: &Response,
    items: &[ItemResult],
    ids: &[&str],
) -> Result<Answer> {
    let by_id = |id: &&str| {
        let mut named = items.iter().filter(|item| item.id.as_deref() == Some(*id));
        named.next().filter(|_| named.next().is_none())
    };
    let named: Option<Vec<&ItemResult>> = ids.iter().map(by_id).collect();
    let of_each = match named {
        Some(named) => named,
        None if items.len() == ids.len() => items.iter().collect(),
        None => {
            let (found, sent) = (items.len(), ids.len());
            let why = format!("with {found} results for the {sent} that were sent");
            return Err(unclear(request, response, &why));
        }
    };
    let each = of_each.into_iter().map(|item| {
        let message = item.message.as_deref();
        results::by_status(request, item.status, message)
    });
    Ok(Answer::Each(each.collect()))
}

/// What an answer to a list says of records that were not taken, beside others that were.
fn incomplete(response: &Response, sent: usize) -> Option<String> {
    let answer: Value = response.json().ok()?;
    let members = answer.as_object()?;
    let below = members
        .iter()
        .filter(|(name, _)| SUMMARIES.contains(&plain(name).as_str()));
    let below = below.filter_map(|(_, value)| value.as_object()).flatten();
    let mut has_taken = false;
    let mut problem = None;
    for (name, value) in members.iter().chain(below) {
        let plain = plain(name);
        if TAKEN.contains(&plain.as_str()) {
            let taken = value
                .as_u64()
                .or_else(|| Some(value.as_array()?.len() as u64));
            has_taken |= taken.is_some_and(|taken| taken > 0);
            if taken.is_some_and(|taken| taken < sent as u64) {
                let taken = taken.unwrap_or_default();
                problem.get_or_insert(format!("with `{name}` of {taken}, and {sent} were sent"));
            }
        } else if NOT_TAKEN.contains(&plain.as_str()) {
            let some = match value {
                Value::Number(number) => number.as_f64() != Some(0.0),
                Value::Array(list) => !list.is_empty(),
                Value::Object(members) => !members.is_empty(),
                Value::Bool(some) => *some,
                _ => false,
            };
            if some {
                problem.get_or_insert(format!("with something in `{name}`"));
            }
        } else {
            let is_data = value.as_array().is_some_and(|list| !list.is_empty());
            has_taken |= is_data || value.as_object().is_some_and(|members| !members.is_empty());
        }
    }
    // Where nothing was taken at all, the list is rejected as a whole, which the verdict finds.
    problem.filter(|_| has_taken)
}

/// A name as it is compared.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| !matches!(c, '_' | '-' | ' '));
    letters.flat_map(char::to_lowercase).collect()
}
