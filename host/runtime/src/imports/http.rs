//! `http.send`: requests through the egress gate.

use tidegate_contract::tidegate::plugin::http::{
    Error, Header, Host, HostWithStore, Request, Response, Retry,
};
use tidegate_egress::{EgressError, Request as EgressRequest, Retry as EgressRetry};
use wasmtime::component::Accessor;

use crate::state::{Imports, Live, RunState};

impl Host for RunState {}

impl<T: Send> HostWithStore<T> for Imports {
    async fn send(
        accessor: &Accessor<T, Self>,
        request: Request,
    ) -> wasmtime::Result<Result<Response, Error>> {
        let live = accessor.with(|mut access| access.get().live("http.send"))?;
        let request = EgressRequest {
            method: request.method,
            url: request.url,
            headers: request
                .headers
                .into_iter()
                .map(|h| (h.name, h.value))
                .collect(),
            body: request.body.map(Into::into),
            timeout_ms: request.options.timeout_ms,
            retry: match request.options.retry {
                Retry::Idempotent => EgressRetry::Idempotent,
                Retry::Never => EgressRetry::Never,
            },
            idempotency_key: request.options.idempotency_key,
        };
        Ok(match live.session.send(request).await {
            Ok(response) => Ok(Response {
                status: response.status,
                headers: response
                    .headers
                    .into_iter()
                    .map(|(name, value)| Header { name, value })
                    .collect(),
                body: response.body.into(),
                url: response.url.into(),
            }),
            Err(error) => Err(guest_error(&live, &error)),
        })
    }
}

fn guest_error(live: &Live, error: &EgressError) -> Error {
    if let Some(limit) = error.limit() {
        live.note(|notes| notes.limit = Some(limit));
    }
    let text = error.to_string();
    match error {
        EgressError::Denied { .. } => Error::Denied(text),
        EgressError::Timeout { .. } => Error::Timeout(text),
        EgressError::Connect { .. } => Error::Connect(text),
        EgressError::TooLarge { .. } => Error::TooLarge(text),
        EgressError::Invalid { .. } => Error::Invalid(text),
        EgressError::Exhausted { .. } => Error::Exhausted(text),
        EgressError::Other { .. } => Error::Other(text),
    }
}
