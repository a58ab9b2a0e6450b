//! One configured action: a request made of the input, and what its answer does to the record here.

use serde_json::Value;
use serde_json::value::RawValue;
use tidegate_sdk::prelude::*;
use tidegate_sdk::{RequestBuilder, Response, encode};

use crate::config::{self, Config, Method};
use crate::page::Changes;
use crate::plan::{Key, Plan, headers, text};
use crate::pointer::Pointer;
use crate::template::Template;

/// The record is not as it was when it was read.
const PRECONDITION_FAILED: u16 = 412;

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
}

impl Action {
    /// The action of this name, as the config has it.
    pub(crate) fn new(config: &Config, name: &str) -> Result<Self> {
        let Some(action) = config.actions.get(name) else {
            let known: Vec<&str> = config.actions.keys().map(String::as_str).collect();
            return Err(Failure::config(format!(
                "the connection's config at `actions` has no action `{name}`; it has: {}",
                known.join(", ")
            ))
            .code("config-invalid"));
        };
        let key = Key::of("actions", name);
        let path = Template::new(&action.path, &key.at("path"))?;
        let model = action.model.as_deref();
        let plan = model.map(|model| Plan::new(config, model)).transpose()?;
        let if_match = match (&action.if_match, &plan) {
            (None, _) => None,
            (Some(_), None) => {
                let problem =
                    "needs `model`: the value is taken from the record that is stored here";
                return Err(key.at("if_match").wrong(problem));
            }
            (Some(text), Some(_)) => Some(Template::new(text, &key.at("if_match"))?),
        };
        if action.deletes && (plan.is_none() || !path.has_id()) {
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
        })
    }

    /// Send the request, and store what came of it. Returns the record of the answer, or null.
    pub(crate) async fn act(&self, cx: &Cx, input: &str) -> Result<Box<RawValue>> {
        let id = input_id(input)?;
        if self.path.has_id() && id.is_none() {
            return Err(unfit(
                "has no text or number at /id, which the action's path needs",
            ));
        }
        let missing = |pointer: &Pointer| {
            unfit(&format!(
                "has no text or number at {pointer}, which the action's path needs"
            ))
        };
        let path = self.path.fill(id.as_deref(), input, encode, missing)?;
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
        let response = response.or_failure(cx)?;
        self.store(cx, id.as_deref(), &response).await
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
        let missing = |pointer: &Pointer| {
            Failure::config(format!(
                "the stored {} `{id}` has no text or number at {pointer}, which `if_match` needs",
                plan.model
            ))
            .code("config-invalid")
        };
        let value = template.fill(Some(id), stored.get(), str::to_owned, missing)?;
        Ok((request.header("If-Match", value).never_retry(), true))
    }

    async fn store(&self, cx: &Cx, id: Option<&str>, response: &Response) -> Result<Box<RawValue>> {
        let answer: Option<&RawValue> = if response.bytes().is_empty() {
            None
        } else {
            Some(response.json()?)
        };
        let record = match answer {
            Some(answer) => self.record.value(answer.get())?,
            None => None,
        };
        if let Some(plan) = &self.plan {
            let mut commit = cx.page(&plan.model);
            match (self.deletes, record) {
                (true, _) => commit.delete_all(id),
                (false, Some(record)) => {
                    let changes = Changes::of(plan, &[record])?;
                    commit.delete_all(&changes.delete);
                    for record in changes.save {
                        commit.save_json(record.id, record.body.get());
                    }
                    &mut commit
                }
                // The next sync brings it.
                (false, None) => &mut commit,
            };
            if !commit.is_empty() {
                commit.commit().await?;
            }
        }
        let null = || serde_json::from_str("null");
        Ok(record.map_or_else(null, |record| Ok(record.to_owned()))?)
    }
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
