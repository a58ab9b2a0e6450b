//! Firing schedules that are due.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::control::Local;
use crate::control::flights::Stop;

/// Schedules fired in one command of the store.
const BATCH: usize = 500;
/// Longest wait: a clock that is set is noticed after it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Shortest wait.
const LEAST_WAIT: Duration = Duration::from_millis(10);
/// The wait after a command that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Fire until the server stops.
pub(super) async fn run(local: Arc<Local>, mut stopping: watch::Receiver<bool>) {
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
            rung = local.schedules_changed.after(heard) => heard = rung,
            () = tokio::time::sleep(wait) => {}
            // The sender goes with the server.
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

/// Fire everything that is due; returns how long nothing is.
async fn fire(local: &Local) -> Result<Duration, tidegate_engine::StoreError> {
    loop {
        let now = local.clock().now();
        let fired = local.store().fire_due(now, BATCH).await?;
        for schedule in &fired {
            for run in &schedule.cancelled {
                local.stop_run(*run, Stop::Cancelled);
            }
            let own = schedule.fires.iter().filter(|fire| fire.outcome.is_own());
            for fire in own {
                let after = fire.at.since(fire.scheduled_for);
                metrics::histogram!("tidegate_fire_lateness_seconds")
                    .record(seconds(after.saturating_sub(schedule.spread_ms)));
            }
        }
        if !fired.is_empty() {
            local.jobs_changed.ring();
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

#[allow(clippy::cast_precision_loss, reason = "a metric")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
