//! Jobs: what waits to be run, its attempts, and what becomes of it.
//!
//! A job is one thing to be done: a fire of a schedule, a trigger through the API. It has a run for
//! each attempt. The states, and what moves a job from one to the other:
//!
//! ```text
//!            claim                success
//!  queued ───────────▶ running ───────────▶ succeeded
//!    ▲  │                │ │
//!    │  └▶ expired,      │ └▶ dead (failed for good) ──redrive──▶ queued
//!    │     cancelled     └──▶ cancelled             └──discard──▶ discarded
//!    └── retry, continue ┘
//! ```
//!
//! One that waits is dead as well if what its start needs is damaged; then no run tells of it.

mod retry;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::idempotency_key::IdempotencyKey;
use crate::run::{Failure, FailureClass, Outcome, RunEnd, RunId, TOKEN_REJECTED, Target, Trigger};
use crate::schedule::ScheduleId;
use crate::{ConnectionKey, Name, SyncKey, Timestamp, is_default};

pub use crate::id::{JobId, JobIdError};
pub use retry::Retry;

/// Most attempts of one job in a row that get no further.
pub const ATTEMPTS_MAX: u32 = 100;
/// Most attempts of one job in all, however far they get: one whose checkpoint changes each time, and that
/// fails each time, must not go on for ever.
pub const ATTEMPTS_IN_ALL_MAX: u32 = 1_000;
/// How long after credentials were refused they are tried once more: some APIs refuse good ones for a moment.
pub const AUTH_AGAIN_MS: u64 = 60_000;
/// Longest wait between two attempts: a day.
pub const BACKOFF_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// Runs in a row that may end without advancing, for no fault of theirs, before the job is dead: its
/// process was killed, say. A job that kills its process must not do so for ever.
pub const LOST_MAX: u32 = 10;

/// JSON text for an action, shared by the jobs of one schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input(Arc<str>);

impl Input {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Input {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl Serialize for Input {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// What a job runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum JobTarget {
    Sync {
        connection: ConnectionKey,
        sync: Name,
        #[serde(default = "Name::base_variant")]
        variant: Name,
        /// Forget the checkpoint at the first attempt.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reset: bool,
        /// Delete the records of its models first, at an attempt that has no checkpoint yet.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        empty: bool,
        /// Let its snapshots delete whatever is gone.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        allow_deletes: bool,
    },
    Action {
        connection: ConnectionKey,
        action: Name,
        input: Input,
    },
    /// Tell the plugin of something that happened around its connection.
    Event {
        connection: ConnectionKey,
        event: Name,
    },
}

impl JobTarget {
    #[must_use]
    pub fn connection(&self) -> &ConnectionKey {
        match self {
            Self::Sync { connection, .. }
            | Self::Action { connection, .. }
            | Self::Event { connection, .. } => connection,
        }
    }

    /// The sync, if it is one.
    #[must_use]
    pub fn sync(&self) -> Option<SyncKey> {
        match self {
            Self::Sync {
                connection,
                sync,
                variant,
                ..
            } => Some(SyncKey {
                connection: connection.clone(),
                sync: sync.clone(),
                variant: variant.clone(),
            }),
            Self::Action { .. } | Self::Event { .. } => None,
        }
    }

    /// An action's input.
    #[must_use]
    pub fn input(&self) -> Option<&str> {
        match self {
            Self::Action { input, .. } => Some(input.as_str()),
            Self::Sync { .. } | Self::Event { .. } => None,
        }
    }

    /// `sync`, `action` or `event`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sync { .. } => "sync",
            Self::Action { .. } => "action",
            Self::Event { .. } => "event",
        }
    }

    /// The name of the sync or action, or the kind of event.
    #[must_use]
    pub fn name(&self) -> &Name {
        match self {
            Self::Sync { sync, .. } => sync,
            Self::Action { action, .. } => action,
            Self::Event { event, .. } => event,
        }
    }

    /// What its runs execute.
    #[must_use]
    pub fn run_target(&self) -> Target {
        match self {
            Self::Action {
                connection, action, ..
            } => Target::Action {
                connection: connection.clone(),
                action: action.clone(),
            },
            Self::Event { connection, event } => Target::Event {
                connection: connection.clone(),
                event: event.to_string(),
            },
            Self::Sync {
                connection,
                sync,
                variant,
                ..
            } => Target::Sync(SyncKey {
                connection: connection.clone(),
                sync: sync.clone(),
                variant: variant.clone(),
            }),
        }
    }
}

/// Which jobs go first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody waits for it.
    High,
    #[default]
    Normal,
    /// Backfills.
    Low,
}

/// At most `max` jobs with the same key run at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConcurrencyKey {
    pub key: String,
    pub max: u32,
}

/// The moment of a schedule that a job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FireKey {
    pub schedule: ScheduleId,
    pub scheduled_for: Timestamp,
}

impl FireKey {
    /// The same for each attempt, so that an API that knows idempotency keys acts once.
    #[must_use]
    pub fn idempotency_key(self) -> Option<IdempotencyKey> {
        self.to_string().parse().ok()
    }
}

impl fmt::Display for FireKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.schedule, self.scheduled_for.0)
    }
}

/// Where a job is. The picture is above.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum JobState {
    Queued,
    /// As its last run.
    Running {
        /// It is to stop.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cancel: bool,
    },
    Succeeded,
    /// It failed for good: not worth retrying, or tried often enough.
    Dead,
    Cancelled,
    /// It waited in the queue for too long.
    Expired,
    /// It was dead, and nobody wants it any more.
    Discarded,
}

impl JobState {
    /// Whether it waits or runs.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Queued | Self::Running { .. })
    }

    /// The word for people and programs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running { .. } => "running",
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Discarded => "discarded",
        }
    }
}

/// A job to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    pub id: JobId,
    pub target: JobTarget,
    pub trigger: Trigger,
    pub fire: Option<FireKey>,
    pub priority: Priority,
    pub concurrency: Option<ConcurrencyKey>,
    pub retry: Retry,
    /// Not before this.
    pub due_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// Under which an action acts once.
    pub idempotency_key: Option<IdempotencyKey>,
    pub now: Timestamp,
}

/// A job as it is stored and listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub target: JobTarget,
    pub trigger: Trigger,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fire: Option<FireKey>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: Priority,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<ConcurrencyKey>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: Retry,
    pub created_at: Timestamp,
    /// When it was queued last, if that was not when it came to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_again_at: Option<Timestamp>,
    pub due_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
    /// It has that key as a run may have one ([`crate::idempotency`]): who queues it again gets this job,
    /// and what it returns is kept. Those of schedules only send theirs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub holds_key: bool,
    /// Its place in the queue among jobs of one priority ([`crate::board`]).
    pub place: u64,
    #[serde(flatten)]
    pub state: JobState,
    /// Attempts that failed.
    pub attempts: u32,
    /// Of these, the last ones in a row that got no further.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fruitless: u32,
    /// The checkpoint at which the last of them failed, as [`checkpoint_mark`] has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<u64>,
    /// Runs in a row that ended for no fault of theirs without advancing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lost: u32,
    /// The checkpoint at which its last run was interrupted, as [`checkpoint_mark`] has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<u64>,
    /// The last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// How the last run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// A run's end as its job sees it, given the sync's checkpoint at that end ([`checkpoint_mark`]): interrupted again
/// where it was interrupted before is a stall.
#[must_use]
pub fn judged(job: &Job, mut end: RunEnd, mark: u64) -> RunEnd {
    // One that is lost there again and again takes its host down, or can't get any further.
    let is_stalled = !was_lost(&end) || job.lost + 1 >= LOST_MAX;
    if end.outcome == Outcome::Interrupted && job.mark == Some(mark) && is_stalled {
        end.outcome = Outcome::Stalled;
    }
    end
}

/// Tells one checkpoint from another.
#[must_use]
pub fn checkpoint_mark(checkpoint: Option<&str>) -> u64 {
    let hash = blake3::hash(checkpoint.unwrap_or_default().as_bytes());
    let first = hash.as_bytes().first_chunk::<8>();
    first.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Whether the run ended for no fault of its own: its process stopped or died, or its lease ended.
fn was_lost(end: &RunEnd) -> bool {
    let class = end.failure.as_ref().map(|failure| failure.class);
    end.outcome == Outcome::Interrupted && class == Some(FailureClass::Internal)
}

impl Job {
    /// A job that waits from `new.due_at` on.
    #[must_use]
    pub fn queued(new: NewJob, place: u64) -> Self {
        Self {
            id: new.id,
            target: new.target,
            trigger: new.trigger,
            fire: new.fire,
            priority: new.priority,
            concurrency: new.concurrency,
            retry: new.retry,
            created_at: new.now,
            queued_again_at: None,
            due_at: new.due_at,
            expires_at: new.expires_at,
            idempotency_key: new.idempotency_key,
            holds_key: false,
            place,
            state: JobState::Queued,
            attempts: 0,
            fruitless: 0,
            failed_at: None,
            lost: 0,
            mark: None,
            run: None,
            outcome: None,
            failure: None,
            ended_at: None,
        }
    }

    /// When what holds of its waiting was decided.
    #[must_use]
    pub fn queued_at(&self) -> Timestamp {
        self.queued_again_at.unwrap_or(self.created_at)
    }

    /// Take in how its run ended, judged by [`judged`]: done, or queued again from `due_at` on.
    pub fn settle(&mut self, end: &RunEnd, mark: u64) {
        let was_cancelled = matches!(self.state, JobState::Running { cancel: true });
        self.outcome = Some(end.outcome);
        let before = std::mem::replace(&mut self.failure, end.failure.clone());
        let may_be_done = end.failure.as_ref().is_some_and(|f| f.may_be_done);
        let again_at = match end.outcome {
            Outcome::Success => return self.end(JobState::Succeeded, end.at),
            Outcome::Cancelled => return self.end(JobState::Cancelled, end.at),
            _ if was_cancelled => return self.end(JobState::Cancelled, end.at),
            Outcome::Skipped => return self.end(JobState::Expired, end.at),
            Outcome::Stalled => None,
            // An action has no checkpoint to go on from: it would do all of it again.
            Outcome::Interrupted if may_be_done => None,
            Outcome::Interrupted => {
                let stands = self.mark.replace(mark) == Some(mark);
                self.lost = match (was_lost(end), stands) {
                    (false, _) => 0,
                    (true, false) => 1,
                    (true, true) => self.lost + 1,
                };
                Some(end.at)
            }
            Outcome::Failed => {
                self.attempts += 1;
                let stands = self.failed_at.replace(mark) == Some(mark);
                self.fruitless = if stands { self.fruitless + 1 } else { 1 };
                let wait = end.failure.as_ref().and_then(|f| self.may_pass(f, before));
                wait.map(|wait| Timestamp(end.at.0.saturating_add(wait)))
            }
        };
        match again_at {
            Some(at) => {
                self.due_at = at;
                self.queued_again_at = Some(end.at);
                // It has had its turn.
                self.expires_at = None;
                self.state = JobState::Queued;
            }
            None => self.end(JobState::Dead, end.at),
        }
    }

    /// How long to wait before another attempt, if there is to be one after `failure`. `before` is that of
    /// the attempt before.
    fn may_pass(&self, failure: &Failure, before: Option<Failure>) -> Option<u64> {
        let is_left =
            self.fruitless < self.retry.max_attempts && self.attempts < ATTEMPTS_IN_ALL_MAX;
        let wait = self
            .retry
            .wait_ms(self.id, self.fruitless, failure.retry_after_ms);
        match failure.class {
            _ if !is_left || failure.may_be_done => None,
            class if class.retryable() => Some(wait),
            // A second opinion, unless the token endpoint has spoken: its word is final.
            FailureClass::Auth if failure.code.as_deref() != Some(TOKEN_REJECTED) => {
                let again = before.is_some_and(|before| before.class == FailureClass::Auth);
                (self.attempts == 1 || !again).then(|| wait.max(AUTH_AGAIN_MS))
            }
            _ => None,
        }
    }

    /// It waits and runs no more.
    pub(crate) fn end(&mut self, state: JobState, at: Timestamp) {
        self.state = state;
        self.ended_at = Some(at);
    }

    /// Queue a dead job again, as if it were new.
    pub(crate) fn redrive(&mut self, now: Timestamp) {
        self.state = JobState::Queued;
        (self.attempts, self.fruitless, self.lost) = (0, 0, 0);
        (self.mark, self.failed_at) = (None, None);
        self.due_at = now;
        self.queued_again_at = Some(now);
        self.expires_at = None;
        self.ended_at = None;
    }
}
