//! The ways into the store: commands to the writer thread, reads beside it, and neither on an async thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidegate_engine::StoreError;
use tidegate_engine::store::Durability;

use super::SledStore;
use crate::disk::{Rows, View};
use crate::read::{Found, Reader};
use crate::writer::Writer;

impl SledStore {
    pub(crate) fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Backend("the store is closed".into()));
        }
        Ok(())
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.command(Durability::Durable, command).await
    }

    pub(crate) async fn command<T: Send + 'static>(
        &self,
        durability: Durability,
        command: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.check_open()?;
        self.queue.send(durability, command)?.answer().await
    }

    /// Read off the async threads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.check_open()?;
        let place = self.lanes.small().await?;
        let reader = Arc::clone(&self.reader);
        blocking(move || {
            let found = read(&reader);
            drop(place);
            found
        })
        .await
    }

    /// Look records up. Nobody may see what a crash could still take back: if it is not flushed, look
    /// again right after a flush.
    pub(super) async fn found<T: Send + 'static>(
        &self,
        look: impl Fn(&Reader) -> Result<Found<T>, StoreError> + Clone + Send + 'static,
    ) -> Result<Vec<Option<T>>, StoreError> {
        let found = self.read(look.clone()).await?;
        let Found::Unflushed = found else {
            return found.all();
        };
        let reader = Arc::clone(&self.reader);
        let again = move |writer: &mut Writer| {
            writer.flush()?;
            look(&reader)
        };
        self.write(again).await?.all()
    }

    pub(crate) async fn view<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.read(move |reader| read(&reader.disk.view())).await
    }

    /// List rows, the newest first. `some` looks at a part of them, from before an id on, for at most so many that
    /// are wanted, and says where to go on: each part has a view of its own, since writing waits for a view.
    pub(super) async fn list<I: Send + 'static, T: Send + 'static>(
        &self,
        mut before: Option<I>,
        limit: usize,
        some: impl Fn(&View<'_>, Option<I>, usize) -> Result<(Vec<T>, Option<I>), StoreError>
        + Clone
        + Send
        + 'static,
    ) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        loop {
            let (some, wanted) = (some.clone(), limit - found.len());
            let part = self.view(move |view| some(view, before, wanted)).await;
            let (rows, next) = part?;
            found.extend(rows);
            if next.is_none() || found.len() >= limit {
                return Ok(found);
            }
            before = next;
        }
    }

    /// Read a row or two: that takes less time than handing it to another thread, which is only done
    /// while something is being changed.
    pub(crate) async fn row<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Rows<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.check_open()?;
        if let Some(rows) = self.reader.disk.rows_at_once() {
            return read(&rows);
        }
        self.read(move |reader| read(&reader.disk.rows())).await
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| {
        StoreError::Backend(format!("a read of the store did not finish: {error}"))
    })?
}
