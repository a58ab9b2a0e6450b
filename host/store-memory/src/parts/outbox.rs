//! Webhooks: each command takes the lock, and does its part of the state's work.

use async_trait::async_trait;
use tidegate_engine::store::{DeliveryFilter, Due, DueDeliveries, Outbox, Replay, Replayed};
use tidegate_engine::webhook::{Attempt, Delivery, DeliveryState, Endpoint, EndpointId};
use tidegate_engine::{StoreError, Timestamp};

use crate::MemoryStore;

#[async_trait]
impl Outbox for MemoryStore {
    async fn add_endpoint(&self, endpoint: Endpoint) -> Result<(), StoreError> {
        self.with(|state| state.add_endpoint(endpoint))
    }

    async fn update_endpoint(&self, endpoint: Endpoint) -> Result<bool, StoreError> {
        self.with(|state| state.update_endpoint(&endpoint))
    }

    async fn endpoint(&self, id: EndpointId) -> Result<Endpoint, StoreError> {
        self.with(|state| state.webhooks.endpoint(id).cloned())
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        self.with(|state| Ok(state.webhooks.endpoints.values().cloned().collect()))
    }

    async fn remove_endpoint(&self, id: EndpointId) -> Result<(), StoreError> {
        self.with(|state| {
            state.webhooks.endpoint(id)?;
            state.webhooks.endpoints.remove(&id);
            state.webhooks.deliveries.retain(|(own, _), _| *own != id);
            state.webhooks.changed = true;
            Ok(())
        })
    }

    async fn due_deliveries(&self, due: DueDeliveries) -> Result<Due, StoreError> {
        self.with(|state| Ok(state.due_deliveries(&due)))
    }

    async fn settle_delivery(
        &self,
        endpoint: EndpointId,
        seq: u64,
        made: u32,
        attempt: Attempt,
    ) -> Result<Option<DeliveryState>, StoreError> {
        self.with(|state| Ok(state.settle_delivery(endpoint, seq, made, attempt)))
    }

    async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<Delivery>, StoreError> {
        self.with(|state| state.deliveries(&filter))
    }

    async fn replay_deliveries(&self, replay: Replay) -> Result<Replayed, StoreError> {
        self.with(|state| state.replay_deliveries(&replay))
    }

    async fn forget_events(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.with(|state| Ok(state.forget_events(before, limit)))
    }

    async fn deliveries_changed(&self, heard: u64) -> Result<u64, StoreError> {
        Ok(self.deliveries_changed.wait_past(heard).await)
    }
}
