//! `…/syncs`: what a connection's syncs write, how far they have read, when they run and ran; triggering, pausing
//! and starting them.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use tidegate_service::control::TriggerRequest;
use tidegate_service::problem::Problem;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::app::App;
use super::connections::ConnectionPath;
use super::extract::{Json, Path, Query};
use super::jobs::accepted;
use super::page::{Page, PageQuery};
use super::problem::Answer;
use super::routes::{Routes, Rule};
use super::schedules::NewPause;
use crate::views::{self, text};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Rule::READ, routes!(list))
        .add(Rule::TRIGGER, routes!(trigger))
        .add(Rule::TRIGGER, routes!(pause))
        .add(Rule::TRIGGER, routes!(start))
}

/// The syncs of a connection, by name.
#[derive(Debug, Serialize, ToSchema)]
struct SyncsPage {
    syncs: Vec<views::Sync>,
    /// Where the next page begins; nothing after the last.
    next_cursor: Option<String>,
    more: bool,
}

/// List a connection's syncs
#[utoipa::path(get, path = "/v1/integrations/{integration}/connections/{connection}/syncs",
    tag = "syncs", params(ConnectionPath, PageQuery),
    responses((status = 200, description = "By name, with counts, checkpoints, schedules and last runs", body = SyncsPage)),
)]
async fn list(
    State(app): State<App>,
    Path(path): Path<ConnectionPath>,
    Query(query): Query<PageQuery>,
) -> Answer<Json<SyncsPage>> {
    let found = app.control.syncs(&path.key()).await?;
    let page = Page::of(found, &query, |status| &status.sync)?;
    let syncs = page.rows.into_iter().map(views::Sync::try_from);
    Ok(Json(SyncsPage {
        syncs: syncs.collect::<Result<_, Problem>>()?,
        next_cursor: page.next_cursor,
        more: page.more,
    }))
}

/// A sync of a connection.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct SyncPath {
    #[param(value_type = text::Name)]
    integration: Name,
    #[param(value_type = text::ConnectionName)]
    connection: ConnectionName,
    #[param(value_type = text::Name)]
    sync: Name,
}

impl SyncPath {
    fn parts(self) -> (ConnectionKey, Name) {
        let key = ConnectionKey {
            integration: self.integration,
            connection: self.connection,
        };
        (key, self.sync)
    }
}

/// How to run a sync.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Trigger {
    /// Start without a checkpoint; records are kept.
    reset: bool,
    /// Delete the records of its models first, and start without a checkpoint: the change feed tells of what is
    /// deleted, and of what comes back as added.
    empty: bool,
    /// Let a full pull delete whatever is gone at the source, however much that is.
    allow_deletes: bool,
}

/// Trigger a sync
///
/// It runs as soon as there is room. While a job waits to do the same, that one is the answer.
#[utoipa::path(post,
    path = "/v1/integrations/{integration}/connections/{connection}/syncs/{sync}/trigger",
    tag = "syncs", params(SyncPath), request_body = Trigger,
    responses(
        (status = 202, description = "The job that runs it", body = views::Job),
        (status = 404, description = "There is no such integration, connection or sync"),
        (status = 409, description = "Too many jobs wait already"),
    ),
)]
async fn trigger(
    State(app): State<App>,
    Path(path): Path<SyncPath>,
    Json(body): Json<Trigger>,
) -> Answer<Response> {
    let (connection, sync) = path.parts();
    let request = TriggerRequest {
        connection,
        sync,
        reset: body.reset,
        empty: body.empty,
        allow_deletes: body.allow_deletes,
    };
    Ok(accepted(&app.control.trigger(request).await?))
}

/// Pause a sync
///
/// All its schedules are paused, those that are over aside. What runs goes on, and it can be triggered.
#[utoipa::path(post,
    path = "/v1/integrations/{integration}/connections/{connection}/syncs/{sync}/pause",
    tag = "syncs", params(SyncPath), request_body = NewPause,
    responses(
        (status = 200, description = "As it is now", body = views::Sync),
        (status = 404, description = "There is no such integration, connection or sync"),
    ),
)]
async fn pause(
    State(app): State<App>,
    Path(path): Path<SyncPath>,
    Json(body): Json<NewPause>,
) -> Answer<Json<views::Sync>> {
    let (key, sync) = path.parts();
    let until = body.until.as_deref().map(views::moment).transpose()?;
    let status = app
        .control
        .pause_sync(&key, &sync, body.note, until)
        .await?;
    Ok(Json(views::Sync::try_from(status)?))
}

/// Start a sync
///
/// Its schedules are resumed. If none of them is ever due again, the manifest's default is made, whether the
/// integration starts those by itself or not. What was due meanwhile is not made up for.
#[utoipa::path(post,
    path = "/v1/integrations/{integration}/connections/{connection}/syncs/{sync}/start",
    tag = "syncs", params(SyncPath),
    responses(
        (status = 200, description = "As it is now", body = views::Sync),
        (status = 404, description = "There is no such integration, connection or sync"),
        (status = 409, description = "It has no schedule, and its manifest no default: make one; there are too many already"),
    ),
)]
async fn start(State(app): State<App>, Path(path): Path<SyncPath>) -> Answer<Json<views::Sync>> {
    let (key, sync) = path.parts();
    let status = app.control.start_sync(&key, &sync).await?;
    Ok(Json(views::Sync::try_from(status)?))
}
