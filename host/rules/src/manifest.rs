//! What a plugin says of itself, parsed and checked (`docs/manifest.md`).

mod auth;
mod oauth;
mod template;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Name;
use crate::grant::{FeedPattern, HostRequest, RateLimit};
use crate::limits::{self, LimitValues};
use crate::schedule::{Cron, ScheduleError, Timing};

use auth::pointer_get;
pub use auth::{Auth, AuthName, TEMPLATES_MAX};
pub use oauth::{ClientAuth, ClientCredentials, Fault, RefreshToken, Setting, TokenRequest};
pub use template::{SecretTemplate, TEMPLATE_BYTES_MAX, TemplateError, TemplatePart};

/// Longest manifest, in bytes: larger than any honest one, small enough to parse at once.
#[expect(clippy::cast_possible_truncation, reason = "a constant far below")]
pub const MANIFEST_BYTES_MAX: usize = limits::MANIFEST_BYTES as usize;
/// Most syncs, actions and models of one plugin, each.
#[expect(clippy::cast_possible_truncation, reason = "a constant far below")]
pub const MANIFEST_ENTRIES_MAX: usize = limits::MANIFEST_ENTRIES as usize;
/// The version of the shape.
pub const MANIFEST_VERSION: u32 = 1;

/// Why a manifest is refused. The plugin's author must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("the manifest has {bytes} bytes; the limit manifest_bytes is {MANIFEST_BYTES_MAX}")]
    Long { bytes: usize },
    #[error("the manifest has version {0}; this host knows version {MANIFEST_VERSION}")]
    Version(u64),
    #[error("the manifest is not valid at {path}: {reason}")]
    Shape { path: String, reason: String },
}

/// The manifest, valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub manifest: u32,
    pub name: Name,
    pub version: semver::Version,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub sdk: String,
    #[serde(default)]
    pub syncs: Vec<Sync>,
    #[serde(default)]
    pub actions: Vec<ActionSpec>,
    #[serde(default)]
    pub models: Vec<Model>,
    /// Kinds of events that it answers.
    #[serde(default)]
    pub events: Vec<Name>,
    #[serde(default)]
    pub capabilities: Capabilities,
    /// JSON Schema of a connection's config.
    #[serde(default = "empty_schema")]
    pub config: Value,
    #[serde(default)]
    pub auth: Vec<Auth>,
}

fn empty_schema() -> Value {
    Value::Object(Map::new())
}

/// A sync that the plugin exports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sync {
    /// `*` with `each`.
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// Models that it writes; `["*"]` with `each`.
    pub models: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleSpec>,
    /// A JSON pointer into the connection's config: one sync for each key of the object there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<String>,
}

/// When a sync runs by default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum ScheduleSpec {
    Every { every: String },
    Cron { cron: String, timezone: String },
}

impl ScheduleSpec {
    /// When that is.
    pub fn timing(&self) -> Result<Timing, ScheduleError> {
        match self {
            Self::Every { every } => every.parse().map(Timing::Every),
            Self::Cron { cron, timezone } => {
                Cron::new(cron, timezone).map(Box::new).map(Timing::Cron)
            }
        }
    }
}

/// An action that the plugin exports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionSpec {
    /// `*` with `each`.
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// Models that it may read and write; `["*"]`: those of the plugin's `each` sync.
    #[serde(default)]
    pub models: Vec<String>,
    #[serde(default = "empty_schema")]
    pub input: Value,
    #[serde(default = "empty_schema")]
    pub output: Value,
    /// A JSON pointer into the connection's config: one action for each key of the object there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<String>,
}

/// A kind of record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub name: Name,
    #[serde(default)]
    pub description: String,
    #[serde(default = "empty_schema")]
    pub schema: Value,
}

/// What the plugin asks for. Nothing is granted by asking.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capabilities {
    pub hosts: Vec<HostRequest>,
    pub feeds: Vec<FeedRequest>,
    pub metadata_write: bool,
    pub limits: LimitValues,
    /// How fast each connection may ask each origin: what the API's documentation allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
}

/// A feed that the plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FeedRequest {
    /// `config`: the connection's config names them.
    Config,
    Feed(FeedPattern),
}

impl TryFrom<String> for FeedRequest {
    type Error = crate::grant::FeedError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "config" {
            Ok(Self::Config)
        } else {
            text.parse().map(Self::Feed)
        }
    }
}

impl From<FeedRequest> for String {
    fn from(request: FeedRequest) -> Self {
        match request {
            FeedRequest::Config => "config".to_owned(),
            FeedRequest::Feed(feed) => feed.to_string(),
        }
    }
}

/// A sync with its models, for one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedSync {
    pub name: Name,
    pub models: Vec<Name>,
    pub schedule: Option<ScheduleSpec>,
}

/// An action with its models, for one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedAction<'a> {
    pub name: Name,
    /// Models that it may read and write.
    pub models: Vec<Name>,
    pub spec: &'a ActionSpec,
}

impl Manifest {
    /// Parse and check a manifest.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::Long { bytes: text.len() });
        }
        let value: Value = serde_json::from_str(text)
            .map_err(|error| shape("the whole text", format!("not JSON: {error}")))?;
        match value.get("manifest").and_then(Value::as_u64) {
            Some(version) if version == u64::from(MANIFEST_VERSION) => {}
            Some(version) => return Err(ManifestError::Version(version)),
            None => {
                return Err(shape(
                    "manifest",
                    "the version of the manifest's shape is missing",
                ));
            }
        }
        let manifest: Self = serde_path_to_error::deserialize(value)
            .map_err(|error| shape(&error.path().to_string(), error.inner()))?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        let sizes = [
            ("syncs", self.syncs.len()),
            ("actions", self.actions.len()),
            ("models", self.models.len()),
            ("events", self.events.len()),
            ("capabilities.hosts", self.capabilities.hosts.len()),
            ("capabilities.feeds", self.capabilities.feeds.len()),
            ("auth", self.auth.len()),
        ];
        for (path, size) in sizes {
            if size > MANIFEST_ENTRIES_MAX {
                return Err(shape(
                    path,
                    format!("{size} entries; the limit manifest_entries is {MANIFEST_ENTRIES_MAX}"),
                ));
            }
        }
        unique("syncs", self.syncs.iter().map(|s| s.name.as_str()))?;
        unique("actions", self.actions.iter().map(|a| a.name.as_str()))?;
        unique("models", self.models.iter().map(|m| m.name.as_str()))?;
        unique("events", self.events.iter().map(Name::as_str))?;
        for (index, sync) in self.syncs.iter().enumerate() {
            self.check_sync(&format!("syncs[{index}]"), sync)?;
        }
        for (index, action) in self.actions.iter().enumerate() {
            self.check_action(&format!("actions[{index}]"), action)?;
        }
        for (index, auth) in self.auth.iter().enumerate() {
            auth.check()
                .map_err(|fault| shape(&format!("auth[{index}]"), fault))?;
        }
        self.check_schemas()?;
        limits::check(&self.capabilities.limits).map_err(|e| shape("capabilities.limits", e))
    }

    /// Whether it answers this kind of event.
    #[must_use]
    pub fn answers(&self, event: &str) -> bool {
        self.events.iter().any(|kind| kind.as_str() == event)
    }

    fn check_schemas(&self) -> Result<(), ManifestError> {
        let models = self.models.iter().enumerate();
        let models = models.map(|(n, model)| (format!("models[{n}].schema"), &model.schema));
        let actions = self.actions.iter().enumerate().flat_map(|(n, action)| {
            [
                (format!("actions[{n}].input"), &action.input),
                (format!("actions[{n}].output"), &action.output),
            ]
        });
        let config = std::iter::once(("config".to_owned(), &self.config));
        for (path, schema) in config.chain(models).chain(actions) {
            if !(schema.is_object() || schema.is_boolean()) {
                return Err(shape(&path, "a JSON Schema is an object, or true or false"));
            }
        }
        Ok(())
    }

    fn check_action(&self, path: &str, action: &ActionSpec) -> Result<(), ManifestError> {
        if let Some(pointer) = &action.each {
            check_pointer(path, pointer)?;
            if action.name != "*" {
                return Err(shape(path, "with `each`, name must be \"*\""));
            }
        } else if let Err(error) = action.name.parse::<Name>() {
            return Err(shape(&format!("{path}.name"), error));
        }
        let each = self.syncs.iter().any(|s| s.each.is_some());
        self.check_models(&format!("{path}.models"), &action.models, each)
    }

    fn check_sync(&self, path: &str, sync: &Sync) -> Result<(), ManifestError> {
        if let Some(schedule) = &sync.schedule {
            let place = format!("{path}.schedule");
            schedule.timing().map_err(|error| shape(&place, error))?;
        }
        if let Some(pointer) = &sync.each {
            check_pointer(path, pointer)?;
            if sync.name != "*" || sync.models != ["*"] {
                return Err(shape(
                    path,
                    "with `each`, name must be \"*\" and models [\"*\"]",
                ));
            }
            return Ok(());
        }
        if let Err(error) = sync.name.parse::<Name>() {
            return Err(shape(&format!("{path}.name"), error));
        }
        if sync.models.is_empty() {
            return Err(shape(
                &format!("{path}.models"),
                "a sync writes at least one model",
            ));
        }
        self.check_models(&format!("{path}.models"), &sync.models, false)
    }

    fn check_models(&self, path: &str, models: &[String], star: bool) -> Result<(), ManifestError> {
        for model in models {
            let known = self.models.iter().any(|m| m.name.as_str() == model);
            if !(known || star && model == "*") {
                return Err(shape(path, format!("{model:?} is not listed in models")));
            }
        }
        Ok(())
    }

    /// The syncs of a connection with this config (the integration's, with its own over it).
    /// Keys of an `each` object that are not names are left out, and reported by
    /// [`Self::bad_each_keys`].
    #[must_use]
    pub fn syncs_for(&self, config: &Map<String, Value>) -> Vec<ResolvedSync> {
        let mut syncs = Vec::new();
        for sync in &self.syncs {
            match &sync.each {
                None => syncs.extend(sync.name.parse().ok().map(|name| ResolvedSync {
                    name,
                    models: sync.models.iter().filter_map(|m| m.parse().ok()).collect(),
                    schedule: sync.schedule.clone(),
                })),
                Some(pointer) => syncs.extend(
                    each_keys(config, pointer)
                        .filter_map(|key| key.parse::<Name>().ok())
                        .map(|name| ResolvedSync {
                            models: vec![name.clone()],
                            schedule: sync.schedule.clone(),
                            name,
                        }),
                ),
            }
        }
        syncs
    }

    /// The actions of a connection with this config. Keys of an `each` object that are not names are
    /// left out, and reported by [`Self::bad_each_keys`].
    #[must_use]
    pub fn actions_for(&self, config: &Map<String, Value>) -> Vec<ResolvedAction<'_>> {
        let named = self.actions.iter().flat_map(|spec| {
            let keys: Vec<&str> = match &spec.each {
                None => vec![spec.name.as_str()],
                Some(pointer) => each_keys(config, pointer).collect(),
            };
            keys.into_iter().map(move |key| (key, spec))
        });
        let resolved = |(key, spec): (&str, _)| {
            Some(ResolvedAction {
                name: key.parse().ok()?,
                models: self.action_models(spec, config),
                spec,
            })
        };
        named.filter_map(resolved).collect()
    }

    /// Keys under an `each` pointer that can't name a sync or an action.
    #[must_use]
    pub fn bad_each_keys(&self, config: &Map<String, Value>) -> Vec<String> {
        let syncs = self.syncs.iter().filter_map(|sync| sync.each.as_deref());
        let actions = self.actions.iter();
        let actions = actions.filter_map(|action| action.each.as_deref());
        syncs
            .chain(actions)
            .flat_map(|pointer| each_keys(config, pointer))
            .filter(|key| key.parse::<Name>().is_err())
            .map(str::to_owned)
            .collect()
    }

    fn action_models(&self, action: &ActionSpec, config: &Map<String, Value>) -> Vec<Name> {
        if action.models.iter().any(|m| m == "*") {
            return self
                .syncs_for(config)
                .into_iter()
                .flat_map(|s| s.models)
                .collect();
        }
        action
            .models
            .iter()
            .filter_map(|m| m.parse().ok())
            .collect()
    }

    /// The auth entry that a connection with these secrets uses.
    #[must_use]
    pub fn auth_for(&self, has_secret: impl Fn(&str) -> bool) -> Option<&Auth> {
        self.auth
            .iter()
            .find(|auth| auth.needs().into_iter().all(&has_secret))
    }
}

fn each_keys<'a>(config: &'a Map<String, Value>, pointer: &str) -> impl Iterator<Item = &'a str> {
    let object = pointer_get(config, pointer).and_then(Value::as_object);
    object
        .into_iter()
        .flat_map(|o| o.keys().map(String::as_str))
}

fn check_pointer(path: &str, pointer: &str) -> Result<(), ManifestError> {
    if pointer.starts_with('/') {
        return Ok(());
    }
    let reason = "a JSON pointer starts with /";
    Err(shape(&format!("{path}.each"), reason))
}

fn unique<'a>(path: &str, names: impl Iterator<Item = &'a str>) -> Result<(), ManifestError> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(shape(path, format!("{name:?} is listed twice")));
        }
    }
    Ok(())
}

fn shape(path: &str, reason: impl std::fmt::Display) -> ManifestError {
    // The reason can quote the manifest, which can be long.
    let reason = format!("{reason}").chars().take(500).collect();
    ManifestError::Shape {
        path: path.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests;
