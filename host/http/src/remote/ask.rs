//! `Control` by calls to the server.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_engine::api_key::{ApiKey, ApiKeyId};
use tidegate_engine::connection::ConnectionFilter;
use tidegate_engine::integration::{Connection, Digest, Integration};
use tidegate_engine::job::{Job, JobId};
use tidegate_engine::record::Record;
use tidegate_engine::request::{NewRequest, RequestKey, RequestStart, StoredAnswer};
use tidegate_engine::run::{LogLine, Run, RunId};
use tidegate_engine::schedule::{Definition, Due, Fire, Schedule, ScheduleId};
use tidegate_engine::store::{
    Changes, DeliveryFilter, JobFilter, ModelStats, Replayed, RunFilter, ScheduleFilter,
};
use tidegate_engine::upkeep::{CheckReport, Dropped, Pruned, Scope, StoreStats};
use tidegate_engine::webhook::{Attempt, Delivery, Endpoint, EndpointId};
use tidegate_engine::{ConnectionKey, ConnectionName, ModelKey, Name, Timestamp};
use tidegate_runtime::Inspection;
use tidegate_service::control::{
    ActionSubmission, AddedConnections, BackfillRequest, Backfilled, ConnectionUpdate, Control,
    DeployPlan, DeployRequest, EndpointSecret, EndpointUpdate, InvokeRequest, Invoked, KeysStatus,
    KnownModel, MadeApiKey, NewApiKey, NewConnection, NewConnections, NewEndpoint, NewSchedule,
    Progress, ProxyRequest, ProxyResponse, ReadModel, ReplayRequest, RotateKeys, Rotated,
    Scheduling, Signature, SubmitAction, SyncRequest, SyncStatus, TriggerRequest, Webhooks,
    wire_secrets,
};
use tidegate_service::problem::Result;
use tidegate_service::transfer::{ExportScope, ImportReport, ImportTerms, Totals};
use tokio::sync::watch;

use super::client::Remote;
use super::runs;

/// Bytes of a component.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Bytes(#[serde(with = "wire_secrets::bytes")] pub Vec<u8>);

#[async_trait]
impl Control for Remote {
    async fn plan_deploy(&self, request: DeployRequest) -> Result<DeployPlan> {
        self.call("plan_deploy", (&request,)).await
    }

    async fn deploy(&self, request: DeployRequest) -> Result<Integration> {
        self.call("deploy", (&request,)).await
    }

    async fn rollback(&self, integration: &Name, to: Option<u32>) -> Result<Integration> {
        self.call("rollback", (integration, &to)).await
    }

    async fn integrations(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Integration>> {
        self.call("integrations", (&after, limit)).await
    }

    async fn integration(&self, name: &Name) -> Result<Integration> {
        self.call("integration", (name,)).await
    }

    async fn add_connection(&self, connection: NewConnection) -> Result<()> {
        self.call("add_connection", (&connection,)).await
    }

    async fn add_connections(&self, connections: NewConnections) -> Result<AddedConnections> {
        self.call("add_connections", (&connections,)).await
    }

    async fn update_connection(
        &self,
        key: &ConnectionKey,
        update: ConnectionUpdate,
    ) -> Result<Connection> {
        self.call("update_connection", (key, &update)).await
    }

    async fn remove_connection(&self, key: &ConnectionKey) -> Result<Dropped> {
        self.call("remove_connection", (key,)).await
    }

    async fn check_connection(&self, key: &ConnectionKey) -> Result<Run> {
        self.call("check_connection", (key,)).await
    }

    async fn connection(&self, key: &ConnectionKey) -> Result<Connection> {
        self.call("connection", (key,)).await
    }

    async fn connections(
        &self,
        integration: &Name,
        filter: &ConnectionFilter,
        after: Option<&ConnectionName>,
        limit: usize,
    ) -> Result<Vec<Connection>> {
        self.call("connections", (integration, filter, &after, limit))
            .await
    }

    async fn models(&self, key: &ConnectionKey) -> Result<Vec<(Name, ModelStats)>> {
        self.call("models", (key,)).await
    }

    async fn syncs(&self, key: &ConnectionKey) -> Result<Vec<SyncStatus>> {
        self.call("syncs", (key,)).await
    }

    async fn create_api_key(&self, new: NewApiKey) -> Result<MadeApiKey> {
        self.call("create_api_key", (&new,)).await
    }

    async fn api_keys(&self) -> Result<Vec<ApiKey>> {
        self.call("api_keys", ()).await
    }

    async fn touch_api_key(&self, id: ApiKeyId, at: Timestamp) -> Result<()> {
        self.call("touch_api_key", (&id, &at)).await
    }

    async fn begin_request(&self, new: NewRequest) -> Result<RequestStart> {
        self.call("begin_request", (&new,)).await
    }

    async fn end_request(&self, key: RequestKey, answer: Option<StoredAnswer>) -> Result<()> {
        self.call("end_request", (&key, &answer)).await
    }

    async fn revoke_api_key(&self, id: ApiKeyId) -> Result<()> {
        self.call("revoke_api_key", (&id,)).await
    }

    async fn keys_status(&self) -> Result<KeysStatus> {
        self.call("keys_status", ()).await
    }

    async fn rotate_keys(&self, request: RotateKeys) -> Result<Rotated> {
        self.call("rotate_keys", (&request,)).await
    }

    async fn request(&self, request: ProxyRequest) -> Result<ProxyResponse> {
        self.call("request", (&request,)).await
    }

    async fn known_model(&self, model: &ModelKey) -> Result<KnownModel> {
        self.call("known_model", (model,)).await
    }

    async fn read_changes(&self, read: ReadModel) -> Result<Changes> {
        self.call("read_changes", (&read,)).await
    }

    async fn records(
        &self,
        model: &KnownModel,
        ids: &[String],
        bytes_max: u64,
    ) -> Result<Vec<Option<Record>>> {
        self.call("records", (model, ids, bytes_max)).await
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>> {
        self.call("runs", (&filter,)).await
    }

    async fn run(&self, id: RunId) -> Result<Run> {
        self.call("run", (&id,)).await
    }

    async fn cancel_run(&self, id: RunId) -> Result<()> {
        self.call("cancel_run", (&id,)).await
    }

    async fn logs(&self, run: RunId, from: u64, limit: usize) -> Result<Vec<LogLine>> {
        self.call("logs", (&run, from, limit)).await
    }

    async fn check(&self) -> Result<CheckReport> {
        self.call("check", ()).await
    }

    async fn stats(&self) -> Result<StoreStats> {
        self.call("stats", ()).await
    }

    async fn prune(&self, model: &ModelKey, age: Duration) -> Result<Pruned> {
        self.call("prune", (model, &age)).await
    }

    async fn drop_scope(&self, scope: &Scope) -> Result<Dropped> {
        self.call("drop_scope", (scope,)).await
    }

    async fn settle(&self) -> Result<()> {
        self.call("settle", ()).await
    }

    async fn ready(&self) -> Result<()> {
        self.call("ready", ()).await
    }

    async fn put_component(&self, bytes: Vec<u8>) -> Result<Inspection> {
        self.call("put_component", (Bytes(bytes),)).await
    }

    async fn component(&self, digest: Digest) -> Result<Vec<u8>> {
        let Bytes(bytes) = self.call("component", (digest,)).await?;
        Ok(bytes)
    }

    async fn signature(&self, digest: Digest) -> Result<Option<Signature>> {
        self.call("signature", (digest,)).await
    }

    async fn run_sync(&self, request: SyncRequest, progress: Arc<dyn Progress>) -> Result<Run> {
        runs::run_sync(self, request, &*progress).await
    }

    async fn invoke(&self, request: InvokeRequest, progress: Arc<dyn Progress>) -> Result<Invoked> {
        runs::invoke(self, request, &*progress).await
    }

    /// Only the server itself sees commits; commands look again.
    fn watch(&self, _: &ConnectionKey) -> watch::Receiver<()> {
        watch::channel(()).1
    }

    async fn export(&self, scope: &ExportScope, out: &mut (dyn Write + Send)) -> Result<Totals> {
        runs::export(self, scope, out).await
    }

    async fn import(
        &self,
        input: &mut (dyn BufRead + Send),
        terms: &ImportTerms,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<ImportReport> {
        runs::import(self, input, terms, progress).await
    }

    /// The server keeps it open.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Scheduling for Remote {
    async fn invoke_later(&self, request: SubmitAction) -> Result<ActionSubmission> {
        self.call("invoke_later", (&request,)).await
    }

    async fn job_output(&self, id: JobId) -> Result<Option<String>> {
        self.call("job_output", (&id,)).await
    }

    async fn trigger(&self, request: TriggerRequest) -> Result<Job> {
        self.call("trigger", (&request,)).await
    }

    async fn jobs(&self, filter: JobFilter) -> Result<Vec<Job>> {
        self.call("jobs", (&filter,)).await
    }

    async fn job(&self, id: JobId) -> Result<Job> {
        self.call("job", (&id,)).await
    }

    async fn cancel_job(&self, id: JobId) -> Result<Job> {
        self.call("cancel_job", (&id,)).await
    }

    async fn redrive_job(&self, id: JobId) -> Result<Job> {
        self.call("redrive_job", (&id,)).await
    }

    async fn discard_job(&self, id: JobId) -> Result<Job> {
        self.call("discard_job", (&id,)).await
    }

    async fn retry_run(&self, id: RunId) -> Result<Job> {
        self.call("retry_run", (&id,)).await
    }

    async fn pause_sync(
        &self,
        key: &ConnectionKey,
        sync: &Name,
        note: String,
        until: Option<Timestamp>,
    ) -> Result<SyncStatus> {
        let args = (key, sync, &note, &until);
        self.call("pause_sync", args).await
    }

    async fn start_sync(&self, key: &ConnectionKey, sync: &Name) -> Result<SyncStatus> {
        self.call("start_sync", (key, sync)).await
    }

    async fn put_schedule(&self, new: NewSchedule) -> Result<Schedule> {
        self.call("put_schedule", (&new,)).await
    }

    async fn schedules(&self, filter: ScheduleFilter) -> Result<Vec<Schedule>> {
        self.call("schedules", (&filter,)).await
    }

    async fn schedule(&self, id: ScheduleId) -> Result<Schedule> {
        self.call("schedule", (&id,)).await
    }

    async fn pause_schedule(
        &self,
        id: ScheduleId,
        note: String,
        until: Option<Timestamp>,
    ) -> Result<Schedule> {
        self.call("pause_schedule", (&id, &note, &until)).await
    }

    async fn resume_schedule(&self, id: ScheduleId) -> Result<Schedule> {
        self.call("resume_schedule", (&id,)).await
    }

    async fn remove_schedule(&self, id: ScheduleId) -> Result<()> {
        self.call("remove_schedule", (&id,)).await
    }

    async fn preview(
        &self,
        id: Option<ScheduleId>,
        definition: &Definition,
        after: Option<Timestamp>,
        count: usize,
    ) -> Result<Vec<Due>> {
        self.call("preview", (&id, definition, &after, count)).await
    }

    async fn fires(
        &self,
        id: ScheduleId,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<Fire>> {
        self.call("fires", (&id, &before, limit)).await
    }

    async fn backfill(&self, request: BackfillRequest) -> Result<Backfilled> {
        self.call("backfill", (&request,)).await
    }
}

#[async_trait]
impl Webhooks for Remote {
    async fn add_endpoint(&self, endpoint: NewEndpoint) -> Result<EndpointSecret> {
        self.call("add_endpoint", (&endpoint,)).await
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>> {
        self.call("endpoints", ()).await
    }

    async fn endpoint(&self, id: EndpointId) -> Result<Endpoint> {
        self.call("endpoint", (&id,)).await
    }

    async fn update_endpoint(&self, id: EndpointId, update: EndpointUpdate) -> Result<Endpoint> {
        self.call("update_endpoint", (&id, &update)).await
    }

    async fn remove_endpoint(&self, id: EndpointId) -> Result<()> {
        self.call("remove_endpoint", (&id,)).await
    }

    async fn rotate_endpoint_secret(
        &self,
        id: EndpointId,
        at_once: bool,
    ) -> Result<EndpointSecret> {
        self.call("rotate_endpoint_secret", (&id, at_once)).await
    }

    async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<Delivery>> {
        self.call("deliveries", (&filter,)).await
    }

    async fn replay_deliveries(&self, request: ReplayRequest) -> Result<Replayed> {
        self.call("replay_deliveries", (&request,)).await
    }

    async fn test_endpoint(&self, id: EndpointId) -> Result<Attempt> {
        self.call("test_endpoint", (&id,)).await
    }
}
