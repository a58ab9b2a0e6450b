//! What makes things happen by themselves: schedules fire, jobs run, leases are kept, the past is forgotten.
//!
//! | module | its one job |
//! |---|---|
//! | `fire` | firing schedules that are due |
//! | `work` | claiming jobs and running them, as many at a time as the caps allow |
//! | `keep` | leases, and retention |

mod fire;
mod keep;
mod work;

use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

use tidegate_engine::board::ConcurrencyLimits;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::control::run_registry::Stop;
use crate::control::{Local, ensure_schedules};
use crate::problem::Result;

/// How long runs that were told to stop may take.
const AFTER_GRACE: Duration = Duration::from_secs(3);

/// How to dispatch.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub caps: ConcurrencyLimits,
    /// How long ended runs, jobs and fires are kept.
    pub keep_runs: Duration,
}

/// Schedules and workers, until they are stopped.
#[derive(Debug)]
pub struct Dispatcher {
    local: Arc<Local>,
    /// Its drop is a stop, too.
    stop: DropGuard,
    loops: JoinSet<()>,
    workers: JoinHandle<()>,
}

impl Dispatcher {
    /// Take up what was left, and start.
    pub fn start(local: Arc<Local>, options: Options) -> BoxFuture<'static, Result<Self>> {
        Box::pin(async move {
            let made = ensure_schedules(&local, None).await?;
            if made > 0 {
                tracing::info!(made, "schedules that manifests want were missing");
            }
            let stopping = CancellationToken::new();
            let mut loops = JoinSet::new();
            loops.spawn(fire::run(Arc::clone(&local), stopping.clone()));
            loops.spawn(keep::run(Arc::clone(&local), options.keep_runs));
            let running = work::Running::default();
            loops.spawn(keep::leases(Arc::clone(&local), running.clone()));
            let worker = work::run(Arc::clone(&local), options.caps, running, stopping.clone());
            Ok(Self {
                local,
                stop: stopping.drop_guard(),
                loops,
                workers: tokio::spawn(worker),
            })
        })
    }

    /// Start nothing any more, let runs end within `grace`, which syncs do at their next checkpoint
    /// ([`Local::wind_down`]), and interrupt the others: that is no attempt of theirs, and they go on when there is a
    /// server again.
    pub fn stop(mut self, grace: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            drop(self.stop);
            if tokio::time::timeout(grace, &mut self.workers)
                .await
                .is_err()
            {
                let runs = self.local.stop_runs(Stop::HostStops);
                tracing::warn!(runs, "the grace period is over: runs are interrupted");
                if tokio::time::timeout(AFTER_GRACE, &mut self.workers)
                    .await
                    .is_err()
                {
                    tracing::warn!("runs were cut off");
                    self.workers.abort();
                }
            }
            self.loops.shutdown().await;
        })
    }
}
