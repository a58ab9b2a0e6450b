//! The seam: every call that a plugin can make of its host, as one trait with two
//! implementations. In a component it is the WIT imports; natively it is the fake host.

use std::fmt;

#[cfg(target_arch = "wasm32")]
pub mod wasm;

#[cfg(target_arch = "wasm32")]
pub(crate) use wasm::{Handle, log};

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::test::{Handle, log};

/// The imports of the world `plugin`, apart from `log`, which needs no run to write to.
pub(crate) trait Host {
    async fn send(&self, request: Request) -> Result<Answer, HttpError>;

    async fn commit(
        &self,
        batches: Vec<Batch>,
        checkpoint: Option<String>,
    ) -> Result<Vec<ModelOutcome>, StoreError>;
    async fn get(&self, model: String, ids: Vec<String>)
    -> Result<Vec<Option<String>>, StoreError>;
    async fn begin_snapshot(&self, model: String, restart: bool) -> Result<bool, StoreError>;
    async fn unseen(&self, model: String, after: u64, limit: u32) -> Result<Unseen, StoreError>;
    async fn repeat_snapshot(
        &self,
        model: String,
        checkpoint: Option<String>,
    ) -> Result<u64, StoreError>;
    async fn end_snapshot(
        &self,
        model: String,
        proof: Proof,
        checkpoint: Option<String>,
    ) -> Result<SnapshotEnd, StoreError>;

    async fn read_feed(
        &self,
        source: Source,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<Vec<Change>, StoreError>;

    fn checkpoint(&self) -> Option<String>;
    fn config(&self) -> String;
    fn metadata(&self) -> String;
    async fn merge_metadata(&self, patch: String) -> Result<(), StoreError>;
    fn context(&self) -> String;

    fn now(&self) -> u64;
    async fn sleep(&self, duration_ms: u64);
}

/// Whether the host repeats a request that failed for the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// When its method is idempotent, or it has an idempotency key.
    Idempotent,
    /// Never.
    Never,
    /// Whatever its method.
    Always,
}

/// One HTTP request, as it goes to the host.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Upper case.
    pub(crate) method: String,
    /// Absolute, or a path under the connection's base URL.
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
    /// For one attempt; `None` is the host's default (60,000).
    pub(crate) timeout_ms: Option<u32>,
    pub(crate) retry: Retry,
    pub(crate) idempotency_key: Option<String>,
}

/// What came back for a [`Request`].
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) url: String,
}

/// A call that the host refused, or could not carry out.
macro_rules! error {
    ($(#[$doc:meta])* $error:ident, $kind:ident: $($case:ident $make:ident),+) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub(crate) struct $error {
            pub(crate) kind: $kind,
            pub(crate) message: String,
            /// What a failure hands back that passes it on.
            pub(crate) cause: u64,
        }

        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $kind {
            $($case),+
        }

        #[cfg(not(target_arch = "wasm32"))]
        impl $error {
            $(pub(crate) fn $make(message: impl Into<String>) -> Self {
                Self {
                    kind: $kind::$case,
                    message: message.into(),
                    cause: crate::test::next_cause(),
                }
            })+
        }
    };
}

error! {
    /// Why there is no [`Answer`].
    HttpError, HttpErrorKind:
    Denied denied, Timeout timeout, Connect connect, TooLarge too_large, Invalid invalid,
    Exhausted exhausted, Other other, Token token
}

/// A record to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The record's id at its source.
    pub id: String,
    /// A JSON object, as text.
    pub body: String,
}

/// A record of the outside API that can't be stored, and is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The record's id at its source, if it is known.
    pub id: Option<String>,
    /// Which record of its page it was, from 0.
    pub position: u32,
    /// What is wrong with it.
    pub reason: String,
}

/// Changes of one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// A model of the manifest.
    pub model: String,
    /// Records to store.
    pub save: Vec<Saved>,
    /// Ids to delete.
    pub delete: Vec<String>,
    /// Records that are left out.
    pub skipped: Vec<Skipped>,
    /// How many records of `save` the host may leave out.
    pub may_skip: u32,
}

/// What a commit did to one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelOutcome {
    /// The model.
    pub model: String,
    /// Records that were not there, or had been deleted.
    pub added: u32,
    /// Records whose body changed.
    pub updated: u32,
    /// Records that were deleted.
    pub deleted: u32,
    /// Records that were saved as they were already.
    pub unchanged: u32,
    /// Records that could not be stored and were left out.
    pub skipped: u32,
}

/// What the pass of a snapshot has not seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unseen {
    pub(crate) ids: Vec<String>,
    /// Where those that come after begin.
    pub(crate) next: Option<u64>,
    pub(crate) unseen: u64,
    pub(crate) seen: u64,
}

/// Why what a snapshot has not seen is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    None,
    OneAnswer,
    TwoPasses,
}

/// What the end of a full pull did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SnapshotEnd {
    /// Records that are gone at the source, and so were deleted here.
    pub deleted: u64,
    /// Records that were not seen and stay: nothing proved that they are gone.
    pub kept: u64,
}

error! {
    /// Why the store said no.
    StoreError, StoreErrorKind:
    Denied denied, Invalid invalid, Refused refused, Fenced fenced, Other other
}

/// Whose change feed: a model of a connection of an integration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) integration: String,
    pub(crate) connection: Option<String>,
    pub(crate) model: String,
}

/// What happened to a record in a change feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeAction {
    /// It is new, or had been deleted.
    Added,
    /// Its body changed.
    Updated,
    /// It was deleted.
    Deleted,
}

/// One change of a change feed: a record in its latest state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The record's id.
    pub id: String,
    /// What happened to it.
    pub action: ChangeAction,
    /// The body as JSON text; the last one of a deleted record; `None` when it was pruned.
    pub body: Option<String>,
    /// Unix time in milliseconds.
    pub first_seen_at: u64,
    /// Unix time in milliseconds.
    pub last_modified_at: u64,
    /// The cursor just after this change.
    pub cursor: String,
}

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// For the operator, in passing.
    Info,
    /// Something is odd, and the run goes on.
    Warn,
    /// Something went wrong.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        })
    }
}
