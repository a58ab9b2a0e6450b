//! The tokens of one run, as its session asks for them.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use tidegate_egress::{EgressError, Secret, SecretTexts, TokenFault, TokenSource};

use super::keeper::{Buyer, Keeper, Slot};

/// Asks the keeper, and tells the run's recording what must not be in it.
pub(crate) struct Source {
    keeper: Arc<Keeper>,
    slot: Arc<Slot>,
    buyer: Arc<Buyer>,
    texts: SecretTexts,
}

impl Source {
    /// `texts` learns each token before it is used.
    pub(crate) fn new(keeper: &Arc<Keeper>, buyer: Buyer, texts: SecretTexts) -> Self {
        Self {
            slot: keeper.slot(&buyer.endpoint.connection),
            keeper: Arc::clone(keeper),
            buyer: Arc::new(buyer),
            texts,
        }
    }

    async fn token(&self, refused: Option<Secret>) -> Result<Option<Secret>, EgressError> {
        let token = self.keeper.token(&self.slot, &self.buyer, refused).await?;
        if let Some(token) = &token {
            self.texts.learn(token);
        }
        Ok(token)
    }
}

impl TokenSource for Source {
    fn current(&self) -> BoxFuture<'_, Result<Secret, EgressError>> {
        Box::pin(async {
            let token = self.token(None).await?;
            token.ok_or_else(|| EgressError::Token {
                fault: TokenFault::Failed,
                retry_after: None,
                message: "there is no token".to_owned(),
            })
        })
    }

    fn renewed<'a>(
        &'a self,
        refused: &'a Secret,
    ) -> BoxFuture<'a, Result<Option<Secret>, EgressError>> {
        Box::pin(self.token(Some(refused.clone())))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("connection", &self.buyer.endpoint.connection)
            .finish_non_exhaustive()
    }
}
