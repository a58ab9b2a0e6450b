//! Firing schedules that are due.

use std::sync::Arc;
use std::time::Duration;

use tidegate_engine::run::RunId;
use tokio_util::sync::CancellationToken;

use crate::control::Local;
use crate::control::run_registry::Stop;

/// Schedules fired in one command of the store: other commands wait for it.
const BATCH: usize = 100;
/// Longest wait: a clock that is set is noticed after it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Shortest wait.
const LEAST_WAIT: Duration = Duration::from_millis(10);
/// The wait after a command that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Fire until the server stops.
pub(super) async fn run(local: Arc<Local>, stopping: CancellationToken) {
    let mut heard = 0;
    loop {
        let wait = match fire(&local).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::error!(%error, "firing schedules");
                AFTER_FAILURE
            }
        };
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            version = local.schedules_changed.wait_past(heard) => heard = version,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Fire everything that is due; returns how long nothing is.
async fn fire(local: &Arc<Local>) -> Result<Duration, tidegate_engine::StoreError> {
    loop {
        let now = local.clock().now();
        let fired = local.store().fire_due(now, BATCH).await?;
        for schedule in &fired {
            for run in &schedule.cancelled {
                stop(local, *run);
            }
            let own = schedule.fires.iter().filter(|fire| fire.outcome.is_own());
            for fire in own {
                let after = fire.at.since(fire.scheduled_for);
                metrics::histogram!("tidegate_fire_lateness_seconds")
                    .record(seconds(after.saturating_sub(schedule.spread_ms)));
            }
        }
        if !fired.is_empty() {
            local.jobs_changed.notify();
        }
        if fired.len() < BATCH {
            break;
        }
    }
    let next = local.store().next_wake().await?;
    let wait = next.map_or(LOOK_EVERY, |next| {
        Duration::from_millis(next.since(local.clock().now()))
    });
    // What is due and could not be fired, as the queue is full, must not keep a core busy.
    Ok(wait.clamp(LEAST_WAIT, LOOK_EVERY))
}

/// Tell a run to stop whose place a later fire takes.
fn stop(local: &Arc<Local>, run: RunId) {
    if !local.stop_run(run, Stop::Cancelled) {
        // It was claimed a moment ago, or is about to end; firing does not wait to see which.
        let local = Arc::clone(local);
        tokio::spawn(async move {
            local.stop_soon(run, Stop::Cancelled).await;
        });
    }
}

#[allow(clippy::cast_precision_loss, reason = "a metric")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
