//! Syncs of a connection, as they stand.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_engine::Name;
use tidegate_service::control::SyncStatus;
use tidegate_service::problem::Problem;
use utoipa::ToSchema;

use super::text;
use super::{Model, Run, Schedule, in_one_line};

/// A sync of a connection.
#[derive(Debug, Serialize, ToSchema)]
pub struct Sync {
    #[schema(value_type = text::Name)]
    sync: Name,
    /// The models that it writes.
    #[schema(value_type = Vec<text::Name>)]
    models: Vec<Name>,
    /// How many records each of these has, whoever wrote them.
    counts: Vec<Model>,
    /// How far it has read the outside API, by variant; the plugin's own JSON.
    #[schema(value_type = BTreeMap<String, text::JsonValue>)]
    checkpoints: BTreeMap<Name, Box<RawValue>>,
    /// When it is due, and whether it is paused; oldest first.
    schedules: Vec<Schedule>,
    /// Its last run, if that is one of the last 10,000 of the connection.
    last_run: Option<Run>,
}

impl TryFrom<SyncStatus> for Sync {
    type Error = Problem;

    fn try_from(status: SyncStatus) -> Result<Self, Problem> {
        let checkpoints = status.checkpoints.into_iter().map(|(variant, checkpoint)| {
            let raw = RawValue::from_string(in_one_line(&checkpoint));
            Ok((variant, raw.map_err(Problem::internal)?))
        });
        let models = status.models.iter();
        Ok(Self {
            sync: status.sync,
            models: models.map(|(model, _)| model.clone()).collect(),
            checkpoints: checkpoints.collect::<Result<_, Problem>>()?,
            schedules: status.schedules.iter().map(Into::into).collect(),
            last_run: status.last_run.as_ref().map(Into::into),
            counts: status.models.into_iter().map(Into::into).collect(),
        })
    }
}
