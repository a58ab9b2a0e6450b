//! Signing secrets: made, sealed, and opened for those who sign.

use std::path::Path;

use tidegate_egress::Secret;
use tidegate_engine::webhook::{Endpoint, EndpointId, SigningSecret};
use tidegate_engine::{Store, Timestamp};
use tokio::sync::RwLock;

use crate::problem::{Problem, Result};
use crate::secrets::{KeyRing, SecretMap, random};

/// Bytes of the secrets that we make.
const BYTES: usize = 32;
/// What a sealed secret is called within its sealed form.
const NAME: &str = "signing";

/// A new secret.
pub(crate) fn new_secret() -> Result<SigningSecret> {
    let mut bytes = vec![0; BYTES];
    random(&mut bytes)?;
    SigningSecret::new(bytes).map_err(Problem::internal)
}

/// Seal an endpoint's secret. The caller holds `key_use` until it is stored.
pub(crate) fn seal_secret(
    ring: &KeyRing,
    endpoint: EndpointId,
    secret: &SigningSecret,
) -> Result<Vec<u8>> {
    let master = ring.sealing();
    let master = master.ok_or_else(|| Problem::internal("there is no key to seal with"))?;
    let secrets = SecretMap::from([(NAME.to_owned(), Secret::new(secret.text()))]);
    master.seal(endpoint, "", &secrets)
}

/// The secrets that sign at `now`, the current one first.
pub(crate) async fn open_secrets(
    data: &Path,
    key_use: &RwLock<()>,
    store: &dyn Store,
    endpoint: &Endpoint,
    now: Timestamp,
) -> Result<Vec<SigningSecret>> {
    let _in_use = key_use.read().await;
    let ring = KeyRing::load(data)?;
    match open(&ring, endpoint, now) {
        Ok(secrets) => Ok(secrets),
        // A rotation of master keys may have ended since the endpoint was read.
        Err(_) => open(&ring, &store.endpoint(endpoint.id).await?, now),
    }
}

fn open(ring: &KeyRing, endpoint: &Endpoint, now: Timestamp) -> Result<Vec<SigningSecret>> {
    let one = |sealed: &[u8]| {
        let secrets = ring.open(endpoint.id, "", sealed)?;
        let text = secrets.get(NAME).map(Secret::expose).unwrap_or_default();
        SigningSecret::parse(text).map_err(Problem::internal)
    };
    endpoint
        .signing(now)
        .map(|secret| one(&secret.sealed))
        .collect()
}
