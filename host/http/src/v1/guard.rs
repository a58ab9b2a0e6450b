//! The guard before each route: who asks, whether they may, how much and how long.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use tidegate_engine::api_key::{ApiKeyId, KeyScope};
use tidegate_engine::command;
use tidegate_engine::integration::Digest;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::Instrument;

use super::app::{App, Entrance};
use super::body::{BodyBounds, body_too_large};
use super::idempotency;
use super::keyring::{Entry, Unknown, is_same};
use super::places::Place;
use super::problem::{Answer, Details, Failed, Type};
use super::room::{self, Allowance, Hold};
use super::rule::Rule;
use super::stream;

/// How long after the body's time is over the whole request's is: whoever is slow is told so.
const AFTER_BODY: Duration = Duration::from_millis(500);

/// Who asked, for the log; `None` for this machine's own commands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller(pub(super) Option<ApiKeyId>);

/// Who asks.
enum Asker {
    /// Somebody whom the route does not ask for a key.
    Anybody,
    /// This machine's own commands.
    Own,
    Key(Arc<Entry>),
}

/// Let a request through if the rule of its route does.
pub(super) async fn guard(
    State((app, rule)): State<(App, Rule)>,
    request: Request,
    next: Next,
) -> Response {
    let asker = match identify(&app, &rule, &request) {
        Ok(asker) => asker,
        Err(failed) => return failed.into_response(),
    };
    let place = request.extensions().get::<Place>().cloned();
    let has_place = match (&asker, &place) {
        (Asker::Anybody, _) | (_, None) => true,
        (_, Some(place)) => place.accepted(),
    };
    let Asker::Key(entry) = asker else {
        return match has_place {
            true => answer(&app, rule, None, request, next).await,
            false => no_place().into_response(),
        };
    };
    let allowance = Allowance::new(&app.room, &entry.share, place);
    let admitted = admit(&app, &rule, &entry, has_place).and_then(|()| allowance.request());
    let mut response = match admitted {
        Ok(_answered) => {
            let asker = Some((entry.key.id, allowance));
            answer(&app, rule, asker, request, next).await
        }
        Err(failed) => failed.into_response(),
    };
    let extensions = response.extensions_mut();
    extensions.insert(Caller(Some(entry.key.id)));
    if !entry.key.allows(KeyScope::Read)
        && let Some(details) = extensions.get_mut::<Details>()
    {
        details.keep_lists_back();
    }
    let now = app.clock.now();
    stream::until(response, async move { refused(entry.ended(now).await) })
}

fn no_place() -> Failed {
    let detail = "the server answers as many connections as the limit api_connections allows";
    room::full("connections", detail).header(CONNECTION, HeaderValue::from_static("close"))
}

/// The route's answer, made within its bounds.
async fn answer(
    app: &App,
    rule: Rule,
    asker: Option<(ApiKeyId, Allowance)>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(failed) = too_large(&rule, request.headers()) {
        return failed.into_response();
    }
    let time = rule.is_timed.then_some(app.bounds.request);
    let extensions = request.extensions_mut();
    extensions.insert(BodyBounds {
        bytes: rule.body,
        until: time.map(|time| Instant::now() + time),
    });
    let mut caller = None;
    let mut hold = None;
    if let Some((key, allowance)) = asker {
        caller = Some(key);
        // Of its body first, then of its answer.
        let held = Arc::new(allowance.hold());
        extensions.insert(Arc::clone(&held));
        extensions.insert(allowance);
        hold = Some(held);
    }
    let caller = caller.filter(|_| idempotency::is_meant(&rule, &request));
    let held = hold.clone();
    let answer = async {
        match (rule.changes(), caller) {
            (true, Some(caller)) => {
                let done = idempotency::done(Arc::clone(app), caller, rule, request, next);
                detached(app, held, done).await
            }
            (true, None) => detached(app, held, next.run(request)).await,
            (false, _) => next.run(request).await,
        }
    };
    let response = match time {
        None => answer.await,
        Some(time) => tokio::time::timeout(time + AFTER_BODY, answer)
            .await
            .unwrap_or_else(|_| slow(time).into_response()),
    };
    match hold {
        Some(hold) => hold.keep(response).await,
        None => response,
    }
}

/// Let what changes something come to its end even when nobody waits for it any more: the client is
/// gone, or the time is over.
fn detached(
    app: &App,
    held: Option<Arc<Hold>>,
    answer: impl Future<Output = Response> + Send + 'static,
) -> impl Future<Output = Response> + Send {
    let working = app.working();
    let task = async move {
        let response = answer.await;
        drop((working, held));
        response
    };
    FinishOnDrop(Some(task.in_current_span().boxed()))
}

/// Becomes a task of its own when it is dropped before its end: one from the start would cost each request
/// two more changes of threads.
struct FinishOnDrop(Option<BoxFuture<'static, Response>>);

impl Future for FinishOnDrop {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        // One that panics is not put back.
        let Some(mut task) = self.0.take() else {
            return Poll::Pending;
        };
        let polled = task.as_mut().poll(cx);
        if polled.is_pending() {
            self.0 = Some(task);
        }
        polled
    }
}

impl Drop for FinishOnDrop {
    fn drop(&mut self) {
        if let (Some(task), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(task);
        }
    }
}

/// Who it is that asks, by the key that the request carries.
fn identify(app: &App, rule: &Rule, request: &Request) -> Answer<Asker> {
    if rule.scope.is_none() {
        return Ok(Asker::Anybody);
    }
    let text = bearer(request.headers())?;
    if request.extensions().get::<Entrance>() == Some(&Entrance::Own) {
        return match is_same(Digest::of(text.as_bytes()), app.own_token) {
            true => Ok(Asker::Own),
            false => Err(unauthenticated("this is not the server's own token")),
        };
    }
    let entry = app.keyring.find(text, app.clock.now());
    entry.map(Asker::Key).map_err(refused)
}

/// Whether the key may ask this, now.
fn admit(app: &App, rule: &Rule, entry: &Arc<Entry>, has_place: bool) -> Answer<()> {
    if !has_place {
        return Err(no_place());
    }
    if let Some(scope) = rule.scope {
        check_scope(entry, scope)?;
    }
    entry.admit().map_err(|wait| {
        Failed::new(Type::RateLimited, "the API key asks faster than it may")
            .hint("wait as long as the header Retry-After says, in seconds")
            .retry_after(wait)
    })?;
    let now = app.clock.now();
    if entry.is_to_touch(now) {
        let (app, id) = (Arc::clone(app), entry.key.id);
        tokio::spawn(async move {
            // That it is not written down matters to nobody's request.
            if let Err(problem) = app.control.touch_api_key(id, now).await {
                tracing::warn!(key = %id, %problem, "its last use was not written down");
            }
        });
    }
    Ok(())
}

fn refused(unknown: Unknown) -> Failed {
    unauthenticated(match unknown {
        Unknown::Key => "there is no such API key, or it has been revoked",
        Unknown::Expired => "the API key has expired",
    })
}

fn check_scope(entry: &Entry, scope: KeyScope) -> Answer<()> {
    if entry.key.allows(scope) {
        return Ok(());
    }
    let detail = format!("the route needs the scope {scope}, which the API key does not have");
    let create = command!("api-keys create --name NAME --scope {scope}", scope);
    Err(Failed::new(Type::NarrowScope, detail).advise("make one with", create))
}

/// The text after `Bearer`.
fn bearer(headers: &HeaderMap) -> Answer<&str> {
    let missing = || unauthenticated("the request carries no API key");
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or_else(missing)?;
    if values.next().is_some() {
        return Err(unauthenticated(
            "there is more than one header Authorization",
        ));
    }
    let value = value.to_str().map_err(|_| missing())?;
    let (scheme, text) = value.split_once(' ').ok_or_else(missing)?;
    match scheme.eq_ignore_ascii_case("bearer") {
        true => Ok(text.trim()),
        false => Err(missing()),
    }
}

fn unauthenticated(detail: &str) -> Failed {
    let scheme = HeaderValue::from_static("Bearer realm=\"tidegate\"");
    Failed::new(Type::Unauthenticated, detail)
        .hint("send the header Authorization: Bearer tgk_…")
        .header(WWW_AUTHENTICATE, scheme)
}

/// A body that says itself that it is too large. Others are found out while they are read.
fn too_large(rule: &Rule, headers: &HeaderMap) -> Option<Failed> {
    let length = headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    let length: u64 = length.parse().ok()?;
    (length > rule.body).then(|| body_too_large(rule.body))
}

fn slow(time: Duration) -> Failed {
    let detail = format!(
        "the request took longer than the limit api_request_ms, {} ms",
        time.as_millis()
    );
    Failed::new(Type::Slow, detail)
        .hint("what was being changed may have happened: look before you repeat it")
}
