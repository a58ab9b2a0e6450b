//! Sealing secrets, a connection's credentials above all: under a data key of their own, which the master
//! key wraps.
//!
//! Sealed form, version 1: one byte `1`; 8 bytes id of the master key; 24 bytes nonce and 48 bytes
//! wrapped data key with tag; 2 bytes length (big-endian) and the origin that the credentials were given for; 24
//! bytes nonce and the credentials (a JSON object) with tag. Both are XChaCha20-Poly1305. Integration,
//! connection and kind (`data-key` or `credentials`) are their associated data, so that neither can be moved to
//! another connection or used as the other, and of the credentials the origin, too: whoever writes another base
//! URL beside them doesn't get them sent there. A webhook endpoint's secret has the endpoint's id in the place
//! of the connection, no integration and no origin.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use tidegate_egress::Secret;
use tidegate_engine::ConnectionKey;
use tidegate_engine::webhook::EndpointId;
use zeroize::Zeroizing;

use super::SecretMap;
use crate::problem::{Problem, Result};

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 8;
const WRAPPED_BYTES: usize = NONCE_BYTES + KEY_BYTES + TAG_BYTES;
/// How few different bytes a key must not have: 32 random ones have about 30.
const DISTINCT_BYTES_MIN: usize = 16;
/// What [`KeyId`] is derived for: the hash of a key for this purpose says nothing of the key.
const ID_CONTEXT: &str = "tidegate 2026-11 id of a master key";

/// Which master key: tells keys apart, and reveals nothing of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyId([u8; ID_BYTES]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Whose secrets are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    Connection(&'a ConnectionKey),
    /// A webhook endpoint.
    Endpoint(EndpointId),
}

impl<'a> From<&'a ConnectionKey> for Owner<'a> {
    fn from(key: &'a ConnectionKey) -> Self {
        Self::Connection(key)
    }
}

impl From<EndpointId> for Owner<'_> {
    fn from(id: EndpointId) -> Self {
        Self::Endpoint(id)
    }
}

type KeyBytes = Zeroizing<[u8; KEY_BYTES]>;

/// The key that wraps the data keys of all connections.
#[derive(Clone)]
pub(crate) struct MasterKey {
    bytes: KeyBytes,
    id: KeyId,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[master key {}]", self.id)
    }
}

/// Why sealed credentials can't be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UnsealError {
    /// They are sealed under another master key than those at hand.
    OtherKey(KeyId),
    /// They were given for this origin, and not for the one that the connection has now.
    OtherOrigin(String),
    /// The key is the right one, and what is sealed is not what it was, or is another connection's.
    Damaged,
}

/// What the bytes of a sealed form are, before anything is decrypted.
struct Sealed<'a> {
    id: KeyId,
    wrapped: &'a [u8],
    origin: &'a str,
    /// With their origin and its length in front.
    rest: &'a [u8],
    credentials: &'a [u8],
}

impl MasterKey {
    fn new(bytes: KeyBytes) -> Self {
        let hash = Zeroizing::new(blake3::derive_key(ID_CONTEXT, bytes.as_slice()));
        let id = hash.first_chunk().copied().unwrap_or_default();
        Self {
            bytes,
            id: KeyId(id),
        }
    }

    /// A new one, from the randomness of the operating system.
    pub(crate) fn generate() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        random(bytes.as_mut_slice())?;
        Ok(Self::new(bytes))
    }

    /// The key that [`Self::text`] wrote.
    pub(crate) fn decode(text: &str) -> Result<Self> {
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new).ok();
        let key = bytes.and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).ok());
        let key = key.map(Zeroizing::new).ok_or_else(|| {
            Problem::invalid("not a master key: it must be 32 bytes in base64 (44 characters)")
        })?;
        if is_guessable(&key) {
            let message = "not a master key: its bytes are not random, so that it can be guessed";
            return Err(
                Problem::invalid(message).hint("make one with: head -c 32 /dev/urandom | base64")
            );
        }
        Ok(Self::new(key))
    }

    /// Base64.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.bytes.as_slice()))
    }

    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    /// Seal somebody's secrets, a connection's for the origin that they may be sent to. None at all seal to
    /// nothing.
    pub(crate) fn seal<'a>(
        &self,
        owner: impl Into<Owner<'a>>,
        origin: &str,
        secrets: &SecretMap,
    ) -> Result<Vec<u8>> {
        let owner = owner.into();
        if secrets.is_empty() {
            return Ok(Vec::new());
        }
        let plain: BTreeMap<&str, &str> = secrets
            .iter()
            .map(|(name, secret)| (name.as_str(), secret.expose()))
            .collect();
        let plain = Zeroizing::new(serde_json::to_vec(&plain).map_err(Problem::internal)?);
        let mut data_key = Zeroizing::new([0; KEY_BYTES]);
        random(data_key.as_mut_slice())?;
        let wrapped = self.wrap(owner, &data_key)?;
        let credentials = encrypt(&data_key, &of_credentials(owner, origin), &plain)?;
        let length = u16::try_from(origin.len());
        let length = length.map_err(|_| Problem::invalid("the base URL's host is too long"))?;
        Ok([
            &[VERSION],
            self.id.0.as_slice(),
            &wrapped,
            &length.to_be_bytes(),
            origin.as_bytes(),
            &credentials,
        ]
        .concat())
    }

    fn wrap(&self, owner: Owner<'_>, data_key: &KeyBytes) -> Result<Vec<u8>> {
        encrypt(
            &self.bytes,
            &associated(owner, "data-key"),
            data_key.as_slice(),
        )
    }
}

/// Whether somebody who tries what people write would come upon it: few different bytes, the same again and
/// again, one after the other, or a text.
fn is_guessable(key: &[u8; KEY_BYTES]) -> bool {
    let distinct: std::collections::BTreeSet<u8> = key.iter().copied().collect();
    let steps = || {
        key.windows(2).map(|pair| match pair {
            [a, b] => b.wrapping_sub(*a),
            _ => 0,
        })
    };
    let is_even = steps().all(|step| Some(step) == steps().next());
    let repeats = |period: usize| key.iter().zip(key.iter().skip(period)).all(|(a, b)| a == b);
    distinct.len() < DISTINCT_BYTES_MIN
        || is_even
        || (1..=KEY_BYTES / 2).any(repeats)
        || key
            .iter()
            .all(|byte| byte.is_ascii_graphic() || *byte == b' ')
}

/// The master key that a sealed form names; none for nothing that we sealed.
pub(crate) fn key_of(sealed: &[u8]) -> Option<KeyId> {
    parse(sealed).map(|sealed| sealed.id)
}

/// The origin that a sealed form was given for. Only opening it shows that it's true.
pub(crate) fn origin_of(sealed: &[u8]) -> Option<&str> {
    parse(sealed).map(|sealed| sealed.origin)
}

/// Open what [`MasterKey::seal`] made for the same owner and origin, with the one of `masters` that it
/// needs.
pub(crate) fn open<'a>(
    masters: &[&MasterKey],
    owner: impl Into<Owner<'a>>,
    origin: &str,
    sealed: &[u8],
) -> std::result::Result<SecretMap, UnsealError> {
    let owner = owner.into();
    if sealed.is_empty() {
        return Ok(SecretMap::new());
    }
    let sealed = parse(sealed).ok_or(UnsealError::Damaged)?;
    let data_key = unwrap(masters, owner, sealed.id, sealed.wrapped)?;
    // By what it says of itself, which is part of what is sealed.
    let associated = of_credentials(owner, sealed.origin);
    let plain = decrypt(&data_key, &associated, sealed.credentials).ok_or(UnsealError::Damaged)?;
    if sealed.origin != origin {
        return Err(UnsealError::OtherOrigin(sealed.origin.to_owned()));
    }
    let map: BTreeMap<String, String> =
        serde_json::from_slice(&plain).map_err(|_| UnsealError::Damaged)?;
    Ok(map
        .into_iter()
        .map(|(name, text)| (name, Secret::new(text)))
        .collect())
}

/// Whether the master key of a sealed form is at hand and opens as much of it as a rotation needs.
pub(crate) fn probe<'a>(
    masters: &[&MasterKey],
    owner: impl Into<Owner<'a>>,
    sealed: &[u8],
) -> std::result::Result<(), UnsealError> {
    if sealed.is_empty() {
        return Ok(());
    }
    let sealed = parse(sealed).ok_or(UnsealError::Damaged)?;
    unwrap(masters, owner.into(), sealed.id, sealed.wrapped).map(drop)
}

/// The same credentials sealed under `new`, with the same data key, so that they themselves are not
/// touched.
pub(crate) fn rewrap<'a>(
    masters: &[&MasterKey],
    new: &MasterKey,
    owner: impl Into<Owner<'a>>,
    sealed: &[u8],
) -> Result<std::result::Result<Vec<u8>, UnsealError>> {
    let owner = owner.into();
    let Some(sealed) = parse(sealed) else {
        return Ok(Err(UnsealError::Damaged));
    };
    let data_key = match unwrap(masters, owner, sealed.id, sealed.wrapped) {
        Ok(data_key) => data_key,
        Err(unopened) => return Ok(Err(unopened)),
    };
    let wrapped = new.wrap(owner, &data_key)?;
    let sealed = [&[VERSION], new.id.0.as_slice(), &wrapped, sealed.rest].concat();
    Ok(Ok(sealed))
}

fn parse(sealed: &[u8]) -> Option<Sealed<'_>> {
    let (id, rest) = sealed.strip_prefix(&[VERSION])?.split_first_chunk()?;
    let (wrapped, rest) = rest.split_at_checked(WRAPPED_BYTES)?;
    let (length, after) = rest.split_first_chunk()?;
    let (origin, credentials) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some(Sealed {
        id: KeyId(*id),
        wrapped,
        origin: std::str::from_utf8(origin).ok()?,
        rest,
        credentials,
    })
}

fn unwrap(
    masters: &[&MasterKey],
    owner: Owner<'_>,
    id: KeyId,
    wrapped: &[u8],
) -> std::result::Result<KeyBytes, UnsealError> {
    let master = masters.iter().find(|master| master.id == id);
    let master = master.ok_or(UnsealError::OtherKey(id))?;
    let bytes = decrypt(&master.bytes, &associated(owner, "data-key"), wrapped);
    let bytes = bytes.ok_or(UnsealError::Damaged)?;
    let bytes = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| UnsealError::Damaged)?;
    Ok(Zeroizing::new(bytes))
}

/// A nonce, then what is encrypted, with its tag.
fn encrypt(key: &KeyBytes, associated: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let mut nonce = [0; NONCE_BYTES];
    random(&mut nonce)?;
    let payload = Payload {
        msg: plain,
        aad: associated,
    };
    let sealed = XChaCha20Poly1305::new(&(**key).into())
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| Problem::internal("the secrets could not be sealed"))?;
    Ok([nonce.as_slice(), &sealed].concat())
}

fn decrypt(key: &KeyBytes, associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let payload = Payload {
        msg: sealed,
        aad: associated,
    };
    let plain = XChaCha20Poly1305::new(&(**key).into()).decrypt(&XNonce::from(*nonce), payload);
    plain.ok().map(Zeroizing::new)
}

fn associated(owner: Owner<'_>, kind: &str) -> Vec<u8> {
    // Names hold no '/' and are not empty, so that no two of them look alike.
    match owner {
        Owner::Connection(ConnectionKey {
            integration,
            connection,
        }) => format!("tidegate/secrets/1/{kind}/{integration}/{connection}").into_bytes(),
        Owner::Endpoint(id) => format!("tidegate/secrets/1/{kind}//{id}").into_bytes(),
    }
}

/// The same of credentials: the rest after the names, which hold no '/', is the origin.
fn of_credentials(owner: Owner<'_>, origin: &str) -> Vec<u8> {
    let mut associated = associated(owner, "credentials");
    associated.push(b'/');
    associated.extend(origin.as_bytes());
    associated
}

/// Fill `bytes` from the operating system.
pub fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| Problem::internal(format!("no randomness: {error}")))
}

#[cfg(test)]
mod tests;
