//! Runs: how they start and end, who is to blame, their figures and their logs.

mod acting;
mod log;
mod waited;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::command;
use crate::cursor::Cursor;
use crate::id::JobId;
use crate::integration::Digest;
use crate::record::Counts;
use crate::redact::Redactor;
use crate::{ConnectionKey, Name, SyncKey, Timestamp, is_default};

pub use log::{Level, LogLine, LogSource};
pub use tidegate_rules::Blame;
pub use waited::WaitTimes;

/// Identifies a run: `run_` and a ULID, so that ids sort by start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(ulid::Ulid);

/// A text is not a run id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a run id: one looks like run_01JD3…, as `{list}` lists them",
    list = command!("runs")
)]
pub struct RunIdError(String);

impl RunId {
    /// A new id from the time and 80 random bits, both the caller's.
    #[must_use]
    pub fn from_parts(now: Timestamp, random: u128) -> Self {
        Self(ulid::Ulid::from_parts(now.0, random))
    }

    /// The time that it was made from.
    #[must_use]
    pub fn time(self) -> Timestamp {
        Timestamp(self.0.timestamp_ms())
    }

    /// 16 bytes whose order is the order of ids.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_bytes()
    }

    /// The id of [`Self::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(ulid::Ulid::from_bytes(bytes))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("run_{}", self.0))
    }
}

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(text: &str) -> Result<Self, RunIdError> {
        text.strip_prefix("run_")
            .and_then(|id| ulid::Ulid::from_string(id).ok())
            .map(Self)
            .ok_or_else(|| RunIdError(text.chars().take(60).collect()))
    }
}

impl TryFrom<String> for RunId {
    type Error = RunIdError;
    fn try_from(text: String) -> Result<Self, RunIdError> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.to_string()
    }
}

/// Given to whoever runs a run; a commit with an older one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u64);

/// What a run executes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Target {
    Sync(SyncKey),
    Action {
        connection: ConnectionKey,
        action: Name,
    },
    Event {
        connection: ConnectionKey,
        event: String,
    },
}

impl Target {
    /// The connection it works for.
    #[must_use]
    pub fn connection(&self) -> &ConnectionKey {
        match self {
            Self::Sync(key) => &key.connection,
            Self::Action { connection, .. } | Self::Event { connection, .. } => connection,
        }
    }

    /// `sync`, `action` or `event`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sync(_) => "sync",
            Self::Action { .. } => "action",
            Self::Event { .. } => "event",
        }
    }

    /// The name of the sync, action or event.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Sync(key) => key.sync.as_str(),
            Self::Action { action, .. } => action.as_str(),
            Self::Event { event, .. } => event,
        }
    }
}

/// Who asked for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A person, through the CLI.
    Manual,
    /// An application, through the API.
    Api,
    Schedule,
    /// A schedule's fires of the past, on request.
    Backfill,
}

/// A started run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub fence: Fence,
    /// The sync's checkpoint, JSON text.
    pub checkpoint: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Success,
    Failed,
    /// It hit a limit or its process ended, but what it had committed stays; it may continue.
    Interrupted,
    /// Interrupted again without having advanced.
    Stalled,
    Cancelled,
    Skipped,
}

impl Outcome {
    /// The word for people and programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Stalled => "stalled",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

/// What kind of failure, and so whether it is worth retrying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureClass {
    /// The plugin's own classes (`wit/types.wit`).
    Transient,
    Auth,
    Config,
    Rejected,
    Unsupported,
    Other,
    /// The guest trapped or panicked.
    Trap,
    /// A limit stopped it; [`Failure::limit`] names it.
    Limit,
    /// A snapshot would have deleted too much.
    Refused,
    /// The store or the host itself failed, or the host's process ended.
    Internal,
}

impl FailureClass {
    /// Whether the same run may succeed later without anybody's help.
    #[must_use]
    pub fn retryable(self) -> bool {
        matches!(self, Self::Transient | Self::Internal)
    }

    /// The word for people and programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Auth => "auth",
            Self::Config => "config",
            Self::Rejected => "rejected",
            Self::Unsupported => "unsupported",
            Self::Other => "other",
            Self::Trap => "trap",
            Self::Limit => "limit",
            Self::Refused => "refused",
            Self::Internal => "internal",
        }
    }
}

/// The code of a failure of the class `auth` that is the word of a connection's token endpoint.
pub const TOKEN_REJECTED: &str = "token-rejected";

/// What the outside API answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    pub status: u16,
    pub body: String,
}

/// Why a run did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub class: FailureClass,
    pub blame: Blame,
    pub message: String,
    /// The limit that was hit, by its name in [`crate::limits`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// JSON text for an action's caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Upstream>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// An action that had sent a request which must not come twice, and which the API took or may have
    /// taken: nothing repeats it by itself, and its idempotency key is settled.
    #[serde(default, skip_serializing_if = "is_default")]
    pub may_be_done: bool,
}

impl Failure {
    /// A failure without details.
    #[must_use]
    pub fn new(class: FailureClass, blame: Blame, message: impl Into<String>) -> Self {
        Self {
            class,
            blame,
            message: message.into(),
            limit: None,
            code: None,
            payload: None,
            upstream: None,
            retry_after_ms: None,
            may_be_done: false,
        }
    }

    /// Take secrets out of everything that a plugin or an API may have put into it.
    pub fn redact(&mut self, redactor: &Redactor) {
        let clean = |text: &mut String| {
            if let Cow::Owned(clean) = redactor.text(text) {
                *text = clean;
            }
        };
        clean(&mut self.message);
        self.code.iter_mut().for_each(clean);
        let upstream = self.upstream.iter_mut();
        upstream.for_each(|upstream| clean(&mut upstream.body));
        if let Some(payload) = &mut self.payload {
            redactor.value(payload);
        }
    }

    /// The run broke `limit`.
    #[must_use]
    pub fn limit(limit: &str, blame: Blame, message: impl Into<String>) -> Self {
        let mut failure = Self::new(FailureClass::Limit, blame, message);
        failure.limit = Some(limit.to_owned());
        failure
    }
}

/// What a run cost and did, so far or in all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    #[serde(skip_serializing_if = "is_default")]
    pub commits: u64,
    /// By model.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<Name, Counts>,
    /// Requests sent, retries included.
    #[serde(skip_serializing_if = "is_default")]
    pub requests: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub retries: u64,
    /// Answers by status. Requests without one got none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub statuses: BTreeMap<u16, u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub waited: WaitTimes,
    #[serde(skip_serializing_if = "is_default")]
    pub bytes_out: u64,
    /// Bodies after decompression.
    #[serde(skip_serializing_if = "is_default")]
    pub bytes_in: u64,
    /// CPU time of the guest.
    #[serde(skip_serializing_if = "is_default")]
    pub cpu_ms: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub wall_ms: u64,
    /// Peak linear memory of the guest.
    #[serde(skip_serializing_if = "is_default")]
    pub memory_bytes: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub log_lines: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub log_lines_dropped: u64,
}

impl Figures {
    /// Counts of all models together.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        for counts in self.counts.values() {
            total.add(*counts);
        }
        total
    }
}

impl Run {
    /// The word for what it has come to, one of [`OUTCOMES`](crate::store::OUTCOMES).
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        self.end
            .as_ref()
            .map_or("running", |end| end.outcome.as_str())
    }

    /// Note where a model's feed ends, unless the run has written to it before.
    pub fn note_start(&mut self, model: &Name, end: Cursor) {
        if let Some(basis) = &mut self.basis
            && !basis.cursors.contains_key(model)
        {
            basis.cursors.insert(model.clone(), end);
        }
    }
}

/// A run to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    pub id: RunId,
    pub target: Target,
    pub plugin: Digest,
    pub plugin_version: String,
    pub trigger: Trigger,
    pub attempt: u32,
    /// The job that it is an attempt of.
    pub job: Option<JobId>,
    /// Forget the checkpoint and an open snapshot, keep the records. Syncs only.
    pub reset: bool,
    pub now: Timestamp,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    pub at: Timestamp,
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    pub figures: Figures,
}

/// Longest checkpoint that a run keeps of its start, in bytes.
pub const CHECKPOINT_KEPT_BYTES: usize = 2_000;

/// What a run of a sync started from, for whoever wants to know what it did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Basis {
    /// Whether its sync had a checkpoint.
    pub resumed: bool,
    /// That checkpoint, JSON text, unless it is longer than [`CHECKPOINT_KEPT_BYTES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// For each model that it has written to, the end of the change feed before its first change of
    /// it: reading from there gives everything that the run changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cursors: BTreeMap<Name, Cursor>,
}

impl Basis {
    /// That of a run whose sync has this checkpoint.
    #[must_use]
    pub fn of(checkpoint: Option<&str>) -> Self {
        let kept = checkpoint.filter(|text| text.len() <= CHECKPOINT_KEPT_BYTES);
        Self {
            resumed: checkpoint.is_some(),
            checkpoint: kept.map(str::to_owned),
            cursors: BTreeMap::new(),
        }
    }
}

/// A run as it is stored and listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub id: RunId,
    pub target: Target,
    pub plugin: Digest,
    pub plugin_version: String,
    pub trigger: Trigger,
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub reset: bool,
    pub started_at: Timestamp,
    pub fence: Fence,
    /// Of a sync's run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    /// What its commits have done so far; the final figures are in `end`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub progress: Figures,
    /// `None` while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<RunEnd>,
}
