//! The calls that are answered once, as one table: the traits, the command's end of the wire and the server's end are made of
//! it, so that neither names nor arguments can differ.
//!
//! A row is `name(lent; given) -> answer;`. What stands before the `;` is lent to the method (`&Name`), what stands after it is given to
//! it. Over the wire both travel as they are, as a JSON array; the answer does, too.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::wire_secrets;
use crate::problem::Result;

// What the table names, for whoever makes something of it.
pub use std::time::Duration;

pub use tidegate_engine::api_key::{ApiKey, ApiKeyId};
pub use tidegate_engine::connection::ConnectionFilter;
pub use tidegate_engine::integration::{Connection, Digest, Integration};
pub use tidegate_engine::job::{Job, JobId};
pub use tidegate_engine::run::{LogLine, Run, RunId};
pub use tidegate_engine::schedule::{Definition, Due, Fire, Schedule, ScheduleId};
pub use tidegate_engine::store::{
    Changes, DeliveryFilter, JobFilter, ModelStats, Replayed, RunFilter, ScheduleFilter,
};
pub use tidegate_engine::upkeep::{CheckReport, Dropped, Pruned, Scope, StoreStats};
pub use tidegate_engine::webhook::{Attempt, Delivery, Endpoint, EndpointId};
pub use tidegate_engine::{ConnectionKey, ConnectionName, ModelKey, Name, Timestamp};

pub use super::{
    AddedConnections, BackfillRequest, Backfilled, ConnectionUpdate, DeployPlan, DeployRequest,
    EndpointSecret, EndpointUpdate, KeysStatus, KnownModel, MadeApiKey, NewApiKey, NewConnection,
    NewConnections, NewEndpoint, NewSchedule, ProxyRequest, ProxyResponse, ReadModel,
    ReplayRequest, RotateKeys, Rotated, Signature, SyncStatus, TriggerRequest,
};

/// Bytes of a component; as base64 on the wire.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ComponentBytes(#[serde(with = "wire_secrets::bytes")] pub Vec<u8>);

/// Hand the table to the macro `$with`, as `TRAIT { ROWS } …` with their comments.
#[macro_export]
macro_rules! control_calls {
    ($with:ident) => {
        $with! {
            /// What is deployed, connected and stored; runs and their logs; keys; upkeep.
            Management {
                /// Work out what a deploy would do. Changes nothing but the cache of compiled components.
                plan_deploy(; request: DeployRequest) -> DeployPlan;
                /// Do what the plan of the same request says.
                deploy(; request: DeployRequest) -> Integration;
                /// Make an earlier deployment's component, grants and config current again, as a new deployment:
                /// that of number `to`, or the one before the current.
                rollback(integration: Name; to: Option<u32>) -> Integration;
                /// By name, at most `limit`, after `after`.
                integrations(; after: Option<Name>, limit: usize) -> Vec<Integration>;
                integration(name: Name;) -> Integration;

                add_connection(; connection: NewConnection) -> ();
                /// Add many, if all of them can be added. A crash may leave some; repeating it with
                /// `skip_existing` adds the others.
                add_connections(; connections: NewConnections) -> AddedConnections;
                /// Change a connection. Updates at the same time don't lose one another's part.
                update_connection(key: ConnectionKey; update: ConnectionUpdate) -> Connection;
                /// Stop the connection's runs, and remove it with all that it has.
                remove_connection(key: ConnectionKey;) -> Dropped;
                /// Let the plugin check the connection with a cheap request. `Ok` whatever comes of it.
                check_connection(key: ConnectionKey;) -> Run;
                connection(key: ConnectionKey;) -> Connection;
                /// By name, at most `limit`, after `after`.
                connections(integration: Name, filter: ConnectionFilter; after: Option<ConnectionName>, limit: usize) -> Vec<Connection>;
                /// Models of a connection with their counts.
                models(key: ConnectionKey;) -> Vec<(Name, ModelStats)>;

                /// The syncs that the connection has by its config.
                syncs(key: ConnectionKey;) -> Vec<SyncStatus>;

                create_api_key(; new: NewApiKey) -> MadeApiKey;
                /// All of them, by id: oldest first.
                api_keys(;) -> Vec<ApiKey>;
                /// From then on it is refused.
                revoke_api_key(; id: ApiKeyId) -> ();

                /// Which connections' credentials are sealed under which master key.
                keys_status(;) -> KeysStatus;
                /// Put a new master key in the place of the one in use.
                rotate_keys(; request: RotateKeys) -> Rotated;

                /// Send one request. `Ok` whatever the answer's status is.
                request(; request: ProxyRequest) -> ProxyResponse;

                /// A model to read records of; a problem if the connection has none of that name.
                known_model(model: ModelKey;) -> KnownModel;
                read_changes(; read: ReadModel) -> Changes;
                runs(; filter: RunFilter) -> Vec<Run>;
                run(; id: RunId) -> Run;
                logs(; run: RunId, from: u64, limit: usize) -> Vec<LogLine>;
                /// The bytes of a component that was deployed.
                component(; digest: Digest) -> ComponentBytes;
                /// Who signed a component, if it was deployed here with a signature.
                signature(; digest: Digest) -> Option<Signature>;

                /// Look for anything wrong in the data directory; changes nothing.
                check(;) -> CheckReport;
                stats(;) -> StoreStats;
                /// Remove the bodies of the model's records that nothing has changed for `age`.
                prune(model: ModelKey; age: Duration) -> Pruned;
                /// Remove everything of `scope`.
                drop_scope(scope: Scope;) -> Dropped;
                /// Do now what was put off, compaction above all.
                settle(;) -> ();
            }

            /// Schedules and jobs.
            Scheduling {
                /// Queue a run of a sync, or find the job that waits to do the same.
                trigger(; request: TriggerRequest) -> Job;
                jobs(; filter: JobFilter) -> Vec<Job>;
                job(; id: JobId) -> Job;
                /// What the action of a job returned that [`ApiControl::invoke_later`](super::ApiControl::invoke_later) queued, JSON text: once it has
                /// succeeded, and for a day from then on.
                job_output(; id: JobId) -> Option<String>;
                /// Cancel a job; a run of it stops shortly. Fine if it has ended.
                cancel_job(; id: JobId) -> Job;
                /// Queue a dead job again.
                redrive_job(; id: JobId) -> Job;
                /// Give a dead job up.
                discard_job(; id: JobId) -> Job;
                /// Do again what a run did not that has ended: the job that does it. `Conflict` if it succeeded, or
                /// if what it was given is not kept.
                retry_run(; id: RunId) -> Job;

                /// Pause all schedules of a sync.
                pause_sync(key: ConnectionKey, sync: Name; note: String, until: Option<Timestamp>) -> SyncStatus;
                /// Resume the schedules of a sync; make the manifest's default if none is ever due again. `Conflict` if
                /// there is none.
                start_sync(key: ConnectionKey, sync: Name;) -> SyncStatus;

                /// Make a schedule, or change the one of its id or dedup key.
                put_schedule(; new: NewSchedule) -> Schedule;
                schedules(; filter: ScheduleFilter) -> Vec<Schedule>;
                schedule(; id: ScheduleId) -> Schedule;
                pause_schedule(; id: ScheduleId, note: String, until: Option<Timestamp>) -> Schedule;
                resume_schedule(; id: ScheduleId) -> Schedule;
                remove_schedule(; id: ScheduleId) -> ();
                /// When it is due next, after `after` or now.
                preview(definition: Definition; id: Option<ScheduleId>, after: Option<Timestamp>, count: usize) -> Vec<Due>;
                /// What became of its moments, newest first.
                fires(; id: ScheduleId, before: Option<Timestamp>, limit: usize) -> Vec<Fire>;
                /// Fire for moments of the past.
                backfill(; request: BackfillRequest) -> Backfilled;
            }

            /// Endpoints of webhooks, and what was delivered to them.
            Webhooks {
                /// Add a webhook endpoint, with a secret that is shown this once.
                add_endpoint(; endpoint: NewEndpoint) -> EndpointSecret;
                /// All of them, oldest first; at most 100.
                endpoints(;) -> Vec<Endpoint>;
                endpoint(; id: EndpointId) -> Endpoint;
                update_endpoint(; id: EndpointId, update: EndpointUpdate) -> Endpoint;
                /// Remove an endpoint with its deliveries.
                remove_endpoint(; id: EndpointId) -> ();
                /// Make a new secret. The old ones sign beside it for a day, or with `at_once` no more.
                rotate_endpoint_secret(; id: EndpointId, at_once: bool) -> EndpointSecret;
                /// Newest event first.
                deliveries(; filter: DeliveryFilter) -> Vec<Delivery>;
                /// Deliver again; at most 10,000 in one call. A running server does the delivering.
                replay_deliveries(; request: ReplayRequest) -> Replayed;
                /// Deliver a test event at once. `Ok` whatever comes of it.
                test_endpoint(; id: EndpointId) -> Attempt;
            }
        }
    };
}

macro_rules! declare {
    ($(
        $(#[$what:meta])* $trait:ident {
            $($(#[$doc:meta])* $name:ident($($lent:ident: $of:ty),*; $($given:ident: $as:ty),*) -> $answer:ty;)*
        }
    )*) => {$(
        $(#[$what])*
        #[async_trait]
        pub trait $trait: Send + Sync {
            $(
                $(#[$doc])*
                async fn $name(&self, $($lent: &$of,)* $($given: $as,)*) -> Result<$answer>;
            )*
        }
    )*};
}

control_calls!(declare);
