//! The tokens of one run, as its session asks for them.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use tidegate_egress::{EgressError, Secret, SecretTexts, TokenFault, TokenSource};

use super::manager::{CacheEntry, TokenManager, TokenRequester};

/// Asks the token manager, and tells the run's recording what must not be in it.
pub(crate) struct Source {
    token_manager: Arc<TokenManager>,
    slot: Arc<CacheEntry>,
    requester: Arc<TokenRequester>,
    texts: SecretTexts,
}

impl Source {
    /// `texts` learns each token before it is used.
    pub(crate) fn new(
        token_manager: &Arc<TokenManager>,
        requester: TokenRequester,
        texts: SecretTexts,
    ) -> Self {
        Self {
            slot: token_manager.slot(&requester.endpoint.connection),
            token_manager: Arc::clone(token_manager),
            requester: Arc::new(requester),
            texts,
        }
    }

    async fn token(&self, refused: Option<Secret>) -> Result<Option<Secret>, EgressError> {
        let token = self
            .token_manager
            .token(&self.slot, &self.requester, refused)
            .await?;
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
            .field("connection", &self.requester.endpoint.connection)
            .finish_non_exhaustive()
    }
}
