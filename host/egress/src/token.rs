//! Tokens that change while a run goes on: whoever has them is asked before each request.

use std::fmt;

use futures::future::BoxFuture;
use tidegate_engine::redact::Secret;

use crate::error::EgressError;

/// Where the access token of a connection comes from. The session asks for it before each request
/// to the connection's own origin, after the gate has let that through.
pub trait TokenSource: fmt::Debug + Send + Sync {
    /// The token to use now, renewed if it has to be. Dropping the future stops the waiting, never a
    /// token request on its way: its answer may be the only copy of what the server has made.
    fn current(&self) -> BoxFuture<'_, Result<Secret, EgressError>>;

    /// The server has answered 401 to `refused`: the token to ask with once more, or `None` when
    /// there is no other.
    fn renewed<'a>(
        &'a self,
        refused: &'a Secret,
    ) -> BoxFuture<'a, Result<Option<Secret>, EgressError>>;
}
