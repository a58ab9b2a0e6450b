//! What follows a run while it goes on.

use std::sync::Arc;

use tidegate_engine::run::LogLine;

use crate::tape::Tape;

/// Sees a run while it goes on. Calls are short and must not block.
pub trait Observer: Send + Sync {
    /// A log line was written.
    fn log(&self, line: &LogLine);
    /// Records were committed.
    fn committed(&self) {}
    /// A sync has moved its checkpoint away from where it began, and is about to go on outside. `true` stops it
    /// here, where nothing is lost: whoever says so makes [`RunSpec::cancelled`] resolve first.
    fn at_checkpoint(&self) -> bool {
        false
    }
}

/// Puts log lines on the tape too.
pub(crate) struct RecordingObserver(pub(crate) Arc<dyn Observer>, pub(crate) Arc<Tape>);

impl Observer for RecordingObserver {
    fn log(&self, line: &LogLine) {
        self.1.log(line);
        self.0.log(line);
    }

    fn committed(&self) {
        self.0.committed();
    }

    fn at_checkpoint(&self) -> bool {
        self.0.at_checkpoint()
    }
}
