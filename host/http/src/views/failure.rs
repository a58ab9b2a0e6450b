//! Why a run did not succeed, and what words there are for how it ended.

use serde::Serialize;
use tidegate_engine::run;
use utoipa::ToSchema;

use super::text;
use super::word::words;

words! {
    /// What kind of failure.
    pub(crate) enum FailureClass of run::FailureClass {
        /// It may pass by itself.
        Transient = "transient",
        /// The credentials are not accepted.
        Auth = "auth",
        /// The config can't work.
        Config = "config",
        /// The action, or the outside API, said no to what was asked.
        Rejected = "rejected",
        /// The plugin does not do this.
        Unsupported = "unsupported",
        Other = "other",
        /// The plugin trapped or panicked.
        Trap = "trap",
        /// A limit stopped it: `limit` names it.
        Limit = "limit",
        /// A full pull would have deleted too much.
        Refused = "refused",
        /// Tidegate or the machine failed.
        Internal = "internal",
    }
}

words! {
    /// Who must act so that it works.
    pub(crate) enum Blame of run::Blame {
        /// The plugin's author.
        Guest = "guest",
        /// Tidegate, or the machine it runs on.
        Host = "host",
        /// The outside API.
        Upstream = "upstream",
        /// Whoever deployed, granted and configured.
        Operator = "operator",
    }
}

words! {
    /// How a run ended.
    pub(crate) enum Outcome of run::Outcome {
        Success = "success",
        Failed = "failed",
        /// It hit a limit or its process ended. What it had committed stays; it may continue.
        Interrupted = "interrupted",
        /// Interrupted again without having advanced.
        Stalled = "stalled",
        Cancelled = "cancelled",
        Skipped = "skipped",
    }
}

/// What the outside API answered.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = UpstreamAnswer)]
pub(crate) struct Upstream {
    status: u16,
    /// Its beginning.
    body: String,
}

/// Why a run did not succeed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Failure {
    class: FailureClass,
    blame: Blame,
    message: String,
    /// The limit that was hit (docs/limits.md).
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<String>,
    /// The plugin's own code, or one of the host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// What the plugin says of it to the caller of an action; its own JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<text::JsonValue>)]
    payload: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<Upstream>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// There if true: an action had sent what must not come twice. Nothing repeats it by itself.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    may_be_done: bool,
}

impl From<&run::Failure> for Failure {
    fn from(failure: &run::Failure) -> Self {
        let run::Failure {
            class,
            blame,
            message,
            limit,
            code,
            payload,
            upstream,
            retry_after_ms,
            may_be_done,
        } = failure;
        Self {
            class: (*class).into(),
            blame: (*blame).into(),
            message: message.clone(),
            limit: limit.clone(),
            code: code.clone(),
            payload: payload.clone(),
            upstream: upstream.as_ref().map(|upstream| Upstream {
                status: upstream.status,
                body: upstream.body.clone(),
            }),
            retry_after_ms: *retry_after_ms,
            may_be_done: *may_be_done,
        }
    }
}
