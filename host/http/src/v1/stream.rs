//! Answers that go on: JSON lines, and events of `text/event-stream`.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures::stream::{Stream, StreamExt, unfold};

use super::problem::{Answer, Details, Failed};
use super::room::Permit;

/// How often a stream without news says that it lives, so that proxies don't end it.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);

/// What a client wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseFormat {
    /// One JSON document.
    Page,
    /// A JSON object a line.
    Lines,
    /// `text/event-stream`.
    Events,
}

impl ResponseFormat {
    /// The first one that the header `Accept` names; a page if it names none of them.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(ACCEPT).iter();
        let named = values.filter_map(|value| value.to_str().ok());
        let mut named = named.flat_map(|value| value.split(','));
        let form =
            named.find_map(|part| Self::named(part.split(';').next().unwrap_or_default().trim()));
        form.unwrap_or(Self::Page)
    }

    fn named(media_type: &str) -> Option<Self> {
        match media_type.to_ascii_lowercase().as_str() {
            "application/x-ndjson" | "application/jsonl" => Some(Self::Lines),
            "text/event-stream" => Some(Self::Events),
            "application/json" => Some(Self::Page),
            _ => None,
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Page => "application/json",
            Self::Lines => "application/x-ndjson",
            Self::Events => "text/event-stream",
        }
    }
}

/// What gives a stream its parts.
pub(super) trait Source: Send + Sized + 'static {
    /// The next part, of any number of lines or events; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Answer<Option<Bytes>>> + Send;
}

/// An answer whose parts come from `source`, each once the client has taken the one before. A problem on the way is its last
/// line or event; a page is cut off. `permit` is held to its end.
pub(super) fn answer(form: ResponseFormat, source: impl Source, permit: Permit) -> Response {
    let body = Body::from_stream(parts(form, source, permit));
    ([(CONTENT_TYPE, form.media_type())], body).into_response()
}

/// Cut an answer that goes on as soon as `ended` says why; that is its last line or event.
pub(super) fn until(
    response: Response,
    ended: impl Future<Output = Failed> + Send + 'static,
) -> Response {
    let kind = response.headers().get(CONTENT_TYPE);
    let form = kind.and_then(|kind| ResponseFormat::named(kind.to_str().ok()?));
    // What was made whole needs no end.
    let Some(form) = form.filter(|_| response.body().size_hint().exact().is_none()) else {
        return response;
    };
    let (head, body) = response.into_parts();
    let state = Some((body.into_data_stream(), Box::pin(ended)));
    let parts = unfold(state, move |state| async move {
        let (mut parts, mut ended) = state?;
        tokio::select! {
            biased;
            failed = &mut ended => Some((problem_part(form, failed), None)),
            part = parts.next() => part.map(|part| (part, Some((parts, ended)))),
        }
    });
    Response::from_parts(head, Body::from_stream(parts))
}

fn parts(
    form: ResponseFormat,
    source: impl Source,
    permit: Permit,
) -> impl Stream<Item = std::result::Result<Bytes, axum::Error>> {
    unfold(Some((source, permit)), move |state| async move {
        let (mut source, permit) = state?;
        match source.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some((source, permit)))),
            Ok(None) => None,
            Err(failed) => Some((problem_part(form, failed), None)),
        }
    })
}

/// A problem within a stream: its status was sent long ago. In a page there is no place for it.
fn problem_part(form: ResponseFormat, failed: Failed) -> std::result::Result<Bytes, axum::Error> {
    #[derive(serde::Serialize)]
    struct Line {
        problem: Details,
    }
    let line = Line {
        problem: failed.into_details(),
    };
    let json = serde_json::to_string(&line).unwrap_or_default();
    let part = match form {
        ResponseFormat::Events => format!("event: problem\ndata: {json}\n\n"),
        ResponseFormat::Lines => format!("{json}\n"),
        ResponseFormat::Page => {
            tracing::warn!(%json, "a page was cut off");
            return Err(axum::Error::new(std::io::Error::other(
                "the page can't be read to its end",
            )));
        }
    };
    Ok(part.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_type_counts() {
        let rows = [
            ("", ResponseFormat::Page),
            ("*/*", ResponseFormat::Page),
            ("application/x-ndjson", ResponseFormat::Lines),
            (
                "text/html, Application/X-NDJSON;q=0.9",
                ResponseFormat::Lines,
            ),
            ("application/json, text/event-stream", ResponseFormat::Page),
            ("text/event-stream", ResponseFormat::Events),
        ];
        for (accept, form) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(ResponseFormat::of(&headers), form, "{accept}");
        }
    }
}
