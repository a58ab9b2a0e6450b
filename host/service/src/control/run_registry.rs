//! Runs in flight in this process, so that they can be cancelled.
//!
//! `Local::cancel_run` (`delegate.rs`), the lease keeper and the end of the server call `stop_run`. The future that `enter` gives
//! resolves then; `launch/drive.rs` hands it to the run (`RunSpec::cancelled`), and `host/runtime/src/guest.rs` ends the guest at its
//! next await. A run of another process is not here: `stop_run` answers `false`, and its lease ends it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tidegate_engine::ConnectionKey;
use tidegate_engine::run::RunId;
use tokio::sync::oneshot;

/// Why a run is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Somebody cancelled it, or removes its connection.
    Cancelled,
    /// The host stops: it is no fault of the run's, and its job goes on when there is a host again.
    HostStops,
    /// Its lease has ended: another takes over.
    LeaseEnded,
}

type Runs = Mutex<BTreeMap<RunId, (ConnectionKey, oneshot::Sender<Stop>)>>;

/// The runs of this process.
#[derive(Debug, Clone, Default)]
pub(super) struct RunRegistry {
    runs: Arc<Runs>,
    /// The host is about to stop.
    draining: Arc<AtomicBool>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct RunHandle {
    run: RunId,
    runs: Arc<Runs>,
}

impl RunRegistry {
    /// Take a run in. The future resolves when it is to stop.
    pub(super) fn enter(
        &self,
        run: RunId,
        connection: &ConnectionKey,
    ) -> (RunHandle, BoxFuture<'static, Stop>) {
        let (stop, stopped) = oneshot::channel();
        let mut runs = self.runs.lock();
        runs.insert(run, (connection.clone(), stop));
        let handle = RunHandle {
            run,
            runs: Arc::clone(&self.runs),
        };
        let stopped = async {
            match stopped.await {
                Ok(why) => why,
                // The run has ended: nobody will stop it any more.
                Err(_) => std::future::pending().await,
            }
        };
        (handle, stopped.boxed())
    }

    /// Stop all runs of a connection; they end by themselves, shortly.
    pub(super) fn stop(&self, connection: &ConnectionKey) {
        let mut runs = self.runs.lock();
        let own = runs.extract_if(.., |_, (key, _)| key == connection);
        own.for_each(|(_, (_, stop))| tell(stop, Stop::Cancelled));
    }

    /// Stop one; `false` if it is not one of this process.
    pub(crate) fn stop_run(&self, run: RunId, why: Stop) -> bool {
        let mut runs = self.runs.lock();
        let found = runs.remove(&run);
        let is_ours = found.is_some();
        found.into_iter().for_each(|(_, stop)| tell(stop, why));
        is_ours
    }

    /// From now on runs stop at the next checkpoint that they come to.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// A run is at a checkpoint: stop it there if the host is about to stop; whether it is.
    pub(super) fn stops_at_checkpoint(&self, run: RunId) -> bool {
        let lands = self.draining.load(Ordering::Relaxed);
        if lands {
            // One that is not found has been told to stop before.
            self.stop_run(run, Stop::HostStops);
        }
        lands
    }

    /// Stop all of them; returns how many there were.
    pub(crate) fn stop_all(&self, why: Stop) -> usize {
        let mut runs = self.runs.lock();
        let all = std::mem::take(&mut *runs);
        let count = all.len();
        all.into_values().for_each(|(_, stop)| tell(stop, why));
        count
    }
}

fn tell(stop: oneshot::Sender<Stop>, why: Stop) {
    // One that has just ended does not hear it.
    let _ = stop.send(why);
}

impl Drop for RunHandle {
    fn drop(&mut self) {
        let mut runs = self.runs.lock();
        runs.remove(&self.run);
    }
}
