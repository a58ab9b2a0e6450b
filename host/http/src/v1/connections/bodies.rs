//! What is sent to add and to change a connection.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use tidegate_egress::Secret;
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use tidegate_service::control::{ConnectionUpdate, NewConnection, ObjectChange};
use tidegate_service::secrets::{SECRET_BYTES_MAX, SecretMap};
use url::Url;
use utoipa::ToSchema;

use super::super::problem::{Answer, Failed};
use crate::views::text;

/// A connection to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateConnection {
    #[schema(value_type = text::ConnectionName)]
    connection: ConnectionName,
    /// Where the account's API is.
    #[schema(value_type = text::Url)]
    base_url: Url,
    #[serde(default)]
    #[schema(value_type = Option<text::JsonObject>)]
    config: Map<String, Value>,
    #[serde(default)]
    #[schema(value_type = Option<text::JsonObject>)]
    metadata: Map<String, Value>,
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    external_id: Option<String>,
    /// Credentials by name, as the plugin's manifest knows them. They are sealed, and never shown.
    #[serde(default, deserialize_with = "secrets")]
    #[schema(value_type = Option<BTreeMap<String, String>>, write_only)]
    secrets: BTreeMap<String, Option<Secret>>,
}

impl CreateConnection {
    pub(super) fn into_new(self, integration: Name) -> Answer<NewConnection> {
        let mut secrets = SecretMap::new();
        for (name, secret) in self.secrets {
            let missing = || {
                Failed::invalid(format!(
                    "secrets.{name}: a new connection has none to remove"
                ))
            };
            secrets.insert(name.clone(), secret.ok_or_else(missing)?);
        }
        Ok(NewConnection {
            key: ConnectionKey {
                integration,
                connection: self.connection,
            },
            base_url: self.base_url,
            config: self.config,
            metadata: self.metadata,
            tags: self.tags,
            external_id: self.external_id,
            secrets,
        })
    }
}

/// What to change of a connection.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateConnection {
    #[serde(default)]
    #[schema(value_type = Option<text::Url>)]
    base_url: Option<Url>,
    /// Merged: members of `null` go.
    #[serde(default)]
    #[schema(value_type = Option<text::JsonObject>)]
    config: Map<String, Value>,
    /// Merged: members of `null` go.
    #[serde(default)]
    #[schema(value_type = Option<text::JsonObject>)]
    metadata: Map<String, Value>,
    /// Merged: tags of `null` go.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    tags: BTreeMap<String, Option<String>>,
    /// `null` takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    external_id: Option<Option<String>>,
    /// Merged: credentials of `null` go.
    #[serde(default, deserialize_with = "secrets")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>, write_only)]
    secrets: BTreeMap<String, Option<Secret>>,
    /// Send the credentials that stay to `base_url`, should its origin be another one than they were given for. Without
    /// it, such an update must give all of them anew.
    #[serde(default)]
    keep_secrets: bool,
}

impl UpdateConnection {
    pub(super) fn into_update(self) -> Answer<ConnectionUpdate> {
        let mut update = ConnectionUpdate {
            base_url: self.base_url,
            config: ObjectChange::Merge(self.config),
            metadata: ObjectChange::Merge(self.metadata),
            external_id: self.external_id,
            keep_secrets: self.keep_secrets,
            missing_is_fine: true,
            ..ConnectionUpdate::default()
        };
        (update.tags, update.untag) = parted(self.tags);
        (update.secrets, update.remove_secrets) = parted(self.secrets);
        Ok(update)
    }
}

/// What has a value, and the names of what has none.
fn parted<T>(all: BTreeMap<String, Option<T>>) -> (BTreeMap<String, T>, BTreeSet<String>) {
    let (mut with, mut without) = (BTreeMap::new(), BTreeSet::new());
    for (name, value) in all {
        match value {
            Some(value) => drop(with.insert(name, value)),
            None => drop(without.insert(name)),
        }
    }
    (with, without)
}

/// A member that is there, though it may be `null`.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// Secrets by name. What is wrong is told without repeating what could be one.
fn secrets<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, Option<Secret>>, D::Error> {
    let wrong = |text: &str| serde::de::Error::custom(text.to_owned());
    let Value::Object(members) = Value::deserialize(from)? else {
        return Err(wrong("an object is expected, with a text for each name"));
    };
    let mut secrets = BTreeMap::new();
    for (name, value) in members {
        let secret = match value {
            Value::Null => None,
            Value::String(text) if text.len() > SECRET_BYTES_MAX => {
                return Err(wrong("a secret is longer than it may be"));
            }
            Value::String(text) => Some(Secret::new(text)),
            _ => return Err(wrong("a text is expected for each name")),
        };
        secrets.insert(name, secret);
    }
    Ok(secrets)
}
