//! The virtual clock, and the executor that drives a plugin by it: single-threaded, and time
//! passes only when every future waits.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Unix milliseconds, and who waits for them.
#[derive(Debug)]
pub(super) struct Clock {
    now: Cell<u64>,
    /// By deadline, then by who came first.
    timers: RefCell<BTreeMap<(u64, u64), Waker>>,
    created: Cell<u64>,
}

impl Clock {
    pub(super) fn new(now: u64) -> Rc<Self> {
        Rc::new(Clock {
            now: Cell::new(now),
            timers: RefCell::default(),
            created: Cell::new(0),
        })
    }

    pub(super) fn now(&self) -> u64 {
        self.now.get()
    }

    pub(super) fn set(&self, now: u64) {
        self.now.set(now);
    }

    /// A future that is ready so many milliseconds from now. Even zero lets others run first.
    pub(super) fn sleep(self: &Rc<Self>, duration_ms: u64) -> Sleep {
        self.created.set(self.created.get() + 1);
        Sleep {
            clock: Rc::clone(self),
            key: (self.now().saturating_add(duration_ms), self.created.get()),
            fired: false,
        }
    }

    /// Drive a future. `None` when `stop` was set, or when it waits for what never comes.
    pub(super) fn drive<F: Future>(&self, future: F, stop: &Cell<bool>) -> Option<F::Output> {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut future = pin!(future);
        loop {
            if woken.0.swap(false, Ordering::Relaxed) {
                let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                if stop.get() {
                    return None;
                }
                if let Poll::Ready(output) = polled {
                    return Some(output);
                }
            } else {
                let ((deadline, _), waker) = self.timers.borrow_mut().pop_first()?;
                self.now.set(self.now().max(deadline));
                waker.wake();
            }
        }
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits on a [`Clock`].
#[derive(Debug)]
pub(super) struct Sleep {
    clock: Rc<Clock>,
    key: (u64, u64),
    fired: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut timers = self.clock.timers.borrow_mut();
        let registered = timers.contains_key(&self.key);
        let due = self.fired && !registered;
        if !due {
            timers.insert(self.key, cx.waker().clone());
        }
        drop(timers);
        self.fired = true;
        if due { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.clock.timers.borrow_mut().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::future::{join_all, select};

    use super::Clock;

    #[test]
    fn waits_overlap() {
        let clock = Clock::new(1_000);
        let waits = [30, 10, 20, 10].map(|ms| {
            let clock = clock.clone();
            async move {
                clock.sleep(ms).await;
                clock.now()
            }
        });
        let ended = clock.drive(join_all(waits), &Cell::new(false));
        assert_eq!(ended, Some(vec![1_030, 1_010, 1_020, 1_010]));
        assert_eq!(clock.now(), 1_030);
    }

    #[test]
    fn a_dropped_wait_costs_no_time() {
        let clock = Clock::new(0);
        let race = select(Box::pin(clock.sleep(5)), Box::pin(clock.sleep(500)));
        clock.drive(async { drop(race.await) }, &Cell::new(false));
        assert!(
            clock
                .drive(std::future::pending::<()>(), &Cell::new(false))
                .is_none()
        );
        assert_eq!(clock.now(), 5);
    }
}
