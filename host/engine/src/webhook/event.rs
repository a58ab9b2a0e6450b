//! An event: what happened, when, to which connection, and the body that tells of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::EventId;
use crate::{ConnectionKey, Timestamp};

macro_rules! event_types {
    ($($(#[$doc:meta])* $type:ident = $name:literal,)*) => {
        /// What kind of thing happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum EventType {
            $($(#[$doc])* #[serde(rename = $name)] $type,)*
        }

        impl EventType {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$type,)*];

            /// The name that receivers get.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$type => $name,)* }
            }
        }
    };
}

event_types! {
    /// A run of a sync ended, and what it committed is there to be read.
    RunFinished = "run.finished",
    /// A run of a sync failed or stalled. What it had committed stays.
    RunFailed = "run.failed",
    /// A connection's credentials are not accepted; nothing is run by itself with them any more.
    AuthFailed = "connection.auth_failed",
    /// A connection's config or grants can't work; what they stop is not run by itself any more.
    ConfigFailed = "connection.config_failed",
    /// A schedule was paused because its runs kept failing.
    SchedulePaused = "schedule.paused",
    /// Another endpoint is not delivered to any more.
    EndpointDisabled = "endpoint.disabled",
}

/// A text is not the name of an event type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a type of events; they are {known}", known = known())]
pub struct EventTypeError(String);

fn known() -> String {
    let names: Vec<&str> = EventType::ALL.iter().map(|kind| kind.as_str()).collect();
    names.join(", ")
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = EventTypeError;

    fn from_str(text: &str) -> Result<Self, EventTypeError> {
        let found = Self::ALL.iter().find(|kind| kind.as_str() == text);
        let shown = || EventTypeError(text.chars().take(60).collect());
        found.copied().ok_or_else(shown)
    }
}

/// An event that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    pub id: EventId,
    pub kind: EventType,
    /// When it happened.
    pub at: Timestamp,
    /// What it is about. Events about the same connection are a *stream*: each endpoint gets them
    /// in their order. Those about none are one stream, too.
    pub stream: Option<ConnectionKey>,
    /// A JSON object.
    pub data: String,
}

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the order of all events.
    pub seq: u64,
    pub id: EventId,
    #[serde(rename = "type")]
    pub kind: EventType,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<ConnectionKey>,
    pub data: String,
}

impl Event {
    /// `new` as event number `seq`.
    #[must_use]
    pub fn numbered(new: NewEvent, seq: u64) -> Self {
        Self {
            seq,
            id: new.id,
            kind: new.kind,
            at: new.at,
            stream: new.stream,
            data: new.data,
        }
    }

    /// What is delivered, the same bytes in each attempt: `{"type", "timestamp", "data"}`. The
    /// timestamp is when it happened, in RFC 3339.
    #[must_use]
    pub fn body(&self) -> String {
        let (kind, data) = (self.kind, &self.data);
        let at = rfc_3339(self.at);
        format!(r#"{{"type":"{kind}","timestamp":"{at}","data":{data}}}"#)
    }
}

/// A time as events write it.
pub(super) fn rfc_3339(at: Timestamp) -> String {
    let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    time.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_one_name() {
        for kind in EventType::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        let error = "run.ended".parse::<EventType>().unwrap_err().to_string();
        assert!(error.contains("run.finished"), "{error}");
    }

    #[test]
    fn a_body_is_what_standard_webhooks_wants() {
        let event = Event {
            seq: 1,
            id: EventId::derived(Timestamp(1), &[]),
            kind: EventType::SchedulePaused,
            at: Timestamp(1_795_305_600_250),
            stream: None,
            data: r#"{"n":1e3}"#.to_owned(),
        };
        let want =
            r#"{"type":"schedule.paused","timestamp":"2026-11-22T00:00:00.25Z","data":{"n":1e3}}"#;
        assert_eq!(event.body(), want);
        assert_eq!(
            rfc_3339(Timestamp(u64::MAX)),
            "9999-12-30T22:00:00.999999999Z"
        );
    }
}
