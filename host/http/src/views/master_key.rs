//! Master keys: how much is sealed under which, and what a rotation did. Never a key itself.

use serde::Serialize;
use tidegate_engine::webhook::EndpointId;
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use tidegate_service::control;
use utoipa::ToSchema;

use super::text;
use super::word::words;

words! {
    /// What a master key is for.
    pub(crate) enum KeyRole of control::KeyRole {
        /// It seals.
        Current = "current",
        /// It will, once a rotation that was interrupted is finished.
        Next = "next",
        /// It is not at hand.
        Unknown = "unknown",
        /// What is sealed does not say by which key.
        Damaged = "damaged",
    }
}

/// A master key, and how much is sealed under it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MasterKey)]
pub(crate) struct KeyStatus {
    /// Its id. Nothing for credentials that are damaged, and don't say their key.
    key: Option<String>,
    role: KeyRole,
    /// Where it comes from, if it is at hand.
    place: Option<String>,
    connections: u64,
    /// Webhook endpoints with a signing secret under it.
    endpoints: u64,
}

/// How much is sealed under which master key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MasterKeys)]
pub struct KeysStatus {
    keys: Vec<KeyStatus>,
    /// Connections that have no credentials.
    without_credentials: u64,
    /// Connections whose credentials the keys at hand don't open, the first of them.
    unreadable: Vec<UnreadableConnection>,
    /// All of these, more than are listed.
    unreadable_count: u64,
    /// Webhook endpoints whose secrets the keys at hand don't open.
    unreadable_endpoints: Vec<UnreadableEndpoint>,
}

/// A connection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectionKey)]
pub(crate) struct Key {
    #[schema(value_type = text::Name)]
    integration: Name,
    #[schema(value_type = text::ConnectionName)]
    connection: ConnectionName,
}

/// A connection whose credentials can't be opened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnreadableConnection {
    #[serde(flatten)]
    key: Key,
    reason: String,
}

/// An endpoint whose secrets can't be opened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnreadableEndpoint {
    #[schema(value_type = text::EndpointId)]
    endpoint: EndpointId,
    reason: String,
}

impl From<&ConnectionKey> for Key {
    fn from(key: &ConnectionKey) -> Self {
        Self {
            integration: key.integration.clone(),
            connection: key.connection.clone(),
        }
    }
}

impl From<&control::KeysStatus> for KeysStatus {
    fn from(status: &control::KeysStatus) -> Self {
        let keys = status.keys.iter().map(|key| KeyStatus {
            key: key.key.clone(),
            role: key.role.into(),
            place: key.place.clone(),
            connections: key.connections,
            endpoints: key.endpoints,
        });
        let unreadable = status.unreadable.iter();
        let unreadable = unreadable.map(|(key, reason)| UnreadableConnection {
            key: key.into(),
            reason: reason.clone(),
        });
        let endpoints = status.unreadable_endpoints.iter();
        let endpoints = endpoints.map(|(endpoint, reason)| UnreadableEndpoint {
            endpoint: *endpoint,
            reason: reason.clone(),
        });
        Self {
            keys: keys.collect(),
            without_credentials: status.without_credentials,
            unreadable: unreadable.collect(),
            unreadable_count: status.unreadable_count,
            unreadable_endpoints: endpoints.collect(),
        }
    }
}

/// What a rotation did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RotatedMasterKey)]
pub struct Rotated {
    /// The ids of the keys.
    from: String,
    to: String,
    /// Connections re-wrapped now; a rotation that was interrupted did others.
    connections: u64,
    /// Webhook endpoints whose secrets were re-wrapped.
    endpoints: u64,
    /// Left as they were, because they can't be opened.
    skipped: Vec<Key>,
    #[schema(value_type = Vec<text::EndpointId>)]
    skipped_endpoints: Vec<EndpointId>,
    /// Whether whoever sets the environment has to put the new key in the old one's place.
    environment: bool,
}

impl From<&control::Rotated> for Rotated {
    fn from(rotated: &control::Rotated) -> Self {
        Self {
            from: rotated.from.clone(),
            to: rotated.to.clone(),
            connections: rotated.connections,
            endpoints: rotated.endpoints,
            skipped: rotated.skipped.iter().map(Into::into).collect(),
            skipped_endpoints: rotated.skipped_endpoints.clone(),
            environment: rotated.environment,
        }
    }
}
