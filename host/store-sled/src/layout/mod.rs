//! The bytes on disk: which row is stored under which key, and how. `docs/store-format.md` has the table of all rows.
//!
//! | module | its one job |
//! |---|---|
//! | `keys` | the key of each row, by its tag |
//! | `rows` | small values: counters, connections, syncs, open snapshots |
//! | `header`, `segment`, `pack`, `seqset` | a feed: its header, runs of changes, the index by id, sets of sequences |
//! | `ends` | the outcome of a run or job as a byte of its keys, so that lists by outcome are ranges |
//! | `wal` | records of the write-ahead log |
//! | `codec` | numbers and byte strings |
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
