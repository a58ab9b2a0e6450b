//! The sled store behind the engine's `Store` trait.
//!
//! Floor 2: knows sled and files, and of the engine only its types and rules. One process has the
//! store open; one thread in it writes. The on-disk format is described in `docs/store-format.md`.
//!
//! # Layout
//!
//! | module | its one job |
//! |---|---|
//! | [`open`] | opening a data directory: whose it is, which format, what a crash left behind |
//! | `identity` | which store it is and how far it had come, outside the database |
//! | `private` | that only its owner reads it |
//! | `store` | the parts of the trait, a file each, on top of everything below |
//! | `writer` | the one thread that changes anything: queue, commands, compaction |
//! | `read`, `lists` | reads, beside the writer |
//! | [`rewrite()`] | writing the database anew, so that its files become smaller |
//! | `retention` | pruning, dropping and settling, step by step |
//! | `webhooks` | reads of webhooks |
//! | `turns` | who changes a feed, where work on it takes many steps |
//! | `feeds` | what readers may see of each feed: the state as of the last flush |
//! | `segments` | finding feed entries by sequence |
//! | `disk` | the sled tree with what it lacks |
//! | `check` | comparing everything stored with everything else |
//! | `stats` | how large the store is |
//! | `components` | component files |
//! | `layout` | keys and values, without I/O |

#[cfg(test)]
extern crate self as tidegate_store_sled;

mod check;
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;
mod components;
mod disk;
mod feeds;
mod identity;
mod integrations;
mod layout;
mod lists;
pub mod open;
mod private;
mod read;
mod retention;
mod rewrite;
mod segments;
mod stats;
mod store;
mod turns;
mod webhooks;
mod writer;

pub use open::{OpenError, Options, Tuning};
pub use rewrite::{Rewritten, rewrite};
pub use store::SledStore;
