//! What the config of one push means: checked, its expressions compiled.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tidegate_sdk::prelude::*;
use tidegate_sdk::{ConfigPath, Responses, Template};

use crate::config::{self, Config, FeedSource, Method, OnLeftOut, OnReject, RequestUnit};
use crate::jq::Jq;

/// Most changes of a page: so many ids go into one `records.get`.
const PAGE_SIZE_MAX: u32 = 1_000;
const PAUSE_MS_MAX: u64 = 60_000;
/// So many requests of a run are in flight at once.
const CONCURRENCY_MAX: usize = 16;
/// What an API says about a record that it doesn't have (any more).
const GONE: [u16; 2] = [404, 410];

/// One push.
pub(crate) struct Plan {
    /// Of the sync, and of the model that holds what was acknowledged.
    pub(crate) name: String,
    pub(crate) from: FeedSource,
    pub(crate) transform: Jq,
    pub(crate) save: Request,
    pub(crate) delete: Option<Request>,
    pub(crate) page_size: u32,
    pub(crate) pause: Duration,
    pub(crate) concurrency: usize,
    pub(crate) on_reject: OnReject,
    pub(crate) on_left_out: OnLeftOut,
}

/// How a record, or a page of them, is saved or deleted at the destination.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: Template,
    pub(crate) per: RequestUnit,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Jq>,
    /// Statuses that acknowledge it beside those of success.
    pub(crate) gone: Vec<u16>,
    pub(crate) responses: Responses,
    /// What became of each record, made of the answer.
    pub(crate) results: Option<Jq>,
    /// Whether a page of HTML may be what the destination says.
    pub(crate) accepts_html: bool,
    pub(crate) is_delete: bool,
    /// Its place in the config.
    pub(crate) key: ConfigPath,
}

impl Plan {
    /// The push of this name, as the config has it.
    pub(crate) fn new(config: &Config, name: &str) -> Result<Self> {
        let pushes = ConfigPath::new("pushes");
        let push = pushes.entry(&config.pushes, name)?;
        let key = pushes.at(name);
        let within = |name: &str, value: u64, least: u64, most: u64| match value {
            value if (least..=most).contains(&value) => Ok(()),
            value => {
                let problem = format!("is {value}; it must be {least} to {most}");
                Err(key.at(name).wrong(problem))
            }
        };
        within("page_size", push.page_size.into(), 1, PAGE_SIZE_MAX.into())?;
        within("pause_ms", push.pause_ms, 0, PAUSE_MS_MAX)?;
        within(
            "concurrency",
            push.concurrency as u64,
            1,
            CONCURRENCY_MAX as u64,
        )?;
        if push.save.gone.is_some() {
            return Err(key
                .at("save.gone")
                .wrong("only `delete` can find a record gone"));
        }
        if push.on_left_out == OnLeftOut::Delete && push.delete.is_none() {
            return Err(key
                .at("on_left_out")
                .wrong("is `delete`, which needs the key `delete` to say how"));
        }
        let delete = push.delete.as_ref().map(|delete| {
            let body = match delete.per {
                RequestUnit::Record => None,
                RequestUnit::Page => Some("."),
            };
            Request::new(config, delete, body, &GONE, key.at("delete"))
        });
        Ok(Plan {
            name: name.to_owned(),
            from: push.from.clone(),
            transform: Jq::new(&push.transform, true, &key.at("transform"))?,
            save: Request::new(config, &push.save, Some("."), &[], key.at("save"))?,
            delete: delete.transpose()?,
            page_size: push.page_size,
            pause: Duration::from_millis(push.pause_ms),
            concurrency: push.concurrency,
            on_reject: push.on_reject,
            on_left_out: push.on_left_out,
        })
    }

    /// `integration/model`, for messages.
    pub(crate) fn feed(&self) -> String {
        format!("{}/{}", self.from.integration, self.from.model)
    }

    pub(crate) fn key(&self) -> ConfigPath {
        ConfigPath::new("pushes").at(&self.name)
    }
}

impl Request {
    /// `body` and `gone` are taken unless the config has its own.
    fn new(
        config: &Config,
        request: &config::Request,
        body: Option<&str>,
        gone: &[u16],
        key: ConfigPath,
    ) -> Result<Self> {
        // Only what deletes can find a record gone.
        let is_delete = !gone.is_empty();
        let path = key.at("path").template(&request.path, &["id"])?;
        if request.path.is_empty() {
            return Err(key.at("path").wrong("is empty"));
        }
        if request.per == RequestUnit::Page && !path.is_constant() {
            let problem =
                "has a place for one record, but with `\"per\": \"page\"` a request is about many";
            return Err(key.at("path").wrong(problem));
        }
        let body = request.body.as_deref().or(body);
        let body =
            body.map(|code| Jq::new(code, request.per == RequestUnit::Record, &key.at("body")));
        let gone = request.gone.as_deref().unwrap_or(gone);
        let results = request.results.as_deref();
        let results = results.map(|code| Jq::new(code, false, &key.at("results")));
        let headers = headers(config, &request.headers);
        let accepts_html = headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("Accept") && value.to_ascii_lowercase().contains("html")
        });
        Ok(Request {
            method: request.method,
            path,
            per: request.per,
            headers,
            body: body.transpose()?,
            responses: request.responses.clone(),
            results: results.transpose()?,
            accepts_html,
            gone: gone.to_vec(),
            is_delete,
            key,
        })
    }
}

/// The headers of a request: those of the whole config, with its own over them.
fn headers(config: &Config, own: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let default = |name: &str| (name.to_owned(), "application/json".to_owned());
    let mut headers = vec![default("Accept"), default("Content-Type")];
    for (name, value) in config.headers.iter().chain(own) {
        headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        headers.push((name.clone(), value.clone()));
    }
    headers
}

/// A failure of kind `config`: what this key says can't be done with a record.
pub(crate) fn unfit(key: &ConfigPath, what: &str, problem: impl fmt::Display) -> Failure {
    Failure::config(format!("{what}: `{key}` can't be used: {problem}")).code("transform-failed")
}
