//! `…/actions/{action}`: invoking one and waiting for what it returns.

use std::sync::Arc;

use axum::extract::{FromRequest, Request, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use tidegate_engine::idempotency::IdempotencyKey;
use tidegate_engine::limits::ACTION_INPUT_BYTES;
use tidegate_engine::run::{Blame, FailureClass, Outcome};
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::app::App;
use super::extract::{Json, Path};
use super::problem::{Answer, Failed, Type};
use super::routes::{Routes, Rule};
use crate::control::{InvokeRequest, Invoked, Quiet};
use crate::shown;

pub(super) fn routes(routes: Routes) -> Routes {
    let rule = Rule::TRIGGER.untimed().body(ACTION_INPUT_BYTES);
    routes.add(rule, routes!(invoke))
}

/// An action of a connection.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct ActionPath {
    #[param(value_type = String)]
    integration: Name,
    #[param(value_type = String)]
    connection: ConnectionName,
    #[param(value_type = String)]
    action: Name,
}

/// Invoke an action and wait for its end
///
/// It goes on when the client goes away. Under an `Idempotency-Key` it acts once: a repeat within 24
/// hours gets the first result.
#[utoipa::path(post,
    path = "/v1/integrations/{integration}/connections/{connection}/actions/{action}",
    tag = "actions",
    params(
        ActionPath,
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters"),
    ),
    request_body(content = serde_json::Value, description = "The action's input"),
    responses(
        (status = 200, description = "It succeeded", body = shown::Invoked),
        (status = 409, description = "The connection's credentials are rejected; the run was cancelled; the key is in use or was used with another input"),
        (status = 422, description = "The action, or the API, said no to what was asked"),
        (status = 502, description = "The API failed, or could not be reached"),
    ),
)]
async fn invoke(
    State(app): State<App>,
    Path(path): Path<ActionPath>,
    headers: HeaderMap,
    request: Request,
) -> Answer<Json<shown::Invoked>> {
    let idempotency_key = idempotency_key(&headers)?;
    let Json(input) = Json::<Box<RawValue>>::from_request(request, &app).await?;
    let request = InvokeRequest {
        connection: ConnectionKey {
            integration: path.integration,
            connection: path.connection,
        },
        action: path.action,
        input: String::from(Box::<str>::from(input)),
        idempotency_key,
        record: None,
    };
    let invoked = app.control.invoke(request, Arc::new(Quiet)).await?;
    outcome(&invoked)?;
    Ok(Json(shown::Invoked::new(&invoked)?))
}

fn idempotency_key(headers: &HeaderMap) -> Answer<Option<IdempotencyKey>> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = value.to_str().ok().and_then(|key| key.parse().ok());
    let bad = || Failed::invalid("Idempotency-Key: it has 1 to 255 visible ASCII characters");
    key.ok_or_else(bad).map(Some)
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
