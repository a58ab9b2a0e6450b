//! How much body a route takes, and the problem with one that is larger.

use tokio::time::Instant;

use super::problem::{Failed, Type};

/// How much body a route takes, and until when.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyBounds {
    pub(super) bytes: u64,
    /// `None`: the connection ends when nothing comes any more.
    pub(super) until: Option<Instant>,
}

pub(super) fn body_too_large(most: u64) -> Failed {
    let detail = format!("the body is larger than this route takes, {most} bytes");
    Failed::new(Type::TooLarge, detail)
}
