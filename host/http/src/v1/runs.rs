//! `/v1/runs`: what ran, how it ended and what it logged; cancelling, trying again.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tidegate_engine::limits::API_PAGE_BYTES;
use tidegate_engine::run::RunId;
use tidegate_engine::store::RunFilter;
use tidegate_engine::{ConnectionName, Name};
use tidegate_service::problem::Problem;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::app::App;
use super::connections::connection_of;
use super::extract::{Json, Path, Query, one_of};
use super::jobs::accepted;
use super::page::{Page, length, page_limit};
use super::problem::Answer;
use super::room::Allowance;
use super::routes::{Routes, Rule};
use super::stream::{self, ResponseFormat, Source};
use crate::views::word::Word;
use crate::views::{self, text};

/// Log lines of one part of a stream.
const PART: usize = 100;
/// How often a running run's log is looked at; it is written once a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Rule::READ, routes!(list))
        .add(Rule::READ, routes!(show))
        .add(Rule::READ.untimed(), routes!(logs))
        .add(Rule::TRIGGER, routes!(cancel))
        .add(Rule::TRIGGER, routes!(retry))
}

/// A run.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct RunPath {
    /// `run_…`
    #[param(value_type = text::RunId)]
    run: RunId,
}

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RunsQuery {
    /// Only this integration's.
    #[param(value_type = Option<text::Name>)]
    integration: Option<Name>,
    /// Only this connection's, of `integration`.
    #[param(value_type = Option<text::ConnectionName>)]
    connection: Option<ConnectionName>,
    /// Only those that ended so, or run.
    #[param(value_type = Option<views::RunState>)]
    outcome: Option<String>,
    /// Where the page before ended.
    #[param(value_type = Option<text::RunId>)]
    cursor: Option<RunId>,
    /// Most of the page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

/// Which lines of a log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LogsQuery {
    /// Where the page before ended: an index.
    cursor: Option<u64>,
    /// Most of the page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

/// Runs, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct RunsPage {
    runs: Vec<views::Run>,
    /// Where the next page begins; nothing after the last.
    next_cursor: Option<String>,
    more: bool,
}

/// Lines of a run's log.
#[derive(Debug, Serialize, ToSchema)]
struct LogsPage {
    lines: Vec<views::LogLine>,
    /// Where the next page begins: there may be more lines later while the run goes on.
    next_cursor: u64,
    more: bool,
}

/// List runs
#[utoipa::path(get, path = "/v1/runs", tag = "runs", params(RunsQuery), responses(
    (status = 200, description = "Newest first", body = RunsPage),
    (status = 404, description = "There is no such integration or connection"),
))]
async fn list(State(app): State<App>, Query(query): Query<RunsQuery>) -> Answer<Json<RunsPage>> {
    let limit = page_limit(query.limit)?;
    let connection = connection_of(query.integration.as_ref(), query.connection)?;
    let outcome = one_of::<views::RunState>("outcome", query.outcome.as_deref())?;
    let filter = RunFilter {
        integration: query.integration,
        connection,
        outcome: outcome.map(|outcome| outcome.word().to_owned()),
        before: query.cursor,
        limit: limit + 1,
    };
    let found = app.control.runs(filter).await?;
    let page = Page::cut(&found, limit, |last| last.id.to_string());
    Ok(Json(RunsPage {
        runs: page.rows,
        next_cursor: page.next_cursor,
        more: page.more,
    }))
}

/// Show a run
#[utoipa::path(get, path = "/v1/runs/{run}", tag = "runs", params(RunPath), responses(
    (status = 200, description = "With its figures so far", body = views::Run),
))]
async fn show(State(app): State<App>, Path(path): Path<RunPath>) -> Answer<Json<views::Run>> {
    let run = app.control.run(path.run).await?;
    Ok(Json((&run).into()))
}

/// Cancel a run
///
/// The plugin is stopped at once; what it had committed stays. Repeating it answers 409 once the run
/// has ended.
#[utoipa::path(post, path = "/v1/runs/{run}/cancel", tag = "runs", params(RunPath), responses(
    (status = 202, description = "It is being stopped", body = views::Run),
    (status = 409, description = "It has ended already"),
))]
async fn cancel(State(app): State<App>, Path(path): Path<RunPath>) -> Answer<impl IntoResponse> {
    app.control.cancel_run(path.run).await?;
    let run = app.control.run(path.run).await?;
    Ok((StatusCode::ACCEPTED, Json(views::Run::from(&run))))
}

/// Try a run again that did not succeed
///
/// By its job: one that is dead is queued again, one that waits or runs is the answer, and one that was given up
/// is queued anew. A sync that was run without a job is triggered. It goes on from its checkpoint.
#[utoipa::path(post, path = "/v1/runs/{run}/retry", tag = "runs", params(RunPath), responses(
    (status = 202, description = "The job that does it", body = views::Job),
    (status = 404, description = "There is no such run, or what it ran is gone"),
    (status = 409, description = "It has not ended; it succeeded, or its job has since; it is of an action whose input is not kept; too many jobs wait already"),
))]
async fn retry(State(app): State<App>, Path(path): Path<RunPath>) -> Answer<Response> {
    Ok(accepted(&app.control.retry_run(path.run).await?))
}

/// Read a run's log
///
/// With `Accept: application/x-ndjson` a line each, until the run has ended.
#[utoipa::path(get, path = "/v1/runs/{run}/logs", tag = "runs", params(RunPath, LogsQuery), responses(
    (status = 200, description = "A page, or lines", content(
        (LogsPage = "application/json"),
        (String = "application/x-ndjson"),
    )),
))]
async fn logs(
    State(app): State<App>,
    Path(path): Path<RunPath>,
    Query(query): Query<LogsQuery>,
    Extension(allowance): Extension<Allowance>,
    headers: HeaderMap,
) -> Answer<Response> {
    let limit = page_limit(query.limit)?;
    let from = query.cursor.unwrap_or(0);
    if ResponseFormat::of(&headers) == ResponseFormat::Lines {
        // A run that is not there is the answer, not its first line.
        app.control.run(path.run).await?;
        let permit = allowance.stream()?;
        let source = Log {
            app,
            allowance,
            run: path.run,
            from,
        };
        return Ok(stream::answer(ResponseFormat::Lines, source, permit));
    }
    let found = app.control.logs(path.run, from, limit + 1).await?;
    let mut bytes = 0;
    let lines = found.iter().take(limit).map(views::LogLine::from);
    let lines: Vec<views::LogLine> = lines
        .take_while(|line| {
            bytes += length(line);
            bytes <= API_PAGE_BYTES
        })
        .collect();
    let more = found.len() > lines.len();
    let last = found.iter().take(lines.len()).next_back();
    let next_cursor = last.map_or(from, |last| last.index + 1);
    Ok(Json(LogsPage {
        lines,
        next_cursor,
        more,
    })
    .into_response())
}

/// A log from `from` on, followed while its run goes on.
struct Log {
    app: App,
    allowance: Allowance,
    run: RunId,
    from: u64,
}

impl Log {
    /// The next lines, and where to go on after them.
    async fn part(&self) -> Answer<(u64, Vec<u8>)> {
        let lines = self.app.control.logs(self.run, self.from, PART).await?;
        let mut out = Vec::new();
        for line in &lines {
            serde_json::to_writer(&mut out, &views::LogLine::from(line))
                .map_err(Problem::internal)?;
            out.push(b'\n');
        }
        let next = lines.last().map_or(self.from, |last| last.index + 1);
        Ok((next, out))
    }
}

impl Source for Log {
    async fn next(&mut self) -> Answer<Option<Bytes>> {
        loop {
            // Looked at before the lines: what ends it writes the last of them before.
            let has_ended = self.app.control.run(self.run).await?.end.is_some();
            let hold = Arc::new(self.allowance.hold());
            let (mut from, mut part) = self.part().await?;
            let bytes = part.len() as u64;
            if !hold.try_grow(bytes) {
                // While it waits for room it has nothing.
                drop(part);
                hold.grow(bytes).await?;
                (from, part) = self.part().await?;
            }
            if !part.is_empty() {
                self.from = from;
                return Ok(Some(hold.carried_by(part.into())));
            }
            if has_ended || self.app.stopping.is_cancelled() {
                return Ok(None);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.app.stopping.cancelled() => {}
            }
        }
    }
}
