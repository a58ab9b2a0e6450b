//! Webhook endpoints, without their secrets, and what became of deliveries.

use std::collections::BTreeSet;

use serde::Serialize;
use tidegate_engine::store;
use tidegate_engine::webhook::{self, EndpointId, EventId, without_query};
use tidegate_engine::{ConnectionName, Name};
use tidegate_service::control;
use utoipa::ToSchema;

use super::text::{self, Time};
use super::word::words;

words! {
    /// What kind of thing happened.
    pub(crate) enum EventType of webhook::EventType, and back {
        /// A run of a sync ended, and what it committed is there to be read.
        RunFinished = "run.finished",
        /// A run of a sync failed or stalled. What it had committed stays.
        RunFailed = "run.failed",
        /// A connection's credentials are not accepted.
        AuthFailed = "connection.auth_failed",
        /// A connection's config or grants can't work.
        ConfigFailed = "connection.config_failed",
        /// A schedule was paused because its runs kept failing.
        SchedulePaused = "schedule.paused",
        /// Another endpoint is not delivered to any more.
        EndpointDisabled = "endpoint.disabled",
    }
}

words! {
    /// Why an endpoint gets nothing.
    pub(crate) enum DisabledReason of webhook::WhyDisabled {
        /// It answered 410: it wants nothing any more.
        Gone = "gone",
        /// It has failed, and nothing but failed, for five days.
        Failing = "failing",
        /// It has as many deliveries waiting as there may be.
        Full = "full",
        /// Somebody wanted it so.
        Operator = "operator",
    }
}

words! {
    /// What has become of a delivery.
    pub(crate) enum DeliveryState of webhook::DeliveryState {
        /// To be attempted.
        Pending = "pending",
        /// The endpoint has answered 2xx.
        Delivered = "delivered",
        /// All attempts failed. A replay makes it pending again.
        Exhausted = "exhausted",
    }
}

words! {
    /// Why an attempt got no answer.
    pub(crate) enum DeliveryErrorKind of webhook::DeliveryErrorKind {
        /// It took too long.
        Timeout = "timeout",
        /// Name not found, refused, reset, TLS.
        Connect = "connect",
        /// The egress gate let nothing through to it.
        Denied = "denied",
        Other = "other",
    }
}

/// A URL that hears of events.
#[derive(Debug, Serialize, ToSchema)]
pub struct Endpoint {
    #[schema(value_type = text::EndpointId)]
    id: EndpointId,
    #[schema(value_type = text::Url)]
    url: String,
    description: String,
    /// The types of events that it gets; none means all.
    events: BTreeSet<EventType>,
    /// Only what is about this integration.
    #[schema(value_type = Option<text::Name>)]
    integration: Option<Name>,
    /// Only what is about this connection of `integration`.
    #[schema(value_type = Option<text::ConnectionName>)]
    connection: Option<ConnectionName>,
    /// Newest first.
    secrets: Vec<SigningSecret>,
    /// Nothing while it is delivered to.
    disabled: Option<Disabled>,
    /// When the failures began, since which nothing was delivered.
    first_failure_at: Option<Time>,
    created_at: Time,
    /// Counts its changes.
    revision: u64,
}

/// A secret that signs, without itself.
#[derive(Debug, Serialize, ToSchema)]
struct SigningSecret {
    created_at: Time,
    /// Nothing for the current one.
    expires_at: Option<Time>,
}

/// Since when an endpoint gets nothing, and why.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DisabledEndpoint)]
struct Disabled {
    at: Time,
    why: DisabledReason,
}

impl From<&webhook::Endpoint> for Endpoint {
    fn from(endpoint: &webhook::Endpoint) -> Self {
        let secrets = endpoint.secrets.iter().map(|secret| SigningSecret {
            created_at: Time(secret.created_at),
            expires_at: secret.expires_at.map(Time),
        });
        Self {
            id: endpoint.id,
            url: endpoint.url.to_string(),
            description: endpoint.description.clone(),
            events: endpoint.events.iter().map(|kind| (*kind).into()).collect(),
            integration: endpoint.integration.clone(),
            connection: endpoint.connection.clone(),
            secrets: secrets.collect(),
            disabled: endpoint.disabled.map(|disabled| Disabled {
                at: Time(disabled.at),
                why: disabled.why.into(),
            }),
            first_failure_at: endpoint.first_failure_at.map(Time),
            created_at: Time(endpoint.created_at),
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
    #[schema(pattern = "^whsec_[A-Za-z0-9+/=]+$")]
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
    at: Time,
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
    kind: DeliveryErrorKind,
    message: String,
}

impl From<&webhook::Attempt> for Attempt {
    fn from(attempt: &webhook::Attempt) -> Self {
        Self {
            at: Time(attempt.at),
            latency_ms: attempt.latency_ms,
            status: attempt.status,
            error: attempt.no_answer.as_ref().map(|none| DeliveryError {
                kind: none.kind.into(),
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
    #[schema(value_type = text::EventId)]
    event: EventId,
    /// The number of the event.
    seq: u64,
    #[serde(rename = "type")]
    kind: EventType,
    /// When the event happened.
    event_at: Time,
    /// What the event is about.
    #[schema(value_type = Option<text::Name>)]
    integration: Option<Name>,
    #[schema(value_type = Option<text::ConnectionName>)]
    connection: Option<ConnectionName>,
    state: DeliveryState,
    /// When the next attempt is due, if there is to be one.
    next_at: Option<Time>,
    ended_at: Option<Time>,
    attempts_made: u32,
    /// The last ones, oldest first.
    attempts: Vec<Attempt>,
}

impl From<&webhook::Delivery> for Delivery {
    fn from(delivery: &webhook::Delivery) -> Self {
        let (next_at, ended_at) = match delivery.state {
            webhook::DeliveryState::Pending { next_at } => (Some(next_at), None),
            webhook::DeliveryState::Delivered { at } | webhook::DeliveryState::Exhausted { at } => {
                (None, Some(at))
            }
        };
        let about = delivery.stream.as_ref();
        Self {
            event: delivery.event,
            seq: delivery.seq,
            kind: delivery.kind.into(),
            event_at: Time(delivery.event_at),
            integration: about.map(|key| key.integration.clone()),
            connection: about.map(|key| key.connection.clone()),
            state: delivery.state.into(),
            next_at: next_at.map(Time),
            ended_at: ended_at.map(Time),
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
