//! `…/syncs`: what a connection's syncs write, how far they have read, and their last runs.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_engine::Name;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::app::App;
use super::connections::ConnectionPath;
use super::extract::{Json, Path};
use super::problem::Answer;
use super::routes::{Routes, Rule};
use crate::control::SyncStatus;
use crate::problem::Problem;
use crate::shown;

pub(super) fn routes(routes: Routes) -> Routes {
    routes.add(Rule::READ, routes!(list))
}

/// The syncs of a connection.
#[derive(Debug, Serialize, ToSchema)]
struct Syncs {
    syncs: Vec<Sync>,
}

/// A sync of a connection.
#[derive(Debug, Serialize, ToSchema)]
struct Sync {
    #[schema(value_type = String)]
    sync: Name,
    /// The models that it writes.
    #[schema(value_type = Vec<String>)]
    models: Vec<Name>,
    /// How far it has read the outside API, by variant; the plugin's own JSON.
    #[schema(value_type = Object)]
    checkpoints: BTreeMap<Name, Box<RawValue>>,
    last_run: Option<shown::Run>,
}

impl TryFrom<SyncStatus> for Sync {
    type Error = Problem;

    fn try_from(status: SyncStatus) -> Result<Self, Problem> {
        let checkpoints = status.checkpoints.into_iter().map(|(variant, checkpoint)| {
            let raw = RawValue::from_string(checkpoint).map_err(Problem::internal)?;
            Ok((variant, raw))
        });
        Ok(Self {
            sync: status.sync,
            models: status.models,
            checkpoints: checkpoints.collect::<Result<_, Problem>>()?,
            last_run: status.last_run.as_ref().map(Into::into),
        })
    }
}

/// List a connection's syncs
#[utoipa::path(get, path = "/v1/integrations/{integration}/connections/{connection}/syncs",
    tag = "syncs", params(ConnectionPath),
    responses((status = 200, description = "With checkpoints and last runs", body = Syncs)),
)]
async fn list(State(app): State<App>, Path(path): Path<ConnectionPath>) -> Answer<Json<Syncs>> {
    let syncs = app.control.syncs(&path.key()).await?;
    let syncs = syncs.into_iter().map(Sync::try_from);
    Ok(Json(Syncs {
        syncs: syncs.collect::<Result<_, Problem>>()?,
    }))
}
