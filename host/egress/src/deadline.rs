//! The time of one attempt, which runs while we work and stands while we wait for our turn.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// A budget of time, spent by what runs within it.
#[derive(Debug)]
pub(crate) struct Deadline {
    left: Duration,
}

/// The time is spent.
#[derive(Debug)]
pub(crate) struct DeadlinePassed;

impl Deadline {
    pub(crate) fn new(time: Duration) -> Self {
        Self { left: time }
    }

    /// Run `work`, at most until the time is spent.
    pub(crate) async fn run<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, DeadlinePassed> {
        let start = Instant::now();
        let outcome = tokio::time::timeout(self.left, work).await;
        self.left = self.left.saturating_sub(start.elapsed());
        outcome.map_err(|_| DeadlinePassed)
    }
}
