//! Failures: why a sync, an action or an event did not succeed, and what the host should do.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::host::{HttpError, HttpErrorKind, StoreError, StoreErrorKind};
use crate::http::Response;

/// What handlers return.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// What the host should do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Try again later, with back-off. Blamed on the outside API.
    Transient,
    /// The credentials were not accepted: don't retry until they change. Blamed on the operator.
    Auth,
    /// The configuration can't work: don't retry until it changes. Blamed on the operator.
    Config,
    /// The outside API, or the plugin's own rules, said no to this request. Blamed on the caller.
    Rejected,
    /// The plugin doesn't know this sync, action or event. The SDK answers so by itself.
    Unsupported,
    /// Anything else: a bug in the plugin, or an answer that it did not expect. Not retried.
    Other,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FailureKind::Transient => "transient",
            FailureKind::Auth => "auth",
            FailureKind::Config => "config",
            FailureKind::Rejected => "rejected",
            FailureKind::Unsupported => "unsupported",
            FailureKind::Other => "other",
        })
    }
}

/// What the outside API answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The HTTP status.
    pub status: u16,
    /// The body; at most 64 KiB are kept.
    pub body: String,
}

/// Why a sync, an action or an event did not succeed.
///
/// `?` makes one of every standard error (as [`FailureKind::Other`]); the calls of
/// [`Cx`](crate::Cx) return it with the kind that fits.
///
/// ```
/// use tidegate_sdk::prelude::*;
///
/// let failure = Failure::rejected("the email is taken")
///     .code("duplicate-email")
///     .payload(json!({ "email": "ada@example.com" }));
/// assert_eq!(failure.code.as_deref(), Some("duplicate-email"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// What the host should do.
    pub kind: FailureKind,
    /// For a person: what happened, where, and what to do about it. At most 8 KiB are kept.
    pub message: String,
    /// For a program: a stable word. The SDK's own are listed in the crate's documentation.
    pub code: Option<String>,
    /// For the caller of an action, as JSON text.
    pub payload: Option<String>,
    /// What the outside API answered, when that is the cause.
    pub upstream: Option<Box<Upstream>>,
    /// With `Transient`: not before this many milliseconds from now.
    pub retry_after_ms: Option<u64>,
    /// Names the call of the host that failed, if that is why: by it the host knows whom to blame, and which
    /// limit it was, however the message is worded. The calls of [`Cx`](crate::Cx) set it.
    pub cause: Option<u64>,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Failure {
            kind,
            message: message.into(),
            code: None,
            payload: None,
            upstream: None,
            retry_after_ms: None,
            cause: None,
        }
    }

    /// Try again later.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Transient, message)
    }

    /// The credentials were not accepted.
    pub fn auth(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Auth, message)
    }

    /// The configuration can't work.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Config, message)
    }

    /// No to this request: an action's business error.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Rejected, message)
    }

    /// Anything else.
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Other, message)
    }

    /// What was asked for may be done or not, and the answer does not tell: of kind `other`, with the code
    /// `outcome-unknown`. Somebody has to look at the API; it is not sent again by itself.
    #[must_use]
    pub fn outcome_unknown(response: &Response, why: impl fmt::Display) -> Self {
        let message = format!("{} answered {} {why}", response.name(), response.status());
        response.with_upstream(Self::other(message).code("outcome-unknown"))
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Unsupported, message)
    }

    /// A stable word for programs, for example `duplicate-email`.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Data for the caller of an action: what can be JSON. (What can't becomes null.)
    #[must_use]
    pub fn payload(mut self, payload: impl Serialize) -> Self {
        let json = serde_json::to_string(&payload);
        self.payload = Some(json.unwrap_or_else(|_| "null".to_owned()));
        self
    }

    /// Not before this long from now (with [`Failure::transient`]).
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Say where or during what it happened: `what` is put in front of the message.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// This failure is another one in other words: it has the same cause.
    ///
    /// ```
    /// use tidegate_sdk::prelude::*;
    ///
    /// async fn contacts(cx: Cx) -> Result<Value> {
    ///     let list = cx.get("/contacts").json().await;
    ///     list.map_err(|failure: Failure| Failure::other("no list of contacts").caused_by(&failure))
    /// }
    /// ```
    #[must_use]
    pub fn caused_by(mut self, failure: &Failure) -> Self {
        self.cause = failure.cause;
        self
    }

    fn of(mut self, cause: u64) -> Self {
        self.cause = Some(cause);
        self
    }

    pub(crate) fn upstream(mut self, status: u16, body: String) -> Self {
        self.upstream = Some(Box::new(Upstream { status, body }));
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.kind)
    }
}

// `Failure` is no `std::error::Error` itself, as that would collide with this conversion
// (`anyhow::Error` made the same choice).
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Failure::other(message)
    }
}

/// `.context("…")` on results and options: messages that say where.
///
/// ```
/// use tidegate_sdk::prelude::*;
///
/// let failure = "seven".parse::<u32>().context("the page size").unwrap_err();
/// assert_eq!(failure.message, "the page size: invalid digit found in string");
/// assert!(None::<u32>.context("no account id").is_err());
/// ```
pub trait Context<T> {
    /// Put `what` in front of the failure's message; a `None` fails with `what`.
    fn context(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Failure>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().context(what))
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.ok_or_else(|| Failure::other(what.to_string()))
    }
}

/// The failure for a request that got no answer.
pub(crate) fn of_http(request: &str, error: HttpError) -> Failure {
    let HttpError {
        kind,
        message,
        cause,
    } = error;
    let (kind, code) = match kind {
        HttpErrorKind::Denied => (FailureKind::Config, "http-denied"),
        HttpErrorKind::Timeout => (FailureKind::Transient, "http-timeout"),
        HttpErrorKind::Connect => (FailureKind::Transient, "http-connect"),
        HttpErrorKind::TooLarge => (FailureKind::Other, "http-too-large"),
        HttpErrorKind::Invalid => (FailureKind::Other, "http-invalid"),
        HttpErrorKind::Exhausted => (FailureKind::Other, "http-exhausted"),
        HttpErrorKind::Other => (FailureKind::Other, "http-other"),
        HttpErrorKind::Token => (FailureKind::Transient, "http-token"),
    };
    let failure = Failure::new(kind, format!("{request}: {message}")).code(code);
    failure.of(cause)
}

/// The failure for a store that said no.
pub(crate) fn of_store(what: &str, error: StoreError) -> Failure {
    let StoreError {
        kind,
        message,
        cause,
    } = error;
    let (kind, code) = match kind {
        StoreErrorKind::Denied => (FailureKind::Config, "store-denied"),
        StoreErrorKind::Invalid => (FailureKind::Other, "store-invalid"),
        StoreErrorKind::Refused => (FailureKind::Other, "snapshot-refused"),
        StoreErrorKind::Fenced => (FailureKind::Other, "fenced"),
        StoreErrorKind::Other => (FailureKind::Transient, "store-unavailable"),
    };
    let failure = Failure::new(kind, format!("{what}: {message}")).code(code);
    failure.of(cause)
}
