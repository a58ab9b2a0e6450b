//! Early answers: what was applied is seen by all, and its flush is under way.

use async_trait::async_trait;
use tidegate_engine::StoreError;
use tidegate_engine::run::{Fence, NewRun, Run, RunEnd, RunId};
use tidegate_engine::store::{Durability, Durable, EarlyAck, Started};

use super::SledStore;
use crate::writer::Writer;

#[async_trait]
impl EarlyAck for SledStore {
    async fn start_run_early(&self, run: NewRun) -> Result<(Started, Durable), StoreError> {
        self.check_open()?;
        let start = move |writer: &mut Writer| writer.start_run(run);
        let started = self.queue.send(Durability::Relaxed, start)?;
        // Right behind it, so that one flush is for both.
        let stored = self.queue.send(Durability::Durable, |_| Ok(()))?;
        let started = started.answer().await?;
        Ok((started, Durable::when(stored.answer())))
    }

    async fn finish_run_early(
        &self,
        run: RunId,
        fence: Fence,
        end: RunEnd,
    ) -> Result<Run, StoreError> {
        let finish = move |writer: &mut Writer| writer.finish_run(run, fence, end.clone());
        self.in_turn(Durability::Relaxed, finish).await
    }
}
