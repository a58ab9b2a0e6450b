//! [`Control`] in this process: it holds the data directory while it lives.

use futures::future::BoxFuture;
use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ipnet::IpNet;
use tidegate_egress::{Gate, GateOptions, Pool};
use tidegate_engine::api_key::{ApiKey, ApiKeyId};
use tidegate_engine::command;
use tidegate_engine::connection::ConnectionFilter;
use tidegate_engine::integration::{Connection, Digest, Integration};
use tidegate_engine::notifier::Notifier;
use tidegate_engine::record::Record;
use tidegate_engine::request::{NewRequest, RequestKey, RequestStart, StoredAnswer};
use tidegate_engine::run::{Blame, Failure, FailureClass, LogLine, Run, RunId, Trigger};
use tidegate_engine::store::{Changes, ModelStats, RunFilter};
use tidegate_engine::upkeep::{CheckReport, Dropped, Pruned, Scope, StoreStats};
use tidegate_engine::{ConnectionKey, ConnectionName, ModelKey, Name, Store, Timestamp};
use tidegate_runtime::{Clock, Inspection, Runtime, RuntimeOptions};
use tidegate_store_sled::{Options, SledStore};
use tokio::sync::{RwLock, watch};

use super::model::{KnownModel, ReadModel};
use super::plugins::Plugins;
use super::proxy::egress_proxy;
use super::run_registry::{RunRegistry, Stop};
use super::schemas::Schemas;
use super::{
    AddedConnections, ConnectionUpdate, Control, DeployPlan, DeployRequest, InvokeRequest, Invoked,
    KeysStatus, MadeApiKey, NewApiKey, NewConnection, NewConnections, Progress, ProxyRequest,
    ProxyResponse, RotateKeys, Rotated, Signature, SyncRequest, SyncStatus,
};
use crate::notice::notice;
use crate::oauth::TokenManager;
use crate::problem::{Kind, Problem, Result};
use crate::secrets::KeyRing;
use crate::transfer::{ExportScope, ImportReport, ImportTerms, Totals};

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

#[async_trait]
impl Control for Local {
    async fn plan_deploy(&self, request: DeployRequest) -> Result<DeployPlan> {
        super::deploy::plan(self, &request).await
    }

    async fn deploy(&self, request: DeployRequest) -> Result<Integration> {
        super::deploy::deploy(self, request).await
    }

    async fn rollback(&self, integration: &Name, to: Option<u32>) -> Result<Integration> {
        super::deploy::rollback(self, integration, to).await
    }

    async fn put_component(&self, bytes: Vec<u8>) -> Result<Inspection> {
        super::deploy::put_component(self, bytes).await
    }

    async fn integrations(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Integration>> {
        Ok(self.store.integrations(after, limit).await?)
    }

    async fn integration(&self, name: &Name) -> Result<Integration> {
        self.find_integration(name).await.map(Arc::unwrap_or_clone)
    }

    async fn add_connection(&self, connection: NewConnection) -> Result<()> {
        super::connections::add(self, connection).await
    }

    async fn add_connections(&self, connections: NewConnections) -> Result<AddedConnections> {
        super::connections::add_many(self, connections).await
    }

    async fn update_connection(
        &self,
        key: &ConnectionKey,
        update: ConnectionUpdate,
    ) -> Result<Connection> {
        super::connections::update(self, key, update).await
    }

    async fn remove_connection(&self, key: &ConnectionKey) -> Result<Dropped> {
        super::connections::remove(self, key).await
    }

    async fn check_connection(&self, key: &ConnectionKey) -> Result<Run> {
        super::probe::run(self, key).await
    }

    async fn keys_status(&self) -> Result<KeysStatus> {
        super::keys::status(self).await
    }

    async fn rotate_keys(&self, request: RotateKeys) -> Result<Rotated> {
        super::keys::rotate(self, request).await
    }

    async fn connection(&self, key: &ConnectionKey) -> Result<Connection> {
        self.find_connection(key).await
    }

    async fn connections(
        &self,
        integration: &Name,
        filter: &ConnectionFilter,
        after: Option<&ConnectionName>,
        limit: usize,
    ) -> Result<Vec<Connection>> {
        self.find_integration(integration).await?;
        super::pages::filtered(self, integration, filter, after, limit).await
    }

    async fn models(&self, key: &ConnectionKey) -> Result<Vec<(Name, ModelStats)>> {
        self.find_connection(key).await?;
        Ok(self.store.models(key).await?)
    }

    async fn syncs(&self, key: &ConnectionKey) -> Result<Vec<SyncStatus>> {
        super::syncs::list(self, key).await
    }

    async fn create_api_key(&self, new: NewApiKey) -> Result<MadeApiKey> {
        super::api_keys::create(self, new).await
    }

    async fn api_keys(&self) -> Result<Vec<ApiKey>> {
        Ok(self.store.api_keys().await?)
    }

    async fn touch_api_key(&self, id: ApiKeyId, at: Timestamp) -> Result<()> {
        Ok(self.store.touch_api_key(id, at).await?)
    }

    async fn begin_request(&self, new: NewRequest) -> Result<RequestStart> {
        Ok(self.store.begin_request(new).await?)
    }

    async fn end_request(&self, key: RequestKey, answer: Option<StoredAnswer>) -> Result<()> {
        Ok(self.store.end_request(key, answer).await?)
    }

    async fn revoke_api_key(&self, id: ApiKeyId) -> Result<()> {
        super::api_keys::revoke(self, id).await
    }

    async fn run_sync(&self, request: SyncRequest, progress: Arc<dyn Progress>) -> Result<Run> {
        super::sync::run(self, request, progress).await
    }

    async fn invoke(&self, request: InvokeRequest, progress: Arc<dyn Progress>) -> Result<Invoked> {
        // It is large: a run's whole state.
        Box::pin(super::action::invoke(self, request, progress)).await
    }

    async fn request(&self, request: ProxyRequest) -> Result<ProxyResponse> {
        super::request::send(self, request).await
    }

    async fn known_model(&self, model: &ModelKey) -> Result<KnownModel> {
        Self::known_model(self, model).await
    }

    async fn read_changes(&self, read: ReadModel) -> Result<Changes> {
        Ok(self.store.read_changes(read.into()).await?)
    }

    fn watch(&self, key: &ConnectionKey) -> watch::Receiver<()> {
        self.changes.watch(key)
    }

    async fn records(
        &self,
        model: &KnownModel,
        ids: &[String],
        bytes_max: u64,
    ) -> Result<Vec<Option<Record>>> {
        let found = self.store.records_within(model.key(), ids, bytes_max);
        Ok(found.await?)
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>> {
        if let Some(connection) = &filter.connection {
            self.find_connection(connection).await?;
        } else if let Some(integration) = &filter.integration {
            self.find_integration(integration).await?;
        }
        Ok(self.store.runs(filter).await?)
    }

    async fn run(&self, id: RunId) -> Result<Run> {
        let run = self.store.run(id).await.map_err(Problem::from);
        run.map_err(|problem| problem.advise("list them with", command!("runs")))
    }

    async fn cancel_run(&self, id: RunId) -> Result<()> {
        let run = Control::run(self, id).await?;
        match (&run.end, self.registry.stop_run(id, Stop::Cancelled)) {
            (_, true) => Ok(()),
            (Some(end), false) => {
                let message = format!("run {id} has ended already: {}", end.outcome.as_str());
                Err(Problem::new(Kind::Conflict, message))
            }
            // It is on its way to its end.
            (None, false) => Ok(()),
        }
    }

    async fn logs(&self, run: RunId, from: u64, limit: usize) -> Result<Vec<LogLine>> {
        Control::run(self, run).await?;
        Ok(self.store.logs(run, from, limit).await?)
    }

    async fn signature(&self, digest: Digest) -> Result<Option<Signature>> {
        super::signed::of(self, digest)
    }

    async fn component(&self, digest: Digest) -> Result<Vec<u8>> {
        Ok(self.store.component(digest).await?)
    }

    async fn check(&self) -> Result<CheckReport> {
        Ok(self.store.check().await?)
    }

    async fn stats(&self) -> Result<StoreStats> {
        Ok(self.store.stats().await?)
    }

    async fn prune(&self, model: &ModelKey, age: Duration) -> Result<Pruned> {
        super::upkeep::prune(self, model, age).await
    }

    async fn drop_scope(&self, scope: &Scope) -> Result<Dropped> {
        super::upkeep::drop_scope(self, scope).await
    }

    async fn settle(&self) -> Result<()> {
        Ok(self.store.settle().await?)
    }

    async fn export(&self, scope: &ExportScope, out: &mut (dyn Write + Send)) -> Result<Totals> {
        super::upkeep::export(self, scope, out).await
    }

    async fn import(
        &self,
        input: &mut (dyn BufRead + Send),
        terms: &ImportTerms,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<ImportReport> {
        super::upkeep::import(self, input, terms, progress).await
    }

    async fn ready(&self) -> Result<()> {
        Ok(self.store.ready().await?)
    }

    async fn close(&self) -> Result<()> {
        // A refresh token on its way must not be lost.
        self.tokens.settle().await;
        Ok(self.store.close().await?)
    }
}
