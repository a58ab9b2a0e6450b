//! Guests that compute take turns: no more of them at once than there are cores, the others in line.
//!
//! A guest that never waits gives way at every epoch tick. Without a line of their own, many such guests
//! would be in the scheduler's: whoever has a request of the API to answer would wait for a tick of each of
//! them, again and again.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The cores that guests share.
#[derive(Debug, Clone)]
pub(crate) struct Cores(Arc<Semaphore>);

impl Default for Cores {
    fn default() -> Self {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(count)))
    }
}

impl Cores {
    /// Each poll of `run` takes a core, or waits for one.
    pub(crate) fn share<F: Future + Unpin>(&self, run: F) -> FairShare<F> {
        FairShare {
            run,
            cores: Arc::clone(&self.0),
            in_line: None,
        }
    }
}

/// A guest that is polled when it is its turn.
pub(crate) struct FairShare<F> {
    run: F,
    cores: Arc<Semaphore>,
    in_line: Option<BoxFuture<'static, Result<OwnedSemaphorePermit, AcquireError>>>,
}

impl<F> FairShare<F> {
    /// Wait for a turn. Nobody closes the semaphore, so there is always a permit at the end of the line.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Option<OwnedSemaphorePermit>> {
        if self.in_line.is_none() {
            if let Ok(core) = Arc::clone(&self.cores).try_acquire_owned() {
                return Poll::Ready(Some(core));
            }
            self.in_line = Some(Box::pin(Arc::clone(&self.cores).acquire_owned()));
        }
        let core = match &mut self.in_line {
            Some(in_line) => ready!(in_line.as_mut().poll(cx)).ok(),
            None => None,
        };
        self.in_line = None;
        Poll::Ready(core)
    }
}

impl<F: Future + Unpin> Future for FairShare<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _core = ready!(self.turn(cx));
        Pin::new(&mut self.run).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Notes that it was polled, and gives way, so many times.
    async fn give_way(name: char, times: usize, polled: Arc<Mutex<String>>) {
        for _ in 0..times {
            polled.lock().unwrap().push(name);
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn they_take_turns_and_nobody_is_left_out() {
        let cores = Cores(Arc::new(Semaphore::new(1)));
        let taken = Arc::clone(&cores.0).acquire_owned().await.unwrap();
        let polled = Arc::new(Mutex::new(String::new()));
        let guests = ['a', 'b', 'c'].map(|name| {
            let guest = give_way(name, 4, Arc::clone(&polled));
            tokio::spawn(cores.share(Box::pin(guest)))
        });
        tokio::task::yield_now().await;
        assert_eq!(*polled.lock().unwrap(), "", "the core is taken");
        drop(taken);
        for guest in guests {
            guest.await.unwrap();
        }
        let polled = polled.lock().unwrap();
        for until in 0..=polled.len() {
            let times = |name| polled[..until].matches(name).count();
            let all = ['a', 'b', 'c'].map(times);
            let (most, least) = (all.iter().max(), all.iter().min());
            assert!(most.unwrap() - least.unwrap() <= 1, "{polled}");
        }
        assert_eq!(polled.len(), 12);
    }

    #[tokio::test]
    async fn whoever_waits_for_something_takes_no_core() {
        let cores = Cores(Arc::new(Semaphore::new(1)));
        let waits = tokio::spawn(cores.share(Box::pin(std::future::pending::<()>())));
        tokio::task::yield_now().await;
        cores.share(Box::pin(async {})).await;
        waits.abort();
    }

    #[tokio::test]
    async fn one_that_is_gone_keeps_nobody_waiting() {
        let cores = Cores(Arc::new(Semaphore::new(1)));
        let taken = Arc::clone(&cores.0).acquire_owned().await.unwrap();
        let gone = tokio::spawn(cores.share(Box::pin(async {})));
        let next = tokio::spawn(cores.share(Box::pin(async {})));
        tokio::task::yield_now().await;
        gone.abort();
        drop(taken);
        next.await.unwrap();
    }
}
