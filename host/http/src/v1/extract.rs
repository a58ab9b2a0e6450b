//! What a request holds: its body, query and path, or the problem with them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use futures::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_engine::limits::API_STALL_BYTES;
use tokio::time::Instant;

use super::app::App;
use super::body::{BodyBounds, body_too_large};
use super::problem::{Answer, Failed, Type};
use super::room::Hold;
use crate::views::RateLimit;
use crate::views::word::Word;

/// A JSON body, of a request or an answer.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

/// A body whole, of any type.
#[derive(Debug)]
pub(super) struct WholeBody(pub(super) Bytes);

/// Parameters after the `?`.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

/// Parameters in the path.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl FromRequest<App> for WholeBody {
    type Rejection = Failed;

    async fn from_request(request: Request, app: &App) -> Answer<Self> {
        let (parts, body) = request.into_parts();
        whole(body, &parts.extensions, app).await.map(Self)
    }
}

/// A client that sends, or takes, so little that it is as good as nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    stall: Duration,
    since: Instant,
    /// What has gone on since.
    bytes: u64,
}

impl Pace {
    pub(crate) fn new(stall: Duration) -> Self {
        Self {
            stall,
            since: Instant::now(),
            bytes: 0,
        }
    }

    /// When it is too late.
    pub(crate) fn until(&self) -> Instant {
        self.since + self.stall
    }

    /// So many bytes more.
    pub(crate) fn went_on(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if self.bytes >= API_STALL_BYTES {
            *self = Self::new(self.stall);
        }
    }
}

/// A body, within the bounds that the guard has set. It is held for as long as its request is answered.
pub(super) async fn whole(body: Body, extensions: &Extensions, app: &App) -> Answer<Bytes> {
    let bounds = extensions.get::<BodyBounds>().copied();
    let bounds = bounds.unwrap_or(BodyBounds {
        bytes: 0,
        until: None,
    });
    let hold = extensions.get::<Arc<Hold>>();
    // As much as it says it has: then it is known before it comes whether there is room for it.
    let said = body.size_hint().exact();
    if let Some(hold) = hold {
        hold.grow(said.unwrap_or(0).min(bounds.bytes)).await?;
    }
    let most = usize::try_from(bounds.bytes).unwrap_or(usize::MAX);
    let mut parts = body.into_data_stream();
    let mut body = BytesMut::new();
    let mut pace = Pace::new(app.bounds.stall);
    loop {
        let until = bounds.until.unwrap_or(pace.until()).min(pace.until());
        let part = tokio::time::timeout_at(until, parts.next()).await;
        let part = part.map_err(|_| {
            let limit = match bounds.until {
                Some(time) if time <= pace.until() => "api_request_ms",
                _ => "api_stall_ms",
            };
            let detail = format!("the body did not come within the limit {limit}");
            Failed::new(Type::SlowRequest, detail)
        })?;
        let Some(part) = part else {
            return Ok(body.freeze());
        };
        let part = part.map_err(|_| Failed::invalid("the body ended before it was complete"))?;
        if body.len() + part.len() > most {
            return Err(body_too_large(bounds.bytes));
        }
        if body.is_empty() && said == Some(part.len() as u64) {
            // One that was read before: it is not copied.
            return Ok(part);
        }
        if let Some(hold) = hold {
            hold.grow((body.len() + part.len()) as u64).await?;
        }
        pace.went_on(part.len());
        body.extend_from_slice(&part);
    }
}

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Failed;

    async fn from_request(request: Request, app: &App) -> Answer<Self> {
        let is_json = is_json(request.headers());
        let WholeBody(body) = WholeBody::from_request(request, app).await?;
        if !is_json {
            let failed = Failed::new(Type::WrongMedia, "the body is not said to be JSON");
            return Err(failed.hint("send the header Content-Type: application/json"));
        }
        let mut reader = serde_json::Deserializer::from_slice(&body);
        let value = serde_path_to_error::deserialize(&mut reader)
            .map_err(|error| Failed::invalid(format!("the body: {error}")))?;
        reader
            .end()
            .map_err(|error| Failed::invalid(format!("the body: {error}")))?;
        Ok(Self(value))
    }
}

/// Whether the body is said to be JSON: `application/json`, or some `…+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = value
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    kind.is_some_and(|kind| {
        let kind = kind.to_ascii_lowercase();
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
    })
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
            Err(error) => {
                tracing::error!(%error, "an answer can't be written as JSON");
                Failed::new(Type::Internal, "the answer can't be written").into_response()
            }
        }
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Query<T> {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Answer<Self> {
        let read = axum::extract::Query::<T>::from_request_parts(parts, app).await;
        read.map(|query| Self(query.0)).map_err(|rejection| {
            let text = match &rejection {
                QueryRejection::FailedToDeserializeQueryString(error) => deepest(error),
                other => other.to_string(),
            };
            Failed::invalid(format!("the query: {text}"))
        })
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Answer<Self> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, app).await;
        read.map(|path| Self(path.0))
            .map_err(|rejection| match rejection {
                PathRejection::FailedToDeserializePathParams(error)
                    if error.status() == StatusCode::BAD_REQUEST =>
                {
                    let text = error.body_text();
                    let text = text.strip_prefix("Invalid URL: ").unwrap_or(&text);
                    Failed::invalid(format!("the path: {text}"))
                }
                other => {
                    tracing::error!(error = %other, "a route whose path can't be read");
                    Failed::new(Type::Internal, "the path can't be read")
                }
            })
    }
}

/// The word of a parameter, which is one of a closed list.
pub(super) fn one_of<W: Word>(parameter: &str, text: Option<&str>) -> Answer<Option<W>> {
    let word = |text| {
        W::parse(text).ok_or_else(|| {
            let words: Vec<&str> = W::ALL.iter().map(|one| one.word()).collect();
            Failed::invalid(format!("{parameter}: it is one of {}", words.join(", ")))
        })
    };
    text.map(word).transpose()
}

/// A rate within its bounds, which it has from being read.
pub(super) fn checked(rate: RateLimit) -> Answer<tidegate_engine::grant::RateLimit> {
    rate.try_into().map_err(Failed::invalid)
}

/// What an error says at its root: those around it say only that there is one.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
