//! What a guest's calls reach: the state of one run.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value};
use tidegate_egress::{Account, Overdrawn, Share};
use tidegate_engine::cassette::Refusal;
use tidegate_engine::limits::{self, Limits};
use tidegate_engine::redact::SecretTexts;
use tidegate_engine::run::{Blame, Failure};
use tidegate_engine::{ConnectionKey, Name};
use wasmtime::component::{HasData, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::calls::{AnswerShare, HostCalls};
use crate::cause::{Cause, Causes};
use crate::clock::GuestClock;
use crate::limiter::Limiter;
use crate::log::RunLog;
use crate::meter::Meter;

/// Data of a wasmtime store.
pub(crate) struct RunState {
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) limiter: Limiter,
    /// `None` while the manifest is asked for: then every import traps.
    pub(crate) live: Option<Arc<Live>>,
}

/// What the imports of a real run work on.
pub(crate) struct Live {
    pub(crate) connection: ConnectionKey,
    /// Models that this run may read and write.
    pub(crate) models: Vec<Name>,
    /// Feeds that the manifest requests and the operator granted.
    pub(crate) feeds: Vec<tidegate_engine::grant::FeedGrant>,
    pub(crate) metadata_write: bool,
    pub(crate) limits: Limits,
    pub(crate) checkpoint: Option<String>,
    pub(crate) config: String,
    /// What nothing kept of the run may hold.
    pub(crate) secrets: SecretTexts,
    pub(crate) metadata: Mutex<Map<String, Value>>,
    pub(crate) context: String,
    pub(crate) is_sync: bool,
    pub(crate) calls: HostCalls,
    pub(crate) meter: Arc<Meter>,
    /// What the run may hold of calls that have not ended.
    pub(crate) account: Account,
    pub(crate) log: RunLog,
    pub(crate) clock: GuestClock,
    pub(crate) notes: Mutex<HostNotes>,
}

/// What the host noticed while the guest ran, for judging how the run ended.
#[derive(Debug, Default)]
pub(crate) struct HostNotes {
    /// What was refused, should the guest fail because of it.
    pub(crate) causes: Causes,
    /// A failure that counts even if the guest says that all went well.
    pub(crate) sticky: Option<Failure>,
    /// Whether the log says that records, or the checkpoint and metadata, hold a secret.
    pub(crate) told_of_secrets: (bool, bool),
    /// Whether a commit of this run moved the checkpoint.
    pub(crate) advanced: bool,
    /// Whether the API took, or may have taken, a request that must not come twice.
    pub(crate) acted: bool,
}

impl Live {
    /// Note something for the judgement.
    pub(crate) fn note(&self, change: impl FnOnce(&mut HostNotes)) {
        change(&mut self.notes.lock());
    }

    /// Note what a refusal means for how the run ends. Returns what the guest hands back when it fails because of it.
    pub(crate) fn heed(&self, refusal: &Refusal) -> u64 {
        if let Some(failure) = &refusal.failure {
            self.note_sticky(failure.clone());
        }
        let cause = Cause {
            limit: refusal.limit.as_deref().and_then(limits::known_name),
            blame: refusal.blame.unwrap_or(Blame::Guest),
            retry_after_ms: refusal.retry_after_ms,
        };
        let mut number = 0;
        self.note(|notes| number = notes.causes.add(cause));
        number
    }

    /// Count bytes that a call has copied, and keep them counted as held until the call ends.
    pub(crate) async fn hold(&self, bytes: usize) -> wasmtime::Result<Share> {
        self.copied(bytes)?;
        self.hold_answer(None, bytes).await
    }

    /// What an answer of so many bytes takes of the account: counted where it came from, or else now.
    pub(crate) async fn hold_answer(
        &self,
        held: AnswerShare,
        bytes: usize,
    ) -> wasmtime::Result<Share> {
        let share = match held {
            Some(share) => share,
            None => self.account.hold(bytes as u64).await,
        };
        share.map_err(CallLimitReached::overdrawn)
    }

    /// Count bytes that a call has copied.
    pub(crate) fn copied(&self, bytes: usize) -> wasmtime::Result<()> {
        let most = self.limits.host_call_total_bytes;
        if self.meter.copied(bytes as u64) > most {
            return Err(CallLimitReached::trap("host_call_total_bytes", most));
        }
        Ok(())
    }

    /// The first sticky failure counts: what follows is usually its consequence.
    fn note_sticky(&self, failure: Failure) {
        self.note(|notes| {
            notes.sticky.get_or_insert(failure);
        });
    }
}

/// A trap: a limit on host calls is used up.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the plugin's calls of the host have used up the limit {name}, {most}")]
pub(crate) struct CallLimitReached {
    pub(crate) name: &'static str,
    pub(crate) most: u64,
}

impl CallLimitReached {
    fn overdrawn(overdrawn: Overdrawn) -> wasmtime::Error {
        Self::trap(overdrawn.limit(), overdrawn.most())
    }

    fn trap(name: &'static str, most: u64) -> wasmtime::Error {
        wasmtime::Error::new(Self { name, most })
    }
}

impl RunState {
    /// The run's side of an import, or a trap: while the manifest is asked for, and when it is
    /// one call too many.
    pub(crate) fn live(&self, call: &str) -> wasmtime::Result<Arc<Live>> {
        let live = self.live.clone().ok_or_else(|| {
            wasmtime::Error::msg(format!(
                "the export `manifest` called `{call}`: a manifest is made without any capability"
            ))
        })?;
        let most = live.limits.host_calls;
        if live.meter.call() > most {
            return Err(CallLimitReached::trap("host_calls", most));
        }
        Ok(live)
    }
}

impl WasiView for RunState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Each call of WASI comes by here; [`crate::meter::Metered`] stops those beyond the limit.
        if let Some(live) = &self.live {
            live.meter.call();
        }
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Names `RunState` as the data of our imports.
pub(crate) struct Imports;

impl HasData for Imports {
    type Data<'a> = &'a mut RunState;
}
