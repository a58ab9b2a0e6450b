//! The worker: takes up what is due, makes attempts side by side, and writes what came of them.
//!
//! What is on its way is known in memory only. Whatever a crash cuts off is due again, with the same
//! id, when the next worker starts.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use tidegate_engine::limits::{WEBHOOK_ENDPOINT_IN_FLIGHT, WEBHOOK_IN_FLIGHT};
use tidegate_engine::store::{DueDeliveries, DueDelivery};
use tidegate_engine::webhook::{
    Attempt, DeliveryError, DeliveryErrorKind, DeliveryState, Endpoint, EndpointHealth, EndpointId,
    Event,
};
use tidegate_engine::{Store, Timestamp};
use tidegate_runtime::Clock;
use tokio::sync::RwLock;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
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

/// A delivery on its way.
#[derive(Debug)]
struct Attempting {
    endpoint: EndpointId,
    seq: u64,
    task: AbortHandle,
}

/// What is on its way, by its task; and how the endpoints stand that were asked.
#[derive(Debug, Default)]
struct InFlight {
    by_task: HashMap<Id, Attempting>,
    standings: BTreeMap<EndpointId, EndpointHealth>,
}

/// How the endpoint of a delivery stands after it, if that could be told.
type AttemptEnd = Result<Option<EndpointHealth>>;

impl Worker {
    /// Deliver until `stop`, then let what is on its way end, which takes 20 s at most, but for what is on its way
    /// to endpoints that don't answer: the next worker does that again. Dropping the future cuts it off. An error
    /// means that the store failed: nobody could write what comes of an attempt, and it would be made again and
    /// again.
    pub(crate) async fn run(self: Arc<Self>, stop: impl Future<Output = ()>) -> Result<()> {
        let mut stop = std::pin::pin!(stop);
        // On their own: none waits for the store to say what is due.
        let mut flying = JoinSet::new();
        let mut in_flight = InFlight::default();
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
            let due = self.store.due_deliveries(in_flight.wanted(now)).await?;
            in_flight.drop_those_to(|endpoint| due.gone.contains(&endpoint));
            in_flight.standings.retain(|id, _| !due.gone.contains(id));
            let wake_at = due.next_at.map_or(forget_at, |next| next.min(forget_at));
            for delivery in due.deliveries {
                let (endpoint, seq) = (delivery.endpoint.id, delivery.event.seq);
                let task = flying.spawn(Arc::clone(&self).deliver(delivery));
                let attempting = Attempting {
                    endpoint,
                    seq,
                    task,
                };
                in_flight.by_task.insert(attempting.task.id(), attempting);
            }
            tokio::select! {
                () = &mut stop => break,
                Some(first) = flying.join_next_with_id() => {
                    let mut next = Some(first);
                    while let Some(landed) = next {
                        in_flight.drain(landed)?;
                        next = flying.try_join_next_with_id();
                    }
                }
                changed = self.store.deliveries_changed(heard) => heard = changed?,
                () = self.alarm.until(wake_at) => {}
            }
        }
        let standings = in_flight.standings.clone();
        in_flight.drop_those_to(|id| standings.get(&id) == Some(&EndpointHealth::Silent));
        while let Some(landed) = flying.join_next_with_id().await {
            in_flight.drain(landed)?;
        }
        Ok(())
    }

    /// Make an attempt and write what came of it.
    async fn deliver(self: Arc<Self>, due: DueDelivery) -> AttemptEnd {
        let DueDelivery {
            endpoint,
            event,
            made,
        } = due;
        let span = spans::delivery(endpoint.id, event.id);
        let settled = self.settle(&endpoint, &event, made);
        settled.instrument(span).await
    }

    async fn settle(&self, endpoint: &Endpoint, event: &Event, made: u32) -> AttemptEnd {
        let now = self.clock.now();
        let store = &*self.store;
        let (attempt, standing) =
            match open_secrets(&self.data, &self.key_use, store, endpoint, now).await {
                Ok(secrets) => {
                    let (receivers, clock) = (&self.receivers, &self.clock);
                    let attempt = attempt(receivers, clock, endpoint, event, &secrets).await;
                    let standing = EndpointHealth::after(&attempt, attempt.latency_ms);
                    (attempt, Some(standing))
                }
                Err(problem) => {
                    tracing::error!("{problem}");
                    (unsigned(now, problem.message), None)
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
        Ok(standing)
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

impl InFlight {
    /// What there is room for.
    fn wanted(&self, now: Timestamp) -> DueDeliveries {
        let all = self.by_task.values();
        DueDeliveries {
            now,
            in_flight: all.map(|own| (own.endpoint, own.seq)).collect(),
            standings: self.standings.clone(),
            per_endpoint: usize_of(WEBHOOK_ENDPOINT_IN_FLIGHT),
            limit: usize_of(WEBHOOK_IN_FLIGHT).saturating_sub(self.by_task.len()),
        }
    }

    /// Cut off what is on its way to some endpoints. Its place is free once it has landed.
    fn drop_those_to(&mut self, dropped: impl Fn(EndpointId) -> bool) {
        for attempting in self.by_task.values().filter(|own| dropped(own.endpoint)) {
            attempting.task.abort();
        }
    }

    /// A delivery has ended. One that panicked stays where it is until the next start, as it would again.
    fn drain(&mut self, landed: std::result::Result<(Id, AttemptEnd), JoinError>) -> Result<()> {
        match landed {
            Ok((task, settled)) => {
                let attempting = self.by_task.remove(&task);
                if let (Some(attempting), Some(standing)) = (attempting, settled?) {
                    self.standings.insert(attempting.endpoint, standing);
                }
            }
            Err(error) if error.is_cancelled() => {
                self.by_task.remove(&error.id());
            }
            Err(error) => {
                let attempting = self.by_task.get(&error.id());
                let (endpoint, event) = attempting.map(|own| (own.endpoint, own.seq)).unzip();
                let endpoint = endpoint.map(tracing::field::display);
                tracing::error!(endpoint, event, "a delivery failed within: {error}");
            }
        }
        Ok(())
    }
}

/// Nothing was sent, as nothing could be signed.
fn unsigned(at: Timestamp, message: String) -> Attempt {
    let no_answer = DeliveryError {
        kind: DeliveryErrorKind::Other,
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
