//! Writing records: a commit of batches, and what came of it.

mod bad;
mod commit;
mod decode;
mod id;
mod outcome;

pub use self::bad::OnBadRecord;
pub(crate) use self::bad::Tally;
pub use self::commit::Commit;
pub use self::outcome::CommitOutcome;
