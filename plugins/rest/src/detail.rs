//! One more request per record, for APIs whose lists leave out what matters.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tidegate_sdk::prelude::*;
use tidegate_sdk::{ConfigPath, FillError, Pointer, Response, Template};

use crate::config::{self, Mode, OnSkip};
use crate::page::{Record, Skip};
use crate::plan::{Plan, RECORD_NAMES, record_value};

/// As many requests of a run are in flight at once, whatever it asks for.
const CONCURRENCY_MAX: usize = 16;
const CONCURRENCY_DEFAULT: usize = 8;
/// How an API says that the record is gone since it was listed.
const GONE: [u16; 2] = [404, 410];
/// Answers that are about the connection, or the moment, and never about one record.
const OF_ALL: [u16; 4] = [401, 408, 425, 429];

/// The members of an object, as the text that came.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Where the rest of a record is.
#[derive(Debug)]
pub(crate) struct Detail {
    path: Template,
    record: Pointer,
    mode: Mode,
    concurrency: usize,
    skip_statuses: Vec<u16>,
    on_skip: OnSkip,
}

/// The records of a page once their details are there.
#[derive(Debug, Default)]
pub(crate) struct Details {
    /// Ids and bodies.
    pub(crate) save: Vec<(String, String)>,
    pub(crate) skip: Vec<Skip>,
}

/// What came of one request.
enum Fetched {
    Body(String),
    /// The answer is one of `skip_statuses`.
    Gone,
    /// It is of this record alone.
    Bad(Failure),
}

impl Detail {
    pub(crate) fn new(config: &config::Detail, key: &ConfigPath) -> Result<Self> {
        let concurrency = config.concurrency.unwrap_or(CONCURRENCY_DEFAULT);
        if !(1..=CONCURRENCY_MAX).contains(&concurrency) {
            return Err(key.at("concurrency").wrong(format!(
                "{concurrency} is not between 1 and {CONCURRENCY_MAX}"
            )));
        }
        Ok(Detail {
            path: path(&config.path, &key.at("path"))?,
            record: key.at("record").pointer(&config.record)?,
            mode: config.mode,
            concurrency,
            skip_statuses: config.skip_statuses.clone().unwrap_or(GONE.to_vec()),
            on_skip: config.on_skip,
        })
    }

    /// The records with their details, in the same order. One that has none (its status is among
    /// `skip_statuses`) is left out, or kept as it was listed; one whose detail fails is skipped, unless
    /// that looks like more than one record's trouble: then the page fails, with that failure.
    pub(crate) async fn fetch(
        &self,
        cx: &Cx,
        plan: &Plan,
        records: Vec<Record<'_>>,
    ) -> Result<Details> {
        let asked = records.len();
        let fetched: Vec<(Record<'_>, Fetched)> = stream::iter(records)
            .map(|record| self.fetch_one(cx, plan, record))
            .buffered(self.concurrency)
            .try_collect()
            .await?;
        let mut details = Details::default();
        let mut first = None;
        for (record, fetched) in fetched {
            match fetched {
                Fetched::Body(body) => {
                    plan.fields.watch.detail();
                    details.save.push((record.id, body));
                }
                Fetched::Gone if self.on_skip == OnSkip::Keep => {
                    details.save.push((record.id, record.body.get().to_owned()));
                }
                Fetched::Gone => {
                    debug!("{} `{}` is gone since it was listed", plan.model, record.id);
                }
                Fetched::Bad(failure) => {
                    details.skip.push(Skip {
                        id: Some(record.id),
                        position: record.position,
                        reason: failure.message.clone(),
                    });
                    first.get_or_insert(failure);
                }
            }
        }
        match first {
            Some(failure) if !is_of_few(cx, plan, &failure, details.skip.len(), asked) => {
                Err(failure)
            }
            _ => Ok(details),
        }
    }

    async fn fetch_one<'a>(
        &self,
        cx: &Cx,
        plan: &Plan,
        record: Record<'a>,
    ) -> Result<(Record<'a>, Fetched)> {
        let path = match self.path(plan, &record.id, record.body.get()) {
            Ok(path) => path,
            Err(failure) => return Ok((record, Fetched::Bad(failure))),
        };
        let fetched = match plan.with_headers(cx.get(path)).send().await {
            Ok(response) => match self.body(plan, record.body, &response) {
                Ok(body) => Fetched::Body(body),
                Err(failure) => Fetched::Bad(failure),
            },
            Err(failure) => match failure.upstream.as_ref().map(|upstream| upstream.status) {
                Some(status) if self.skip_statuses.contains(&status) => Fetched::Gone,
                Some(status) if !OF_ALL.contains(&status) => Fetched::Bad(failure),
                _ => return Err(failure),
            },
        };
        Ok((record, fetched))
    }

    /// The path of a record, by its id and its body in the list.
    pub(crate) fn path(&self, plan: &Plan, id: &str, listed: &str) -> Result<String> {
        let path = self
            .path
            .fill_path(|place| record_value(place, Some(id), listed));
        path.map_err(|error| {
            let model = &plan.model;
            let message = match error {
                FillError::Missing(place) => format!(
                    "{model} `{id}` has no text or number at {place}, which `models.{model}.detail.path` needs"
                ),
                other => format!("{model} `{id}`: `models.{model}.detail.path`: {other}"),
            };
            Failure::other(message).code("record-invalid")
        })
    }

    /// The body of a record, by its body in the list and the answer.
    pub(crate) fn body(
        &self,
        plan: &Plan,
        listed: &RawValue,
        response: &Response,
    ) -> Result<String> {
        let whole: &RawValue = response.json()?;
        let detail = self.record.value(whole.get())?.ok_or_else(|| {
            let failure = Failure::other(format!(
                "{} has nothing at `models.{}.detail.record`",
                response.url(),
                plan.model
            ));
            response.with_upstream(failure.code("response-invalid"))
        })?;
        let text = detail.get();
        match self.mode {
            Mode::Replace => Ok(text.to_owned()),
            Mode::Merge => {
                let listed = listed.get();
                merged(listed, text)
                    .or_else(|error| {
                        // Half of a surrogate pair in a member's name can't be read.
                        match (tidegate_sdk::mended(listed), tidegate_sdk::mended(text)) {
                            (None, None) => Err(error),
                            (mended, detail) => merged(
                                mended.as_deref().unwrap_or(listed),
                                detail.as_deref().unwrap_or(text),
                            ),
                        }
                    })
                    .context(response.url())
            }
        }
    }
}

/// The members of both objects, those of the second over those of the first.
fn merged(listed: &str, detail: &str) -> serde_json::Result<String> {
    let mut all: Members<'_> = serde_json::from_str(listed)?;
    let over: Members<'_> = serde_json::from_str(detail)?;
    all.extend(over);
    serde_json::to_string(&all)
}

/// Whether `bad` of the page's `asked` details may be skipped: some of the run were there, and not too
/// many are missing. Of a page's only record no more can be said than that a server's error passes.
fn is_of_few(cx: &Cx, plan: &Plan, failure: &Failure, bad: usize, asked: usize) -> bool {
    let none = !plan.fields.watch.has_details();
    let is_outage = none && (asked > 1 || failure.kind == FailureKind::Transient);
    !is_outage && bad <= cx.may_skip(asked)
}

fn path(text: &str, key: &ConfigPath) -> Result<Template> {
    let path = key.template(text, &RECORD_NAMES)?;
    if path.is_constant() {
        return Err(key.wrong("names no record: put `{id}` where the id goes"));
    }
    Ok(path)
}
