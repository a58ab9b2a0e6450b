//! `/v1/data`: looking after what is stored.

mod transfer;

pub(crate) use transfer::receive;

use std::time::Duration;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tidegate_engine::upkeep::Scope;
use tidegate_engine::{ConnectionKey, ConnectionName, ModelKey, Name};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::app::App;
use super::connections::Removed;
use super::extract::Json;
use super::problem::{Answer, Failed};
use super::routes::{Routes, Rule};
use crate::views::{self, text};

pub(super) fn routes(routes: Routes) -> Routes {
    let upkeep = Rule::MANAGE.untimed();
    routes
        .add(Rule::MANAGE, routes!(stats))
        .add(upkeep, routes!(check))
        .add(upkeep, routes!(compact))
        .add(upkeep, routes!(prune))
        .add(upkeep, routes!(drop_data))
        .add(upkeep, routes!(transfer::export))
        // It brings in only what is new: a repeat is refused.
        .add(
            upkeep.body(u64::MAX).own_repeats(),
            routes!(transfer::import),
        )
}

/// How large the store is
#[utoipa::path(get, path = "/v1/data/stats", tag = "data", responses(
    (status = 200, description = "By model, the largest first", body = views::StoreStats),
))]
async fn stats(State(app): State<App>) -> Answer<Json<views::StoreStats>> {
    let stats = app.control.stats().await?;
    Ok(Json((&stats).into()))
}

/// Look for anything wrong in what is stored
///
/// It changes nothing. What is wrong is in the report: `wrong` is 0 if nothing is.
#[utoipa::path(post, path = "/v1/data/check", tag = "data", responses(
    (status = 200, description = "The report", body = views::CheckReport),
))]
async fn check(State(app): State<App>) -> Answer<Json<views::CheckReport>> {
    Ok(Json(app.control.check().await?.into()))
}

/// What compaction came to.
#[derive(Debug, Serialize, ToSchema)]
struct Compacted {
    disk_bytes_before: u64,
    disk_bytes_after: u64,
    segment_bytes_before: u64,
    segment_bytes_after: u64,
}

/// Do now what was put off
///
/// The database's files stay as long as they are, with room in them; `tidegate data compact`, without
/// a server, makes them smaller too.
#[utoipa::path(post, path = "/v1/data/compact", tag = "data", responses(
    (status = 200, description = "Before and after", body = Compacted),
))]
async fn compact(State(app): State<App>) -> Answer<Json<Compacted>> {
    let before = app.control.stats().await?;
    app.control.settle().await?;
    let after = app.control.stats().await?;
    Ok(Json(Compacted {
        disk_bytes_before: before.disk_bytes,
        disk_bytes_after: after.disk_bytes,
        segment_bytes_before: before.total.segment_bytes,
        segment_bytes_after: after.total.segment_bytes,
    }))
}

/// Which bodies to remove.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Prune {
    #[schema(value_type = text::Name)]
    integration: Name,
    #[schema(value_type = text::ConnectionName)]
    connection: ConnectionName,
    #[schema(value_type = text::Name)]
    model: Name,
    /// For how many seconds nothing has changed them.
    older_than: u64,
}

/// What was removed.
#[derive(Debug, Serialize, ToSchema)]
struct Pruned {
    /// Deleted ones included.
    records: u64,
    /// Of their bodies.
    bytes: u64,
}

/// Remove the bodies of a model's records that nothing has changed for long
///
/// Cursors that had not read them yet expire.
#[utoipa::path(post, path = "/v1/data/prune", tag = "data", request_body = Prune, responses(
    (status = 200, description = "How much that was", body = Pruned),
    (status = 404, description = "There is no such model"),
))]
async fn prune(State(app): State<App>, Json(body): Json<Prune>) -> Answer<Json<Pruned>> {
    let key = ConnectionKey {
        integration: body.integration,
        connection: body.connection,
    };
    let age = Duration::from_secs(body.older_than);
    let pruned = app.control.prune(&key.model(body.model), age).await?;
    Ok(Json(Pruned {
        records: pruned.records,
        bytes: pruned.bytes,
    }))
}

/// What to remove: an integration, a connection of it, or a model of that.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Drop {
    #[schema(value_type = text::Name)]
    integration: Name,
    #[serde(default)]
    #[schema(value_type = Option<text::ConnectionName>)]
    connection: Option<ConnectionName>,
    #[serde(default)]
    #[schema(value_type = Option<text::Name>)]
    model: Option<Name>,
}

/// Remove an integration, a connection or a model with everything of it
#[utoipa::path(post, path = "/v1/data/drop", tag = "data", request_body = Drop, responses(
    (status = 200, description = "What is gone", body = Removed),
    (status = 404, description = "It is not there"),
    (status = 409, description = "A run of it has not ended"),
))]
async fn drop_data(State(app): State<App>, Json(body): Json<Drop>) -> Answer<Json<Removed>> {
    let scope = match (body.integration, body.connection, body.model) {
        (integration, None, None) => Scope::Integration(integration),
        (_, None, Some(_)) => return Err(Failed::invalid("model: it needs connection")),
        (integration, Some(connection), model) => {
            let key = ConnectionKey {
                integration,
                connection,
            };
            match model {
                None => Scope::Connection(key),
                Some(model) => Scope::Model(ModelKey {
                    connection: key,
                    model,
                }),
            }
        }
    };
    Ok(Json(app.control.drop_scope(&scope).await?.into()))
}
