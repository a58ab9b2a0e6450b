//! From the config of one model to what a pull needs: everything is checked here, once, and each
//! error names the offending key.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;
use tidegate_sdk::prelude::*;
use tidegate_sdk::{ConfigPath, Finder, Pointer, RequestBuilder, Responses};

use crate::answers::Answers;
use crate::config::{
    BadRecord, Config, Model, NextUrlOrigin, OneOrMany, Pagination, Style, WithDeletes,
};
use crate::confirm::Confirm;
use crate::detail::Detail;
use crate::empty::EmptyRule;
use crate::incremental::Incremental;
use crate::paging::{Paging, Place};
use crate::url;
use crate::watch::Watch;

/// How to pull one model.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) model: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) records_may_be_absent: bool,
    pub(crate) fields: Fields,
    pub(crate) paging: Paging,
    pub(crate) incremental: Option<Incremental>,
    pub(crate) conditional: bool,
    pub(crate) full_pull: FullPull,
    pub(crate) detail: Option<Detail>,
    pub(crate) on_bad_record: OnBadRecord,
    pub(crate) nothing: EmptyRule,
    /// Next URLs of another origin go to that of the base URL.
    at_base: bool,
    /// How to ask for a record that a full pull did not see.
    pub(crate) confirm: Option<Confirm>,
    /// What answers mean.
    pub(crate) responses: Responses,
    /// What a run finds in answers.
    pub(crate) answers: Answers,
}

/// Where each record has what.
#[derive(Debug)]
pub(crate) struct Fields {
    pub(crate) finder: Finder,
    /// As written, for messages.
    pub(crate) id_names: String,
    pub(crate) ids: Range<usize>,
    pub(crate) marks: Range<usize>,
    pub(crate) tombstone: Option<(usize, Option<Value>)>,
    /// What a run finds at these.
    pub(crate) watch: Watch,
    id_key: ConfigPath,
}

/// Whether what a full pull did not see is deleted, and when one is due.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FullPull {
    pub(crate) deletes: bool,
    pub(crate) every_ms: Option<u64>,
}

impl Plan {
    /// The plan for the model of this name. Headers that the model sets replace those of the
    /// whole config.
    pub(crate) fn new(config: &Config, name: &str) -> Result<Self> {
        let models = ConfigPath::new("models");
        let model = models.entry(&config.models, name)?;
        let key = models.at(name);
        if model.path.is_empty() {
            return Err(key.at("path").wrong("is empty"));
        }
        let incremental = model
            .incremental
            .as_ref()
            .map(|incremental| Incremental::new(incremental, &key.at("incremental")))
            .transpose()?;
        let paging = Paging::new(&model.pagination, &model.records, &key)?;
        let detail = model
            .detail
            .as_ref()
            .map(|detail| Detail::new(detail, &key.at("detail")))
            .transpose()?;
        let confirm = match &model.full_pull_with_deletes {
            WithDeletes::By(confirm) => {
                Some(Confirm::new(confirm, &key.at("full_pull_with_deletes"))?)
            }
            WithDeletes::Whether(_) => None,
        };
        Ok(Plan {
            model: name.to_owned(),
            path: model.path.clone(),
            query: query(model, &key.at("query"))?,
            headers: headers(config, &model.headers),
            records_may_be_absent: model.records_may_be_absent,
            fields: Fields::new(model, &key)?,
            paging,
            conditional: model.conditional,
            full_pull: full_pull(model, &key)?,
            incremental,
            detail,
            nothing: EmptyRule::new(model),
            at_base: at_base(&model.pagination, &key.at("pagination"))?,
            on_bad_record: match model.on_bad_record.or(config.on_bad_record) {
                Some(BadRecord::Fail) => OnBadRecord::Fail,
                Some(BadRecord::Skip) | None => OnBadRecord::default(),
            },
            confirm,
            responses: model.responses.clone(),
            answers: Answers::new(model, &key),
        })
    }
}

impl Plan {
    /// The request for the page at `place`, with the incremental parameter when it has a value.
    pub(crate) fn request(&self, cx: &Cx, place: &Place, since: Option<&str>) -> RequestBuilder {
        let list = || {
            let mut request = cx.get(&self.path);
            for (name, value) in &self.query {
                request = request.query(name, value);
            }
            match &self.incremental {
                Some(incremental) => request.query_opt(&incremental.parameter, since),
                None => request,
            }
        };
        let moved = self.moved(cx, place);
        let place = moved.as_ref().unwrap_or(place);
        self.with_headers(self.paging.request(cx, place, list))
    }

    /// The place of a next URL at the origin of the base URL, if it is at another.
    fn moved(&self, cx: &Cx, place: &Place) -> Option<Place> {
        let Place::Url(url) = place else {
            return None;
        };
        let base = cx.context().ok()?.base_url.filter(|_| self.at_base)?;
        let moved = url::at_base(&base, url)?;
        self.fields.watch.moved(url);
        Some(Place::Url(moved))
    }

    /// What an operator should know of this config, once a run is over. `is_first`: it was the sync's first.
    pub(crate) fn findings(&self, is_first: bool) -> Vec<String> {
        let mut findings = self.answers.findings();
        findings.extend(self.fields.watch.findings(&self.model, is_first));
        findings
    }

    /// The request that a pull of everything begins with.
    pub(crate) fn first_request(&self, cx: &Cx) -> RequestBuilder {
        let since = self.incremental.as_ref().and_then(|i| i.since(None));
        self.request(cx, &Place::Start, since.as_deref())
    }
}

impl Fields {
    fn new(model: &Model, key: &ConfigPath) -> Result<Self> {
        let ids = pointers(&model.id, &key.at("id"))?;
        let marks = match model.incremental.as_ref().and_then(|i| i.field.as_ref()) {
            Some(field) => pointers(field, &key.at("incremental.field"))?,
            None => Vec::new(),
        };
        let mut all = ids;
        let ids = 0..all.len();
        all.extend(marks);
        let marks = ids.end..all.len();
        let tombstone = match &model.tombstone {
            None => None,
            Some(tombstone) => {
                all.push(key.at("tombstone.field").pointer(&tombstone.field)?);
                Some((marks.end, tombstone.value.clone()))
            }
        };
        let mut places: Vec<(String, String)> = Vec::new();
        let named = |place: usize| match place {
            place if ids.contains(&place) => key.at("id"),
            place if marks.contains(&place) => key.at("incremental.field"),
            _ => key.at("tombstone.field"),
        };
        for (place, pointer) in all.iter().enumerate() {
            places.push((named(place).to_string(), pointer.to_string()));
        }
        let count = all.len();
        let finder = Finder::new(all).ok_or_else(|| {
            key.at("id").wrong(format!(
                "together with `incremental.field` and `tombstone.field`, {count} pointers are too \
                 many; at most {} work",
                Finder::POINTERS_MAX
            ))
        })?;
        Ok(Fields {
            watch: Watch::new(places, tombstone.as_ref().map(|(index, _)| *index)),
            id_key: key.at("id"),
            finder,
            id_names: model.id.as_slice().join(" and "),
            ids,
            marks,
            tombstone,
        })
    }
}

impl Fields {
    /// The failure for a page of so many records, none of which has an id where the config says.
    pub(crate) fn no_ids(&self, records: usize) -> Failure {
        self.id_key.wrong(format!(
            "none of the {records} records of the page has a text or number at {}",
            self.id_names
        ))
    }
}

/// Whether next URLs of another origin go to that of the base URL.
fn at_base(pagination: &Pagination, key: &ConfigPath) -> Result<bool> {
    let is_of_urls = matches!(pagination.style, Style::Link | Style::NextUrl);
    match pagination.next_url_origin {
        Some(_) if !is_of_urls => Err(key
            .at("next_url_origin")
            .wrong("is used by the styles `link` and `next_url` only")),
        origin => Ok(origin != Some(NextUrlOrigin::AsGiven)),
    }
}

fn pointers(texts: &OneOrMany, key: &ConfigPath) -> Result<Vec<Pointer>> {
    if texts.as_slice().is_empty() {
        return Err(key.wrong("is an empty list; it needs at least one JSON pointer"));
    }
    texts
        .as_slice()
        .iter()
        .map(|text| key.pointer(text))
        .collect()
}

fn query(model: &Model, key: &ConfigPath) -> Result<Vec<(String, String)>> {
    let mut query = Vec::new();
    for (name, value) in &model.query {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            let value = text(value).ok_or_else(|| {
                key.at(name)
                    .wrong("is no text, number or boolean, and no list of them")
            })?;
            query.push((name.clone(), value));
        }
    }
    Ok(query)
}

/// A parameter's value; `None` for null, lists and objects.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// The headers of a request: those of the whole config, with its own over them.
pub(crate) fn headers(config: &Config, own: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut headers = vec![("Accept".to_owned(), "application/json".to_owned())];
    for (name, value) in config.headers.iter().chain(own) {
        headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        headers.push((name.clone(), value.clone()));
    }
    headers
}

fn full_pull(model: &Model, key: &ConfigPath) -> Result<FullPull> {
    let every = key.at("full_pull_every_hours");
    match model.full_pull_every_hours {
        Some(0) => Err(every.wrong("must be at least 1")),
        Some(_) if model.incremental.is_none() => {
            Err(every.wrong("needs `incremental`: without it every pull is a full one"))
        }
        hours => Ok(FullPull {
            deletes: !matches!(model.full_pull_with_deletes, WithDeletes::Whether(false)),
            every_ms: hours.map(|hours| u64::from(hours) * 3_600_000),
        }),
    }
}

/// The names that a template may have in braces.
pub(crate) const RECORD_NAMES: [&str; 1] = ["id"];

/// What a place of a template stands for: a record's id, or a value of its JSON text.
pub(crate) fn record_value<'a>(
    place: &tidegate_sdk::Place,
    id: Option<&'a str>,
    record: &'a str,
) -> Option<Cow<'a, str>> {
    match place {
        tidegate_sdk::Place::Name(_) => id.map(Cow::Borrowed),
        tidegate_sdk::Place::Value(_) => place.value(record),
    }
}
