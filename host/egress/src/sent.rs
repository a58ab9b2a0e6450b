//! Whether a request may have been done, though no answer says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;

/// Whether a request may have reached the server, and been done there. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Sent(Arc<AtomicBool>);

impl Sent {
    /// Whether it may.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns what it was before.
    pub(crate) fn set(&self, sent: bool) -> bool {
        self.0.swap(sent, Ordering::Relaxed)
    }
}

/// Whether an answer says that nothing was done. A gateway that heard nothing doesn't know; a redirect that asks for the
/// same elsewhere has done nothing, unlike a 303.
pub(crate) fn is_refusal(status: StatusCode) -> bool {
    match status.as_u16() {
        301 | 302 | 307 | 308 => true,
        502 | 504 => false,
        status => status >= 400,
    }
}
