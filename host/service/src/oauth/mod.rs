//! OAuth 2: a connection's tokens, requested through the gate, kept sealed, renewed once for all runs.
//!
//! | module | its one job |
//! |---|---|
//! | `answer` | what a token endpoint's answer says, read leniently |
//! | `exchange` | one token request, and what its answer means |
//! | `token` | the tokens among a connection's sealed secrets |
//! | `manager` | one renewal at a time for each connection, stored before it is used |
//! | `source` | the tokens of one run, as its session asks for them |
//!
//! What always holds: a token, and the refresh token that came with it, are on disk before the token
//! is used; a renewal that an operator's change overtakes gives way to it; a renewal goes on when
//! the run that asked for it has ended, and [`TokenManager::settle`] waits for it.

mod answer;
mod exchange;
mod manager;
mod source;
#[cfg(test)]
mod tests;
mod token;

pub(crate) use manager::{TokenManager, TokenRequester};
pub(crate) use source::Source;
pub(crate) use token::{forget_tokens, texts};
