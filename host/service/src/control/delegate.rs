//! The engine in this process answers: which file does each call.

use std::io::{BufRead, Write};
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_engine::command;
use tidegate_engine::record::Record;
use tidegate_engine::request::{NewRequest, RequestKey, RequestStart, StoredAnswer};
use tidegate_runtime::Inspection;
use tokio::sync::watch;

use super::calls::*;
use super::local::Local;
use super::run_registry::Stop;
use super::{
    ActionSubmission, ApiControl, Control, InvokeRequest, Invoked, Progress, SubmitAction,
    SyncRequest, jobs, schedules, submit_action, syncs, webhooks,
};
use crate::problem::{Kind, Problem, Result};
use crate::transfer::{ExportScope, ImportReport, ImportTerms, Totals};

#[async_trait]
impl Control for Local {
    async fn run_sync(&self, request: SyncRequest, progress: Arc<dyn Progress>) -> Result<Run> {
        super::sync::run(self, request, progress).await
    }

    async fn invoke(&self, request: InvokeRequest, progress: Arc<dyn Progress>) -> Result<Invoked> {
        // It is large: a run's whole state.
        Box::pin(super::action::invoke(self, request, progress)).await
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

    async fn close(&self) -> Result<()> {
        // A refresh token on its way must not be lost.
        self.tokens.settle().await;
        Ok(self.store.close().await?)
    }
}

#[async_trait]
impl ApiControl for Local {
    async fn put_component(&self, bytes: Vec<u8>) -> Result<Inspection> {
        super::deploy::put_component(self, bytes).await
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

    async fn cancel_run(&self, id: RunId) -> Result<()> {
        let run = Management::run(self, id).await?;
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

    async fn ready(&self) -> Result<()> {
        Ok(self.store.ready().await?)
    }

    async fn invoke_later(&self, request: SubmitAction) -> Result<ActionSubmission> {
        submit_action::invoke_later(self, request).await
    }
}

#[async_trait]
impl Management for Local {
    async fn plan_deploy(&self, request: DeployRequest) -> Result<DeployPlan> {
        super::deploy::plan(self, &request).await
    }

    async fn deploy(&self, request: DeployRequest) -> Result<Integration> {
        super::deploy::deploy(self, request).await
    }

    async fn rollback(&self, integration: &Name, to: Option<u32>) -> Result<Integration> {
        super::deploy::rollback(self, integration, to).await
    }

    async fn integrations(&self, after: Option<Name>, limit: usize) -> Result<Vec<Integration>> {
        Ok(self.store.integrations(after.as_ref(), limit).await?)
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
        after: Option<ConnectionName>,
        limit: usize,
    ) -> Result<Vec<Connection>> {
        self.find_integration(integration).await?;
        super::pages::filtered(self, integration, filter, after.as_ref(), limit).await
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

    async fn revoke_api_key(&self, id: ApiKeyId) -> Result<()> {
        super::api_keys::revoke(self, id).await
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

    async fn logs(&self, run: RunId, from: u64, limit: usize) -> Result<Vec<LogLine>> {
        Management::run(self, run).await?;
        Ok(self.store.logs(run, from, limit).await?)
    }

    async fn signature(&self, digest: Digest) -> Result<Option<Signature>> {
        super::signed::of(self, digest)
    }

    async fn component(&self, digest: Digest) -> Result<ComponentBytes> {
        Ok(ComponentBytes(self.store.component(digest).await?))
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
}

#[async_trait]
impl Scheduling for Local {
    async fn trigger(&self, request: TriggerRequest) -> Result<Job> {
        jobs::trigger(self, request).await
    }

    async fn job_output(&self, id: JobId) -> Result<Option<String>> {
        jobs::output(self, id).await
    }

    async fn jobs(&self, filter: JobFilter) -> Result<Vec<Job>> {
        jobs::list(self, filter).await
    }

    async fn job(&self, id: JobId) -> Result<Job> {
        jobs::show(self, id).await
    }

    async fn cancel_job(&self, id: JobId) -> Result<Job> {
        jobs::cancel(self, id).await
    }

    async fn redrive_job(&self, id: JobId) -> Result<Job> {
        jobs::redrive(self, id).await
    }

    async fn discard_job(&self, id: JobId) -> Result<Job> {
        jobs::discard(self, id).await
    }

    async fn retry_run(&self, id: RunId) -> Result<Job> {
        super::retry::run(self, id).await
    }

    async fn pause_sync(
        &self,
        key: &ConnectionKey,
        sync: &Name,
        note: String,
        until: Option<Timestamp>,
    ) -> Result<SyncStatus> {
        syncs::pause(self, key, sync, note, until).await
    }

    async fn start_sync(&self, key: &ConnectionKey, sync: &Name) -> Result<SyncStatus> {
        syncs::start(self, key, sync).await
    }

    async fn put_schedule(&self, new: NewSchedule) -> Result<Schedule> {
        schedules::put(self, new).await
    }

    async fn schedules(&self, filter: ScheduleFilter) -> Result<Vec<Schedule>> {
        schedules::list(self, filter).await
    }

    async fn schedule(&self, id: ScheduleId) -> Result<Schedule> {
        schedules::find(self, id).await
    }

    async fn pause_schedule(
        &self,
        id: ScheduleId,
        note: String,
        until: Option<Timestamp>,
    ) -> Result<Schedule> {
        schedules::pause(self, id, note, until).await
    }

    async fn resume_schedule(&self, id: ScheduleId) -> Result<Schedule> {
        schedules::resume(self, id).await
    }

    async fn remove_schedule(&self, id: ScheduleId) -> Result<()> {
        schedules::remove(self, id).await
    }

    async fn preview(
        &self,
        definition: &Definition,
        id: Option<ScheduleId>,
        after: Option<Timestamp>,
        count: usize,
    ) -> Result<Vec<Due>> {
        let after = after.unwrap_or_else(|| self.clock.now());
        schedules::preview(id, definition, after, count)
    }

    async fn fires(
        &self,
        id: ScheduleId,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<Fire>> {
        schedules::find(self, id).await?;
        Ok(self.store.fires(id, before, limit).await?)
    }

    async fn backfill(&self, request: BackfillRequest) -> Result<Backfilled> {
        schedules::backfill(self, request).await
    }
}

#[async_trait]
impl Webhooks for Local {
    async fn add_endpoint(&self, endpoint: NewEndpoint) -> Result<EndpointSecret> {
        webhooks::add(self, endpoint).await
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>> {
        Ok(self.store.endpoints().await?)
    }

    async fn endpoint(&self, id: EndpointId) -> Result<Endpoint> {
        webhooks::find(self, id).await
    }

    async fn update_endpoint(&self, id: EndpointId, update: EndpointUpdate) -> Result<Endpoint> {
        webhooks::update_with(self, id, update).await
    }

    async fn remove_endpoint(&self, id: EndpointId) -> Result<()> {
        webhooks::remove(self, id).await
    }

    async fn rotate_endpoint_secret(
        &self,
        id: EndpointId,
        at_once: bool,
    ) -> Result<EndpointSecret> {
        webhooks::rotate_secret(self, id, at_once).await
    }

    async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<Delivery>> {
        webhooks::deliveries(self, filter).await
    }

    async fn replay_deliveries(&self, request: ReplayRequest) -> Result<Replayed> {
        webhooks::replay(self, request).await
    }

    async fn test_endpoint(&self, id: EndpointId) -> Result<Attempt> {
        webhooks::test(self, id).await
    }
}
