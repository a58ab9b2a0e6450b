//! The commands of webhooks as the store offers them: long ones in bounded steps.

use async_trait::async_trait;
use tidegate_engine::store::{DeliveryFilter, Due, DueDeliveries, Replay, Replayed, Webhooks};
use tidegate_engine::webhook::{Attempt, Delivery, DeliveryState, Endpoint, EndpointId};
use tidegate_engine::{StoreError, Timestamp};

use crate::SledStore;
use crate::disk::{View, damaged};
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows;
use crate::lists::SCAN;

fn endpoint(view: &View<'_>, id: EndpointId) -> Result<Endpoint, StoreError> {
    let row = view.row(&keys::endpoint(id), rows::decode)?;
    row.ok_or_else(|| StoreError::NotFound {
        what: "endpoint",
        name: id.to_string(),
    })
}

fn endpoints(view: &View<'_>) -> Result<Vec<Endpoint>, StoreError> {
    let rows = view.prefix(&Key::new(Tag::Endpoint)).map(|item| {
        let (key, value) = item?;
        rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))
    });
    rows.collect()
}

/// The newest deliveries of an endpoint before an event, at most `SCAN`.
fn some_deliveries(
    view: &View<'_>,
    id: EndpointId,
    before: Option<u64>,
) -> Result<Vec<Delivery>, StoreError> {
    endpoint(view, id)?;
    let prefix = keys::deliveries(id);
    let end = before.map_or_else(
        || prefix.after_prefix(),
        |before| keys::delivery(id, before),
    );
    let rows = view.range(&prefix, &end).rev().take(SCAN).map(|item| {
        let (key, value) = item?;
        rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))
    });
    rows.collect()
}

#[async_trait]
impl Webhooks for SledStore {
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
            let wanted = some.into_iter().filter(|delivery| {
                filter
                    .state
                    .as_ref()
                    .is_none_or(|state| delivery.state.as_str() == state)
            });
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
