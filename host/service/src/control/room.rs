//! The room that all runs have for what the host holds for them.

use tidegate_egress::Pool;

use super::local::Local;

impl Local {
    /// Let all runs together hold no more than this of calls that have not ended. For `serve`, before it
    /// begins.
    pub fn hold_at_most(&mut self, bytes: u64) {
        self.held = Pool::new(bytes);
    }

    /// What all runs hold now of calls that have not ended.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held.bytes().saturating_sub(self.held.free_bytes())
    }
}
