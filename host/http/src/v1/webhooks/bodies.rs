//! What is sent to add and to change a webhook endpoint, and to deliver again.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer};
use tidegate_engine::{ConnectionName, Name};
use tidegate_service::control::{EndpointFilter, EndpointUpdate, NewEndpoint};
use url::Url;
use utoipa::ToSchema;

use crate::views::{EventType, text};

/// An endpoint to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateEndpoint {
    /// Where to deliver: https, or http in private ranges that the server was allowed. At most 2,048 bytes.
    #[schema(value_type = text::Url)]
    url: Url,
    /// A note, of at most 500 bytes.
    #[serde(default)]
    description: String,
    /// Only events of these types (docs/webhooks.md); none means all.
    #[serde(default)]
    events: BTreeSet<EventType>,
    /// Only what is about this integration.
    #[serde(default)]
    #[schema(value_type = Option<text::Name>)]
    integration: Option<Name>,
    /// Only what is about this connection of `integration`.
    #[serde(default)]
    #[schema(value_type = Option<text::ConnectionName>)]
    connection: Option<ConnectionName>,
}

impl CreateEndpoint {
    pub(super) fn into_new(self) -> NewEndpoint {
        NewEndpoint {
            url: self.url,
            description: self.description,
            filter: EndpointFilter {
                events: self.events.into_iter().map(Into::into).collect(),
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
    #[schema(value_type = Option<text::Url>)]
    url: Option<Url>,
    description: Option<String>,
    /// An empty list means all types.
    events: Option<BTreeSet<EventType>>,
    /// `null` means all integrations.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<text::Name>)]
    integration: Option<Option<Name>>,
    /// `null` means all connections.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<text::ConnectionName>)]
    connection: Option<Option<ConnectionName>>,
    /// True: deliver again, beginning with what waits, and count failures anew. False: deliver nothing;
    /// what waits stays.
    enabled: Option<bool>,
}

impl UpdateEndpoint {
    pub(super) fn into_update(self) -> EndpointUpdate {
        let events = self.events;
        EndpointUpdate {
            url: self.url,
            description: self.description,
            events: events.map(|events| events.into_iter().map(Into::into).collect()),
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
    /// Events since then.
    #[schema(value_type = text::Time)]
    pub(super) since: String,
    /// Also what was delivered, and what the endpoint never got; else only what is exhausted or waits
    /// for another attempt.
    #[serde(default)]
    pub(super) all: bool,
    /// Go on after this event: the `more_after` of an earlier replay.
    #[serde(default)]
    pub(super) after: Option<u64>,
}
