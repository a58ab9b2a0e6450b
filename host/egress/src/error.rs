//! Why a request got no response: the variants of `http.error` in the contract, with who must act.

use std::time::Duration;

use tidegate_engine::run::Blame;
use tidegate_rules::request::RequestError;

use crate::held::Overdrawn;

/// What has to change so that a denied request is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Missing {
    /// The plugin's author: the manifest doesn't request the origin.
    Manifest,
    /// The operator: the origin is not granted.
    Grant,
    /// The operator: the address is private and its range is not granted.
    Private,
    /// Nothing: no grant opens this.
    Nothing,
}

/// Why there is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenFault {
    /// The token endpoint rejected the connection's credentials, and will again: the operator must act.
    Rejected,
    /// It refused them for a reason of its own: that may be the same.
    Refused,
    /// It failed, and a later run may go better.
    Failed,
}

/// No response. The texts name neither credentials nor a URL's query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The gate said no; repeating the request can't help.
    #[error("{message}")]
    Denied { missing: Missing, message: String },
    /// No complete answer in time, after retries.
    #[error("{message}")]
    Timeout { message: String },
    /// Name not found, refused, reset, TLS, cut off in the middle, after retries.
    #[error("{message}")]
    Connect { message: String },
    /// The upstream asked for no more requests, for longer than a request waits. Nothing was sent;
    /// a run that ends now is best repeated after `retry_after`.
    #[error("{message}")]
    Throttled {
        retry_after: Duration,
        message: String,
    },
    /// A request's or response's headers or body are beyond `limit`.
    #[error("{message}")]
    TooLarge {
        limit: &'static str,
        blame: Blame,
        message: String,
    },
    /// The request itself is malformed.
    #[error("{message}")]
    Invalid { message: String },
    /// The run has used up `limit`.
    #[error("{message}")]
    Exhausted {
        limit: &'static str,
        message: String,
    },
    /// All runs together hold too much of what comes and goes; a later run may find room.
    #[error("{message}")]
    Full {
        limit: &'static str,
        message: String,
    },
    /// There is no access token for the connection. Nothing was sent to the API.
    #[error("{message}")]
    Token {
        fault: TokenFault,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
        message: String,
    },
    /// The server answered something that is not usable, such as an endless chain of redirects.
    #[error("{message}")]
    Other { blame: Blame, message: String },
}

impl EgressError {
    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Denied {
                missing: Missing::Manifest,
                ..
            }
            | Self::Invalid { .. }
            | Self::Exhausted { .. } => Blame::Guest,
            Self::Denied { .. }
            | Self::Token {
                fault: TokenFault::Rejected | TokenFault::Refused,
                ..
            } => Blame::Operator,
            Self::Token { .. }
            | Self::Timeout { .. }
            | Self::Connect { .. }
            | Self::Throttled { .. } => Blame::Upstream,
            Self::Full { .. } => Blame::Host,
            Self::TooLarge { blame, .. } | Self::Other { blame, .. } => *blame,
        }
    }

    /// The limit that was hit, by its name in `tidegate_engine::limits`.
    #[must_use]
    pub fn limit(&self) -> Option<&'static str> {
        match self {
            Self::TooLarge { limit, .. }
            | Self::Exhausted { limit, .. }
            | Self::Full { limit, .. } => Some(limit),
            _ => None,
        }
    }

    /// When the upstream wants to be asked again, if that is why there is no response.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } => Some(*retry_after),
            Self::Token { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether another attempt at once may go better: the connection failed, or the answer didn't come.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Connect { .. })
    }

    /// What belongs to the message, for people.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Denied { message, .. }
            | Self::Timeout { message }
            | Self::Connect { message }
            | Self::Throttled { message, .. }
            | Self::TooLarge { message, .. }
            | Self::Token { message, .. }
            | Self::Invalid { message }
            | Self::Exhausted { message, .. }
            | Self::Full { message, .. }
            | Self::Other { message, .. } => message,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid {
            message: message.into(),
        }
    }

    pub(crate) fn connect(message: impl Into<String>) -> Self {
        Self::Connect {
            message: message.into(),
        }
    }

    /// `what` of the request or response goes beyond `limit`, which is `value`.
    pub(crate) fn too_large(limit: &'static str, blame: Blame, what: &str, value: u64) -> Self {
        let who = match blame {
            Blame::Guest => "send less, or ask",
            _ => "ask for smaller pages, or ask",
        };
        let message = format!(
            "{what} beyond the limit {limit} = {value}; {who} the operator to raise the limit"
        );
        Self::TooLarge {
            limit,
            blame,
            message,
        }
    }

    /// The run's budget `limit` of `value` is spent.
    pub(crate) fn exhausted(limit: &'static str, what: &str, value: u64) -> Self {
        let message = format!(
            "the run has used up its {what}: limit {limit} = {value}; commit what you have and end"
        );
        Self::Exhausted { limit, message }
    }
}

impl From<RequestError> for EgressError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Invalid(message) => Self::Invalid { message },
            RequestError::TooLarge { limit, what, value } => {
                Self::too_large(limit, Blame::Guest, &what, value)
            }
        }
    }
}

impl From<Overdrawn> for EgressError {
    fn from(overdrawn: Overdrawn) -> Self {
        let (limit, message) = (overdrawn.limit(), overdrawn.to_string());
        match overdrawn {
            Overdrawn::Run { .. } => Self::TooLarge {
                limit,
                blame: Blame::Guest,
                message,
            },
            Overdrawn::All { .. } => Self::Full { limit, message },
        }
    }
}
