//! Tokens that change while a run goes on: whoever has them is asked before each request.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use futures::future::BoxFuture;

use crate::credentials::Secret;
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

/// The secrets that a run may come across, which nothing recorded or shown may hold. Tokens are
/// added as they come, before they are used. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub struct SecretTexts(Arc<RwLock<Vec<Secret>>>);

impl SecretTexts {
    #[must_use]
    pub fn new(secrets: Vec<Secret>) -> Self {
        Self(Arc::new(RwLock::new(secrets)))
    }

    /// Add one, unless it is there.
    pub fn learn(&self, secret: &Secret) {
        let known = |all: &[Secret]| all.iter().any(|own| own.expose() == secret.expose());
        if known(&self.0.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !known(&all) {
            all.push(secret.clone());
        }
    }

    /// How many there are: it only grows.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Secret> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
