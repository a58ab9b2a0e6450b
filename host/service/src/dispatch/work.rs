//! Claiming jobs and running them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_engine::Timestamp;
use tidegate_engine::board::ConcurrencyLimits;
use tidegate_engine::run::{Fence, RunId};
use tidegate_engine::store::{Claim, Claimed};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::control::{Local, new_run_id};
use crate::problem::Result;
use crate::spans;

/// Jobs claimed in one command of the store.
const BATCH: usize = 32;
/// How long a run is taken to be alive without saying so.
pub(super) const LEASE_MS: u64 = 30_000;
/// Longest wait: a clock that is set is noticed after it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The wait after a command that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// The runs of this server's jobs, with their fences.
#[derive(Debug, Clone, Default)]
pub(super) struct Running(Arc<Mutex<BTreeMap<RunId, Fence>>>);

impl Running {
    fn insert(&self, claimed: &Claimed) {
        let mut runs = self.0.lock();
        runs.insert(claimed.run, claimed.started.fence);
    }

    fn remove(&self, run: RunId) {
        let mut runs = self.0.lock();
        runs.remove(&run);
    }

    /// All of them.
    pub(super) fn held(&self) -> Vec<(RunId, Fence)> {
        let runs = self.0.lock();
        runs.iter().map(|(run, fence)| (*run, *fence)).collect()
    }
}

/// Claim and run until the server stops, and then until what runs has ended.
pub(super) async fn run(
    local: Arc<Local>,
    caps: ConcurrencyLimits,
    running: Running,
    stopping: CancellationToken,
) {
    let mut runs: JoinSet<()> = JoinSet::new();
    let mut heard = 0;
    loop {
        let wait = match claim(&local, caps, &running, &mut runs).await {
            Ok(wait) => wait,
            Err(problem) => {
                tracing::error!(%problem, "claiming jobs");
                AFTER_FAILURE
            }
        };
        tokio::select! {
            biased;
            // First: nothing is claimed after the signal.
            () = stopping.cancelled() => break,
            version = local.jobs_changed.wait_past(heard) => heard = version,
            // One has made room.
            Some(_) = runs.join_next() => {}
            () = tokio::time::sleep(wait) => {}
        }
        while runs.try_join_next().is_some() {}
    }
    while runs.join_next().await.is_some() {}
}

/// Claim as many jobs as there is room for, and start them; returns how long none is due.
async fn claim(
    local: &Arc<Local>,
    caps: ConcurrencyLimits,
    running: &Running,
    runs: &mut JoinSet<()>,
) -> Result<Duration> {
    loop {
        let total = usize::try_from(caps.total).unwrap_or(usize::MAX);
        let wanted = total.saturating_sub(runs.len()).min(BATCH);
        if wanted == 0 {
            return Ok(LOOK_EVERY);
        }
        let now = local.clock().now();
        let ids = (0..wanted).map(|_| new_run_id(now));
        let claim = Claim {
            runs: ids.collect::<Result<_>>()?,
            caps,
            now,
            lease_until: Timestamp(now.0.saturating_add(LEASE_MS)),
        };
        let claimed = local.store().claim(claim).await?;
        let count = claimed.len();
        for claimed in claimed {
            running.insert(&claimed);
            // Before anything else, so that it can be cancelled from the first moment on.
            let stoppable = local.take_in(&claimed);
            let (local, running) = (Arc::clone(local), running.clone());
            let run = claimed.run;
            let span = spans::job(run, &claimed.job);
            let work = async move {
                tracing::debug!("started");
                if let Err(problem) = local.work(claimed, stoppable).await {
                    tracing::error!(%problem, "its end could not be stored");
                }
                running.remove(run);
            };
            runs.spawn(work.instrument(span));
        }
        if count < wanted {
            break;
        }
    }
    let now = local.clock().now();
    let next = local.store().next_due(now).await?;
    let wait = next.map_or(LOOK_EVERY, |next| Duration::from_millis(next.since(now)));
    Ok(wait.min(LOOK_EVERY))
}
