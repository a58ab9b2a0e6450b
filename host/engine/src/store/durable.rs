//! A promise that what was answered already will be on disk.

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use crate::error::StoreError;

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
