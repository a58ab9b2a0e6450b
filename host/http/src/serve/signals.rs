//! Being told to stop: by Ctrl-C or SIGTERM, and by a second of them at once.

use tidegate_service::problem::{Problem, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code after a second signal.
const CUT_SHORT: i32 = 130;

/// Hears the signals from now on.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn hear() -> Result<Self> {
        let hear = |kind| signal(kind).map_err(Problem::internal);
        Ok(Self {
            interrupt: hear(SignalKind::interrupt())?,
            terminate: hear(SignalKind::terminate())?,
        })
    }

    /// Resolves at the next one.
    pub(super) async fn heard(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// End the process at the next one, at once: what was acknowledged is on disk.
    pub(super) fn exit_at_next(mut self) {
        tokio::spawn(async move {
            self.heard().await;
            tracing::warn!("a second signal: exiting at once");
            std::process::exit(CUT_SHORT);
        });
    }
}
