//! What a run is asked to do, and how it ended.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Map, Value};
use tidegate_egress::Credentials;
use tidegate_engine::Name;
use tidegate_engine::cassette::Seed;
use tidegate_engine::idempotency::IdempotencyKey;
use tidegate_engine::integration::{Connection, Integration};
use tidegate_engine::redact::SecretTexts;
use tidegate_engine::run::{Failure, Fence, Figures, Outcome, RunId, Target, Trigger};
use tidegate_engine::store::{Durability, Durable};

use crate::meter::Meter;
use crate::output::OutputCheck;
use crate::tape::Recording;

/// Everything that one run needs.
pub struct RunSpec {
    pub run: RunId,
    pub fence: Fence,
    pub target: Target,
    pub trigger: Trigger,
    pub attempt: u32,
    /// Whose current deployment runs.
    pub integration: Arc<Integration>,
    pub connection: Connection,
    /// The integration's config with the connection's merged over it.
    pub config: Map<String, Value>,
    /// Models that this run may read and write.
    pub models: Vec<Name>,
    pub credentials: Option<Credentials>,
    /// The connection's secrets, those that come during the run too: taken out of whatever is kept or shown of it.
    pub secrets: SecretTexts,
    pub checkpoint: Option<String>,
    /// JSON text for an action or event.
    pub input: Option<String>,
    /// Under which an action acts once.
    pub idempotency_key: Option<IdempotencyKey>,
    /// What an action's output is checked with.
    pub output_check: Option<OutputCheck>,
    pub durability: Durability,
    /// Nothing leaves the host before this.
    pub stored: Durable,
    /// Whether a full pull may delete more than the limit `snapshot_delete_percent`, even everything.
    pub allow_deletes: bool,
    /// What the guest's randomness comes from: never the same for two runs.
    pub seed: Seed,
    /// Where to record it, if it is to be recorded.
    pub recording: Option<Recording>,
    pub meter: Arc<Meter>,
    /// Resolves when the run is to be cancelled.
    pub cancelled: BoxFuture<'static, ()>,
}

impl fmt::Debug for RunSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunSpec")
            .field("run", &self.run)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct RunResult {
    pub outcome: Outcome,
    pub failure: Option<Failure>,
    pub figures: Figures,
    /// What an action or event returned, JSON text.
    pub output: Option<String>,
    /// The cassette's bytes, or why there is no whole one; `None` if the run was not recorded.
    pub recorded: Option<Result<u64, String>>,
    pub deferred: DeferredDrop,
}

/// What is left of the guest. Dropping it gives its memory back, which takes a while: best when nobody waits.
pub struct DeferredDrop {
    _guest: Box<dyn Send>,
}

impl DeferredDrop {
    pub(crate) fn of(guest: impl Send + 'static) -> Self {
        Self {
            _guest: Box::new(guest),
        }
    }
}

impl fmt::Debug for DeferredDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeferredDrop").finish_non_exhaustive()
    }
}
