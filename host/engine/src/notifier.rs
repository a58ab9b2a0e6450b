//! Waiting for something to happen in a store, whatever the async runtime.

use std::future::poll_fn;
use std::task::{Poll, Waker};

use parking_lot::Mutex;
/// A version that only grows, and those who wait for it to pass the one they know: nothing is missed
/// between looking and waiting.
#[derive(Debug, Default)]
pub struct Notifier(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    version: u64,
    waiting: Vec<Waker>,
}

impl Notifier {
    /// Wake everybody who waits.
    pub fn notify(&self) {
        let mut state = self.0.lock();
        state.version += 1;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Wait until it has been rung more than `heard` times; returns how often. A waiter that was
    /// dropped is forgotten at the next ring.
    pub async fn wait_past(&self, version: u64) -> u64 {
        poll_fn(|context| {
            let mut state = self.0.lock();
            if state.version > version {
                return Poll::Ready(state.version);
            }
            if !state
                .waiting
                .iter()
                .any(|waker| waker.will_wake(context.waker()))
            {
                state.waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Context, Wake};

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn nobody_misses_a_ring() {
        let bell = Notifier::default();
        let woken = Arc::new(Count::default());
        let waker = Arc::clone(&woken).into();
        let mut context = Context::from_waker(&waker);
        let mut first = pin!(bell.wait_past(0));
        assert_eq!(first.as_mut().poll(&mut context), Poll::Pending);
        assert_eq!(first.as_mut().poll(&mut context), Poll::Pending);
        bell.notify();
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert_eq!(first.poll(&mut context), Poll::Ready(1));
        // Rung while nobody waited.
        bell.notify();
        assert_eq!(pin!(bell.wait_past(1)).poll(&mut context), Poll::Ready(2));
        assert_eq!(pin!(bell.wait_past(2)).poll(&mut context), Poll::Pending);
    }
}
