//! Requests with the header `Idempotency-Key`: done once, and answered as before when they come again.
//!
//! The header is that of `draft-ietf-httpapi-idempotency-key-header`. [`tidegate_engine::request`] says what
//! is remembered.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tidegate_engine::api_key::ApiKeyId;
use tidegate_engine::idempotency::IdempotencyKey;
use tidegate_engine::limits::API_KEPT_ANSWER_BYTES;
use tidegate_engine::request::{Fingerprint, NewRequest, RequestKey, RequestStart, StoredAnswer};

use super::app::App;
use super::extract::whole;
use super::problem::{Answer, Failed, Type};
use super::rule::{Repeats, Rule};

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before, and that nothing was done now.
const REPEATED: HeaderName = HeaderName::from_static("tidegate-repeated");

/// When to come again for the answer of a request that is being done.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// Holds a key as long as its request is being done.
struct InFlightGuard {
    app: App,
    key: RequestKey,
}

impl InFlightGuard {
    fn new(app: &App, key: &RequestKey) -> Option<Self> {
        app.in_flight.insert(key).then(|| Self {
            app: Arc::clone(app),
            key: key.clone(),
        })
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.app.in_flight.remove(&self.key);
    }
}

/// The key that a request carries.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Answer<Option<IdempotencyKey>> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value.to_str().ok().and_then(|key| key.parse().ok());
    let key = key.filter(|_| values.next().is_none());
    let bad =
        || Failed::invalid("Idempotency-Key: it is one, of 1 to 255 visible ASCII characters");
    key.ok_or_else(bad).map(Some)
}

/// Whether the guard sees to it that such a request is done once.
pub(super) fn is_meant(rule: &Rule, request: &Request) -> bool {
    let changes = rule.changes() && !matches!(*request.method(), Method::GET | Method::HEAD);
    changes && rule.repeats != Repeats::Own && request.headers().contains_key(IDEMPOTENCY_KEY)
}

/// Do a request, unless it was done before.
pub(super) async fn done(
    app: App,
    api_key: ApiKeyId,
    rule: Rule,
    request: Request,
    next: Next,
) -> Response {
    let done = do_once(&app, api_key, &rule, request, next).await;
    done.unwrap_or_else(IntoResponse::into_response)
}

async fn do_once(
    app: &App,
    api_key: ApiKeyId,
    rule: &Rule,
    request: Request,
    next: Next,
) -> Answer<Response> {
    let Some(key) = idempotency_key(request.headers())? else {
        return Ok(next.run(request).await);
    };
    let key = RequestKey { api_key, key };
    let Some(_held) = InFlightGuard::new(app, &key) else {
        let detail = "a request with this idempotency key is being done";
        let failed = Failed::new(Type::Conflict, detail);
        return Err(failed
            .hint("send it again for its answer")
            .retry_after(COME_AGAIN));
    };
    let (parts, body) = request.into_parts();
    let body = whole(body, &parts.extensions, app).await?;
    let target = parts
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    let print = Fingerprint::of(&[parts.method.as_str().as_bytes(), target.as_bytes(), &body]);
    let new = NewRequest {
        key: key.clone(),
        print,
        now: app.clock.now(),
    };
    match app.control.begin_request(new).await? {
        RequestStart::First => {}
        RequestStart::Again(kept) => return again(kept),
        RequestStart::Unanswered => {
            let detail = "a request with this idempotency key was begun, and the server stopped before it was answered";
            let hint = "look whether it has been done; if not, send it with another key";
            return Err(Failed::new(Type::Conflict, detail).hint(hint));
        }
        RequestStart::Other => {
            let detail = "the idempotency key was used for another request: method, path, query and body have to \
                          be the same";
            let hint = "take a key of its own for each request; one is forgotten after 24 hours";
            return Err(Failed::new(Type::Conflict, detail).hint(hint));
        }
    }
    let response = next.run(Request::from_parts(parts, body.into())).await;
    let (response, kept) = keep(response, rule).await;
    if let Err(problem) = app.control.end_request(key, kept).await {
        // It was done, and its client is told so; a repeat learns that it was begun.
        tracing::warn!(%problem, "the answer of a request with an idempotency key was not kept");
    }
    Ok(response)
}

/// What is to be kept of an answer, if the request has succeeded; and the answer.
async fn keep(response: Response, rule: &Rule) -> (Response, Option<StoredAnswer>) {
    if !response.status().is_success() {
        return (response, None);
    }
    let (parts, body) = response.into_parts();
    let location = parts.headers.get(LOCATION);
    let location = location.and_then(|location| location.to_str().ok());
    let mut kept = StoredAnswer {
        status: parts.status.as_u16(),
        location: location.map(str::to_owned),
        body: None,
    };
    let length = body.size_hint().exact();
    let is_kept = rule.repeats == Repeats::Kept
        && length.is_some_and(|length| length <= API_KEPT_ANSWER_BYTES);
    if !is_kept {
        return (Response::from_parts(parts, body), Some(kept));
    }
    let most = usize::try_from(API_KEPT_ANSWER_BYTES).unwrap_or(usize::MAX);
    match to_bytes(body, most).await {
        Ok(bytes) => {
            kept.body = String::from_utf8(bytes.to_vec()).ok();
            (Response::from_parts(parts, Body::from(bytes)), Some(kept))
        }
        Err(error) => {
            tracing::error!(%error, "an answer of known length can't be read");
            (
                Failed::new(Type::Internal, "the answer can't be read").into_response(),
                Some(kept),
            )
        }
    }
}

/// The answer that was given before.
fn again(kept: StoredAnswer) -> Answer<Response> {
    let Some(body) = kept.body else {
        let detail = format!(
            "the request was done before, and answered with {}; that answer is not kept, as it has a secret, or is long",
            kept.status
        );
        let hint = "look at what it made; of a secret that did not arrive, make another one";
        return Err(Failed::new(Type::Conflict, detail).hint(hint));
    };
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    let has_body = !body.is_empty();
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    if has_body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let location = kept.location.and_then(|location| location.try_into().ok());
    if let Some(location) = location {
        headers.insert(LOCATION, location);
    }
    headers.insert(REPEATED, HeaderValue::from_static("true"));
    Ok(response)
}
