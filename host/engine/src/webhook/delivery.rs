//! A delivery: one event to one endpoint, with its attempts.

use serde::{Deserialize, Serialize};

use super::{EndpointId, Event, EventId, EventType};
use crate::limits::WEBHOOK_ATTEMPTS_KEPT;
use crate::{ConnectionKey, Timestamp};

/// What has become of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum DeliveryState {
    /// To be attempted, not before then.
    Pending { next_at: Timestamp },
    /// The endpoint has answered 2xx.
    Delivered { at: Timestamp },
    /// All attempts failed. A replay makes it pending again.
    Exhausted { at: Timestamp },
}

impl DeliveryState {
    /// The word for people and programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Delivered { .. } => "delivered",
            Self::Exhausted { .. } => "exhausted",
        }
    }

    /// When the next attempt is due, if there is to be one.
    #[must_use]
    pub fn next_at(self) -> Option<Timestamp> {
        match self {
            Self::Pending { next_at } => Some(next_at),
            _ => None,
        }
    }
}

/// Why an attempt got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryErrorKind {
    /// It took too long.
    Timeout,
    /// Name not found, refused, reset, TLS.
    Connect,
    /// The egress gate let nothing through to it.
    Denied,
    /// Anything else.
    Other,
}

/// An attempt that got no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryError {
    pub kind: DeliveryErrorKind,
    /// For people.
    pub message: String,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub at: Timestamp,
    /// Until the answer's status, or until there was none to be had.
    pub latency_ms: u64,
    /// The answer's status, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_answer: Option<DeliveryError>,
    /// The beginning of the answer's body, without secrets ([`super::kept_response`]).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub response: String,
    /// The answer's `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Attempt {
    /// Whether the endpoint has taken it: 2xx only. A redirect is not followed, and is a failure.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }
}

/// One event to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub endpoint: EndpointId,
    /// The number of the event.
    pub seq: u64,
    pub event: EventId,
    #[serde(rename = "type")]
    pub kind: EventType,
    /// When the event happened.
    pub event_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<ConnectionKey>,
    #[serde(flatten)]
    pub state: DeliveryState,
    /// Attempts in all. One that was begun when there were so many is settled as the next one, and
    /// no other is.
    pub made: u32,
    /// Failed attempts since it was last set to pending, by its event or by a replay.
    pub failed: u32,
    /// Of the attempts that were brought forward ([`super::Head`]), those that failed since then. They are not among
    /// `failed`, and the more there are the later the next one is.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed_early: u32,
    /// The last attempts, oldest first.
    pub attempts: Vec<Attempt>,
}

impl Delivery {
    /// A new one, due at once.
    #[must_use]
    pub fn new(endpoint: EndpointId, event: &Event, now: Timestamp) -> Self {
        Self {
            endpoint,
            seq: event.seq,
            event: event.id,
            kind: event.kind,
            event_at: event.at,
            stream: event.stream.clone(),
            state: DeliveryState::Pending { next_at: now },
            made: 0,
            failed: 0,
            failed_early: 0,
            attempts: Vec::new(),
        }
    }

    /// Whether a replay makes it due now: of all, or only of those that are exhausted or wait for another
    /// attempt. One that has not been tried yet is due in its turn.
    #[must_use]
    pub fn is_replayed(&self, all: bool) -> bool {
        match self.state {
            DeliveryState::Pending { .. } => self.failed > 0,
            DeliveryState::Delivered { .. } => all,
            DeliveryState::Exhausted { .. } => true,
        }
    }

    /// With one more attempt.
    pub(super) fn push(&mut self, attempt: Attempt) {
        self.made = self.made.saturating_add(1);
        self.attempts.push(attempt);
        let most = usize::try_from(WEBHOOK_ATTEMPTS_KEPT).unwrap_or(usize::MAX);
        let too_many = self.attempts.len().saturating_sub(most);
        self.attempts.drain(..too_many);
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
