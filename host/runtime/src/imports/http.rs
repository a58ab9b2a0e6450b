//! `http.send`: requests through the egress gate.

use tidegate_contract::tidegate::plugin::http::{
    Error, Header, Host, HostWithStore, Request, Response, Retry,
};
use tidegate_egress::{Request as EgressRequest, Retry as EgressRetry};
use tidegate_engine::cassette::{Refusal, RefusalKind};
use wasmtime::component::Accessor;

use crate::state::{Imports, Live, RunState};

impl Host for RunState {}

impl<T: Send> HostWithStore<T> for Imports {
    async fn send(
        accessor: &Accessor<T, Self>,
        request: Request,
    ) -> wasmtime::Result<Result<Response, Error>> {
        let live = accessor.with(|mut access| access.get().live("http.send"))?;
        let _held = live.hold(request_bytes(&request))?;
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
        Ok(match live.world.send(request).await {
            Ok(response) => Ok(Response {
                status: response.status,
                headers: response
                    .headers
                    .into_iter()
                    .map(|(name, value)| Header { name, value })
                    .collect(),
                body: response.body.into_bytes(),
                url: response.url,
            }),
            Err(refusal) => Err(error(&live, refusal)),
        })
    }
}

fn request_bytes(request: &Request) -> usize {
    let headers = request.headers.iter();
    let headers = headers.map(|header| header.name.len() + header.value.len());
    let key = request.options.idempotency_key.as_ref();
    let body = request.body.as_ref();
    request.method.len()
        + request.url.len()
        + headers.sum::<usize>()
        + key.map_or(0, String::len)
        + body.map_or(0, Vec::len)
}

fn error(live: &Live, refusal: Refusal) -> Error {
    live.heed(&refusal);
    let text = refusal.message;
    match refusal.kind {
        RefusalKind::Denied => Error::Denied(text),
        RefusalKind::Timeout => Error::Timeout(text),
        RefusalKind::Connect => Error::Connect(text),
        RefusalKind::TooLarge => Error::TooLarge(text),
        RefusalKind::Invalid => Error::Invalid(text),
        RefusalKind::Exhausted => Error::Exhausted(text),
        RefusalKind::Refused | RefusalKind::Fenced | RefusalKind::Other => Error::Other(text),
    }
}
