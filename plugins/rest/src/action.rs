//! One configured action: a request made of the input, and what its answer does to the record here.

use serde_json::Value;
use serde_json::value::RawValue;
use tidegate_sdk::prelude::*;
use tidegate_sdk::{
    ConfigPath, Expected, FillError, Place, Pointer, RequestBuilder, Response, Responses, Template,
    Verdict, default_verdict,
};

use crate::config::{self, Config, Method};
use crate::page::Changes;
use crate::plan::{Plan, RECORD_NAMES, headers, record_value, text};

/// The record is not as it was when it was read.
const PRECONDITION_FAILED: u16 = 412;
/// Several things were done, each with a status of its own (RFC 4918 §13).
const MULTI_STATUS: u16 = 207;
/// The longest text that is an action's output.
const TEXT_MAX: usize = 64 * 1024;

/// What to do with one input.
#[derive(Debug)]
pub(crate) struct Action {
    method: Method,
    path: Template,
    headers: Vec<(String, String)>,
    /// Where the input has the body.
    body: Pointer,
    if_match: Option<Template>,
    /// Where the answer has the record.
    record: Pointer,
    /// The model whose record is written here too.
    plan: Option<Plan>,
    deletes: bool,
    /// What answers mean, beside what they say by themselves.
    responses: Responses,
}

impl Action {
    /// The action of this name, as the config has it.
    pub(crate) fn new(config: &Config, name: &str) -> Result<Self> {
        let actions = ConfigPath::new("actions");
        let action = actions.entry(&config.actions, name)?;
        let key = actions.at(name);
        let path = key.at("path").template(&action.path, &RECORD_NAMES)?;
        let model = action.model.as_deref();
        let plan = model.map(|model| Plan::new(config, model)).transpose()?;
        let if_match = match (&action.if_match, &plan) {
            (None, _) => None,
            (Some(_), None) => {
                let problem =
                    "needs `model`: the value is taken from the record that is stored here";
                return Err(key.at("if_match").wrong(problem));
            }
            (Some(text), Some(_)) => Some(key.at("if_match").template(text, &RECORD_NAMES)?),
        };
        if action.deletes && (plan.is_none() || !path.has("id")) {
            let problem =
                "needs `model`, and `{id}` in `path`: they say which record to delete here";
            return Err(key.at("deletes").wrong(problem));
        }
        Ok(Action {
            method: action.method,
            path,
            headers: headers(config, &action.headers),
            body: key.at("body").pointer(&action.body)?,
            if_match,
            record: key.at("record").pointer(&action.record)?,
            plan,
            deletes: action.deletes,
            responses: action.responses.clone(),
        })
    }

    /// Send the request, and store what came of it. Returns the record of the answer, or null.
    pub(crate) async fn act(&self, cx: &Cx, input: &str) -> Result<Box<RawValue>> {
        let id = input_id(input)?;
        let value = |place: &_| record_value(place, id.as_deref(), input);
        let path = self.path.fill_path(value).map_err(|error| {
            let pointer = match error {
                FillError::Missing(Place::Name(name)) => format!("/{name}"),
                FillError::Missing(place) => place.to_string(),
                other => return unfit(&format!("does not fit the action's path: {other}")),
            };
            unfit(&format!(
                "has no text or number at {pointer}, which the action's path needs"
            ))
        })?;
        let mut request = cx.request(self.method.as_str(), path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = self.body.value(input)? {
            request = request.json_body(body);
        }
        let (request, conditional) = self.conditional(cx, request, id.as_deref()).await?;
        let response = request.send_any().await?;
        if conditional && response.status() == PRECONDITION_FAILED {
            let payload: Value = response.json().unwrap_or_default();
            let message =
                "the record has changed at the API since it was read; sync, and decide anew";
            let failure = Failure::rejected(message).code("conflict");
            return Err(failure.payload(payload));
        }
        self.judge(cx, &response)?;
        self.store(cx, id.as_deref(), &response).await
    }

    /// Fails unless the answer says that it was done.
    fn judge(&self, cx: &Cx, response: &Response) -> Result<()> {
        let ruled = self.responses.ruled(cx, response);
        if ruled.is_none() && response.status() == MULTI_STATUS {
            return judge_items(response);
        }
        let verdict = ruled.unwrap_or_else(|| default_verdict(cx, response, Expected::Write));
        match verdict {
            Verdict::Success | Verdict::Empty => Ok(()),
            Verdict::Gone if self.deletes => Ok(()),
            Verdict::Gone => {
                let message = "what the action is about is not there any more";
                Err(Failure::rejected(message).code("gone"))
            }
            Verdict::Failed(failure) => Err(failure),
        }
    }

    /// The request with `If-Match`, if the action has it and the record is stored here. Such a one is
    /// not repeated by the host: after a lost answer it would be a conflict with itself.
    async fn conditional(
        &self,
        cx: &Cx,
        request: RequestBuilder,
        id: Option<&str>,
    ) -> Result<(RequestBuilder, bool)> {
        let (Some(template), Some(plan), Some(id)) = (&self.if_match, &self.plan, id) else {
            return Ok((request, false));
        };
        let stored: Vec<Option<Box<RawValue>>> = cx.get_records(&plan.model, [id]).await?;
        let Some(stored) = stored.into_iter().flatten().next() else {
            return Ok((request, false));
        };
        let value = template.fill(|place| record_value(place, Some(id), stored.get()));
        let value = value.map_err(|error| {
            let model = &plan.model;
            let message = format!("`if_match` of the stored {model} `{id}`: {error}");
            Failure::config(message).code("config-invalid")
        })?;
        Ok((request.header("If-Match", value).never_retry(), true))
    }

    /// It is done: whatever of its answer can be used is, and a line of the log tells what can't.
    async fn store(&self, cx: &Cx, id: Option<&str>, response: &Response) -> Result<Box<RawValue>> {
        let answer: Option<&RawValue> = response.written();
        let record = match answer {
            Some(answer) => self.record.value(answer.get())?,
            None => None,
        };
        if answer.is_some() && record.is_none() {
            let place = &self.record;
            warn!("done, but the answer has nothing at `{place}`, where its record should be");
        }
        if let Some(plan) = &self.plan {
            let mut commit = cx.batch(&plan.model);
            match (self.deletes, record) {
                (true, _) => {
                    commit.delete_all(id);
                }
                (false, Some(record)) => match Changes::of(plan, &[record]) {
                    Ok(changes) => {
                        commit.delete_all(&changes.delete);
                        for record in changes.save {
                            commit.save_json(record.id, record.body.get());
                        }
                    }
                    Err(failure) => {
                        warn!(
                            "done, but its answer is no {} to be stored, which the next sync brings: {}",
                            plan.model, failure.message
                        );
                    }
                },
                // The next sync brings it.
                (false, None) => {}
            }
            if !commit.is_empty() {
                commit.commit().await?;
            }
        }
        Ok(match (record, answer) {
            (Some(record), _) => record.to_owned(),
            (None, Some(_)) => RawValue::NULL.to_owned(),
            (None, None) => text_of(response)?,
        })
    }
}

/// The output of an answer that is no JSON: its text, or null.
fn text_of(response: &Response) -> Result<Box<RawValue>> {
    let text = response.text().unwrap_or_default().trim();
    let shown = (!text.is_empty() && text.len() <= TEXT_MAX).then_some(text);
    Ok(serde_json::value::to_raw_value(&shown)?)
}

/// Fails unless each item of the answer says that it was done.
fn judge_items(response: &Response) -> Result<()> {
    let answer: Value = response.json().unwrap_or_default();
    let Some(items) = response.item_results() else {
        let why = "for several things, and does not say of each whether it was done: a rule of `responses` \
                   can tell";
        return Err(Failure::outcome_unknown(response, why).payload(answer));
    };
    let failed: Vec<_> = items.iter().filter(|item| item.status >= 300).collect();
    let Some(first) = failed.first() else {
        return Ok(());
    };
    let message = format!(
        "{} of {} were not done; the first of them: {} {}",
        failed.len(),
        items.len(),
        first.status,
        first.message.as_deref().unwrap_or_default()
    );
    let failure = Failure::rejected(message.trim_end()).code("http-207");
    Err(failure.payload(answer))
}

/// The text or number at `/id` of the input.
fn input_id(input: &str) -> Result<Option<String>> {
    #[derive(Deserialize)]
    struct Input {
        #[serde(default)]
        id: Value,
    }
    let input: Input = serde_json::from_str(input)?;
    Ok(text(&input.id).filter(|id| !id.is_empty()))
}

fn unfit(problem: &str) -> Failure {
    Failure::rejected(format!("the input {problem}")).code("invalid-input")
}

impl Method {
    fn as_str(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// Checks every configured action.
pub(crate) fn check_all(config: &config::Config) -> Result<()> {
    config
        .actions
        .keys()
        .try_for_each(|name| Action::new(config, name).map(drop))
}
