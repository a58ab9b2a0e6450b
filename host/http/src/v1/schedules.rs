//! `/v1/schedules`: making, changing, pausing and removing them, what is due, and what became of it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use tidegate_engine::schedule::ScheduleId;
use tidegate_engine::store::{RefirePolicy, ScheduleFilter};
use tidegate_engine::{ConnectionName, Name};
use tidegate_service::control::{BackfillRequest, NewSchedule};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::app::App;
use super::connections::connection_of;
use super::extract::{Json, Path, Query};
use super::page::{Page, page_limit};
use super::problem::{Answer, Failed};
use super::routes::{Routes, Rule};
use crate::views::word::words;
use crate::views::{self, text};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Rule::READ, routes!(list))
        .add(Rule::TRIGGER, routes!(create))
        .add(Rule::READ, routes!(show))
        .add(Rule::TRIGGER, routes!(replace, remove))
        .add(Rule::TRIGGER, routes!(pause))
        .add(Rule::TRIGGER, routes!(resume))
        .add(Rule::READ, routes!(preview))
        .add(Rule::READ, routes!(fires))
        .add(Rule::TRIGGER, routes!(backfill))
}

/// A schedule.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct SchedulePath {
    /// `sch_…`
    #[param(value_type = text::ScheduleId)]
    schedule: ScheduleId,
}

/// Which schedules: those that fit all of it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SchedulesQuery {
    /// Only this integration's.
    #[param(value_type = Option<text::Name>)]
    integration: Option<Name>,
    /// Only this connection's, of `integration`.
    #[param(value_type = Option<text::ConnectionName>)]
    connection: Option<ConnectionName>,
    /// With this external id.
    external_id: Option<String>,
    /// With this dedup key.
    dedup_key: Option<String>,
    /// With this label: `NAME=VALUE`.
    label: Option<String>,
    /// Paused ones, or the others.
    paused: Option<bool>,
    /// Where the page before ended.
    #[param(value_type = Option<text::ScheduleId>)]
    cursor: Option<ScheduleId>,
    /// Most of the page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

/// Schedules by id: oldest first.
#[derive(Debug, Serialize, ToSchema)]
struct SchedulesPage {
    schedules: Vec<views::Schedule>,
    /// Where the next page begins; nothing after the last.
    next_cursor: Option<String>,
    more: bool,
}

/// List schedules
#[utoipa::path(get, path = "/v1/schedules", tag = "schedules", params(SchedulesQuery), responses(
    (status = 200, description = "Oldest first", body = SchedulesPage),
    (status = 404, description = "There is no such integration or connection"),
))]
async fn list(
    State(app): State<App>,
    Query(query): Query<SchedulesQuery>,
) -> Answer<Json<SchedulesPage>> {
    let limit = page_limit(query.limit)?;
    let connection = connection_of(query.integration.as_ref(), query.connection)?;
    let label = query.label.as_deref().map(|label| {
        let parts = label.split_once('=');
        let parts = parts.ok_or_else(|| Failed::invalid("label: write NAME=VALUE"))?;
        Ok::<_, Failed>((parts.0.to_owned(), parts.1.to_owned()))
    });
    let filter = ScheduleFilter {
        integration: query.integration,
        connection,
        external_id: query.external_id,
        dedup_key: query.dedup_key,
        label: label.transpose()?,
        paused: query.paused,
        after: query.cursor,
        limit: limit + 1,
    };
    let found = app.control.schedules(filter).await?;
    let page = Page::cut(&found, limit, |last| last.id.to_string());
    Ok(Json(SchedulesPage {
        schedules: page.rows,
        next_cursor: page.next_cursor,
        more: page.more,
    }))
}

/// Make a schedule
///
/// With a `dedup_key` that is known already, that schedule becomes what is asked for.
#[utoipa::path(post, path = "/v1/schedules", tag = "schedules", request_body = views::NewSchedule, responses(
    (status = 201, description = "It is there", body = views::Schedule),
    (status = 404, description = "There is no such integration, connection, sync or action"),
    (status = 409, description = "There are too many already"),
))]
async fn create(
    State(app): State<App>,
    Json(body): Json<views::NewSchedule>,
) -> Answer<impl IntoResponse> {
    let new = NewSchedule {
        id: None,
        revision: None,
        definition: body.definition()?,
    };
    let schedule = app.control.put_schedule(new).await?;
    let place = format!("/v1/schedules/{}", schedule.id);
    let schedule = views::Schedule::from(&schedule);
    Ok((StatusCode::CREATED, [("location", place)], Json(schedule)))
}

/// Show a schedule
#[utoipa::path(get, path = "/v1/schedules/{schedule}", tag = "schedules", params(SchedulePath), responses(
    (status = 200, description = "As it is now", body = views::Schedule),
    (status = 404, description = "There is no such schedule"),
))]
async fn show(
    State(app): State<App>,
    Path(path): Path<SchedulePath>,
) -> Answer<Json<views::Schedule>> {
    let schedule = app.control.schedule(path.schedule).await?;
    Ok(Json((&schedule).into()))
}

/// How to change a schedule.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReplaceQuery {
    /// Only if this is its present revision.
    revision: Option<u64>,
}

/// Change a schedule to what is asked for
///
/// What was due by its old rules is not made up for.
#[utoipa::path(put, path = "/v1/schedules/{schedule}", tag = "schedules",
    params(SchedulePath, ReplaceQuery), request_body = views::NewSchedule,
    responses(
        (status = 200, description = "As it is now", body = views::Schedule),
        (status = 404, description = "There is no such schedule, sync or action"),
        (status = 409, description = "It has another revision; its dedup key is another's"),
    ),
)]
async fn replace(
    State(app): State<App>,
    Path(path): Path<SchedulePath>,
    Query(query): Query<ReplaceQuery>,
    Json(body): Json<views::NewSchedule>,
) -> Answer<Json<views::Schedule>> {
    let new = NewSchedule {
        id: Some(path.schedule),
        revision: query.revision,
        definition: body.definition()?,
    };
    let schedule = app.control.put_schedule(new).await?;
    Ok(Json((&schedule).into()))
}

/// Remove a schedule
///
/// Its jobs that wait are cancelled; those that run go on.
#[utoipa::path(delete, path = "/v1/schedules/{schedule}", tag = "schedules", params(SchedulePath), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "There is no such schedule"),
    (status = 409, description = "It is a manifest's default: pause it"),
))]
async fn remove(State(app): State<App>, Path(path): Path<SchedulePath>) -> Answer<StatusCode> {
    app.control.remove_schedule(path.schedule).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A pause.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NewPause {
    /// Why.
    pub(super) note: String,
    /// It resumes by itself then.
    #[schema(value_type = Option<text::Time>)]
    pub(super) until: Option<String>,
}

/// Pause a schedule
#[utoipa::path(post, path = "/v1/schedules/{schedule}/pause", tag = "schedules",
    params(SchedulePath), request_body = NewPause,
    responses(
        (status = 200, description = "It is paused", body = views::Schedule),
        (status = 404, description = "There is no such schedule"),
    ),
)]
async fn pause(
    State(app): State<App>,
    Path(path): Path<SchedulePath>,
    Json(body): Json<NewPause>,
) -> Answer<Json<views::Schedule>> {
    let until = body.until.as_deref().map(views::moment).transpose()?;
    let schedule = app
        .control
        .pause_schedule(path.schedule, body.note, until)
        .await?;
    Ok(Json((&schedule).into()))
}

/// Resume a schedule
///
/// What was due meanwhile is not made up for. Fine if it is not paused.
#[utoipa::path(post, path = "/v1/schedules/{schedule}/resume", tag = "schedules", params(SchedulePath), responses(
    (status = 200, description = "It goes on", body = views::Schedule),
    (status = 404, description = "There is no such schedule"),
))]
async fn resume(
    State(app): State<App>,
    Path(path): Path<SchedulePath>,
) -> Answer<Json<views::Schedule>> {
    let schedule = app.control.resume_schedule(path.schedule).await?;
    Ok(Json((&schedule).into()))
}

/// How much to preview.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PreviewQuery {
    /// After this time, instead of now.
    #[param(value_type = Option<text::Time>)]
    after: Option<String>,
    /// How many moments; 10 if not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

/// Moments at which a schedule is due.
#[derive(Debug, Serialize, ToSchema)]
struct Preview {
    due: Vec<views::Due>,
}

/// Show when a schedule is due next
#[utoipa::path(get, path = "/v1/schedules/{schedule}/preview", tag = "schedules",
    params(SchedulePath, PreviewQuery),
    responses(
        (status = 200, description = "By its rules, whether it is paused or not", body = Preview),
        (status = 404, description = "There is no such schedule"),
    ),
)]
async fn preview(
    State(app): State<App>,
    Path(path): Path<SchedulePath>,
    Query(query): Query<PreviewQuery>,
) -> Answer<Json<Preview>> {
    let count = page_limit(Some(query.limit.unwrap_or(10)))?;
    let after = query.after.as_deref().map(views::moment).transpose()?;
    let definition = app.control.schedule(path.schedule).await?.definition;
    let id = Some(path.schedule);
    let due = app.control.preview(&definition, id, after, count).await?;
    let due = due.iter().map(|due| views::Due::new(due, &definition));
    Ok(Json(Preview {
        due: due.collect::<Result<_, _>>()?,
    }))
}

/// Which fires.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FiresQuery {
    /// Where the page before ended: a time.
    #[param(value_type = Option<text::Time>)]
    cursor: Option<String>,
    /// Most of the page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

/// Fires, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct FiresPage {
    fires: Vec<views::Fire>,
    /// Where the next page begins; nothing after the last.
    next_cursor: Option<String>,
    more: bool,
}

/// List what became of a schedule's moments
#[utoipa::path(get, path = "/v1/schedules/{schedule}/fires", tag = "schedules",
    params(SchedulePath, FiresQuery),
    responses(
        (status = 200, description = "Newest first", body = FiresPage),
        (status = 404, description = "There is no such schedule"),
    ),
)]
async fn fires(
    State(app): State<App>,
    Path(path): Path<SchedulePath>,
    Query(query): Query<FiresQuery>,
) -> Answer<Json<FiresPage>> {
    let limit = page_limit(query.limit)?;
    let before = query.cursor.as_deref().map(views::moment).transpose()?;
    let found = app.control.fires(path.schedule, before, limit + 1).await?;
    let page = Page::cut(&found, limit, |last| {
        tidegate_service::display::time(last.scheduled_for)
    });
    Ok(Json(FiresPage {
        fires: page.rows,
        next_cursor: page.next_cursor,
        more: page.more,
    }))
}

words! {
    /// Whether a backfill fires for moments that have a job already.
    enum Refire: Default of RefirePolicy, and back {
        /// Only for those without a job.
        Never = "never" default,
        /// For those whose job did not succeed, too.
        Failed = "failed",
        /// For all.
        Always = "always",
    }
}

/// A part of the past to fire for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewBackfill {
    /// Inclusive.
    #[schema(value_type = text::Time)]
    from: String,
    /// Exclusive.
    #[schema(value_type = text::Time)]
    until: String,
    /// Whether moments are fired for that have a job already.
    #[serde(default)]
    again: Refire,
    /// Only say which moments there are.
    #[serde(default)]
    dry_run: bool,
}

/// What a backfill came to.
#[derive(Debug, Serialize, ToSchema)]
struct Backfilled {
    /// Moments of the range at which it was due.
    moments: Vec<text::Time>,
    /// Those that were queued now.
    fires: Vec<views::Fire>,
}

/// Fire for moments of the past
///
/// At most 1,000 of them; they run one after the other, with low priority.
#[utoipa::path(post, path = "/v1/schedules/{schedule}/backfill", tag = "schedules",
    params(SchedulePath), request_body = NewBackfill,
    responses(
        (status = 202, description = "They are queued", body = Backfilled),
        (status = 404, description = "There is no such schedule"),
        (status = 409, description = "Too many jobs wait already"),
    ),
)]
async fn backfill(
    State(app): State<App>,
    Path(path): Path<SchedulePath>,
    Json(body): Json<NewBackfill>,
) -> Answer<impl IntoResponse> {
    let request = BackfillRequest {
        schedule: path.schedule,
        from: views::moment(&body.from)?,
        until: views::moment(&body.until)?,
        again: body.again.into(),
        dry_run: body.dry_run,
    };
    let done = app.control.backfill(request).await?;
    let moments = done.moments.into_iter().map(text::Time);
    let body = Backfilled {
        moments: moments.collect(),
        fires: done.fires.iter().map(Into::into).collect(),
    };
    Ok((StatusCode::ACCEPTED, Json(body)))
}
