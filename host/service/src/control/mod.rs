//! What the commands do, as one interface.
//!
//! A command is written against [`Control`] and does not know whether the work happens in its own
//! process ([`Local`], which holds the data directory) or in a running server.

use serde::{Deserialize, Serialize};
mod action;
mod api_keys;
mod changes;
mod connections;
mod credentials;
mod deploy;
mod endpoint_keys;
mod events;
mod find;
mod grants;
mod ids;
mod imported;
mod jobs;
mod keys;
mod launch;
mod local;
mod model;
mod pages;
mod plugins;
mod probe;
mod proxy;
mod request;
mod retry;
mod room;
pub mod run_registry;
mod schedules;
mod scheduling;
mod schema;
mod schemas;
mod signed;
mod submit_action;
mod sync;
mod syncs;
mod truncate;
mod upkeep;
mod webhooks;
pub mod wire_secrets;

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ipnet::IpNet;
use serde_json::{Map, Value};
use tidegate_engine::api_key::{ApiKey, ApiKeyId};
use tidegate_engine::connection::ConnectionFilter;
use tidegate_engine::grant::{FeedGrant, GrantFlag, Grants, HostPattern, RateLimit};
use tidegate_engine::idempotency::IdempotencyKey;
use tidegate_engine::integration::{Connection, Digest, Integration};
use tidegate_engine::limits::LimitValues;
use tidegate_engine::record::Record;
use tidegate_engine::request::{NewRequest, RequestKey, RequestStart, StoredAnswer};
use tidegate_engine::run::{Figures, LogLine, Run, RunId};
use tidegate_engine::store::{Changes, Durability, ModelStats, RunFilter};
use tidegate_engine::upkeep::{CheckReport, Dropped, Pruned, Scope, StoreStats};
use tidegate_engine::{ConnectionKey, ConnectionName, ModelKey, Name, Timestamp};
use tidegate_runtime::Inspection;
use tokio::sync::watch;

pub(crate) use action::output_check;
pub use api_keys::{MadeApiKey, NewApiKey};
pub use connections::{
    AddedConnections, ConnectionUpdate, NewConnection, NewConnections, ObjectChange,
};
pub use deploy::{check_grants, check_opens, inspect_problem};
pub use grants::missing_grants;
pub use jobs::TriggerRequest;
pub use keys::{KeyRole, KeyStatus, KeysStatus, RotateKeys, Rotated};
pub(crate) use launch::new_run_id;
pub use local::Local;
pub use model::{KnownModel, ReadModel};
pub use proxy::egress_proxy;
pub(crate) use schedules::ensure_all as ensure_schedules;
pub use schedules::{BackfillRequest, Backfilled, NewSchedule};
pub use scheduling::Scheduling;
pub use schema::check_manifest;
pub use signed::Signature;
pub use signed::refused as unsigned;
pub use submit_action::{ActionSubmission, SubmitAction};
pub use syncs::SyncStatus;
pub use webhooks::{
    EndpointFilter, EndpointSecret, EndpointUpdate, NewEndpoint, ReplayRequest, Webhooks,
};

use crate::problem::Result;
use crate::transfer::{ExportScope, ImportReport, ImportTerms, Totals};

/// Grants that the operator gives at a deploy. `None` keeps what an earlier deploy granted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct GrantChanges {
    pub hosts: Option<Vec<HostPattern>>,
    pub private: Option<Vec<IpNet>>,
    pub feeds: Option<Vec<FeedGrant>>,
    pub token_hosts: Option<Vec<HostPattern>>,
    pub metadata_write: Option<bool>,
    /// Start the manifest's default schedules for each connection.
    pub auto_start: Option<bool>,
    pub limits: Option<LimitValues>,
    /// `Some(None)` takes an earlier one away.
    #[serde(with = "wire_secrets::twice")]
    pub rate_limit: Option<Option<RateLimit>>,
    pub config: Option<Map<String, Value>>,
}

/// A component to deploy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeployRequest {
    #[serde(with = "wire_secrets::bytes")]
    pub component: Vec<u8>,
    /// The integration's name; the manifest's own if `None`.
    pub name: Option<Name>,
    /// Who signed it, which the command has verified.
    #[serde(default)]
    pub signed: Option<Signature>,
    pub grants: GrantChanges,
}

/// What a deploy would do, to be shown before it is done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeployPlan {
    pub integration: Name,
    pub inspection: Inspection,
    pub grants: Grants,
    pub config: Map<String, Value>,
    /// What is not as its author may think, such as a pattern that is not checked.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What the manifest requests and nothing grants.
    pub missing: Vec<GrantFlag>,
    /// Grants that the manifest doesn't request, so that they have no effect.
    pub unused: Vec<GrantFlag>,
    /// What is deployed under this name now: version and digest.
    pub previous: Option<(String, Digest)>,
}

/// A sync to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SyncRequest {
    pub connection: ConnectionKey,
    pub sync: Name,
    pub reset: bool,
    /// Delete the records of its models first, too; it resets then.
    pub empty: bool,
    /// The snapshot guard's exception for this run.
    pub allow_deletes: bool,
    pub durability: Durability,
    /// Write the run's cassette to this file.
    pub record: Option<PathBuf>,
}

/// An action to invoke.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InvokeRequest {
    pub connection: ConnectionKey,
    pub action: Name,
    /// JSON text.
    pub input: String,
    /// Under which it acts once ([`tidegate_engine::idempotency`]).
    pub idempotency_key: Option<IdempotencyKey>,
    /// Write the run's cassette to this file.
    pub record: Option<PathBuf>,
}

/// What came of an action.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Invoked {
    /// It has ended, whatever its outcome is.
    pub run: Run,
    /// JSON text, if it succeeded.
    pub output: Option<String>,
    /// An earlier run under the same key had this result, and nothing was run.
    pub repeated: bool,
}

/// One request with a connection's credentials, through the integration's gate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProxyRequest {
    pub connection: ConnectionKey,
    /// Upper case.
    pub method: String,
    /// A path below the connection's base URL, or a whole URL.
    pub url: String,
    pub headers: Vec<(String, String)>,
    #[serde(with = "wire_secrets::some_bytes")]
    pub body: Option<Vec<u8>>,
}

/// Its answer, without the connection's secrets wherever they stood in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProxyResponse {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Decompressed.
    #[serde(with = "wire_secrets::bytes")]
    pub body: Vec<u8>,
    /// Where it came from, after redirects.
    pub url: String,
}

/// Sees a run go on. Calls are short and don't block.
pub trait Progress: Send + Sync {
    /// The run has started.
    fn started(&self, run: RunId);
    /// A log line.
    fn log(&self, line: &LogLine);
    /// The figures so far, about ten times a second if they are wanted, and at the end.
    fn figures(&self, figures: &Figures);
    /// Whether anybody wants figures before the end.
    fn wants_figures(&self) -> bool {
        true
    }
}

/// Nobody watches: the run's log is in the store.
#[derive(Debug)]
pub struct SilentObserver;

impl Progress for SilentObserver {
    fn started(&self, _: RunId) {}
    fn log(&self, _: &LogLine) {}
    fn figures(&self, _: &Figures) {}
    fn wants_figures(&self) -> bool {
        false
    }
}

/// Everything that commands ask of the engine.
#[async_trait]
pub trait Control: Scheduling + Webhooks {
    /// Work out what a deploy would do. Changes nothing but the cache of compiled components.
    async fn plan_deploy(&self, request: DeployRequest) -> Result<DeployPlan>;
    /// Do what the plan of the same request says.
    async fn deploy(&self, request: DeployRequest) -> Result<Integration>;
    /// Make an earlier deployment's component, grants and config current again, as a new deployment:
    /// that of number `to`, or the one before the current.
    async fn rollback(&self, integration: &Name, to: Option<u32>) -> Result<Integration>;
    /// Inspect a component and keep it, so that it can be deployed by its digest.
    async fn put_component(&self, bytes: Vec<u8>) -> Result<Inspection>;
    /// By name, at most `limit`, after `after`.
    async fn integrations(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Integration>>;
    async fn integration(&self, name: &Name) -> Result<Integration>;

    async fn add_connection(&self, connection: NewConnection) -> Result<()>;
    /// Add many, if all of them can be added. A crash may leave some; repeating it with
    /// `skip_existing` adds the others.
    async fn add_connections(&self, connections: NewConnections) -> Result<AddedConnections>;
    /// Change a connection. Updates at the same time don't lose one another's part.
    async fn update_connection(
        &self,
        key: &ConnectionKey,
        update: ConnectionUpdate,
    ) -> Result<Connection>;
    /// Stop the connection's runs, and remove it with all that it has.
    async fn remove_connection(&self, key: &ConnectionKey) -> Result<Dropped>;
    /// Let the plugin check the connection with a cheap request. `Ok` whatever comes of it.
    async fn check_connection(&self, key: &ConnectionKey) -> Result<Run>;
    async fn connection(&self, key: &ConnectionKey) -> Result<Connection>;
    /// By name, at most `limit`, after `after`.
    async fn connections(
        &self,
        integration: &Name,
        filter: &ConnectionFilter,
        after: Option<&ConnectionName>,
        limit: usize,
    ) -> Result<Vec<Connection>>;
    /// Models of a connection with their counts.
    async fn models(&self, key: &ConnectionKey) -> Result<Vec<(Name, ModelStats)>>;

    /// The syncs that the connection has by its config.
    async fn syncs(&self, key: &ConnectionKey) -> Result<Vec<SyncStatus>>;

    async fn create_api_key(&self, new: NewApiKey) -> Result<MadeApiKey>;
    /// All of them, by id: oldest first.
    async fn api_keys(&self) -> Result<Vec<ApiKey>>;
    /// Write down that a key was used.
    async fn touch_api_key(&self, id: ApiKeyId, at: Timestamp) -> Result<()>;
    /// Take the idempotency key of a request, unless one of the last 24 hours has it.
    async fn begin_request(&self, new: NewRequest) -> Result<RequestStart>;
    /// Keep its answer; without one it failed, and its key is free again.
    async fn end_request(&self, key: RequestKey, answer: Option<StoredAnswer>) -> Result<()>;
    /// From then on it is refused.
    async fn revoke_api_key(&self, id: ApiKeyId) -> Result<()>;

    /// Which connections' credentials are sealed under which master key.
    async fn keys_status(&self) -> Result<KeysStatus>;
    /// Put a new master key in the place of the one in use.
    async fn rotate_keys(&self, request: RotateKeys) -> Result<Rotated>;

    /// Run a sync to its end. `Ok` whatever its outcome is; an error means that no run started.
    async fn run_sync(&self, request: SyncRequest, progress: Arc<dyn Progress>) -> Result<Run>;

    /// Run an action to its end, or hand out the result of an earlier run under the same key. `Ok`
    /// whatever its outcome is; an error means that no run started.
    async fn invoke(&self, request: InvokeRequest, progress: Arc<dyn Progress>) -> Result<Invoked>;
    /// Send one request. `Ok` whatever the answer's status is.
    async fn request(&self, request: ProxyRequest) -> Result<ProxyResponse>;

    /// A model to read records of; a problem if the connection has none of that name.
    async fn known_model(&self, model: &ModelKey) -> Result<KnownModel>;
    async fn read_changes(&self, read: ReadModel) -> Result<Changes>;
    /// Sees the commits for a connection that this process makes from now on.
    fn watch(&self, key: &ConnectionKey) -> watch::Receiver<()>;
    /// The latest states of as many of the first ids as have bodies of at most so many bytes together, of one at least.
    async fn records(
        &self,
        model: &KnownModel,
        ids: &[String],
        bytes_max: u64,
    ) -> Result<Vec<Option<Record>>>;
    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>>;
    async fn run(&self, id: RunId) -> Result<Run>;
    /// Stop a run of this process; it ends shortly, as cancelled. `Conflict` if it has ended.
    async fn cancel_run(&self, id: RunId) -> Result<()>;
    async fn logs(&self, run: RunId, from: u64, limit: usize) -> Result<Vec<LogLine>>;
    /// The bytes of a component that was deployed.
    async fn component(&self, digest: Digest) -> Result<Vec<u8>>;
    /// Who signed a component, if it was deployed here with a signature.
    async fn signature(&self, digest: Digest) -> Result<Option<Signature>>;

    /// Look for anything wrong in the data directory; changes nothing.
    async fn check(&self) -> Result<CheckReport>;
    async fn stats(&self) -> Result<StoreStats>;
    /// Remove the bodies of the model's records that nothing has changed for `age`.
    async fn prune(&self, model: &ModelKey, age: Duration) -> Result<Pruned>;
    /// Remove everything of `scope`.
    async fn drop_scope(&self, scope: &Scope) -> Result<Dropped>;
    /// Do now what was put off, compaction above all.
    async fn settle(&self) -> Result<()>;
    /// Write `scope` as JSON lines. Writing may block.
    async fn export(&self, scope: &ExportScope, out: &mut (dyn Write + Send)) -> Result<Totals>;
    /// Bring in everything of an export, or nothing, held to what holds for what is deployed and added, and to
    /// `terms`; `progress` hears how many records have been read. Reading may block.
    async fn import(
        &self,
        input: &mut (dyn BufRead + Send),
        terms: &ImportTerms,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<ImportReport>;

    /// Fails when what is written is not stored any more: the disk is full, say.
    async fn ready(&self) -> Result<()>;
    /// Let go of the data directory, once everything acknowledged is on disk.
    async fn close(&self) -> Result<()>;
}
