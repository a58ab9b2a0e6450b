//! Around every request: its id, its span, its line in the log, its metrics; and the bodies of problems.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tidegate_engine::limits::API_HEADER_BYTES;
use tidegate_service::spans;
use tracing::Instrument;

use super::app::{App, Entrance};
use super::guard::Caller;
use super::host::{self, Names};
use super::places::Place;
use super::problem::{Details, Failed, Type};
use super::strangers::Sampled;

/// Names a request in answers and logs.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that a client may choose.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// No page is made of what the API answers, and none may show it within itself.
const NO_PAGE: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// They are asked by whoever watches over the server, however much anybody else asks.
const HEALTH: [&str; 2] = ["/livez", "/readyz"];
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The outermost layer.
pub(super) async fn trace(State(app): State<App>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers(), &app);
    let method = request.method().clone();
    let is_own = request.extensions().get::<Entrance>() == Some(&Entrance::Own);
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("none", |path| path.as_str()).to_owned();
    let span = spans::request(&id, &method, &route, request.headers());
    let place = request.extensions().get::<Place>().cloned();
    let names = if is_own { &Names::Any } else { &app.names };
    let meant = host::check(&request, names).and_then(|()| check_head(&request));
    let answer = async {
        match meant {
            Ok(()) => next.run(request).await,
            Err(failed) => failed.into_response(),
        }
    };
    let answer = AssertUnwindSafe(answer).catch_unwind();
    let answer = async {
        let mut response = answer.await.unwrap_or_else(|_| {
            // The panic itself has been printed.
            tracing::error!("a request panicked");
            Failed::new(
                Type::Internal,
                "the server's log says more, under this request's id",
            )
            .into_response()
        });
        let caller = response
            .extensions()
            .get::<Caller>()
            .and_then(|caller| caller.0);
        let is_strange = !is_own && caller.is_none();
        if let (true, Some(place)) = (is_strange, &place) {
            response = to_stranger(&app, place, &route, response);
        }
        finish(&mut response, &id);
        let (status, took) = (response.status().as_u16(), began.elapsed());
        if let Some(key) = caller {
            tracing::Span::current().record("key", tracing::field::display(key));
        }
        spans::answered(status);
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let sampled = match status {
            503 => Some(&app.strangers.turned_away),
            _ => is_strange.then_some(&app.strangers.lines),
        };
        if let Some(unlogged) = sampled.map_or(Some(0), Sampled::pass) {
            let unlogged = (unlogged > 0).then_some(unlogged);
            match status {
                500.. => tracing::warn!(status, duration_ms, unlogged, "answered"),
                // This machine's commands, of which one may ask many times.
                _ if is_own => tracing::debug!(status, duration_ms, "answered"),
                _ => tracing::info!(status, duration_ms, unlogged, "answered"),
            }
        }
        let labels = [
            ("method", known(&method)),
            ("route", route.clone()),
            ("status", status.to_string()),
        ];
        metrics::counter!("tidegate_http_requests_total", &labels).increment(1);
        metrics::histogram!("tidegate_http_request_seconds", "route" => route.clone())
            .record(took.as_secs_f64());
        response
    };
    answer.instrument(span).await
}

/// The answer to who has shown no accepted key: not faster than its address may ask, and not for ever on one
/// connection.
fn to_stranger(app: &App, place: &Place, route: &str, response: Response) -> Response {
    let mut response = response;
    let mut is_last = place.is_strange();
    if !HEALTH.contains(&route)
        && let Err(wait) = app.strangers.admit(place.peer())
    {
        let why = "keyless_requests";
        metrics::counter!("tidegate_http_turned_away_total", "why" => why).increment(1);
        let detail = "more requests without an accepted API key come from this address than the limit api_keyless_requests allows";
        response = Failed::new(Type::RateLimited, detail)
            .hint("send the header Authorization: Bearer tgk_…")
            .retry_after(wait)
            .into_response();
        is_last = true;
    }
    if is_last {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// That line and headers are within their limit. The connection takes twice as much, so that whoever asks for too much at once is
/// told so in words.
fn check_head(request: &Request) -> Result<(), Failed> {
    let line = request.uri().path_and_query();
    let line = line.map_or(0, |target| target.as_str().len());
    // `: ` and the line's end.
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len() + 4);
    let bytes = line as u64 + headers.sum::<usize>() as u64;
    if bytes <= API_HEADER_BYTES {
        return Ok(());
    }
    let detail = format!(
        "the request's line and headers have {bytes} bytes; the limit api_header_bytes is {API_HEADER_BYTES}"
    );
    let hint = "many ids of records go in the body of POST …/records/lookup";
    Err(Failed::new(Type::LongHead, detail).hint(hint))
}

/// The client's own id if it is one, or a new one.
fn request_id(headers: &HeaderMap, app: &App) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let fits = |id: &&str| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    given.filter(fits).map_or_else(
        || {
            format!(
                "req_{}",
                ulid::Ulid::from_parts(app.clock.now().0, u128::from(fastrand::u64(..)) << 16)
            )
        },
        str::to_owned,
    )
}

/// A method that metrics know: there are few, whatever clients invent.
fn known(method: &Method) -> String {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let found = known.into_iter().find(|known| *known == method.as_str());
    found.unwrap_or("other").to_owned()
}

/// Name the request in the answer, and write the body of a problem.
fn finish(response: &mut Response, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let headers = response.headers_mut();
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(NO_PAGE);
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    if let Some(mut details) = response.extensions_mut().remove::<Details>() {
        details.instance = Some(id.to_owned());
        let body = serde_json::to_vec(&details).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM);
        headers.insert(CONTENT_LENGTH, body.len().into());
        *response.body_mut() = Body::from(body);
    }
}
