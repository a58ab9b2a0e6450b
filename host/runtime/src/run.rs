//! One run, from a fresh wasmtime store to its outcome.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use serde_json::{Map, Value, json};
use tidegate_contract as contract;
use tidegate_egress::{Credentials, Policy};
use tidegate_engine::Name;
use tidegate_engine::Store as RecordStore;
use tidegate_engine::grant::FeedPattern;
use tidegate_engine::integration::{Connection, Deployment, Digest};
use tidegate_engine::limits::Limits;
use tidegate_engine::manifest::FeedRequest;
use tidegate_engine::run::{
    Blame, Failure, FailureClass, Fence, Figures, LogLine, Outcome, RunId, Target, Trigger,
};
use tidegate_engine::store::{Durability, SnapshotGuard};
use wasmtime::Store;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{HostWallClock, WasiCtxBuilder};

use crate::engine::{Clock, Runtime, RuntimeError};
use crate::limiter::Limiter;
use crate::log::{RunLog, Stdio};
use crate::meter::{Meter, Metered};
use crate::outcome::{Ending, judge};
use crate::state::{Live, Notes, RunState};

/// How often log lines are stored while a run goes on.
const LOG_FLUSH_EVERY: Duration = Duration::from_secs(1);

/// A component, compiled and linked, ready to be instantiated.
#[derive(Clone)]
pub struct Plugin {
    pub(crate) pre: contract::PluginPre<RunState>,
    digest: Digest,
}

impl Plugin {
    /// The sha256 of the component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// Sees a run while it goes on. Calls are short and must not block.
pub trait Observer: Send + Sync {
    /// A log line was written.
    fn log(&self, line: &LogLine);
}

/// Everything that one run needs.
pub struct RunSpec {
    pub run: RunId,
    pub fence: Fence,
    pub target: Target,
    pub trigger: Trigger,
    pub attempt: u32,
    pub deployment: Deployment,
    pub connection: Connection,
    /// The integration's config with the connection's merged over it.
    pub config: Map<String, Value>,
    /// Models that this run may read and write.
    pub models: Vec<Name>,
    pub credentials: Option<Credentials>,
    pub checkpoint: Option<String>,
    /// JSON text for an action or event.
    pub input: Option<String>,
    pub durability: Durability,
    pub guard: SnapshotGuard,
    pub meter: Arc<Meter>,
    /// Resolves when the run is to be cancelled.
    pub cancelled: BoxFuture<'static, ()>,
}

impl fmt::Debug for RunSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunSpec")
            .field("run", &self.run)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct RunResult {
    pub outcome: Outcome,
    pub failure: Option<Failure>,
    pub figures: Figures,
    /// What an action or event returned, JSON text.
    pub output: Option<String>,
}

impl Runtime {
    /// Compile a component (or take it from the cache) and link it.
    pub fn load(&self, bytes: &[u8]) -> Result<Plugin, RuntimeError> {
        let digest = Digest::of(bytes);
        let component = crate::cache::load(&self.engine, self.cache.as_deref(), digest, bytes)?;
        let link = |error: wasmtime::Error| RuntimeError::Link(format!("{error:#}"));
        let pre = self.linker.instantiate_pre(&component).map_err(link)?;
        let pre = contract::PluginPre::new(pre).map_err(link)?;
        Ok(Plugin { pre, digest })
    }

    /// Run a sync, an action or an event. Never fails: whatever happens is the run's outcome.
    /// Its log is in the store when this returns.
    pub async fn run(
        &self,
        plugin: &Plugin,
        spec: RunSpec,
        store: Arc<dyn RecordStore>,
        observer: Arc<dyn Observer>,
    ) -> RunResult {
        let limits = Limits::resolve(
            &spec.deployment.manifest.capabilities.limits,
            &spec.deployment.grants.limits,
        );
        let log = RunLog::new(&limits, self.clock.clone(), observer);
        let meter = Arc::clone(&spec.meter);
        let (run, target, input) = (spec.run, spec.target.clone(), spec.input.clone());
        let (spec, cancelled) = split(spec);
        let live = Arc::new(self.live(spec, limits.clone(), Arc::clone(&store), log.clone()));
        let call = Call {
            target,
            input,
            limits: limits.clone(),
        };
        let guest = self.guest(plugin, call, Arc::clone(&live), cancelled);
        let flusher = flush_logs(run, log.clone(), Arc::clone(&store));
        let (ending, refused_growth, output) = match select(pin!(guest), pin!(flusher)).await {
            Either::Left((ended, _)) => ended,
            Either::Right((never, _)) => match never {},
        };
        let (lines, kept, dropped) = log.finish();
        meter.logged(kept, dropped);
        let notes = std::mem::take(&mut *live.notes.lock().unwrap_or_else(PoisonError::into_inner));
        let (mut outcome, mut failure) =
            judge(ending, notes, refused_growth, live.is_sync, &limits);
        if let Err(error) = store.append_logs(run, lines).await {
            // A run whose log is lost can't be trusted to be understood later.
            outcome = Outcome::Failed;
            failure.get_or_insert_with(|| {
                Failure::new(
                    FailureClass::Internal,
                    Blame::Host,
                    format!("the log: {error}"),
                )
            });
        }
        RunResult {
            outcome,
            failure,
            figures: meter.figures(),
            output,
        }
    }

    fn live(
        &self,
        spec: RunSpec,
        limits: Limits,
        store: Arc<dyn RecordStore>,
        log: RunLog,
    ) -> Live {
        let manifest = &spec.deployment.manifest;
        let grants = &spec.deployment.grants;
        let session = self.gate.session(Policy {
            requested: manifest.capabilities.hosts.clone(),
            granted: grants.hosts.clone(),
            private: grants.private.clone(),
            base_url: spec.connection.base_url.clone(),
            credentials: spec.credentials,
            limits: limits.clone(),
        });
        spec.meter.watch_session(session.clone());
        let context = json!({
            "run": spec.run,
            "integration": spec.connection.key.integration,
            "connection": spec.connection.key.connection,
            "base_url": spec.connection.base_url,
            "kind": spec.target.kind(),
            "name": spec.target.name(),
            "variant": match &spec.target {
                Target::Sync(key) => key.variant.as_str(),
                _ => "base",
            },
            "attempt": spec.attempt,
            "trigger": spec.trigger,
        });
        Live {
            run: spec.run,
            fence: spec.fence,
            connection: spec.connection.key.clone(),
            models: spec.models,
            feeds: granted_feeds(&manifest.capabilities.feeds, &grants.feeds),
            metadata_write: manifest.capabilities.metadata_write && grants.metadata_write,
            limits,
            durability: spec.durability,
            guard: spec.guard,
            checkpoint: spec.checkpoint,
            config: Value::Object(spec.config).to_string(),
            metadata: Mutex::new(spec.connection.metadata),
            context: context.to_string(),
            is_sync: matches!(spec.target, Target::Sync(_)),
            session,
            store,
            meter: spec.meter,
            log,
            clock: self.clock.clone(),
            notes: Mutex::new(Notes::default()),
        }
    }

    /// Run the guest to its end, whichever comes first: its own, a limit's, or the operator's.
    async fn guest(
        &self,
        plugin: &Plugin,
        call: Call,
        live: Arc<Live>,
        cancelled: BoxFuture<'static, ()>,
    ) -> (Ending, Option<&'static str>, Option<String>) {
        let (stdout, stderr) = (Stdio::stdout(&live.log), Stdio::stderr(&live.log));
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(stdout.clone())
            .stderr(stderr.clone())
            .wall_clock(WallClock(self.clock.clone()))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        let state = RunState {
            wasi: wasi.build(),
            table: ResourceTable::new(),
            limiter: Limiter::new(&call.limits),
            live: Some(Arc::clone(&live)),
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limiter);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store.set_hostcall_fuel(usize::try_from(call.limits.host_call_bytes).unwrap_or(usize::MAX));

        let wall = if live.is_sync {
            call.limits.wall_ms
        } else {
            call.limits.action_wall_ms
        };
        let budget = Duration::from_millis(call.limits.cpu_ms);
        let ended = {
            let run = Box::pin(call.execute(plugin, &mut store));
            let metered = Metered {
                run,
                meter: &live.meter,
                budget,
            };
            let timed = tokio::time::timeout(Duration::from_millis(wall), metered);
            match select(pin!(timed), cancelled).await {
                Either::Left((Ok(Ok(Ok(Ok(output)))), _)) => Ok(output),
                Either::Left((Ok(Ok(Ok(Err(failure)))), _)) => Err(Ending::Failed(failure)),
                Either::Left((Ok(Ok(Err(trap))), _)) => Err(Ending::Trapped(trap)),
                Either::Left((Ok(Err(_cpu)), _)) => Err(Ending::CpuExhausted),
                Either::Left((Err(_wall), _)) => Err(Ending::WallExhausted),
                Either::Right(((), _)) => Err(Ending::Cancelled),
            }
        };
        stdout.flush_partial();
        stderr.flush_partial();
        let limiter = &store.data().limiter;
        live.meter.memory(limiter.peak());
        let refused = limiter.refused();
        match ended {
            Ok(output) => (Ending::Returned, refused, output),
            Err(ending) => (ending, refused, None),
        }
    }
}

type GuestFailure = contract::tidegate::plugin::types::Failure;

/// What to call in the guest.
struct Call {
    target: Target,
    input: Option<String>,
    limits: Limits,
}

impl Call {
    async fn execute(
        self,
        plugin: &Plugin,
        store: &mut Store<RunState>,
    ) -> wasmtime::Result<Result<Option<String>, GuestFailure>> {
        let instance = plugin.pre.instantiate_async(&mut *store).await?;
        let input = self.input.unwrap_or_else(|| "null".to_owned());
        let name = self.target.name().to_owned();
        store
            .run_concurrent(async |accessor| {
                Ok(match self.target {
                    Target::Sync(_) => instance.call_sync(accessor, name).await?.map(|()| None),
                    Target::Action { .. } => {
                        instance.call_action(accessor, name, input).await?.map(Some)
                    }
                    Target::Event { .. } => {
                        instance.call_event(accessor, name, input).await?.map(Some)
                    }
                })
            })
            .await?
    }
}

/// Take the cancellation out, which can be awaited only once.
fn split(mut spec: RunSpec) -> (RunSpec, BoxFuture<'static, ()>) {
    let never: BoxFuture<'static, ()> = Box::pin(std::future::pending());
    let cancelled = std::mem::replace(&mut spec.cancelled, never);
    (spec, cancelled)
}

fn granted_feeds(requested: &[FeedRequest], granted: &[FeedPattern]) -> Vec<FeedPattern> {
    let asked = |feed: &FeedPattern| {
        requested.iter().any(|request| match request {
            FeedRequest::Config => true,
            FeedRequest::Feed(wanted) => wanted == feed,
        })
    };
    granted.iter().filter(|feed| asked(feed)).cloned().collect()
}

/// Store log lines every so often, so that a long run can be followed and a crash loses little.
async fn flush_logs(
    run: RunId,
    log: RunLog,
    store: Arc<dyn RecordStore>,
) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(LOG_FLUSH_EVERY).await;
        let lines = log.take_pending();
        if !lines.is_empty() {
            // A failure shows when the rest of the log is stored at the end.
            let _ = store.append_logs(run, lines).await;
        }
    }
}

/// The wall clock of WASI, on the runtime's clock.
struct WallClock(Clock);

impl HostWallClock for WallClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.now().0)
    }
}
