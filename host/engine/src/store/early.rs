//! Starting and ending a run with an answer that does not wait for the disk.

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use super::{Started, StoreError};
use crate::run::{Fence, NewRun, Run, RunEnd, RunId};

/// Tells when what a command did is on disk.
#[derive(Clone)]
pub struct Durable(Option<Shared<BoxFuture<'static, Result<(), StoreError>>>>);

impl Durable {
    /// It is already.
    #[must_use]
    pub fn already() -> Self {
        Self(None)
    }

    /// It is when this resolves, unless that is an error.
    pub fn when(flushed: impl Future<Output = Result<(), StoreError>> + Send + 'static) -> Self {
        Self(Some(flushed.boxed().shared()))
    }

    /// Wait until it is, or can't be.
    pub async fn wait(&self) -> Result<(), StoreError> {
        match &self.0 {
            Some(flushed) => flushed.clone().await,
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Durable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").finish_non_exhaustive()
    }
}

/// What a backend does for an action that somebody waits for (docs/decisions/0010). Everyone sees at once what
/// these commands did.
#[async_trait]
pub trait EarlyAck {
    /// Like [`super::Store::start_run`], but answered before it is on disk: nothing that the run does may
    /// leave the host before that.
    async fn start_run_early(&self, run: NewRun) -> Result<(Started, Durable), StoreError>;
    /// Like [`super::Store::finish_run`], but answered before it is on disk. A crash in the next moments may
    /// lose it: the run is then one that nothing runs, and ends as `Interrupted`.
    async fn finish_run_early(
        &self,
        run: RunId,
        fence: Fence,
        end: RunEnd,
    ) -> Result<Run, StoreError>;
}
