//! `/v1/jobs`: what waits, runs and has ended; cancelling, redriving, discarding.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tidegate_engine::job::{Job, JobId};
use tidegate_engine::schedule::ScheduleId;
use tidegate_engine::store::JobFilter;
use tidegate_engine::{ConnectionName, Name};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::app::App;
use super::connections::connection_of;
use super::extract::{Json, Path, Query, one_of};
use super::page::{Page, page_limit};
use super::problem::Answer;
use super::routes::{Routes, Rule};
use crate::views::word::Word;
use crate::views::{self, text};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Rule::READ, routes!(list))
        .add(Rule::READ, routes!(show))
        .add(Rule::TRIGGER, routes!(cancel))
        .add(Rule::TRIGGER, routes!(redrive))
        .add(Rule::TRIGGER, routes!(discard))
}

/// A job.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct JobPath {
    /// `job_…`
    #[param(value_type = text::JobId)]
    job: JobId,
}

/// Which jobs: those that fit all of it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct JobsQuery {
    /// Only this integration's.
    #[param(value_type = Option<text::Name>)]
    integration: Option<Name>,
    /// Only this connection's, of `integration`.
    #[param(value_type = Option<text::ConnectionName>)]
    connection: Option<ConnectionName>,
    /// Only this schedule's.
    #[param(value_type = Option<text::ScheduleId>)]
    schedule: Option<ScheduleId>,
    /// Only those in this state.
    #[param(value_type = Option<views::JobState>)]
    state: Option<String>,
    /// Where the page before ended.
    #[param(value_type = Option<text::JobId>)]
    cursor: Option<JobId>,
    /// Most of the page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

/// Jobs, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct JobsPage {
    jobs: Vec<views::Job>,
    /// Where the next page begins; nothing after the last.
    next_cursor: Option<String>,
    more: bool,
}

/// List jobs
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", params(JobsQuery), responses(
    (status = 200, description = "Newest first", body = JobsPage),
    (status = 404, description = "There is no such integration or connection"),
))]
async fn list(State(app): State<App>, Query(query): Query<JobsQuery>) -> Answer<Json<JobsPage>> {
    let limit = page_limit(query.limit)?;
    let connection = connection_of(query.integration.as_ref(), query.connection)?;
    let state = one_of::<views::JobState>("state", query.state.as_deref())?;
    let filter = JobFilter {
        integration: query.integration,
        connection,
        schedule: query.schedule,
        state: state.map(|state| state.word().to_owned()),
        before: query.cursor,
        limit: limit + 1,
    };
    let found = app.control.jobs(filter).await?;
    let page = Page::cut(&found, limit, |last| last.id.to_string());
    Ok(Json(JobsPage {
        jobs: page.rows,
        next_cursor: page.next_cursor,
        more: page.more,
    }))
}

/// Show a job
#[utoipa::path(get, path = "/v1/jobs/{job}", tag = "jobs", params(JobPath), responses(
    (status = 200, description = "As it is now", body = views::JobWithOutput),
    (status = 404, description = "There is no such job"),
))]
async fn show(
    State(app): State<App>,
    Path(path): Path<JobPath>,
) -> Answer<Json<views::JobWithOutput>> {
    let job = app.control.job(path.job).await?;
    let output = app.control.job_output(path.job).await?;
    Ok(Json(views::JobWithOutput::new(&job, output.as_deref())?))
}

/// Cancel a job
///
/// One that waits ends; one that runs stops within moments. One that has ended stays as it is.
#[utoipa::path(post, path = "/v1/jobs/{job}/cancel", tag = "jobs", params(JobPath), responses(
    (status = 200, description = "As it is now", body = views::Job),
    (status = 404, description = "There is no such job"),
))]
async fn cancel(State(app): State<App>, Path(path): Path<JobPath>) -> Answer<Json<views::Job>> {
    let job = app.control.cancel_job(path.job).await?;
    Ok(Json((&job).into()))
}

/// Queue a dead job again
#[utoipa::path(post, path = "/v1/jobs/{job}/redrive", tag = "jobs", params(JobPath), responses(
    (status = 200, description = "It waits", body = views::Job),
    (status = 404, description = "There is no such job"),
    (status = 409, description = "It is not dead; somebody else has taken its idempotency key since; too many jobs wait already"),
))]
async fn redrive(State(app): State<App>, Path(path): Path<JobPath>) -> Answer<Json<views::Job>> {
    let job = app.control.redrive_job(path.job).await?;
    Ok(Json((&job).into()))
}

/// Give a dead job up
#[utoipa::path(post, path = "/v1/jobs/{job}/discard", tag = "jobs", params(JobPath), responses(
    (status = 200, description = "It is discarded", body = views::Job),
    (status = 404, description = "There is no such job"),
    (status = 409, description = "It is not dead"),
))]
async fn discard(State(app): State<App>, Path(path): Path<JobPath>) -> Answer<Json<views::Job>> {
    let job = app.control.discard_job(path.job).await?;
    Ok(Json((&job).into()))
}

/// The answer that a job does what was asked, with its place.
pub(super) fn accepted(job: &Job) -> Response {
    let place = format!("/v1/jobs/{}", job.id);
    let job = views::Job::from(job);
    (StatusCode::ACCEPTED, [("location", place)], Json(job)).into_response()
}
