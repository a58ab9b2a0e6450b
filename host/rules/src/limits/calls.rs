//! Bounds of single calls and texts, which are the same for every plugin and have no name in failures.

/// Longest URL of a request, in bytes; servers refuse longer ones too.
pub const URL_BYTES_MAX: usize = 16 * 1024;
/// Longest name of a host, in bytes (RFC 1035 §2.3.4, without the root's dot and the length).
pub const HOST_BYTES_MAX: usize = 253;
/// Longest method of a request, in bytes.
pub const METHOD_BYTES_MAX: usize = 32;
/// Longest idempotency key of a request, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Most ids of one `records.get`: the answer is held in memory whole.
pub const GET_IDS_MAX: usize = 1_000;
/// Most ids of one `records.unseen`: the answer is held in memory whole.
pub const UNSEEN_MAX: u32 = 1_000;
/// How much is kept of the reason for which a record is skipped, in bytes.
pub const SKIPPED_REASON_BYTES_MAX: usize = 1024;
/// Most changes of one `feed.read`.
pub const READ_CHANGES_MAX: u32 = 10_000;
/// A `feed.read` stops after the change that reaches this many bytes of bodies.
pub const READ_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most bytes of a connection's metadata as JSON, whoever writes it: the guest gets it whole.
pub const METADATA_BYTES_MAX: usize = 64 * 1024;
/// How much is kept of a failure's message, in bytes.
pub const FAILURE_MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// How much is kept of what the outside API answered to a request that failed, in bytes.
pub const UPSTREAM_BODY_BYTES_MAX: usize = 64 * 1024;
