//! Calls answered by `Control`, in the server.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_engine::api_key::ApiKeyId;
use tidegate_engine::connection::ConnectionFilter;
use tidegate_engine::integration::Digest;
use tidegate_engine::job::JobId;
use tidegate_engine::request::{NewRequest, RequestKey, StoredAnswer};
use tidegate_engine::run::RunId;
use tidegate_engine::schedule::{Definition, ScheduleId};
use tidegate_engine::store::{DeliveryFilter, JobFilter, RunFilter, ScheduleFilter};
use tidegate_engine::upkeep::Scope;
use tidegate_engine::webhook::EndpointId;
use tidegate_engine::{ConnectionKey, ConnectionName, ModelKey, Name, Timestamp};
use tidegate_service::control::{
    BackfillRequest, ConnectionUpdate, Control, DeployRequest, EndpointUpdate, KnownModel,
    NewApiKey, NewConnection, NewConnections, NewEndpoint, NewSchedule, ProxyRequest, ReadModel,
    ReplayRequest, RotateKeys, SubmitAction, TriggerRequest,
};
use tidegate_service::problem::{Problem, Result};

use super::ask::Bytes;
use super::find::proof;
use super::frame::Frame;
use super::runs;
use crate::v1::App;

/// Most bytes of a call's arguments: a file of 100,000 connections has 256 MiB at most, and every byte
/// of it may be escaped. Imports are read as they come.
const CALL_BYTES_MAX: usize = 768 * 1024 * 1024;

/// What is served on the server's own port besides the API. `guarded` lets only the token through.
pub(crate) fn routes(guarded: impl FnOnce(Router<App>) -> Router<App>) -> Router<App> {
    guarded(Router::new().route("/control/{call}", post(answer)))
        .route("/control/proof/{nonce}", get(prove))
}

async fn prove(State(app): State<App>, Path(nonce): Path<String>) -> Response {
    proof(app.own_token, &nonce).map_or_else(
        || StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        IntoResponse::into_response,
    )
}

async fn answer(State(app): State<App>, Path(call): Path<String>, request: Request) -> Response {
    let body = request.into_body();
    if call == runs::IMPORT {
        return runs::answer_import(&app, body);
    }
    let args = match to_bytes(body, CALL_BYTES_MAX).await {
        Ok(args) => args,
        Err(error) => return last(Err::<(), _>(Problem::invalid(error))),
    };
    match call.as_str() {
        "run_sync" | "invoke" => runs::answer_run(&app, &call, &args),
        "export" => runs::answer_export(&app, &args),
        _ => match once(&*app.control, &call, &args).await {
            Ok(value) => {
                heed(&app, &call).await;
                last(Ok(value))
            }
            Err(problem) => last(Err::<(), _>(problem)),
        },
    }
}

/// The API keeps its keys in memory.
async fn heed(app: &App, call: &str) {
    if !matches!(call, "create_api_key" | "revoke_api_key") {
        return;
    }
    let _changing = app.keyring.changing.lock().await;
    match app.control.api_keys().await {
        Ok(keys) => app.keyring.set(keys),
        Err(problem) => tracing::error!(%problem, "API keys were changed, and can't be read"),
    }
}

/// An answer of one frame.
pub(super) fn last<T: Serialize>(result: Result<T>) -> Response {
    Body::from(Frame::end(result).line()).into_response()
}

/// The arguments of a call.
pub(super) fn read<T: DeserializeOwned>(args: &[u8]) -> Result<T> {
    serde_json::from_slice(args).map_err(|error| Problem::internal(error).at("arguments of a call"))
}

type Value = Box<serde_json::value::RawValue>;

fn value<T: Serialize>(of: &T) -> Result<Value> {
    serde_json::value::to_raw_value(of).map_err(Problem::internal)
}

/// Calls that are one method: its name, its arguments, and how it is called with them.
macro_rules! answers {
    ($call:ident, $args:ident; $($name:ident($($arg:ident: $type:ty),*) => $run:expr;)*) => {
        match $call {
            $(stringify!($name) => {
                let ($($arg,)*): ($($type,)*) = read($args)?;
                value(&Box::pin($run).await?)
            })*
            _ => Err(Problem::internal(format!("there is no call {:?}", $call))),
        }
    };
}

async fn once(control: &dyn Control, call: &str, args: &[u8]) -> Result<Value> {
    answers! { call, args;
        plan_deploy(request: DeployRequest) => control.plan_deploy(request);
        deploy(request: DeployRequest) => control.deploy(request);
        rollback(integration: Name, to: Option<u32>) => control.rollback(&integration, to);
        integrations(after: Option<Name>, limit: usize) => control.integrations(after.as_ref(), limit);
        integration(name: Name) => control.integration(&name);
        add_connection(connection: NewConnection) => control.add_connection(connection);
        add_connections(connections: NewConnections) => control.add_connections(connections);
        update_connection(key: ConnectionKey, update: ConnectionUpdate) => control.update_connection(&key, update);
        remove_connection(key: ConnectionKey) => control.remove_connection(&key);
        check_connection(key: ConnectionKey) => control.check_connection(&key);
        connection(key: ConnectionKey) => control.connection(&key);
        connections(integration: Name, filter: ConnectionFilter, after: Option<ConnectionName>, limit: usize) => control.connections(&integration, &filter, after.as_ref(), limit);
        models(key: ConnectionKey) => control.models(&key);
        syncs(key: ConnectionKey) => control.syncs(&key);
        create_api_key(new: NewApiKey) => control.create_api_key(new);
        api_keys() => control.api_keys();
        touch_api_key(id: ApiKeyId, at: Timestamp) => control.touch_api_key(id, at);
        begin_request(new: NewRequest) => control.begin_request(new);
        end_request(key: RequestKey, answer: Option<StoredAnswer>) => control.end_request(key, answer);
        revoke_api_key(id: ApiKeyId) => control.revoke_api_key(id);
        keys_status() => control.keys_status();
        rotate_keys(request: RotateKeys) => control.rotate_keys(request);
        request(request: ProxyRequest) => control.request(request);
        known_model(model: ModelKey) => control.known_model(&model);
        read_changes(read: ReadModel) => control.read_changes(read);
        records(model: KnownModel, ids: Vec<String>, bytes_max: u64) => control.records(&model, &ids, bytes_max);
        runs(filter: RunFilter) => control.runs(filter);
        run(id: RunId) => control.run(id);
        cancel_run(id: RunId) => control.cancel_run(id);
        logs(run: RunId, from: u64, limit: usize) => control.logs(run, from, limit);
        check() => control.check();
        stats() => control.stats();
        prune(model: ModelKey, age: Duration) => control.prune(&model, age);
        drop_scope(scope: Scope) => control.drop_scope(&scope);
        settle() => control.settle();
        ready() => control.ready();
        put_component(bytes: Bytes) => control.put_component(bytes.0);
        signature(digest: Digest) => control.signature(digest);
        component(digest: Digest) => async { control.component(digest).await.map(Bytes) };
        invoke_later(request: SubmitAction) => control.invoke_later(request);
        job_output(id: JobId) => control.job_output(id);
        trigger(request: TriggerRequest) => control.trigger(request);
        jobs(filter: JobFilter) => control.jobs(filter);
        job(id: JobId) => control.job(id);
        cancel_job(id: JobId) => control.cancel_job(id);
        redrive_job(id: JobId) => control.redrive_job(id);
        discard_job(id: JobId) => control.discard_job(id);
        retry_run(id: RunId) => control.retry_run(id);
        pause_sync(key: ConnectionKey, sync: Name, note: String, until: Option<Timestamp>) => control.pause_sync(&key, &sync, note, until);
        start_sync(key: ConnectionKey, sync: Name) => control.start_sync(&key, &sync);
        put_schedule(new: NewSchedule) => control.put_schedule(new);
        schedules(filter: ScheduleFilter) => control.schedules(filter);
        schedule(id: ScheduleId) => control.schedule(id);
        pause_schedule(id: ScheduleId, note: String, until: Option<Timestamp>) => control.pause_schedule(id, note, until);
        resume_schedule(id: ScheduleId) => control.resume_schedule(id);
        remove_schedule(id: ScheduleId) => control.remove_schedule(id);
        preview(id: Option<ScheduleId>, definition: Definition, after: Option<Timestamp>, count: usize) => control.preview(id, &definition, after, count);
        fires(id: ScheduleId, before: Option<Timestamp>, limit: usize) => control.fires(id, before, limit);
        backfill(request: BackfillRequest) => control.backfill(request);
        add_endpoint(endpoint: NewEndpoint) => control.add_endpoint(endpoint);
        endpoints() => control.endpoints();
        endpoint(id: EndpointId) => control.endpoint(id);
        update_endpoint(id: EndpointId, update: EndpointUpdate) => control.update_endpoint(id, update);
        remove_endpoint(id: EndpointId) => control.remove_endpoint(id);
        rotate_endpoint_secret(id: EndpointId, at_once: bool) => control.rotate_endpoint_secret(id, at_once);
        deliveries(filter: DeliveryFilter) => control.deliveries(filter);
        replay_deliveries(request: ReplayRequest) => control.replay_deliveries(request);
        test_endpoint(id: EndpointId) => control.test_endpoint(id);
    }
}
