//! `…/actions/{action}`: invoking one and waiting for what it returns, or leaving it to a job.

use std::sync::Arc;

use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use tidegate_engine::job::{ConcurrencyKey, Priority};
use tidegate_engine::limits::{ACTION_INPUT_BYTES, JOB_INPUT_BYTES};
use tidegate_engine::run::{Blame, FailureClass, Outcome};
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use tidegate_service::control::{
    ActionSubmission, InvokeRequest, Invoked, SilentObserver, SubmitAction,
};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::app::App;
use super::body::body_too_large;
use super::extract::{Json, Path, Query, one_of};
use super::idempotency::idempotency_key;
use super::problem::{Answer, Failed, Type};
use super::routes::{Routes, Rule};
use crate::views::{self, text};

/// The preference of who does not wait.
const RESPOND_ASYNC: &str = "respond-async";

pub(super) fn routes(routes: Routes) -> Routes {
    // Actions have keys of their own.
    let rule = Rule::TRIGGER
        .untimed()
        .body(ACTION_INPUT_BYTES)
        .own_repeats();
    routes.add(rule, routes!(invoke))
}

/// An action of a connection.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct ActionPath {
    #[param(value_type = text::Name)]
    integration: Name,
    #[param(value_type = text::ConnectionName)]
    connection: ConnectionName,
    #[param(value_type = text::Name)]
    action: Name,
}

/// How a job is to wait, with `Prefer: respond-async`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LaterQuery {
    /// Of all jobs with this key only so many run at once. 1 to 255 visible ASCII characters.
    concurrency_key: Option<String>,
    /// How many; with `concurrency_key`, not without.
    #[param(minimum = 1, maximum = 100)]
    concurrency: Option<u32>,
    /// Those of a higher one start before; `normal` unless it is given.
    #[param(value_type = Option<views::JobPriority>)]
    priority: Option<String>,
}

impl LaterQuery {
    fn is_empty(&self) -> bool {
        self.concurrency_key.is_none() && self.concurrency.is_none() && self.priority.is_none()
    }

    fn priority(&self) -> Answer<Priority> {
        let priority = one_of::<views::JobPriority>("priority", self.priority.as_deref())?;
        Ok(priority.unwrap_or_default().into())
    }

    fn concurrency(self) -> Answer<Option<ConcurrencyKey>> {
        match (self.concurrency_key, self.concurrency) {
            (Some(key), Some(max)) => Ok(Some(ConcurrencyKey { key, max })),
            (None, None) => Ok(None),
            _ => Err(Failed::invalid(
                "concurrency_key and concurrency: give both or none",
            )),
        }
    }
}

/// Invoke an action and wait for its end, or leave it to a job
///
/// It goes on when the client goes away. Under an `Idempotency-Key` it acts once: a repeat within 24
/// hours gets the first result. The key is that of the connection and action, whichever API key sends it. With `Prefer: respond-async` the answer is the job that does it.
#[utoipa::path(post,
    path = "/v1/integrations/{integration}/connections/{connection}/actions/{action}",
    tag = "actions",
    params(
        ActionPath,
        LaterQuery,
        ("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "1 to 255 visible ASCII characters"),
        ("Prefer" = Option<String>, Header, description = "`respond-async` (RFC 7240): don't wait"),
    ),
    request_body(content = text::JsonValue, description = "The action's input"),
    responses(
        (status = 200, description = "It succeeded", body = views::Invoked),
        (status = 202, description = "The job that does it, as was preferred; what it returns is at its place, `/v1/jobs/{job}`", body = views::Job),
        (status = 409, description = "The connection's credentials are rejected; the run was cancelled; the key is in use or was used with another input; too many jobs wait already"),
        (status = 422, description = "The action, or the API, said no to what was asked"),
        (status = 502, description = "The API failed, or could not be reached"),
    ),
)]
async fn invoke(
    State(app): State<App>,
    Path(path): Path<ActionPath>,
    Query(query): Query<LaterQuery>,
    headers: HeaderMap,
    request: Request,
) -> Answer<Response> {
    let idempotency_key = idempotency_key(&headers)?;
    let Json(input) = Json::<Box<RawValue>>::from_request(request, &app).await?;
    let input = String::from(Box::<str>::from(input));
    let connection = ConnectionKey {
        integration: path.integration,
        connection: path.connection,
    };
    if !prefers_async(&headers) {
        if !query.is_empty() {
            let needs = "the query: only what is queued, with the header Prefer: respond-async, has \
                         priority, concurrency_key and concurrency";
            return Err(Failed::invalid(needs));
        }
        let request = InvokeRequest {
            connection,
            action: path.action,
            input,
            idempotency_key,
            record: None,
        };
        let invoked = app
            .control
            .invoke(request, Arc::new(SilentObserver))
            .await?;
        return done(&invoked);
    }
    if input.len() as u64 > JOB_INPUT_BYTES {
        return Err(body_too_large(JOB_INPUT_BYTES)
            .hint("a job's input is kept while it waits; wait for the action to send more"));
    }
    let request = SubmitAction {
        connection,
        action: path.action,
        input,
        idempotency_key,
        priority: query.priority()?,
        concurrency: query.concurrency()?,
    };
    match app.control.invoke_later(request).await? {
        ActionSubmission::Done(invoked) => done(&invoked),
        ActionSubmission::Job(job) => {
            let headers = [
                ("location", format!("/v1/jobs/{}", job.id)),
                ("preference-applied", RESPOND_ASYNC.to_owned()),
            ];
            let job = views::Job::from(&*job);
            Ok((StatusCode::ACCEPTED, headers, Json(job)).into_response())
        }
    }
}

/// The answer of a run that has ended.
fn done(invoked: &Invoked) -> Answer<Response> {
    outcome(invoked)?;
    Ok(Json(views::Invoked::new(invoked)?).into_response())
}

/// Whether the client does not want to wait (RFC 7240): preferences are a list, over one header or several.
fn prefers_async(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").iter();
    let mut preferences = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|preference| preference.split(';').next());
    preferences.any(|name| name.trim().eq_ignore_ascii_case(RESPOND_ASYNC))
}

/// The problem of a run that did not succeed: who said no, the action, the outside API, or one of ours.
fn outcome(invoked: &Invoked) -> Answer<()> {
    let run = &invoked.run;
    let ended = run.end.as_ref().map(|end| end.outcome);
    let failure = run.end.as_ref().and_then(|end| end.failure.as_ref());
    let kind = match (ended, failure.map(|failure| (failure.class, failure.blame))) {
        (Some(Outcome::Success), _) => return Ok(()),
        (Some(Outcome::Cancelled), _) => Type::Cancelled,
        (_, Some((FailureClass::Rejected, _))) => Type::Rejected,
        (_, Some((_, Blame::Upstream))) => Type::UpstreamFailed,
        (_, Some((_, Blame::Operator))) => Type::Refused,
        _ => Type::RunFailed,
    };
    let said = failure.map_or("the run did not succeed", |failure| {
        failure.message.as_str()
    });
    let mut failed = Failed::new(kind, said).run(run.id, failure);
    if let Some(ms) = failure.and_then(|failure| failure.retry_after_ms) {
        failed = failed.retry_after(std::time::Duration::from_millis(ms));
    }
    Err(failed.hint(format!("what it logged is at /v1/runs/{}/logs", run.id)))
}
