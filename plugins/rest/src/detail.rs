//! One more request per record, for APIs whose lists leave out what matters.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tidegate_sdk::prelude::*;
use tidegate_sdk::{Response, encode};

use crate::config::{self, Mode};
use crate::page::Record;
use crate::plan::{Key, Plan};
use crate::pointer::Pointer;
use crate::template::Template;

/// As many requests of a run are in flight at once, whatever it asks for.
const CONCURRENCY_MAX: usize = 16;
const CONCURRENCY_DEFAULT: usize = 8;
/// The record is gone since it was listed.
const GONE: [u16; 2] = [404, 410];

/// The members of an object, as the text that came.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Where the rest of a record is.
#[derive(Debug)]
pub(crate) struct Detail {
    path: Template,
    record: Pointer,
    mode: Mode,
    concurrency: usize,
}

impl Detail {
    pub(crate) fn new(config: &config::Detail, key: &Key) -> Result<Self> {
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
        })
    }

    /// The ids and bodies of these records with their details, in the same order. A record that
    /// is gone since it was listed is left out.
    pub(crate) async fn fetch(
        &self,
        cx: &Cx,
        plan: &Plan,
        records: Vec<Record<'_>>,
    ) -> Result<Vec<(String, String)>> {
        let fetched: Vec<Option<(String, String)>> = stream::iter(records)
            .map(|record| self.fetch_one(cx, plan, record))
            .buffered(self.concurrency)
            .try_collect()
            .await?;
        Ok(fetched.into_iter().flatten().collect())
    }

    async fn fetch_one(
        &self,
        cx: &Cx,
        plan: &Plan,
        record: Record<'_>,
    ) -> Result<Option<(String, String)>> {
        let path = self.path(plan, &record.id, record.body.get())?;
        match plan.with_headers(cx.get(path)).send().await {
            Ok(response) => {
                let body = self.body(plan, record.body, &response)?;
                Ok(Some((record.id, body)))
            }
            Err(failure) => match &failure.upstream {
                Some(upstream) if GONE.contains(&upstream.status) => {
                    debug!("{} `{}` is gone since it was listed", plan.model, record.id);
                    Ok(None)
                }
                _ => Err(failure),
            },
        }
    }

    /// The path of a record, by its id and its body in the list.
    pub(crate) fn path(&self, plan: &Plan, id: &str, listed: &str) -> Result<String> {
        let missing = |pointer: &Pointer| {
            Failure::other(format!(
                "{} `{}` has no text or number at {pointer}, which `models.{}.detail.path` needs",
                plan.model, id, plan.model
            ))
            .code("record-invalid")
        };
        self.path.fill(Some(id), listed, encode, missing)
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
            Failure::other(format!(
                "{} has nothing at `models.{}.detail.record`",
                response.url(),
                plan.model
            ))
            .code("response-invalid")
        })?;
        match self.mode {
            Mode::Replace => Ok(detail.get().to_owned()),
            Mode::Merge => {
                let mut merged: Members<'_> = serde_json::from_str(listed.get())?;
                let detail: Members<'_> =
                    serde_json::from_str(detail.get()).context(response.url())?;
                merged.extend(detail);
                Ok(serde_json::to_string(&merged)?)
            }
        }
    }
}

fn path(text: &str, key: &Key) -> Result<Template> {
    let path = Template::new(text, key)?;
    if path.is_constant() {
        return Err(key.wrong("names no record: put `{id}` where the id goes"));
    }
    Ok(path)
}
