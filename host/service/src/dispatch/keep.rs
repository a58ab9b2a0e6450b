//! Leases, figures and retention.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tidegate_engine::run::{Blame, Failure, FailureClass};
use tidegate_engine::webhook::{Disabled, EndpointId, WhyDisabled};
use tidegate_engine::{StoreError, Timestamp};
use tokio::time::MissedTickBehavior;

use super::work::{LEASE_MS, Running};
use crate::control::Local;
use crate::control::run_registry::Stop;

/// How often leases are prolonged and looked at.
const LEASES_EVERY: Duration = Duration::from_secs(10);
/// How often the past is looked at.
const FORGET_EVERY: Duration = Duration::from_secs(10 * 60);
/// Rows of each kind that are forgotten in one command of the store.
const FORGOTTEN_AT_ONCE: usize = 500;

/// Keep the leases of what runs, and end those of what has stopped to say so.
pub(super) async fn leases(local: Arc<Local>, running: Running) {
    // The first time at once: nothing has a lease yet, and metrics begin with figures.
    let mut tick = tokio::time::interval(LEASES_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut disabled = BTreeSet::new();
    loop {
        tick.tick().await;
        if let Err(error) = prolong(&local, &running).await {
            tracing::error!(%error, "leases");
        }
        if let Err(error) = tell_disabled(&local, &mut disabled).await {
            tracing::error!(%error, "endpoints");
        }
    }
}

/// Say which endpoints get nothing any more, once each: if it is the only one, no event can.
async fn tell_disabled(local: &Local, known: &mut BTreeSet<EndpointId>) -> Result<(), StoreError> {
    let endpoints = local.store().endpoints().await?;
    let disabled = endpoints.iter().filter_map(|e| Some((e.id, e.disabled?)));
    let disabled: BTreeMap<EndpointId, Disabled> = disabled.collect();
    for (endpoint, Disabled { why, .. }) in &disabled {
        if known.insert(*endpoint) && *why != WhyDisabled::Operator {
            let why = why.as_str();
            tracing::warn!(%endpoint, why, "an endpoint is disabled: nothing is delivered to it");
        }
    }
    known.retain(|endpoint| disabled.contains_key(endpoint));
    metrics::gauge!("tidegate_webhook_endpoints_disabled").set(count(disabled.len()));
    Ok(())
}

async fn prolong(local: &Local, running: &Running) -> Result<(), StoreError> {
    let now = local.clock().now();
    let until = Timestamp(now.0.saturating_add(LEASE_MS));
    for run in local.store().heartbeat(running.held(), until).await? {
        if local.stop_run(run, Stop::LeaseEnded) {
            tracing::warn!(%run, "its lease is gone: it is stopped");
        }
    }
    let why = Failure::new(
        FailureClass::Internal,
        Blame::Host,
        "its lease ended; another run goes on from what it had committed",
    );
    for run in local.store().reap(why, now).await? {
        tracing::warn!(%run, "its lease ended: it is taken over");
        local.stop_run(run, Stop::LeaseEnded);
        local.jobs_changed.notify();
    }
    let figures = local.store().queue_figures(now).await?;
    let waits = figures.oldest.map_or(0, |oldest| now.since(oldest));
    metrics::gauge!("tidegate_jobs_running").set(count(figures.running));
    metrics::gauge!("tidegate_jobs_ready").set(count(figures.ready));
    #[allow(clippy::cast_precision_loss, reason = "a metric")]
    metrics::gauge!("tidegate_job_oldest_ready_seconds").set(waits as f64 / 1000.0);
    #[allow(clippy::cast_precision_loss, reason = "a metric")]
    metrics::gauge!("tidegate_runs_held_bytes").set(local.held_bytes() as f64);
    let bytes = local.store().disk_bytes().await?;
    #[allow(clippy::cast_precision_loss, reason = "a metric")]
    metrics::gauge!("tidegate_store_bytes").set(bytes as f64);
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "a metric")]
fn count(number: usize) -> f64 {
    number as f64
}

/// Forget what ended longer ago than `keep`.
pub(super) async fn run(local: Arc<Local>, keep: Duration) {
    loop {
        if let Err(error) = forget(&local, keep).await {
            tracing::error!(%error, "forgetting ended runs");
        }
        tokio::time::sleep(FORGET_EVERY).await;
    }
}

async fn forget(local: &Local, keep: Duration) -> Result<(), StoreError> {
    let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
    let before = Timestamp(local.clock().now().0.saturating_sub(keep));
    let mut all = 0;
    loop {
        let forgotten = local
            .store()
            .forget_ended(before, FORGOTTEN_AT_ONCE)
            .await?;
        all += forgotten.runs;
        if !forgotten.more {
            break;
        }
    }
    if all > 0 {
        tracing::info!(runs = all, "forgot ended runs");
    }
    Ok(())
}
