//! Whether a request may have been done, though no answer says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;

/// Whether a request may have reached the server, and been done there. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Sent(Arc<AtomicBool>);

impl Sent {
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns what it was before.
    pub(crate) fn set(&self, sent: bool) -> bool {
        self.0.swap(sent, Ordering::Relaxed)
    }
}

/// Whether an answer says that nothing was done. A gateway that heard nothing doesn't know.
pub(crate) fn is_refusal(status: StatusCode) -> bool {
    status.as_u16() >= 400 && !matches!(status.as_u16(), 502 | 504)
}
