//! Webhook endpoints, without their secrets, and what became of deliveries.

use std::collections::BTreeSet;

use serde::Serialize;
use tidegate_engine::store;
use tidegate_engine::webhook::{
    self, DeliveryErrorKind, DeliveryState, EndpointId, EventId, EventType, without_query,
};
use tidegate_engine::{ConnectionName, Name};
use tidegate_service::control;
use tidegate_service::display;
use utoipa::ToSchema;

/// A URL that hears of events.
#[derive(Debug, Serialize, ToSchema)]
pub struct Endpoint {
    #[schema(value_type = String)]
    id: EndpointId,
    url: String,
    description: String,
    /// The types of events that it gets; none means all.
    #[schema(value_type = Vec<String>)]
    events: BTreeSet<EventType>,
    /// Only what is about this integration.
    #[schema(value_type = Option<String>)]
    integration: Option<Name>,
    /// Only what is about this connection of `integration`.
    #[schema(value_type = Option<String>)]
    connection: Option<ConnectionName>,
    /// Newest first.
    secrets: Vec<SigningSecret>,
    /// Nothing while it is delivered to.
    disabled: Option<Disabled>,
    /// When the failures began, since which nothing was delivered.
    first_failure_at: Option<String>,
    created_at: String,
    /// Counts its changes.
    revision: u64,
}

/// A secret that signs, without itself.
#[derive(Debug, Serialize, ToSchema)]
struct SigningSecret {
    created_at: String,
    /// Nothing for the current one.
    expires_at: Option<String>,
}

/// Since when an endpoint gets nothing, and why.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DisabledEndpoint)]
struct Disabled {
    at: String,
    /// `gone`, `failing`, `full` or `operator`.
    why: &'static str,
}

impl From<&webhook::Endpoint> for Endpoint {
    fn from(endpoint: &webhook::Endpoint) -> Self {
        let secrets = endpoint.secrets.iter().map(|secret| SigningSecret {
            created_at: display::time(secret.created_at),
            expires_at: secret.expires_at.map(display::time),
        });
        Self {
            id: endpoint.id,
            url: endpoint.url.to_string(),
            description: endpoint.description.clone(),
            events: endpoint.events.clone(),
            integration: endpoint.integration.clone(),
            connection: endpoint.connection.clone(),
            secrets: secrets.collect(),
            disabled: endpoint.disabled.map(|disabled| Disabled {
                at: display::time(disabled.at),
                why: disabled.why.as_str(),
            }),
            first_failure_at: endpoint.first_failure_at.map(display::time),
            created_at: display::time(endpoint.created_at),
            revision: endpoint.revision,
        }
    }
}

impl Endpoint {
    /// As those may see it who may not see credentials: the URL's query may hold one.
    pub(crate) fn without_query(endpoint: &webhook::Endpoint) -> Self {
        Self {
            url: without_query(&endpoint.url),
            ..endpoint.into()
        }
    }
}

/// An endpoint with a secret that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub struct EndpointWithSecret {
    #[serde(flatten)]
    endpoint: Endpoint,
    /// `whsec_…`. It is not shown again.
    secret: String,
}

impl From<&control::EndpointSecret> for EndpointWithSecret {
    fn from(made: &control::EndpointSecret) -> Self {
        Self {
            endpoint: (&made.endpoint).into(),
            secret: made.secret.clone(),
        }
    }
}

/// One attempt of a delivery, or a test.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryAttempt)]
pub struct Attempt {
    at: String,
    /// Until the answer's status, or until there was none to be had.
    latency_ms: u64,
    /// The answer's, if there was one; only 2xx is a success.
    status: Option<u16>,
    /// Why there was no answer.
    error: Option<DeliveryError>,
    /// The beginning of the answer's body.
    response: String,
    retry_after_ms: Option<u64>,
}

/// Why there was no answer.
#[derive(Debug, Serialize, ToSchema)]
struct DeliveryError {
    /// `timeout`, `connect`, `denied` or `other`.
    #[schema(value_type = String)]
    kind: DeliveryErrorKind,
    message: String,
}

impl From<&webhook::Attempt> for Attempt {
    fn from(attempt: &webhook::Attempt) -> Self {
        Self {
            at: display::time(attempt.at),
            latency_ms: attempt.latency_ms,
            status: attempt.status,
            error: attempt.no_answer.as_ref().map(|none| DeliveryError {
                kind: none.kind,
                message: none.message.clone(),
            }),
            response: attempt.response.clone(),
            retry_after_ms: attempt.retry_after_ms,
        }
    }
}

/// One event to one endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub struct Delivery {
    #[schema(value_type = String)]
    event: EventId,
    /// The number of the event.
    seq: u64,
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: EventType,
    /// When the event happened.
    event_at: String,
    /// What the event is about.
    #[schema(value_type = Option<String>)]
    integration: Option<Name>,
    #[schema(value_type = Option<String>)]
    connection: Option<ConnectionName>,
    /// `pending`, `delivered` or `exhausted`.
    state: &'static str,
    /// When the next attempt is due, if there is to be one.
    next_at: Option<String>,
    ended_at: Option<String>,
    attempts_made: u32,
    /// The last ones, oldest first.
    attempts: Vec<Attempt>,
}

impl From<&webhook::Delivery> for Delivery {
    fn from(delivery: &webhook::Delivery) -> Self {
        let (next_at, ended_at) = match delivery.state {
            DeliveryState::Pending { next_at } => (Some(next_at), None),
            DeliveryState::Delivered { at } | DeliveryState::Exhausted { at } => (None, Some(at)),
        };
        let about = delivery.stream.as_ref();
        Self {
            event: delivery.event,
            seq: delivery.seq,
            kind: delivery.kind,
            event_at: display::time(delivery.event_at),
            integration: about.map(|key| key.integration.clone()),
            connection: about.map(|key| key.connection.clone()),
            state: delivery.state.as_str(),
            next_at: next_at.map(display::time),
            ended_at: ended_at.map(display::time),
            attempts_made: delivery.made,
            attempts: delivery.attempts.iter().map(Into::into).collect(),
        }
    }
}

/// What a replay did.
#[derive(Debug, Serialize, ToSchema)]
pub struct Replayed {
    /// How many will be made again.
    deliveries: u64,
    /// There may be more: go on after this event.
    more_after: Option<u64>,
}

impl From<store::Replayed> for Replayed {
    fn from(done: store::Replayed) -> Self {
        Self {
            deliveries: done.deliveries,
            more_after: done.more_after,
        }
    }
}
