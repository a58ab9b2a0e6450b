//! Runs in flight in this process, so that they can be told to stop.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tidegate_engine::ConnectionKey;
use tidegate_engine::run::RunId;
use tokio::sync::oneshot;

type Runs = Mutex<BTreeMap<RunId, (ConnectionKey, oneshot::Sender<()>)>>;

/// The runs of this process.
#[derive(Debug, Default)]
pub(super) struct Flights(Arc<Runs>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Flight {
    run: RunId,
    runs: Arc<Runs>,
}

impl Flights {
    /// Take a run in. The future resolves when it is to stop.
    pub(super) fn enter(
        &self,
        run: RunId,
        connection: &ConnectionKey,
    ) -> (Flight, BoxFuture<'static, ()>) {
        let (stop, stopped) = oneshot::channel();
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.insert(run, (connection.clone(), stop));
        let flight = Flight {
            run,
            runs: Arc::clone(&self.0),
        };
        let stopped = async {
            if stopped.await.is_err() {
                // It has landed: nobody will stop it any more.
                std::future::pending::<()>().await;
            }
        };
        (flight, stopped.boxed())
    }

    /// Stop all runs of a connection; they end by themselves, shortly.
    pub(super) fn stop(&self, connection: &ConnectionKey) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = runs.extract_if(.., |_, (key, _)| key == connection);
        own.for_each(|(_, (_, stop))| tell(stop));
    }

    /// Stop one; `false` if it is not one of this process.
    pub(super) fn stop_run(&self, run: RunId) -> bool {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = runs.remove(&run);
        let is_ours = found.is_some();
        found.into_iter().for_each(|(_, stop)| tell(stop));
        is_ours
    }

    /// Stop all of them; returns how many there were.
    pub(super) fn stop_all(&self) -> usize {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = std::mem::take(&mut *runs);
        let count = all.len();
        all.into_values().for_each(|(_, stop)| tell(stop));
        count
    }
}

fn tell(stop: oneshot::Sender<()>) {
    // One that has just ended does not hear it.
    let _ = stop.send(());
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.remove(&self.run);
    }
}
