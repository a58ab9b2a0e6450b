//! What every backend decides alike, as functions of what is stored and what comes in: a rule is written once.
//!
//! How a run, a key or a feed is stored is each backend's own. What fires and starts next is [`crate::board`]'s, which
//! deliveries are due and what becomes of them [`crate::webhook`]'s.

mod board;
mod catalog;
mod feed;
mod keys;
mod runs;

pub use board::*;
pub use catalog::*;
pub use feed::*;
pub use keys::*;
pub use runs::*;
