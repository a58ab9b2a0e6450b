//! `http.send`: requests through the egress gate.

use std::sync::Arc;

use tidegate_contract::tidegate::plugin::http::{
    Error, ErrorKind, Header, Host, HostWithStore, Request, Response, Retry,
};
use tidegate_egress::{Request as EgressRequest, Retry as EgressRetry};
use tidegate_engine::cassette::{self, Refusal, RefusalKind};
use wasmtime::component::Accessor;

use super::taken::hold_until_taken;
use crate::state::{Imports, Live, RunState};

impl Host for RunState {}

impl<T: Send + 'static> HostWithStore<T> for Imports {
    async fn send(
        accessor: &Accessor<T, Self>,
        request: Request,
    ) -> wasmtime::Result<Result<Response, Error>> {
        let live = accessor.with(|mut access| access.get().live("http.send"))?;
        let once = UnrepeatableSend::of(&live, &request);
        let _held = live.hold(request_bytes(&request)).await?;
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
                Retry::Always => EgressRetry::Always,
            },
            idempotency_key: request.options.idempotency_key,
        };
        let answer = live.calls.send(request).await;
        if let Some(once) = once {
            once.answered(answer.as_ref().map(|(response, _)| response));
        }
        Ok(match answer {
            Ok((response, held)) => {
                let bytes = response.body.bytes().len();
                let share = live.hold_answer(held, bytes).await?;
                hold_until_taken(accessor, [share])?;
                Ok(Response {
                    status: response.status,
                    headers: response
                        .headers
                        .into_iter()
                        .map(|(name, value)| Header { name, value })
                        .collect(),
                    body: response.body.into_bytes(),
                    url: response.url,
                })
            }
            Err(refusal) => Err(error(&live, refusal)),
        })
    }
}

/// A request of an action that must not come twice: neither its method (RFC 9110 §9.2.2) nor the plugin says
/// that a repeat is safe. That it was taken, or may have been, decides what becomes of the run's failure.
struct UnrepeatableSend {
    live: Arc<Live>,
    may_be_done: bool,
}

impl UnrepeatableSend {
    fn of(live: &Arc<Live>, request: &Request) -> Option<Self> {
        let says_so = match request.options.retry {
            Retry::Always => true,
            Retry::Idempotent => request.options.idempotency_key.is_some(),
            Retry::Never => false,
        };
        let repeatable = says_so || tidegate_egress::is_idempotent(&request.method);
        (!live.is_sync && !repeatable).then(|| Self {
            live: Arc::clone(live),
            // Nobody hears of one that the guest gives up on.
            may_be_done: true,
        })
    }

    fn answered(mut self, answer: Result<&cassette::Response, &Refusal>) {
        self.may_be_done = match answer {
            // A redirect that was not followed has done nothing, but a 303 may have. A gateway that gave up says
            // nothing of who is behind it.
            Ok(answer) => matches!(answer.status, 100..=300 | 303..=306 | 502 | 504),
            Err(refusal) => refusal.sent,
        };
    }
}

impl Drop for UnrepeatableSend {
    fn drop(&mut self) {
        if self.may_be_done {
            self.live.note(|notes| notes.acted = true);
        }
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
    let cause = live.heed(&refusal);
    let kind = match refusal.kind {
        RefusalKind::Denied => ErrorKind::Denied,
        RefusalKind::Timeout => ErrorKind::Timeout,
        RefusalKind::Connect => ErrorKind::Connect,
        RefusalKind::TooLarge => ErrorKind::TooLarge,
        RefusalKind::Invalid => ErrorKind::Invalid,
        RefusalKind::Exhausted => ErrorKind::Exhausted,
        RefusalKind::Token => ErrorKind::Token,
        RefusalKind::Refused | RefusalKind::Fenced | RefusalKind::Other => ErrorKind::Other,
    };
    Error {
        kind,
        message: refusal.message,
        cause,
    }
}
