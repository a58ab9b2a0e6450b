//! Notices when a guest can do no more, and then lets its tape give it the next answer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

use super::Tape;

/// The replay can't go on; the tape says why.
#[derive(Debug)]
pub(crate) struct Stopped;

/// Polls a guest. When it waits, and nothing has woken it while it was polled (as its yields do),
/// it is the tape's turn. Without a tape it only polls.
pub(crate) struct TapeTurns<F> {
    guest: Pin<Box<F>>,
    tape: Option<(Arc<Tape>, Arc<RememberingWaker>, Waker)>,
}

/// Wakes the task, and remembers that it did. One for the whole run: a waker of an earlier poll
/// counts too.
#[derive(Default)]
struct RememberingWaker {
    rang: AtomicBool,
    task: AtomicWaker,
}

impl Wake for RememberingWaker {
    fn wake(self: Arc<Self>) {
        self.rang.store(true, Ordering::SeqCst);
        self.task.wake();
    }
}

impl<F> TapeTurns<F> {
    pub(crate) fn new(guest: F, tape: Option<Arc<Tape>>) -> Self {
        let tape = tape.map(|tape| {
            let bell = Arc::new(RememberingWaker::default());
            let waker = Waker::from(Arc::clone(&bell));
            (tape, bell, waker)
        });
        Self {
            guest: Box::pin(guest),
            tape,
        }
    }
}

impl<F: Future> Future for TapeTurns<F> {
    type Output = Result<F::Output, Stopped>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some((tape, bell, waker)) = &this.tape else {
            return this.guest.as_mut().poll(cx).map(Ok);
        };
        bell.task.register(cx.waker());
        bell.rang.store(false, Ordering::SeqCst);
        let polled = this.guest.as_mut().poll(&mut Context::from_waker(waker));
        if let Poll::Ready(output) = polled {
            return Poll::Ready(Ok(output));
        }
        if tape.is_stopped() {
            return Poll::Ready(Err(Stopped));
        }
        if !bell.rang.load(Ordering::SeqCst) {
            // Wakes the call whose turn it is, and through it this task.
            tape.turn();
            if tape.is_stopped() {
                return Poll::Ready(Err(Stopped));
            }
        }
        Poll::Pending
    }
}
