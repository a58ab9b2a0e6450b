//! The on-disk format, version 7: what is stored under which key. `docs/store-format.md` explains it.
//!
//! Nothing in here does I/O. Decoding never trusts what it reads: [`Corrupt`] says what is wrong.

pub(crate) mod codec;
pub(crate) mod ends;
pub(crate) mod header;
pub(crate) mod keys;
pub(crate) mod pack;
pub(crate) mod rows;
pub(crate) mod segment;
pub(crate) mod seqset;
pub(crate) mod wal;

/// Stored bytes that make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Corrupt(pub(crate) &'static str);
