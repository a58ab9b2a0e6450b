//! The engine in this process: it holds the data directory while it lives.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use ipnet::IpNet;
use tidegate_egress::{Gate, GateOptions, Pool};
use tidegate_engine::Store;
use tidegate_engine::notifier::Notifier;
use tidegate_engine::run::{Blame, Failure, FailureClass, Trigger};
use tidegate_runtime::{Clock, Runtime, RuntimeOptions};
use tidegate_store_sled::{Options, SledStore};
use tokio::sync::RwLock;

use super::plugins::Plugins;
use super::proxy::egress_proxy;
use super::run_registry::{RunRegistry, Stop};
use super::schemas::Schemas;
use crate::notice::notice;
use crate::oauth::TokenManager;
use crate::problem::{Problem, Result};
use crate::secrets::KeyRing;

/// Where precompiled components lie in the data directory.
const CACHE: &str = "cache";

/// The engine in this process.
#[derive(Debug)]
pub struct Local {
    pub(super) data: PathBuf,
    pub(super) store: Arc<dyn Store>,
    /// Made when first needed: reading records needs no wasmtime.
    runtime: std::sync::OnceLock<Runtime>,
    pub(super) clock: Clock,
    pub(super) registry: RunRegistry,
    pub(super) plugins: Plugins,
    /// Rung when schedules change, so that the scheduler looks again.
    pub(crate) schedules_changed: Notifier,
    /// Rung when jobs may have become claimable.
    pub(crate) jobs_changed: Notifier,
    pub(super) schemas: Schemas,
    /// Who is told of commits.
    pub(super) changes: Arc<super::changes::Changes>,
    /// Whether a server has it: then applications start its runs, and the server hears signals.
    pub(super) served: bool,
    pub(super) tokens: Arc<TokenManager>,
    /// Read from when the master keys are loaded until what they seal is stored, or what they open
    /// is open; written where a rotation changes them. So nothing is left under a key that is gone.
    pub(super) key_use: Arc<RwLock<()>>,
    /// Private ranges that webhooks may go to.
    pub(super) webhook_private: Vec<IpNet>,
    /// What all runs together may hold of calls that have not ended.
    pub(super) held: Pool,
    pub(super) signatures_only: bool,
    /// Where the server listens, which no plugin and no webhook may ask.
    pub(super) own_addresses: std::sync::OnceLock<Vec<SocketAddr>>,
}

impl Local {
    /// Open the data directory, make it if there is none, and end runs that a dead process left.
    pub fn open(data: &Path) -> BoxFuture<'_, Result<Self>> {
        Box::pin(Self::open_as(data, false))
    }

    /// The same for a server: Ctrl-C and SIGTERM are the server's to hear, who stops the runs by
    /// [`Self::stop_runs`].
    pub fn open_served(data: &Path) -> BoxFuture<'_, Result<Self>> {
        Box::pin(Self::open_as(data, true))
    }

    async fn open_as(data: &Path, served: bool) -> Result<Self> {
        let path = data.to_owned();
        let opened =
            tokio::task::spawn_blocking(move || SledStore::open(&path, Options::default()))
                .await
                .map_err(Problem::internal)?;
        let store = opened?;
        for note in store.notes() {
            notice(format!("note: {note}"));
        }
        let clock = Clock::system();
        let why = Failure::new(
            FailureClass::Internal,
            Blame::Host,
            "the process that ran it ended; what it had committed stays, and the next run goes on from there",
        );
        let store: Arc<dyn Store> = Arc::new(store);
        store.recover_runs(why, clock.now()).await?;
        let key_use = Arc::default();
        let token_manager = TokenManager::new(
            Arc::clone(&store),
            data.to_owned(),
            clock.clone(),
            Arc::clone(&key_use),
        );
        let local = Self {
            data: data.to_owned(),
            store,
            tokens: Arc::new(token_manager),
            key_use,
            runtime: std::sync::OnceLock::new(),
            clock,
            registry: RunRegistry::default(),
            plugins: Plugins::default(),
            schemas: Schemas::default(),
            changes: Arc::default(),
            schedules_changed: Notifier::default(),
            jobs_changed: Notifier::default(),
            served,
            webhook_private: Vec::new(),
            held: Pool::default(),
            signatures_only: false,
            own_addresses: std::sync::OnceLock::new(),
        };
        // Whatever they are, other commands go on.
        if let Err(problem) = super::upkeep::forget_cassettes(&local).await {
            notice(format!(
                "warning: cassettes of removed connections: {problem}"
            ));
        }
        Ok(local)
    }

    /// The server is about to stop: from now on syncs stop at the next checkpoint that they come to.
    pub fn wind_down(&self) {
        self.registry.drain();
    }

    /// Stop all runs of this process, which end shortly; returns how many there were.
    pub fn stop_runs(&self, why: Stop) -> usize {
        self.registry.stop_all(why)
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Who asks for the runs.
    pub(super) fn trigger(&self) -> Trigger {
        match self.served {
            true => Trigger::Api,
            false => Trigger::Manual,
        }
    }

    /// Whether each run stops at Ctrl-C and SIGTERM.
    pub(super) fn hears_signals(&self) -> bool {
        !self.served
    }

    /// wasmtime, set up once.
    pub(super) fn runtime(&self) -> Result<&Runtime> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let runtime = Runtime::new(RuntimeOptions {
            cache: Some(self.data.join(CACHE)),
            clock: self.clock.clone(),
            gate: Gate::new(GateOptions {
                proxy: egress_proxy()?,
                own_addresses: self.own_addresses.get().cloned().unwrap_or_default(),
                held: self.held.clone(),
                ..GateOptions::default()
            }),
        })
        .map_err(Problem::internal)?;
        Ok(self.runtime.get_or_init(|| runtime))
    }

    pub(super) fn key_ring(&self) -> Result<KeyRing> {
        KeyRing::load(&self.data)
    }
}
