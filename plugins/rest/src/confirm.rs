//! Asking for one record, to learn whether it is gone: before a full pull deletes what its list did
//! not have.

use serde_json::value::RawValue;
use tidegate_sdk::prelude::*;
use tidegate_sdk::{
    ConfigPath, Expected, Pointer, Presence, RequestBuilder, Response, Template, Verdict,
    default_verdict,
};

use crate::config;
use crate::detail::Detail;
use crate::page::Changes;
use crate::plan::{Plan, RECORD_NAMES, record_value};

const GONE: [u16; 2] = [404, 410];

/// Where a record is by itself.
#[derive(Debug)]
pub(crate) struct Confirm {
    path: Template,
    record: Pointer,
}

impl Confirm {
    pub(crate) fn new(config: &config::Confirm, key: &ConfigPath) -> Result<Self> {
        let at = key.at("confirm");
        let path = at.template(&config.confirm, &RECORD_NAMES)?;
        if path.is_constant() {
            return Err(at.wrong("names no record: put `{id}` where the id goes"));
        }
        Ok(Confirm {
            path,
            record: key.at("record").pointer(&config.record)?,
        })
    }

    fn path(&self, id: &str, stored: &str) -> Result<String> {
        let value = |place: &_| record_value(place, Some(id), stored);
        Ok(self.path.fill_path(value)?)
    }

    /// What the answer says of the record `id`. Only an answer with that very record is stored.
    fn found(&self, plan: &Plan, id: &str, response: &Response) -> Result<Presence> {
        let whole: &RawValue = response.json()?;
        let Some(record) = self.record.value(whole.get())? else {
            return Ok(unknown(response, "with no record"));
        };
        let changes = Changes::of(plan, &[record])?;
        if changes.delete.iter().any(|gone| gone == id) {
            return Ok(Presence::Gone);
        }
        Ok(match changes.save.first() {
            Some(found) if found.id == id => Presence::Here(Some(record.get().to_owned())),
            _ => unknown(response, "with another record"),
        })
    }
}

/// Whether the API can be asked about one record of this model.
pub(crate) fn is_able(plan: &Plan) -> bool {
    plan.confirm.is_some() || plan.detail.is_some()
}

/// Ask about the record `id`, whose body is stored as `stored`. An answer that says neither is no
/// failure: the record stays.
pub(crate) async fn ask(cx: &Cx, plan: &Plan, id: &str, stored: &str) -> Result<Presence> {
    let path = match (&plan.confirm, &plan.detail) {
        (Some(confirm), _) => confirm.path(id, stored),
        (None, Some(detail)) => detail.path(plan, id, stored),
        (None, None) => return Ok(Presence::Here(None)),
    };
    let path = match path {
        Ok(path) => path,
        Err(failure) => {
            let reason = format!("the stored record makes no path: {}", failure.message);
            return Ok(Presence::Unknown(reason));
        }
    };
    let response = plan.with_headers(cx.get(path)).send_any().await?;
    match plan.responses.ruled(cx, &response) {
        Some(Verdict::Gone) => return Ok(Presence::Gone),
        Some(Verdict::Failed(failure)) => return Ok(Presence::Unknown(failure.message)),
        Some(Verdict::Empty) => return Ok(unknown(&response, "with nothing")),
        Some(Verdict::Success) => {}
        None if GONE.contains(&response.status()) => return Ok(Presence::Gone),
        None if response.status() == 429 => {
            return response.or_failure(cx).map(|_| Presence::Here(None));
        }
        None => match default_verdict(cx, &response, Expected::Record) {
            Verdict::Failed(failure) => return Ok(Presence::Unknown(failure.message)),
            _ if !(200..300).contains(&response.status()) => {
                return Ok(unknown(&response, "with what is no record"));
            }
            _ => {}
        },
    }
    let found = match (&plan.confirm, &plan.detail) {
        (Some(confirm), _) => confirm.found(plan, id, &response),
        (None, Some(detail)) => by_detail(plan, detail, stored, &response),
        (None, None) => return Ok(Presence::Here(None)),
    };
    Ok(found.unwrap_or_else(|failure| Presence::Unknown(failure.message)))
}

fn by_detail(plan: &Plan, detail: &Detail, stored: &str, response: &Response) -> Result<Presence> {
    let listed: &RawValue = serde_json::from_str(stored)?;
    Ok(Presence::Here(Some(detail.body(plan, listed, response)?)))
}

fn unknown(response: &Response, what: &str) -> Presence {
    Presence::Unknown(format!(
        "{} answered {} {what}",
        response.url(),
        response.status()
    ))
}

impl Plan {
    /// A request of this model.
    pub(crate) fn with_headers(&self, request: RequestBuilder) -> RequestBuilder {
        let headers = self.headers.iter();
        headers.fold(request, |request, (name, value)| {
            request.header(name, value)
        })
    }
}
