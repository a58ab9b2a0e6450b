//! The worker: takes up what is due, makes attempts side by side, and writes what came of them.
//!
//! What is on its way is known in memory only. Whatever a crash cuts off is due again, with the same
//! id, when the next worker starts.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use tidegate_engine::limits::{WEBHOOK_ENDPOINT_IN_FLIGHT, WEBHOOK_IN_FLIGHT};
use tidegate_engine::store::{DueDeliveries, DueDelivery};
use tidegate_engine::webhook::{
    Attempt, DeliveryState, Endpoint, EndpointId, Event, NoAnswer, NoAnswerKind,
};
use tidegate_engine::{Store, Timestamp};
use tidegate_runtime::Clock;
use tokio::sync::RwLock;
use tokio::task::{Id, JoinError, JoinSet};
use tracing::Instrument;

use super::{Alarm, Receivers, attempt, open_secrets};
use crate::problem::Result;
use crate::spans;

/// How long events are kept with their deliveries.
const KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// How often old ones are looked for, and how many go in one command.
const FORGET_EVERY_MS: u64 = 60 * 60 * 1000;
const FORGET_STEP: usize = 500;

/// Delivers until it is told to stop.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) receivers: Receivers,
    pub(crate) clock: Clock,
    pub(crate) alarm: Alarm,
    /// Where the master keys are.
    pub(crate) data: PathBuf,
    pub(crate) key_use: Arc<RwLock<()>>,
}

/// What is on its way, by its task.
type InFlight = HashMap<Id, (EndpointId, u64)>;

impl Worker {
    /// Deliver until `stop`, then let what is on its way end, which takes 20 s at most; dropping the
    /// future cuts it off. An error means that the store failed: nobody could write what comes of an attempt,
    /// and it would be made again and again.
    pub(crate) async fn run(self: Arc<Self>, stop: impl Future<Output = ()>) -> Result<()> {
        let mut stop = std::pin::pin!(stop);
        // On their own: none waits for the store to say what is due.
        let mut flying = JoinSet::new();
        let mut in_flight = InFlight::new();
        let mut heard = 0;
        let mut forget_at = self.clock.now();
        loop {
            let now = self.clock.now();
            if now >= forget_at {
                if let Err(problem) = self.forget(now).await {
                    tracing::error!("old events were not forgotten: {problem}");
                }
                forget_at = Timestamp(now.0.saturating_add(FORGET_EVERY_MS));
            }
            let room = usize_of(WEBHOOK_IN_FLIGHT).saturating_sub(in_flight.len());
            let mut wake_at = forget_at;
            if room > 0 {
                let wanted = DueDeliveries {
                    now,
                    in_flight: in_flight.values().copied().collect(),
                    per_endpoint: usize_of(WEBHOOK_ENDPOINT_IN_FLIGHT),
                    limit: room,
                };
                let due = self.store.due_deliveries(wanted).await?;
                wake_at = due.next_at.map_or(wake_at, |next| next.min(wake_at));
                for delivery in due.deliveries {
                    let place = (delivery.endpoint.id, delivery.event.seq);
                    let task = flying.spawn(Arc::clone(&self).deliver(delivery));
                    in_flight.insert(task.id(), place);
                }
            }
            tokio::select! {
                () = &mut stop => break,
                Some(first) = flying.join_next_with_id() => {
                    let mut next = Some(first);
                    while let Some(landed) = next {
                        land(landed, &mut in_flight)?;
                        next = flying.try_join_next_with_id();
                    }
                }
                changed = self.store.deliveries_changed(heard) => heard = changed?,
                () = self.alarm.until(wake_at) => {}
            }
        }
        while let Some(landed) = flying.join_next_with_id().await {
            land(landed, &mut in_flight)?;
        }
        Ok(())
    }

    /// Make an attempt and write what came of it.
    async fn deliver(self: Arc<Self>, due: DueDelivery) -> Result<()> {
        let DueDelivery {
            endpoint,
            event,
            made,
        } = due;
        let span = spans::delivery(endpoint.id, event.id);
        let settled = self.settle(&endpoint, &event, made);
        settled.instrument(span).await
    }

    async fn settle(&self, endpoint: &Endpoint, event: &Event, made: u32) -> Result<()> {
        let now = self.clock.now();
        let store = &*self.store;
        let attempt = match open_secrets(&self.data, &self.key_use, store, endpoint, now).await {
            Ok(secrets) => attempt(&self.receivers, &self.clock, endpoint, event, &secrets).await,
            Err(problem) => {
                tracing::error!("{problem}");
                unsigned(now, problem.message)
            }
        };
        let settled = store.settle_delivery(endpoint.id, event.seq, made, attempt.clone());
        let state = settled.await?;
        let status = attempt
            .status
            .map_or("none".to_owned(), |status| status.to_string());
        metrics::counter!("tidegate_webhook_attempts_total", "status" => status).increment(1);
        let (status, latency_ms) = (attempt.status, attempt.latency_ms);
        let state = state.map(DeliveryState::as_str);
        match attempt.no_answer {
            None if attempt.succeeded() => {
                tracing::debug!(status, latency_ms, state, "delivered");
            }
            why => {
                let why = why.map(|why| why.message);
                tracing::info!(status, latency_ms, state, why, "not delivered");
            }
        }
        Ok(())
    }

    async fn forget(&self, now: Timestamp) -> Result<()> {
        let before = Timestamp(now.0.saturating_sub(KEPT_MS));
        while self.store.forget_events(before, FORGET_STEP).await? == FORGET_STEP as u64 {
            // Others get their turn between the steps.
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// A delivery has ended. One that panicked stays where it is until the next start, as it would again.
fn land(
    landed: std::result::Result<(Id, Result<()>), JoinError>,
    in_flight: &mut InFlight,
) -> Result<()> {
    match landed {
        Ok((task, settled)) => {
            in_flight.remove(&task);
            settled
        }
        Err(error) => {
            let place = in_flight.get(&error.id());
            let (endpoint, event) = place.copied().unzip();
            let endpoint = endpoint.map(tracing::field::display);
            tracing::error!(endpoint, event, "a delivery failed within: {error}");
            Ok(())
        }
    }
}

/// Nothing was sent, as nothing could be signed.
fn unsigned(at: Timestamp, message: String) -> Attempt {
    let no_answer = NoAnswer {
        kind: NoAnswerKind::Other,
        message,
    };
    Attempt {
        at,
        latency_ms: 0,
        status: None,
        no_answer: Some(no_answer),
        response: String::new(),
        retry_after_ms: None,
    }
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
