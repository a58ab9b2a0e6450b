//! `…/connections`: customers' accounts at an integration. Never a credential out.

mod bodies;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidegate_engine::connection::ConnectionFilter;
use tidegate_engine::upkeep::Dropped;
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use tidegate_service::control::{ConnectionUpdate, ObjectChange};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::app::App;
use super::extract::{Json, Path, Query};
use super::integrations::IntegrationPath;
use super::page::{Page, page_limit};
use super::problem::{Answer, Failed};
use super::routes::{Routes, Rule};
use crate::views::{self, text};

use bodies::{CreateConnection, UpdateConnection};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Rule::READ, routes!(list))
        .add(Rule::MANAGE, routes!(create))
        .add(Rule::READ, routes!(show))
        .add(Rule::MANAGE, routes!(update, remove))
        .add(Rule::TRIGGER.untimed(), routes!(check))
        .add(Rule::MANAGE, routes!(update_metadata))
}

/// A connection of an integration.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ConnectionPath {
    #[param(value_type = text::Name)]
    pub(super) integration: Name,
    #[param(value_type = text::ConnectionName)]
    pub(super) connection: ConnectionName,
}

impl ConnectionPath {
    pub(super) fn key(self) -> ConnectionKey {
        ConnectionKey {
            integration: self.integration,
            connection: self.connection,
        }
    }
}

/// Which connections: those that fit all of it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// With these tags: `KEY=VALUE`, with commas.
    tags: Option<String>,
    /// With this external id.
    external_id: Option<String>,
    /// Whose names begin so.
    name_prefix: Option<String>,
    /// Whose credentials are not accepted.
    auth_failed: Option<bool>,
    /// Of which anything fails.
    unhealthy: Option<bool>,
    /// Where the page before ended.
    cursor: Option<String>,
    /// Most of the page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

/// Connections by name.
#[derive(Debug, Serialize, ToSchema)]
struct ConnectionsPage {
    connections: Vec<views::Connection>,
    /// Where the next page begins; nothing after the last.
    next_cursor: Option<String>,
    more: bool,
}

/// The connection that a query names, which it does by its integration and name.
pub(super) fn connection_of(
    integration: Option<&Name>,
    connection: Option<ConnectionName>,
) -> Answer<Option<ConnectionKey>> {
    match (integration, connection) {
        (Some(integration), Some(connection)) => Ok(Some(ConnectionKey {
            integration: integration.clone(),
            connection,
        })),
        (None, Some(_)) => Err(Failed::invalid("connection: it needs integration")),
        (_, None) => Ok(None),
    }
}

/// List connections
#[utoipa::path(get, path = "/v1/integrations/{integration}/connections", tag = "connections",
    params(IntegrationPath, ListQuery),
    responses((status = 200, description = "By name", body = ConnectionsPage)),
)]
async fn list(
    State(app): State<App>,
    Path(path): Path<IntegrationPath>,
    Query(query): Query<ListQuery>,
) -> Answer<Json<ConnectionsPage>> {
    let limit = page_limit(query.limit)?;
    let pairs = query.tags.iter().flat_map(|tags| tags.split(','));
    let tags = pairs.map(|pair| {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| Failed::invalid("tags: write KEY=VALUE, with commas"))?;
        Ok((key.to_owned(), value.to_owned()))
    });
    let filter = ConnectionFilter {
        tags: tags.collect::<Answer<_>>()?,
        external_id: query.external_id,
        name_prefix: query.name_prefix,
        auth_failed: query.auth_failed.unwrap_or(false),
        unhealthy: query.unhealthy.unwrap_or(false),
    };
    let after = query
        .cursor
        .as_deref()
        .map(str::parse::<ConnectionName>)
        .transpose();
    let after = after.map_err(|_| Failed::invalid("cursor: use one as it was given out"))?;
    let found = app
        .control
        .connections(&path.integration, &filter, after, limit + 1)
        .await?;
    let page = Page::cut(&found, limit, |last| last.key.connection.to_string());
    Ok(Json(ConnectionsPage {
        connections: page.rows,
        next_cursor: page.next_cursor,
        more: page.more,
    }))
}

/// Add a connection
///
/// Repeating it answers 409: it exists already.
#[utoipa::path(post, path = "/v1/integrations/{integration}/connections", tag = "connections",
    params(IntegrationPath), request_body = CreateConnection,
    responses(
        (status = 201, description = "As it is now", body = views::Connection),
        (status = 409, description = "There is one of this name"),
    ),
)]
async fn create(
    State(app): State<App>,
    Path(path): Path<IntegrationPath>,
    Json(new): Json<CreateConnection>,
) -> Answer<impl IntoResponse> {
    let new = new.into_new(path.integration)?;
    let key = new.key.clone();
    app.control.add_connection(new).await?;
    let connection = app.control.connection(&key).await?;
    Ok((
        StatusCode::CREATED,
        Json(views::Connection::from(&connection)),
    ))
}

/// Show a connection and its models
#[utoipa::path(get, path = "/v1/integrations/{integration}/connections/{connection}",
    tag = "connections", params(ConnectionPath),
    responses((status = 200, description = "Without its secrets", body = views::ConnectionWithModels)),
)]
async fn show(
    State(app): State<App>,
    Path(path): Path<ConnectionPath>,
) -> Answer<Json<views::ConnectionWithModels>> {
    let key = path.key();
    let connection = app.control.connection(&key).await?;
    let models = app.control.models(&key).await?;
    Ok(Json(views::ConnectionWithModels {
        connection: (&connection).into(),
        models: models.into_iter().map(Into::into).collect(),
    }))
}

/// Change a connection
///
/// What is not named stays. `config`, `metadata`, `tags` and `secrets` are merged (RFC 7396): members
/// of `null` go.
#[utoipa::path(patch, path = "/v1/integrations/{integration}/connections/{connection}",
    tag = "connections", params(ConnectionPath), request_body = UpdateConnection,
    responses(
        (status = 200, description = "As it is now", body = views::Connection),
        (status = 409, description = "Others change it all the time"),
    ),
)]
async fn update(
    State(app): State<App>,
    Path(path): Path<ConnectionPath>,
    Json(update): Json<UpdateConnection>,
) -> Answer<Json<views::Connection>> {
    let update = update.into_update()?;
    let connection = app.control.update_connection(&path.key(), update).await?;
    Ok(Json((&connection).into()))
}

/// Merge a connection's metadata
///
/// RFC 7396: members of `null` go.
#[utoipa::path(patch, path = "/v1/integrations/{integration}/connections/{connection}/metadata",
    tag = "connections", params(ConnectionPath), request_body = text::JsonObject,
    responses(
        (status = 200, description = "The connection as it is now", body = views::Connection),
        (status = 409, description = "Others change it all the time"),
    ),
)]
async fn update_metadata(
    State(app): State<App>,
    Path(path): Path<ConnectionPath>,
    Json(patch): Json<Map<String, Value>>,
) -> Answer<Json<views::Connection>> {
    let update = ConnectionUpdate {
        metadata: ObjectChange::Merge(patch),
        ..ConnectionUpdate::default()
    };
    let connection = app.control.update_connection(&path.key(), update).await?;
    Ok(Json((&connection).into()))
}

/// What went with it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Removed {
    connections: u64,
    models: u64,
    /// Deleted ones included.
    records: u64,
    runs: u64,
}

impl From<Dropped> for Removed {
    fn from(dropped: Dropped) -> Self {
        Self {
            connections: dropped.connections,
            models: dropped.models,
            records: dropped.records,
            runs: dropped.runs,
        }
    }
}

/// Stop a connection's runs and remove it with all that it has
#[utoipa::path(delete, path = "/v1/integrations/{integration}/connections/{connection}",
    tag = "connections", params(ConnectionPath),
    responses((status = 200, description = "What is gone", body = Removed)),
)]
async fn remove(State(app): State<App>, Path(path): Path<ConnectionPath>) -> Answer<Json<Removed>> {
    let dropped = app.control.remove_connection(&path.key()).await?;
    Ok(Json(dropped.into()))
}

/// Let the plugin check a connection's credentials with a cheap request
#[utoipa::path(post, path = "/v1/integrations/{integration}/connections/{connection}/test",
    tag = "connections", params(ConnectionPath),
    responses(
        (status = 200, description = "What it came to, whatever that is", body = views::Check),
        (status = 409, description = "The connection was removed meanwhile"),
    ),
)]
async fn check(
    State(app): State<App>,
    Path(path): Path<ConnectionPath>,
) -> Answer<Json<views::Check>> {
    let key = path.key();
    let run = app.control.check_connection(&key).await?;
    let log = app.control.logs(run.id, 0, views::Check::LOG_LINES).await?;
    let integration = app.control.integration(&key.integration).await?;
    let plugin = integration.current.manifest.name.as_str();
    Ok(Json(views::Check::of(&run, &log, plugin).0))
}
