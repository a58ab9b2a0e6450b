//! Writing records: a commit of pages, and what came of it.

mod commit;
mod id;
mod outcome;

pub use self::commit::Commit;
pub use self::outcome::CommitOutcome;
