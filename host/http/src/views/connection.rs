//! Connections and their models. Never a credential.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use tidegate_engine::health;
use tidegate_engine::integration;
use tidegate_engine::store::ModelStats;
use tidegate_engine::{ConnectionName, Name};
use url::Url;
use utoipa::ToSchema;

use super::failure::FailureClass;
use super::text::{self, Time};
use super::word::words;

words! {
    /// Why schedules fire nothing for a sync or an action.
    pub(crate) enum Hold of health::Hold {
        /// Its credentials are not accepted.
        AuthFailed = "auth_failed",
        /// Its config or its grants can't work.
        ConfigFailed = "config_failed",
    }
}

/// One customer's account at an integration.
#[derive(Debug, Serialize, ToSchema)]
pub struct Connection {
    #[schema(value_type = text::Name)]
    integration: Name,
    #[schema(value_type = text::ConnectionName)]
    connection: ConnectionName,
    #[schema(value_type = text::Url)]
    base_url: Url,
    #[schema(value_type = text::JsonObject)]
    config: Map<String, Value>,
    #[schema(value_type = text::JsonObject)]
    metadata: Map<String, Value>,
    tags: BTreeMap<String, String>,
    external_id: Option<String>,
    /// The names of its secrets; these themselves are never shown.
    secrets: Vec<String>,
    created_at: Time,
    updated_at: Time,
    /// Counts its changes.
    revision: u64,
    /// Its credentials are not accepted, by its token endpoint or its API.
    auth_failed: Option<Failed>,
    /// Its config or its grants can't work.
    config_failed: Option<Failed>,
    /// The syncs and actions of it that fail.
    failing: Vec<Failing>,
}

/// Since when something can't work, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Failed {
    at: Time,
    message: String,
}

/// A sync or an action whose last run failed for good.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Failing {
    /// `sync` or `action`, and its name: `sync contacts`.
    target: String,
    class: FailureClass,
    since: Time,
    at: Time,
    message: String,
    /// Whether schedules fire nothing for it, and why.
    held: Option<Hold>,
}

impl From<&integration::Connection> for Connection {
    fn from(connection: &integration::Connection) -> Self {
        let failed = |(at, message)| Failed {
            at: Time(at),
            message,
        };
        let failing = connection
            .health
            .failing()
            .map(|(target, failing)| Failing {
                target: target.to_owned(),
                class: failing.class.into(),
                since: Time(failing.since),
                at: Time(failing.at),
                message: failing.message.clone(),
                held: failing.hold.map(Into::into),
            });
        Self {
            integration: connection.key.integration.clone(),
            connection: connection.key.connection.clone(),
            base_url: connection.base_url.clone(),
            config: connection.config.clone(),
            metadata: connection.metadata.clone(),
            tags: connection.tags.clone(),
            external_id: connection.external_id.clone(),
            secrets: connection.secret_names.clone(),
            created_at: Time(connection.created_at),
            updated_at: Time(connection.updated_at),
            revision: connection.revision,
            auth_failed: connection.auth_failure().map(failed),
            config_failed: connection.config_failure().map(failed),
            failing: failing.collect(),
        }
    }
}

/// A model of a connection, with how many records it has.
#[derive(Debug, Serialize, ToSchema)]
pub struct Model {
    #[schema(value_type = text::Name)]
    model: Name,
    live: u64,
    deleted: u64,
    /// Bytes of the bodies of live records.
    live_bytes: u64,
}

impl From<(Name, ModelStats)> for Model {
    fn from((model, stats): (Name, ModelStats)) -> Self {
        Self {
            model,
            live: stats.live,
            deleted: stats.deleted,
            live_bytes: stats.live_bytes,
        }
    }
}

/// A connection with its models.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConnectionWithModels {
    #[serde(flatten)]
    pub connection: Connection,
    pub models: Vec<Model>,
}
