//! The spans of requests, runs and deliveries: whose a line of the log is, and what a trace is made of.
//!
//! They are there at every level of the log, so that a warning says of which run it speaks. What
//! OpenTelemetry's conventions for HTTP want besides is added for traces only.

use http::{HeaderMap, Method};
use tidegate_engine::ConnectionKey;
use tidegate_engine::job::{Job, JobId};
use tidegate_engine::run::{Run, RunId, Target};
use tidegate_engine::webhook::{EndpointId, EventId};
use tracing::Span;
use tracing::field::Empty;

/// A request of the API.
pub fn request(id: &str, method: &Method, route: &str, headers: &HeaderMap) -> Span {
    let span =
        tracing::error_span!("request", id, %method, route, key = Empty, otel.kind = "server");
    traced::request(&span, method, route, headers);
    span
}

/// The current request was answered.
pub fn answered(status: u16) {
    traced::answered(&Span::current(), status);
}

/// What a job runs.
pub(crate) fn job(id: RunId, job: &Job) -> Span {
    let target = &job.target;
    let whose = target.connection();
    run(
        id,
        Some(job.id),
        whose,
        target.kind(),
        target.name().as_str(),
    )
}

/// What somebody waits for.
pub(crate) fn invoked(id: RunId, target: &Target) -> Span {
    run(id, None, target.connection(), target.kind(), target.name())
}

fn run(id: RunId, job: Option<JobId>, whose: &ConnectionKey, kind: &str, name: &str) -> Span {
    let span = tracing::error_span!(
        "run",
        run = %id,
        job = job.map(display),
        connection = %whose,
        kind,
        target = name,
    );
    traced::run(&span, kind, name);
    span
}

/// The current run has ended, and that is stored: say so, and count it.
pub(crate) fn ended(run: &Run) {
    let Some(end) = &run.end else { return };
    let failure = end.failure.as_ref();
    let blame = failure.map(|failure| failure.blame.as_str());
    let labels = [
        ("kind", run.target.kind()),
        ("outcome", end.outcome.as_str()),
        ("blame", blame.unwrap_or("nobody")),
    ];
    metrics::counter!("tidegate_runs_total", &labels).increment(1);
    let failure = failure.map(|failure| failure.message.as_str());
    let (outcome, figures) = (end.outcome.as_str(), &end.figures);
    let total = figures.total();
    // The one line of a run, so it has what matters, and nothing of what did not happen.
    tracing::info!(
        outcome,
        blame,
        failure,
        wall_ms = figures.wall_ms,
        requests = some(figures.requests),
        added = some(total.added),
        updated = some(total.updated),
        deleted = some(total.deleted),
        skipped = some(total.skipped),
        "ended"
    );
    traced::ended(&Span::current(), outcome, failure);
}

fn some(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}

/// An attempt to deliver an event.
pub(crate) fn delivery(endpoint: EndpointId, event: EventId) -> Span {
    tracing::error_span!("delivery", %endpoint, %event, otel.kind = "client")
}

mod traced {
    use http::{HeaderMap, Method};
    use opentelemetry::propagation::TextMapPropagator;
    use opentelemetry::trace::{Status, TraceContextExt};
    use opentelemetry_http::HeaderExtractor;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use tracing::Span;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    /// A part of the caller's trace, if it has one (W3C Trace Context).
    pub(super) fn request(span: &Span, method: &Method, route: &str, headers: &HeaderMap) {
        let context = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        if context.span().span_context().is_valid() {
            // Without traces there is nothing to be a part of.
            let _ = span.set_parent(context);
        }
        call(span, format!("{method} {route}"));
        span.set_attribute("http.request.method", method.to_string());
        span.set_attribute("http.route", route.to_owned());
    }

    pub(super) fn answered(span: &Span, status: u16) {
        span.set_attribute("http.response.status_code", i64::from(status));
        if status >= 500 {
            span.set_status(Status::error(""));
        }
    }

    pub(super) fn run(span: &Span, kind: &str, name: &str) {
        call(span, format!("{kind} {name}"));
    }

    /// What it is called in lists: few names, and ids are attributes.
    fn call(span: &Span, name: String) {
        span.context().span().update_name(name);
    }

    pub(super) fn ended(span: &Span, outcome: &'static str, failure: Option<&str>) {
        span.set_attribute("outcome", outcome);
        if let Some(message) = failure {
            span.set_status(Status::error(message.to_owned()));
        }
    }
}
