//! What is sent to add and to change a webhook endpoint, and to deliver again.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer};
use tidegate_engine::webhook::EventType;
use tidegate_engine::{ConnectionName, Name};
use tidegate_service::control::{EndpointFilter, EndpointUpdate, NewEndpoint};
use url::Url;
use utoipa::ToSchema;

/// An endpoint to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateEndpoint {
    /// Where to deliver: https, or http in private ranges that the server was allowed. At most 2,048 bytes.
    #[schema(value_type = String)]
    url: Url,
    /// A note, of at most 500 bytes.
    #[serde(default)]
    description: String,
    /// Only events of these types (docs/webhooks.md); none means all.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    events: BTreeSet<EventType>,
    /// Only what is about this integration.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    integration: Option<Name>,
    /// Only what is about this connection of `integration`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    connection: Option<ConnectionName>,
}

impl CreateEndpoint {
    pub(super) fn into_new(self) -> NewEndpoint {
        NewEndpoint {
            url: self.url,
            description: self.description,
            filter: EndpointFilter {
                events: self.events,
                integration: self.integration,
                connection: self.connection,
            },
        }
    }
}

/// What to change of an endpoint.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct UpdateEndpoint {
    #[schema(value_type = Option<String>)]
    url: Option<Url>,
    description: Option<String>,
    /// An empty list means all types.
    #[schema(value_type = Option<Vec<String>>)]
    events: Option<BTreeSet<EventType>>,
    /// `null` means all integrations.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    integration: Option<Option<Name>>,
    /// `null` means all connections.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    connection: Option<Option<ConnectionName>>,
    /// True: deliver again, beginning with what waits, and count failures anew. False: deliver nothing;
    /// what waits stays.
    enabled: Option<bool>,
}

impl UpdateEndpoint {
    pub(super) fn into_update(self) -> EndpointUpdate {
        EndpointUpdate {
            url: self.url,
            description: self.description,
            events: self.events,
            integration: self.integration,
            connection: self.connection,
            enabled: self.enabled,
        }
    }
}

/// A member that is there, though it may be `null`.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// How to replace a secret.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RotateSecret {
    /// The old secrets sign no more at once.
    pub(super) now: bool,
}

/// What to deliver again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewReplay {
    /// Events since then, RFC 3339.
    pub(super) since: String,
    /// Also what was delivered, and what the endpoint never got; else only what is exhausted or waits
    /// for another attempt.
    #[serde(default)]
    pub(super) all: bool,
    /// Go on after this event: the `more_after` of an earlier replay.
    #[serde(default)]
    pub(super) after: Option<u64>,
}
