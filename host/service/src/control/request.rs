//! One request with a connection's credentials, through the same gate, grants and limits as a plugin's.

use std::borrow::Cow;

use tidegate_egress::{EgressError, Request, Retry};
use tidegate_engine::redact::Redactor;
use tidegate_engine::run::Blame;

use super::credentials::secrets;
use super::launch::RunSite;
use super::local::Local;
use super::{ProxyRequest, ProxyResponse};
use crate::problem::{Kind, Problem, Result};

pub(super) async fn send(local: &Local, request: ProxyRequest) -> Result<ProxyResponse> {
    let site = RunSite::of(local, &request.connection).await?;
    let secrets = secrets(local, &site, false).await?;
    let session = local.runtime()?.session(
        &site.integration.current,
        &site.connection,
        secrets.credentials,
        secrets.texts.clone(),
    );
    let request = Request {
        method: request.method,
        url: request.url,
        headers: request.headers,
        body: request.body.map(Into::into),
        timeout_ms: None,
        retry: Retry::Idempotent,
        idempotency_key: None,
    };
    let sent = session.send(request).await;
    // The tokens that it requested are known by now.
    let redactor = secrets.texts.redactor();
    let response = sent.map_err(|error| problem(&error, &redactor))?;
    // A name that held a secret would be none without it.
    let named = |(name, _): &(String, String)| matches!(redactor.text(name), Cow::Borrowed(_));
    let headers = response.headers.into_iter().filter(named);
    Ok(ProxyResponse {
        status: response.status,
        headers: headers
            .map(|(name, value)| (name, redactor.text(&value).into_owned()))
            .collect(),
        body: redactor.bytes(&response.body).into_owned(),
        url: redactor.text(response.url.as_str()).into_owned(),
    })
}

/// Why there is no answer, as the exit code of who must act.
fn problem(error: &EgressError, redactor: &Redactor) -> Problem {
    let kind = match (error, error.blame()) {
        (EgressError::Denied { .. }, _) | (_, Blame::Operator) => Kind::RunFailed,
        (_, Blame::Upstream) => Kind::Upstream,
        // There is no guest here: who wrote the request is who is told.
        (_, Blame::Guest) => Kind::Invalid,
        (_, Blame::Host) => Kind::Internal,
    };
    Problem::new(kind, redactor.text(&error.to_string()))
}
