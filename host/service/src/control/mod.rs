//! What the commands do, as one interface.
//!
//! A command is written against [`Control`] and does not know whether the work happens in its own
//! process ([`Local`], which holds the data directory) or in a running server.

use serde::{Deserialize, Serialize};
mod action;
mod api_keys;
pub mod calls;
mod changes;
mod connections;
mod credentials;
mod delegate;
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

use async_trait::async_trait;
use ipnet::IpNet;
use serde_json::{Map, Value};
use tidegate_engine::api_key::ApiKeyId;
use tidegate_engine::grant::{FeedGrant, GrantFlag, Grants, HostPattern, RateLimit};
use tidegate_engine::idempotency::IdempotencyKey;
use tidegate_engine::integration::Digest;
use tidegate_engine::limits::LimitValues;
use tidegate_engine::record::Record;
use tidegate_engine::request::{NewRequest, RequestKey, RequestStart, StoredAnswer};
use tidegate_engine::run::{Figures, LogLine, Run, RunId};
use tidegate_engine::store::Durability;
use tidegate_engine::{ConnectionKey, Name, Timestamp};
use tidegate_runtime::Inspection;
use tokio::sync::watch;

pub(crate) use action::output_check;
pub use api_keys::{MadeApiKey, NewApiKey};
pub use calls::{ComponentBytes, Management, Scheduling, Webhooks};
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
pub use schema::check_manifest;
pub use signed::Signature;
pub use signed::refused as unsigned;
pub use submit_action::{ActionSubmission, SubmitAction};
pub use syncs::SyncStatus;
pub use webhooks::{EndpointFilter, EndpointSecret, EndpointUpdate, NewEndpoint, ReplayRequest};

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

/// Everything that commands ask of the engine: what is answered once, which stands in the table of [`calls`], and what goes on.
#[async_trait]
pub trait Control: Management + Scheduling + Webhooks {
    /// Run a sync to its end. `Ok` whatever its outcome is; an error means that no run started.
    async fn run_sync(&self, request: SyncRequest, progress: Arc<dyn Progress>) -> Result<Run>;

    /// Run an action to its end, or hand out the result of an earlier run under the same key. `Ok`
    /// whatever its outcome is; an error means that no run started.
    async fn invoke(&self, request: InvokeRequest, progress: Arc<dyn Progress>) -> Result<Invoked>;

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

    /// Let go of the data directory, once everything acknowledged is on disk.
    async fn close(&self) -> Result<()>;
}

/// What only the API asks, in the server's own process: commands can't.
#[async_trait]
pub trait ApiControl: Control {
    /// Inspect a component and keep it, so that it can be deployed by its digest.
    async fn put_component(&self, bytes: Vec<u8>) -> Result<Inspection>;
    /// Write down that a key was used.
    async fn touch_api_key(&self, id: ApiKeyId, at: Timestamp) -> Result<()>;
    /// Take the idempotency key of a request, unless one of the last 24 hours has it.
    async fn begin_request(&self, new: NewRequest) -> Result<RequestStart>;
    /// Keep its answer; without one it failed, and its key is free again.
    async fn end_request(&self, key: RequestKey, answer: Option<StoredAnswer>) -> Result<()>;
    /// The latest states of as many of the first ids as have bodies of at most so many bytes together, of one at least.
    async fn records(
        &self,
        model: &KnownModel,
        ids: &[String],
        bytes_max: u64,
    ) -> Result<Vec<Option<Record>>>;
    /// Sees the commits for a connection that this process makes from now on.
    fn watch(&self, key: &ConnectionKey) -> watch::Receiver<()>;
    /// Stop a run of this process; it ends shortly, as cancelled. `Conflict` if it has ended.
    async fn cancel_run(&self, id: RunId) -> Result<()>;
    /// Queue a run of an action, or find what was queued, or done, under the same key.
    async fn invoke_later(&self, request: SubmitAction) -> Result<ActionSubmission>;
    /// Fails when what is written is not stored any more: the disk is full, say.
    async fn ready(&self) -> Result<()>;
}
