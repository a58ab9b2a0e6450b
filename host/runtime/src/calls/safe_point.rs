//! Where a run can be stopped at no cost: between a commit that moved its checkpoint and what it does outside next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::observer::Observer;

/// Whether the run is at such a place, and who knows whether it stops there.
pub(crate) struct SafePoint {
    reached: AtomicBool,
    observer: Arc<dyn Observer>,
}

impl SafePoint {
    pub(crate) fn new(observer: Arc<dyn Observer>) -> Self {
        Self {
            reached: AtomicBool::new(false),
            observer,
        }
    }

    /// The checkpoint was moved.
    pub(crate) fn arrive(&self) {
        self.reached.store(true, Ordering::Relaxed);
    }

    /// Something is to be done outside. Never resolves if the run stops here: what it would ask or
    /// send now, the next run does. A guest that does nothing more outside comes to its own end.
    pub(super) async fn depart(&self) {
        if !self.reached.load(Ordering::Relaxed) {
            return;
        }
        if self.observer.at_checkpoint() {
            // The run is cancelled by whoever said so, and this with it.
            std::future::pending::<()>().await;
        }
        self.reached.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tidegate_engine::run::LogLine;

    use super::*;

    /// Says whether the run is to stop.
    struct StopSignal(AtomicBool);

    impl Observer for StopSignal {
        fn log(&self, _: &LogLine) {}

        fn at_checkpoint(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn it_stops_only_between_a_checkpoint_and_what_comes_next() {
        let told = Arc::new(StopSignal(AtomicBool::new(false)));
        let rest = SafePoint::new(Arc::clone(&told) as Arc<dyn Observer>);
        let goes_on = || rest.depart().now_or_never().is_some();
        rest.arrive();
        assert!(goes_on(), "nobody said stop");
        told.0.store(true, Ordering::Relaxed);
        assert!(goes_on(), "it has left the checkpoint");
        rest.arrive();
        // Of several calls at once none gets out.
        assert!(!goes_on());
        assert!(!goes_on());
    }
}
