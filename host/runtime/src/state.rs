//! What a guest's calls reach: the state of one run.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use tidegate_egress::Session;
use tidegate_engine::limits::Limits;
use tidegate_engine::run::{Failure, Fence, RunId};
use tidegate_engine::store::{Durability, SnapshotGuard};
use tidegate_engine::{ConnectionKey, Name, Store};
use wasmtime::component::{HasData, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::engine::Clock;
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
    pub(crate) run: RunId,
    pub(crate) fence: Fence,
    pub(crate) connection: ConnectionKey,
    /// Models that this run may read and write.
    pub(crate) models: Vec<Name>,
    /// Feeds that the manifest requests and the operator granted.
    pub(crate) feeds: Vec<tidegate_engine::grant::FeedPattern>,
    pub(crate) metadata_write: bool,
    pub(crate) limits: Limits,
    pub(crate) durability: Durability,
    pub(crate) guard: SnapshotGuard,
    pub(crate) checkpoint: Option<String>,
    pub(crate) config: String,
    pub(crate) metadata: Mutex<Map<String, Value>>,
    pub(crate) context: String,
    pub(crate) is_sync: bool,
    pub(crate) session: Session,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) log: RunLog,
    pub(crate) clock: Clock,
    pub(crate) notes: Mutex<Notes>,
}

/// What the host noticed while the guest ran, for judging how the run ended.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// A limit that a call ran into, should the guest fail after it.
    pub(crate) limit: Option<&'static str>,
    /// A failure that counts even if the guest says that all went well.
    pub(crate) sticky: Option<Failure>,
    /// Whether a commit of this run moved the checkpoint.
    pub(crate) advanced: bool,
}

impl Live {
    /// Note something for the judgement.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Notes)) {
        change(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The first sticky failure counts: what follows is usually its consequence.
    pub(crate) fn note_sticky(&self, failure: Failure) {
        self.note(|notes| {
            notes.sticky.get_or_insert(failure);
        });
    }
}

impl RunState {
    /// The run's side of an import, or a trap while the manifest is asked for.
    pub(crate) fn live(&self, call: &str) -> wasmtime::Result<Arc<Live>> {
        self.live.clone().ok_or_else(|| {
            wasmtime::Error::msg(format!(
                "the export `manifest` called `{call}`: a manifest is made without any capability"
            ))
        })
    }
}

impl WasiView for RunState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
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
