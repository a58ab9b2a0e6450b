//! One renewal at a time for each connection, however many runs ask, stored before it is used.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tidegate_egress::{EgressError, Gate, Secret, TokenEndpoint, TokenFault};
use tidegate_engine::integration::{AuthFailed, Connection};
use tidegate_engine::manifest::TokenRequest;
use tidegate_engine::run::Blame;
use tidegate_engine::token::Validity;
use tidegate_engine::{ConnectionKey, Store, StoreError, Timestamp};
use tidegate_runtime::Clock;
use tokio::sync::{Mutex as Turn, RwLock};

use super::exchange::{self, TokenExchange, TokenRefusal, TokenResponse};
use super::token::{self, CachedToken, TokenCredentials};
use crate::problem::Problem;
use crate::secrets::{KeyRing, SecretMap};

/// How often a renewal is begun anew because the operator gave other credentials meanwhile.
const ATTEMPTS: usize = 10;
/// How often its result is stored anew on top of somebody else's change.
const STORE_ATTEMPTS: usize = 100;
/// A token that was renewed because of a 401 is not renewed for that again so soon: an API that
/// refuses every token must not become a load on the token endpoint.
const FORCED_EVERY: Duration = Duration::from_secs(5);

/// What a connection's tokens are requested with: the manifest's entry for its config, and the grants.
#[derive(Debug)]
pub(crate) struct TokenRequester {
    pub(crate) request: TokenRequest,
    pub(crate) endpoint: TokenEndpoint,
    pub(crate) gate: Gate,
    /// Ask even if the credentials were rejected before: this is how that is found to be over.
    pub(crate) again: bool,
}

impl TokenRequester {
    fn key(&self) -> &ConnectionKey {
        &self.endpoint.connection
    }
}

/// The tokens of this process's connections.
#[derive(Debug)]
pub(crate) struct TokenManager {
    store: Arc<dyn Store>,
    data: PathBuf,
    clock: Clock,
    /// Those that runs hold.
    slots: Mutex<BTreeMap<ConnectionKey, Weak<CacheEntry>>>,
    /// Read by each renewal while it goes on.
    in_flight: Arc<RwLock<()>>,
    /// Read while a token is sealed and stored, so that a rotation of the master key waits (`Local::key_use`).
    key_use: Arc<RwLock<()>>,
}

/// The token of one connection.
#[derive(Debug, Default)]
pub(crate) struct CacheEntry {
    /// Held by the task that renews the token.
    turn: Turn<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<CachedToken>,
    /// Counts how often the credentials were changed from outside.
    generation: u64,
    /// When a 401 last made it new.
    forced: Option<Instant>,
}

/// A connection with its secrets opened.
struct Opened {
    connection: Connection,
    secrets: SecretMap,
    ring: KeyRing,
    credentials: TokenCredentials,
}

impl CacheEntry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn usable(&self, now: Timestamp, refused: Option<&Secret>) -> Option<CachedToken> {
        let state = self.state();
        state
            .held
            .clone()
            .filter(|held| is_usable(held, now, refused))
    }

    /// Keep a token for all runs, unless the credentials have been changed since `generation`.
    fn hold(&self, generation: u64, held: &CachedToken) {
        let mut state = self.state();
        if state.generation == generation {
            state.held = Some(held.clone());
        }
    }
}

fn is_usable(held: &CachedToken, now: Timestamp, refused: Option<&Secret>) -> bool {
    held.validity.is_none_or(|validity| validity.is_fresh(now))
        && refused.is_none_or(|refused| refused.expose() != held.access.expose())
}

impl TokenManager {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        data: PathBuf,
        clock: Clock,
        key_use: Arc<RwLock<()>>,
    ) -> Self {
        Self {
            store,
            data,
            clock,
            slots: Mutex::default(),
            in_flight: Arc::default(),
            key_use,
        }
    }

    /// The slot that all runs of a connection share.
    pub(crate) fn slot(&self, key: &ConnectionKey) -> Arc<CacheEntry> {
        let mut slots = self.slots.lock();
        slots.retain(|_, slot| slot.strong_count() > 0);
        if let Some(slot) = slots.get(key).and_then(Weak::upgrade) {
            return slot;
        }
        let slot = Arc::new(CacheEntry::default());
        slots.insert(key.clone(), Arc::downgrade(&slot));
        slot
    }

    /// The credentials of a connection have been changed, and are stored: the tokens of the old ones
    /// are not used any more.
    pub(crate) fn forget(&self, key: &ConnectionKey) {
        let slots = self.slots.lock();
        if let Some(slot) = slots.get(key).and_then(Weak::upgrade) {
            let mut state = slot.state();
            state.generation += 1;
            state.held = None;
            state.forced = None;
        }
    }

    /// Wait until no renewal is on its way.
    pub(crate) async fn settle(&self) {
        drop(self.in_flight.write().await);
    }

    /// A token that may be used now and is not `refused`, renewed if there is none. `None`: it was
    /// just renewed for such a refusal, and the one refused is that.
    pub(super) async fn token(
        self: &Arc<Self>,
        slot: &Arc<CacheEntry>,
        requester: &Arc<TokenRequester>,
        refused: Option<Secret>,
    ) -> Result<Option<Secret>, EgressError> {
        if let Some(held) = slot.usable(self.clock.now(), refused.as_ref()) {
            return Ok(Some(held.access));
        }
        let flight = Arc::clone(&self.in_flight).read_owned().await;
        let (token_manager, slot, requester) =
            (Arc::clone(self), Arc::clone(slot), Arc::clone(requester));
        // A task of its own: the run may be cancelled, but what the server answers must be kept.
        let renewal = tokio::spawn(async move {
            let _flight = flight;
            let turn = slot.turn.lock().await;
            let renewed = token_manager
                .renew(&slot, &requester, refused.as_ref())
                .await;
            drop(turn);
            renewed
        });
        let held = renewal
            .await
            .map_err(|error| failed(Blame::Host, &error))??;
        Ok(held.map(|held| held.access))
    }

    async fn renew(
        &self,
        slot: &CacheEntry,
        requester: &TokenRequester,
        refused: Option<&Secret>,
    ) -> Result<Option<CachedToken>, EgressError> {
        // Whoever had the turn before may have done it.
        if let Some(held) = slot.usable(self.clock.now(), refused) {
            return Ok(Some(held));
        }
        for _ in 0..ATTEMPTS {
            let generation = slot.state().generation;
            let opened = {
                let _in_use = self.key_use.read().await;
                self.open(requester).await?
            };
            let now = self.clock.now();
            let stored = token::held(&opened.secrets, &requester.request);
            if let Some(held) = stored.filter(|held| is_usable(held, now, refused)) {
                slot.hold(generation, &held);
                return Ok(Some(held));
            }
            if let (Some(rejection), false) = (&opened.connection.auth_failed, requester.again) {
                return Err(rejected(rejection.message.clone()));
            }
            if refused.is_some() {
                let mut state = slot.state();
                let soon = |at: Instant| at.elapsed() < FORCED_EVERY;
                if state.forced.is_some_and(soon) {
                    return Ok(None);
                }
                state.forced = Some(Instant::now());
            }
            let TokenRequester {
                gate,
                endpoint,
                request,
                ..
            } = requester;
            let answered =
                exchange::request_token(gate, endpoint, request, &opened.credentials, now).await;
            let TokenExchange { response, refresh } = answered;
            let kept = match response {
                Ok(response) => {
                    let refresh = refresh.as_ref();
                    self.keep(requester, &opened.credentials, &response, refresh, now)
                        .await?
                }
                Err(refused) => {
                    let mut credentials = opened.credentials;
                    if let Some(refresh) = refresh {
                        self.keep_refresh(requester, &credentials, &refresh).await?;
                        credentials.refresh_token = Some(refresh);
                    }
                    match refused {
                        TokenRefusal::Failed(error) => return Err(error),
                        TokenRefusal::Rejected(message) => {
                            if self.mark(requester, &credentials, &message).await? {
                                return Err(rejected(message));
                            }
                            None
                        }
                    }
                }
            };
            if let Some(held) = kept {
                slot.hold(generation, &held);
                return Ok(Some(held));
            }
            // The operator has given other credentials meanwhile: these are not asked for any more.
        }
        let message = format!("the credentials of {} change all the time", requester.key());
        Err(failed(Blame::Operator, &message))
    }

    /// The connection as it is now. The caller holds `key_use`.
    async fn open(&self, requester: &TokenRequester) -> Result<Opened, EgressError> {
        let key = requester.key();
        let connection = self.store.connection(key).await.map_err(|error| {
            let blame = match error {
                StoreError::NotFound { .. } => Blame::Operator,
                _ => Blame::Host,
            };
            failed(blame, &error)
        })?;
        let host = |problem: Problem| failed(Blame::Operator, &problem.message);
        let ring = KeyRing::load(&self.data).map_err(host)?;
        let opened = ring.open(key, &connection.origin(), &connection.sealed_secrets);
        let secrets = opened.map_err(host)?;
        let credentials = TokenCredentials::of(&secrets, &requester.request).map_err(|name| {
            let message = format!("the connection {key} has no secret {name:?} any more");
            failed(Blame::Operator, &message)
        })?;
        Ok(Opened {
            connection,
            secrets,
            ring,
            credentials,
        })
    }

    /// Store the tokens that were requested with `credentials`; `None` when the connection has other credentials now.
    async fn keep(
        &self,
        requester: &TokenRequester,
        credentials: &TokenCredentials,
        response: &TokenResponse,
        refresh: Option<&Secret>,
        asked_at: Timestamp,
    ) -> Result<Option<CachedToken>, EgressError> {
        let validity = Validity::new(asked_at, response.lifetime);
        self.change(requester, credentials, |connection, secrets| {
            connection.auth_failed = None;
            if let Some(refresh) = refresh {
                token::put_refresh(secrets, &requester.request, refresh);
            }
            token::put(secrets, response, validity)
        })
        .await
    }

    /// Store a refresh token that came without an access token: the one before it may be used up.
    async fn keep_refresh(
        &self,
        requester: &TokenRequester,
        credentials: &TokenCredentials,
        refresh: &Secret,
    ) -> Result<(), EgressError> {
        let kept = self.change(requester, credentials, |_, secrets| {
            token::put_refresh(secrets, &requester.request, refresh);
            Ok(())
        });
        kept.await.map(drop)
    }

    /// Note that the server rejects `credentials`; `false` when the connection has other credentials now.
    async fn mark(
        &self,
        requester: &TokenRequester,
        credentials: &TokenCredentials,
        message: &str,
    ) -> Result<bool, EgressError> {
        let at = self.clock.now();
        let marked = self.change(requester, credentials, |connection, secrets| {
            token::forget_tokens(secrets);
            let message = message.to_owned();
            connection.auth_failed = Some(Box::new(AuthFailed { at, message }));
            Ok(())
        });
        Ok(marked.await?.is_some())
    }

    /// Change the connection in one command of the store, on top of what others changed, as long as
    /// it still has these `credentials`.
    async fn change<T>(
        &self,
        requester: &TokenRequester,
        credentials: &TokenCredentials,
        change: impl Fn(&mut Connection, &mut SecretMap) -> crate::problem::Result<T>,
    ) -> Result<Option<T>, EgressError> {
        let host = |problem: Problem| failed(Blame::Host, &problem.message);
        let _in_use = self.key_use.read().await;
        for _ in 0..STORE_ATTEMPTS {
            let mut opened = self.open(requester).await?;
            if !opened.credentials.is_same(credentials) {
                return Ok(None);
            }
            let changed = change(&mut opened.connection, &mut opened.secrets).map_err(host)?;
            let master = opened.ring.sealing();
            let master =
                master.ok_or_else(|| failed(Blame::Host, &"there is no key to seal with"))?;
            let origin = opened.connection.origin();
            let sealed = master.seal(requester.key(), &origin, &opened.secrets);
            opened.connection.sealed_secrets = sealed.map_err(host)?;
            let stored = self.store.update_connections(vec![opened.connection]).await;
            if stored.map_err(|error| failed(Blame::Host, &error))? == [true] {
                return Ok(Some(changed));
            }
        }
        let message = format!(
            "connection {} is being changed all the time",
            requester.key()
        );
        Err(failed(Blame::Host, &message))
    }
}

fn failed(blame: Blame, message: &dyn std::fmt::Display) -> EgressError {
    let message = message.to_string();
    EgressError::Other { blame, message }
}

fn rejected(message: String) -> EgressError {
    EgressError::Token {
        fault: TokenFault::Rejected,
        retry_after: None,
        message,
    }
}
