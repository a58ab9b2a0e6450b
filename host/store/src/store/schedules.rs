//! Schedules of the sled store.

use async_trait::async_trait;
use tidegate_engine::board::Fired;
use tidegate_engine::schedule::{Fire, Pause, Schedule, ScheduleId};
use tidegate_engine::store::{Backfill, PutSchedule, ScheduleFilter, Schedules};
use tidegate_engine::{StoreError, Timestamp};

use super::SledStore;
use crate::writer::{Writer, schedules};

/// Schedules that one command sees to.
const ENSURED_AT_ONCE: usize = 100;

#[async_trait]
impl Schedules for SledStore {
    async fn put_schedule(&self, put: PutSchedule) -> Result<Schedule, StoreError> {
        let id = put.id;
        while !self.write(move |writer| writer.purge_fires_of(id)).await? {}
        self.write(move |writer| writer.put_schedule(put)).await
    }

    async fn ensure_schedules(&self, puts: Vec<PutSchedule>) -> Result<usize, StoreError> {
        let mut new = 0;
        let mut puts = puts.into_iter().peekable();
        while puts.peek().is_some() {
            let some: Vec<PutSchedule> = puts.by_ref().take(ENSURED_AT_ONCE).collect();
            for id in some.iter().map(|put| put.id) {
                while !self.write(move |writer| writer.purge_fires_of(id)).await? {}
            }
            let ensure = move |writer: &mut Writer| writer.ensure_schedules(some);
            new += self.write(ensure).await?;
        }
        Ok(new)
    }

    async fn schedule(&self, id: ScheduleId) -> Result<Schedule, StoreError> {
        self.write(move |writer| writer.schedule(id)).await
    }

    async fn schedules(&self, filter: ScheduleFilter) -> Result<Vec<Schedule>, StoreError> {
        self.write(move |writer| Ok(writer.schedules(&filter)))
            .await
    }

    async fn pause_schedule(&self, id: ScheduleId, pause: Pause) -> Result<Schedule, StoreError> {
        self.write(move |writer| writer.pause_schedule(id, pause))
            .await
    }

    async fn resume_schedule(
        &self,
        id: ScheduleId,
        now: Timestamp,
    ) -> Result<Schedule, StoreError> {
        self.write(move |writer| writer.resume_schedule(id, now))
            .await
    }

    async fn remove_schedule(&self, id: ScheduleId, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |writer| writer.remove_schedule(id, now))
            .await?;
        while !self.write(|writer| writer.purge_fires()).await? {}
        Ok(())
    }

    async fn fire_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Fired>, StoreError> {
        self.write(move |writer| writer.fire_due(now, limit)).await
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        self.write(|writer| Ok(writer.next_wake())).await
    }

    async fn fires(
        &self,
        id: ScheduleId,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<Fire>, StoreError> {
        self.view(move |view| schedules::fires(view, id, before, limit))
            .await
    }

    async fn backfill(&self, backfill: Backfill) -> Result<Vec<Fire>, StoreError> {
        self.write(move |writer| writer.backfill(&backfill)).await
    }
}
