//! Webhooks, long commands in bounded steps.

use async_trait::async_trait;
use tidegate_engine::store::{DeliveryFilter, Due, DueDeliveries, Outbox, Replay, Replayed};
use tidegate_engine::webhook::{Attempt, Delivery, DeliveryState, Endpoint, EndpointId};
use tidegate_engine::{StoreError, Timestamp};

use super::SledStore;
use crate::lists::SCAN;
use crate::webhooks::{endpoint, endpoints, some_deliveries};

#[async_trait]
impl Outbox for SledStore {
    async fn add_endpoint(&self, endpoint: Endpoint) -> Result<(), StoreError> {
        self.write(move |writer| writer.add_endpoint(endpoint))
            .await
    }

    async fn update_endpoint(&self, endpoint: Endpoint) -> Result<bool, StoreError> {
        self.write(move |writer| writer.update_endpoint(&endpoint))
            .await
    }

    async fn endpoint(&self, id: EndpointId) -> Result<Endpoint, StoreError> {
        self.view(move |view| endpoint(view, id)).await
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        self.view(endpoints).await
    }

    async fn remove_endpoint(&self, id: EndpointId) -> Result<(), StoreError> {
        self.write(move |writer| writer.remove_endpoint(id)).await?;
        while !self.write(|writer| writer.purge_step()).await? {}
        Ok(())
    }

    async fn due_deliveries(&self, due: DueDeliveries) -> Result<Due, StoreError> {
        // A durable command, so that nothing is delivered that a crash could take back.
        self.write(move |writer| writer.due_deliveries(&due)).await
    }

    async fn settle_delivery(
        &self,
        endpoint: EndpointId,
        seq: u64,
        made: u32,
        attempt: Attempt,
    ) -> Result<Option<DeliveryState>, StoreError> {
        self.write(move |writer| writer.settle_delivery(endpoint, seq, made, attempt))
            .await
    }

    async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<Delivery>, StoreError> {
        let (id, mut before) = (filter.endpoint, filter.before);
        let mut found = Vec::new();
        loop {
            let some = self
                .view(move |view| some_deliveries(view, id, before))
                .await?;
            let last = some.len() < SCAN;
            before = some.last().map(|delivery| delivery.seq);
            let wanted = some.into_iter().filter(|delivery| filter.matches(delivery));
            found.extend(wanted.take(filter.limit - found.len()));
            if last || found.len() >= filter.limit {
                return Ok(found);
            }
        }
    }

    async fn replay_deliveries(&self, replay: Replay) -> Result<Replayed, StoreError> {
        let mut done = Replayed::default();
        let most = replay.limit.max(1) as u64;
        let mut after = replay.after;
        loop {
            let left = most - done.deliveries;
            let step = self
                .write(move |writer| writer.replay_step(&replay, after, left))
                .await?;
            done.deliveries += step.deliveries;
            after = step.last.or(after);
            if done.deliveries >= most {
                done.more_after = after;
                return Ok(done);
            }
            if !step.more {
                return Ok(done);
            }
        }
    }

    async fn forget_events(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.write(move |writer| writer.forget_events(before, limit))
            .await
    }

    async fn deliveries_changed(&self, heard: u64) -> Result<u64, StoreError> {
        self.check_open()?;
        Ok(self.deliveries_changed.wait_past(heard).await)
    }
}
