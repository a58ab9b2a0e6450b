//! What a plugin says of itself (docs/manifest.md).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use tidegate_engine::manifest::{self, ScheduleSpec};
use utoipa::ToSchema;

use super::grants::RateLimit;
use super::text;

mod auth;

use auth::Auth;

/// What a plugin says of itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Manifest {
    /// The version of this shape.
    manifest: u32,
    #[schema(value_type = text::Name)]
    name: String,
    #[schema(value_type = text::Version)]
    version: String,
    description: String,
    /// The SDK that it was built with.
    sdk: String,
    syncs: Vec<ManifestSync>,
    actions: Vec<ManifestAction>,
    models: Vec<ManifestModel>,
    /// Kinds of events that it answers.
    #[schema(value_type = Vec<text::Name>)]
    events: Vec<String>,
    capabilities: Capabilities,
    /// The JSON Schema of a connection's config.
    #[schema(value_type = text::JsonValue)]
    config: Value,
    /// How secrets become credentials: the first one holds whose secrets a connection has.
    auth: Vec<Auth>,
}

/// A sync that a plugin exports.
#[derive(Debug, Serialize, ToSchema)]
struct ManifestSync {
    /// `*` with `each`.
    name: String,
    description: String,
    /// Models that it writes; `*` with `each`.
    models: Vec<String>,
    /// When it runs unless somebody says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<DefaultSchedule>,
    /// One sync for each key of the object there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<text::ConfigPointer>)]
    each: Option<String>,
}

/// When a sync runs by default: either `every`, or `cron` with `timezone`.
#[derive(Debug, Default, Serialize, ToSchema)]
struct DefaultSchedule {
    /// `15m`: `s`, `m`, `h` or `d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<String>,
    /// Five fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    /// An IANA time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<String>,
}

/// An action that a plugin exports.
#[derive(Debug, Serialize, ToSchema)]
struct ManifestAction {
    /// `*` with `each`.
    name: String,
    description: String,
    /// Models that it may read and write; `*`: those of the plugin's `each` sync.
    models: Vec<String>,
    /// The JSON Schema of its input.
    #[schema(value_type = text::JsonValue)]
    input: Value,
    /// The JSON Schema of what it returns.
    #[schema(value_type = text::JsonValue)]
    output: Value,
    /// One action for each key of the object there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<text::ConfigPointer>)]
    each: Option<String>,
}

/// A kind of record.
#[derive(Debug, Serialize, ToSchema)]
struct ManifestModel {
    #[schema(value_type = text::Name)]
    name: String,
    description: String,
    /// The JSON Schema of its records' bodies.
    #[schema(value_type = text::JsonValue)]
    schema: Value,
}

/// What a plugin asks for. Nothing is granted by asking.
#[derive(Debug, Serialize, ToSchema)]
struct Capabilities {
    /// Origins; `base-url` for the connection's own, `granted` for whatever is granted.
    hosts: Vec<String>,
    /// Change feeds, `INTEGRATION/MODEL`; `config` for those that the connection's config names.
    feeds: Vec<String>,
    metadata_write: bool,
    /// By name (docs/limits.md).
    limits: BTreeMap<String, u64>,
    /// How fast each connection may ask each origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<RateLimit>,
}

impl From<manifest::Manifest> for Manifest {
    fn from(manifest: manifest::Manifest) -> Self {
        Self {
            manifest: manifest.manifest,
            name: manifest.name.to_string(),
            version: manifest.version.to_string(),
            description: manifest.description,
            sdk: manifest.sdk,
            syncs: manifest.syncs.into_iter().map(Into::into).collect(),
            actions: manifest.actions.into_iter().map(Into::into).collect(),
            models: manifest.models.into_iter().map(Into::into).collect(),
            events: manifest.events.iter().map(ToString::to_string).collect(),
            capabilities: manifest.capabilities.into(),
            config: manifest.config,
            auth: manifest.auth.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<manifest::Sync> for ManifestSync {
    fn from(sync: manifest::Sync) -> Self {
        Self {
            name: sync.name,
            description: sync.description,
            models: sync.models,
            schedule: sync.schedule.map(|schedule| match schedule {
                ScheduleSpec::Every { every } => DefaultSchedule {
                    every: Some(every),
                    ..DefaultSchedule::default()
                },
                ScheduleSpec::Cron { cron, timezone } => DefaultSchedule {
                    cron: Some(cron),
                    timezone: Some(timezone),
                    ..DefaultSchedule::default()
                },
            }),
            each: sync.each,
        }
    }
}

impl From<manifest::ActionSpec> for ManifestAction {
    fn from(action: manifest::ActionSpec) -> Self {
        Self {
            name: action.name,
            description: action.description,
            models: action.models,
            input: action.input,
            output: action.output,
            each: action.each,
        }
    }
}

impl From<manifest::Model> for ManifestModel {
    fn from(model: manifest::Model) -> Self {
        Self {
            name: model.name.to_string(),
            description: model.description,
            schema: model.schema,
        }
    }
}

impl From<manifest::Capabilities> for Capabilities {
    fn from(capabilities: manifest::Capabilities) -> Self {
        Self {
            hosts: capabilities.hosts.into_iter().map(String::from).collect(),
            feeds: capabilities.feeds.into_iter().map(String::from).collect(),
            metadata_write: capabilities.metadata_write,
            limits: capabilities.limits,
            rate_limit: capabilities.rate_limit.map(Into::into),
        }
    }
}
