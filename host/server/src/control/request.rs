//! One request with a connection's credentials, through the same gate, grants and limits as a plugin's.

use tidegate_egress::{EgressError, Request, Retry};
use tidegate_engine::run::Blame;
use tidegate_runtime::Redactor;

use super::credentials::secrets;
use super::launch::Site;
use super::local::Local;
use super::{ProxyRequest, ProxyResponse};
use crate::problem::{Kind, Problem, Result};

pub(super) async fn send(local: &Local, request: ProxyRequest) -> Result<ProxyResponse> {
    let site = Site::of(local, &request.connection).await?;
    let secrets = secrets(local, &site, false).await?;
    let session = local.runtime()?.session(
        &site.integration.current,
        &site.connection,
        secrets.credentials,
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
    let response = session
        .send(request)
        .await
        .map_err(|error| problem(&error))?;
    let redactor = Redactor::new(&secrets.texts.all());
    let headers = response.headers.into_iter();
    Ok(ProxyResponse {
        status: response.status,
        headers: headers
            .map(|(name, value)| (name, redactor.text(&value).into_owned()))
            .collect(),
        body: redactor.bytes(&response.body),
        url: redactor.text(response.url.as_str()).into_owned(),
    })
}

/// Why there is no answer, as the exit code of who must act.
fn problem(error: &EgressError) -> Problem {
    let kind = match (error, error.blame()) {
        (EgressError::Denied { .. }, _) | (_, Blame::Operator) => Kind::RunFailed,
        (_, Blame::Upstream) => Kind::Upstream,
        // There is no guest here: who wrote the request is who is told.
        (_, Blame::Guest) => Kind::Invalid,
        (_, Blame::Host) => Kind::Internal,
    };
    Problem::new(kind, error)
}
