//! What a plugin says of itself, parsed and checked (`docs/manifest.md`).

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Name;
use crate::grant::{FeedPattern, HostRequest};
use crate::limits::{self, LimitValues};

/// Longest manifest, in bytes: larger than any honest one, small enough to parse at once.
pub const MANIFEST_BYTES_MAX: usize = 1024 * 1024;
/// Most syncs, actions and models of one plugin, each.
pub const MANIFEST_ENTRIES_MAX: usize = 256;
/// The version of the shape.
pub const MANIFEST_VERSION: u32 = 1;

/// Why a manifest is refused. The plugin's author must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("the manifest has {bytes} bytes; the most is {MANIFEST_BYTES_MAX}")]
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

/// An action that the plugin exports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionSpec {
    pub name: Name,
    #[serde(default)]
    pub description: String,
    /// Models that it may read and write; `["*"]`: those of the plugin's `each` sync.
    #[serde(default)]
    pub models: Vec<String>,
    #[serde(default = "empty_schema")]
    pub input: Value,
    #[serde(default = "empty_schema")]
    pub output: Value,
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
        if text == "config" { Ok(Self::Config) } else { text.parse().map(Self::Feed) }
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

/// How secrets are put on requests to the connection's own origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Auth {
    Bearer {
        token: String,
    },
    Basic {
        username: String,
        password: String,
    },
    Header {
        name: AuthName,
        value: String,
        #[serde(default)]
        prefix: String,
    },
    Query {
        name: AuthName,
        value: String,
    },
}

impl Auth {
    /// The secrets that it needs.
    #[must_use]
    pub fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Bearer { token } => vec![token],
            Self::Basic { username, password } => vec![username, password],
            Self::Header { value, .. } | Self::Query { value, .. } => vec![value],
        }
    }
}

/// The name of a header or query parameter: fixed, or read from the connection's config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AuthName {
    Fixed(String),
    Config { config: String, default: String },
}

impl AuthName {
    /// The name, for a connection with this config.
    #[must_use]
    pub fn resolve<'a>(&'a self, config: &'a Map<String, Value>) -> &'a str {
        match self {
            Self::Fixed(name) => name,
            Self::Config { config: pointer, default } => {
                pointer_get(config, pointer).and_then(Value::as_str).unwrap_or(default)
            }
        }
    }
}

/// `Value::pointer` on an object.
fn pointer_get<'a>(object: &'a Map<String, Value>, pointer: &str) -> Option<&'a Value> {
    let rest = pointer.strip_prefix('/')?;
    let (first, tail) = match rest.split_once('/') {
        Some((first, tail)) => (first, Some(tail)),
        None => (rest, None),
    };
    let value = object.get(&first.replace("~1", "/").replace("~0", "~"))?;
    match tail {
        None => Some(value),
        Some(tail) => value.pointer(&format!("/{tail}")),
    }
}

/// A sync with its models, for one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedSync {
    pub name: Name,
    pub models: Vec<Name>,
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
            None => return Err(shape("manifest", "the version of the manifest's shape is missing")),
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
            ("capabilities.hosts", self.capabilities.hosts.len()),
            ("capabilities.feeds", self.capabilities.feeds.len()),
            ("auth", self.auth.len()),
        ];
        for (path, size) in sizes {
            if size > MANIFEST_ENTRIES_MAX {
                return Err(shape(path, format!("{size} entries; the most is {MANIFEST_ENTRIES_MAX}")));
            }
        }
        unique("syncs", self.syncs.iter().map(|s| s.name.as_str()))?;
        unique("actions", self.actions.iter().map(|a| a.name.as_str()))?;
        unique("models", self.models.iter().map(|m| m.name.as_str()))?;
        for (index, sync) in self.syncs.iter().enumerate() {
            self.check_sync(&format!("syncs[{index}]"), sync)?;
        }
        for (index, action) in self.actions.iter().enumerate() {
            let each = self.syncs.iter().any(|s| s.each.is_some());
            self.check_models(&format!("actions[{index}].models"), &action.models, each)?;
        }
        limits::check(&self.capabilities.limits).map_err(|e| shape("capabilities.limits", e))
    }

    fn check_sync(&self, path: &str, sync: &Sync) -> Result<(), ManifestError> {
        if let Some(pointer) = &sync.each {
            if !pointer.starts_with('/') {
                return Err(shape(&format!("{path}.each"), "a JSON pointer starts with /"));
            }
            if sync.name != "*" || sync.models != ["*"] {
                return Err(shape(path, "with `each`, name must be \"*\" and models [\"*\"]"));
            }
            return Ok(());
        }
        if let Err(error) = sync.name.parse::<Name>() {
            return Err(shape(&format!("{path}.name"), error));
        }
        if sync.models.is_empty() {
            return Err(shape(&format!("{path}.models"), "a sync writes at least one model"));
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
                })),
                Some(pointer) => syncs.extend(
                    each_keys(config, pointer)
                        .filter_map(|key| key.parse::<Name>().ok())
                        .map(|name| ResolvedSync { models: vec![name.clone()], name }),
                ),
            }
        }
        syncs
    }

    /// Keys under an `each` pointer that can't name a sync.
    #[must_use]
    pub fn bad_each_keys(&self, config: &Map<String, Value>) -> Vec<String> {
        let pointers = self.syncs.iter().filter_map(|sync| sync.each.as_deref());
        pointers
            .flat_map(|pointer| each_keys(config, pointer))
            .filter(|key| key.parse::<Name>().is_err())
            .map(str::to_owned)
            .collect()
    }

    /// The models that an action may read and write, for a connection with this config.
    #[must_use]
    pub fn action_models(&self, action: &ActionSpec, config: &Map<String, Value>) -> Vec<Name> {
        if action.models.iter().any(|m| m == "*") {
            return self.syncs_for(config).into_iter().flat_map(|s| s.models).collect();
        }
        action.models.iter().filter_map(|m| m.parse().ok()).collect()
    }

    /// The auth entry that a connection with these secrets uses.
    #[must_use]
    pub fn auth_for(&self, has_secret: impl Fn(&str) -> bool) -> Option<&Auth> {
        self.auth.iter().find(|auth| auth.secrets().into_iter().all(&has_secret))
    }
}

fn each_keys<'a>(config: &'a Map<String, Value>, pointer: &str) -> impl Iterator<Item = &'a str> {
    let object = pointer_get(config, pointer).and_then(Value::as_object);
    object.into_iter().flat_map(|o| o.keys().map(String::as_str))
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
    ManifestError::Shape { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({
            "manifest": 1, "name": "crm", "version": "0.1.0",
            "syncs": [
                {"name": "contacts", "models": ["Contact"], "schedule": {"every": "1h"}},
                {"name": "*", "models": ["*"], "each": "/models"},
            ],
            "actions": [{"name": "create", "models": ["Contact", "*"]}],
            "models": [{"name": "Contact"}],
            "capabilities": {"hosts": ["base-url", "https://*.example.com"], "feeds": ["config", "a/B"]},
            "auth": [
                {"kind": "bearer", "token": "token"},
                {"kind": "header", "name": {"config": "/auth/header", "default": "X-Key"}, "value": "key"},
            ],
        })
    }

    #[test]
    fn a_good_manifest_keeps_its_meaning() {
        let manifest = Manifest::parse(&good().to_string()).unwrap();
        let again = Manifest::parse(&serde_json::to_string(&manifest).unwrap()).unwrap();
        assert_eq!(again, manifest);
        let config = json!({"models": {"issues": {}, "bad name": {}}, "auth": {"header": "X-Mine"}});
        let config = config.as_object().unwrap();
        let names: Vec<String> =
            manifest.syncs_for(config).iter().map(|s| s.name.to_string()).collect();
        assert_eq!(names, ["contacts", "issues"]);
        assert_eq!(manifest.bad_each_keys(config), ["bad name"]);
        assert_eq!(manifest.action_models(&manifest.actions[0], config).len(), 2);
        let auth = manifest.auth_for(|secret| secret == "key").unwrap();
        let Auth::Header { name, .. } = auth else { panic!("{auth:?}") };
        assert_eq!(name.resolve(config), "X-Mine");
        assert_eq!(name.resolve(&Map::new()), "X-Key");
    }

    #[test]
    fn bad_manifests_name_the_place() {
        let mut rows: Vec<(Value, &str)> = Vec::new();
        for (pointer, value, message) in [
            ("/manifest", json!(2), "version 2"),
            ("/name", json!("a b"), "at name"),
            ("/version", json!("one"), "at version"),
            ("/syncs/0/models", json!(["Person"]), "at syncs[0].models"),
            ("/syncs/0/models", json!([]), "at least one model"),
            ("/syncs/0/name", json!("*"), "twice"),
            ("/syncs/1/each", json!("models"), "JSON pointer"),
            ("/syncs/1/name", json!("all"), "must be \"*\""),
            ("/syncs/0/schedule", json!({"evry": "1h"}), "at syncs[0].schedule"),
            ("/capabilities/hosts/0", json!("*"), "every host"),
            ("/capabilities/feeds/1", json!("nope"), "at capabilities.feeds[1]"),
            ("/auth/0/kind", json!("magic"), "magic"),
        ] {
            let mut manifest = good();
            *manifest.pointer_mut(pointer).unwrap() = value;
            rows.push((manifest, message));
        }
        let mut manifest = good();
        manifest["hosts"] = json!([]);
        rows.push((manifest, "unknown field `hosts`"));
        let mut manifest = good();
        manifest["capabilities"]["limits"] = json!({"ram": 1});
        rows.push((manifest, "unknown limit"));
        for (manifest, message) in rows {
            let error = Manifest::parse(&manifest.to_string()).unwrap_err().to_string();
            assert!(error.contains(message), "wanted {message:?} in {error}");
        }
        assert!(Manifest::parse("{").is_err());
        assert!(Manifest::parse(&"[".repeat(100_000)).is_err());
    }
}
