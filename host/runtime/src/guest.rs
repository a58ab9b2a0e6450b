//! A guest's instance: made for one call, run to its end, and dropped.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use tidegate_contract as contract;
use tidegate_engine::Timestamp;
use tidegate_engine::cassette::Seed;
use tidegate_engine::limits::Limits;
use tidegate_engine::run::Target;
use wasmtime::Store;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use crate::clock::{MonotonicClock, WallClock};
use crate::engine::Runtime;
use crate::limiter::Limiter;
use crate::log::Lines;
use crate::meter::Metered;
use crate::outcome::Ending;
use crate::plugin::Plugin;
use crate::random;
use crate::spec::DeferredDrop;
use crate::state::{Live, RunState};
use crate::stdio::Stdio;
use crate::tape::{Stopped, TapeTurns};

/// How a guest ended.
pub(crate) struct Ended {
    pub(crate) ending: Ending,
    /// The limit that refused it memory or the like last.
    pub(crate) refused_growth: Option<&'static str>,
    /// What an action or event returned, JSON text.
    pub(crate) output: Option<String>,
    pub(crate) deferred: DeferredDrop,
}

impl Runtime {
    /// Run the guest to its end, whichever comes first: its own, a limit's, or the operator's.
    pub(crate) async fn guest(
        &self,
        plugin: &Plugin,
        call: Call,
        live: Arc<Live>,
        cancelled: BoxFuture<'static, ()>,
    ) -> Ended {
        let (stdout, stderr) = (Lines::stdout(&live.log), Lines::stderr(&live.log));
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let mut table = ResourceTable::new();
        table.set_max_capacity(size(call.limits.handles));
        let state = RunState {
            wasi: wasi(&live, &call, stdout.clone(), stderr.clone()),
            table,
            limiter: Limiter::new(&call.limits),
            live: Some(Arc::clone(&live)),
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limiter);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store.set_hostcall_fuel(size(call.limits.host_call_bytes));
        store.set_max_component_handles(size(call.limits.handles));

        let wall = if live.is_sync {
            call.limits.wall_ms
        } else {
            call.limits.action_wall_ms
        };
        let budget = Duration::from_millis(call.limits.cpu_ms);
        let calls_max = call.limits.host_calls;
        let ended = {
            let run = TapeTurns::new(call.execute(plugin, &mut store), live.calls.tape.clone());
            let metered = Metered {
                run: Box::pin(run),
                meter: &live.meter,
                budget,
                calls_max,
            };
            let _running = Arc::clone(&self.running);
            let on_core = self.cores.share(metered);
            let timed = tokio::time::timeout(Duration::from_millis(wall), on_core);
            match select(pin!(timed), cancelled).await {
                Either::Right(((), _)) => Err(Ending::Cancelled),
                Either::Left((Err(_elapsed), _)) => Err(Ending::WallExhausted),
                Either::Left((Ok(Err(exhausted)), _)) => Err(Ending::Exhausted(exhausted)),
                Either::Left((Ok(Ok(Err(Stopped))), _)) => Err(Ending::Stopped),
                Either::Left((Ok(Ok(Ok(Err(trap)))), _)) => Err(Ending::Trapped(trap)),
                Either::Left((Ok(Ok(Ok(Ok(Err(failure))))), _)) => Err(Ending::Failed(failure)),
                Either::Left((Ok(Ok(Ok(Ok(Ok(output))))), _)) => Ok(output),
            }
        };
        stdout.flush_partial();
        stderr.flush_partial();
        let limiter = &store.data().limiter;
        live.meter.memory(limiter.peak());
        let refused_growth = limiter.refused();
        let (ending, output) = match ended {
            Ok(output) => (Ending::Returned, output),
            Err(ending) => (ending, None),
        };
        Ended {
            ending,
            refused_growth,
            output,
            deferred: DeferredDrop::of(store),
        }
    }
}

/// WASI without files, network or environment; time and randomness are the run's.
fn wasi(live: &Live, call: &Call, stdout: Lines, stderr: Lines) -> WasiCtx {
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdout(Stdio(stdout))
        .stderr(Stdio(stderr))
        .wall_clock(WallClock(live.clock.clone()))
        .monotonic_clock(MonotonicClock::new(live.clock.clone(), call.started_at))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    random::seed(&mut wasi, call.seed);
    wasi.build()
}

type GuestFailure = contract::tidegate::plugin::types::Failure;

/// What to call in the guest.
pub(crate) struct Call {
    pub(crate) target: Target,
    /// JSON text for an action or event.
    pub(crate) input: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) seed: Seed,
    pub(crate) started_at: Timestamp,
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
