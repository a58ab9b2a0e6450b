//! Where the secrets that a command is given come from: a prompt, stdin, the environment, files.

mod source;
mod sources;

pub(crate) use source::{parse_flag, read_source};
pub(crate) use sources::Sources;
