//! Sealing secrets, a connection's credentials above all: under a data key of their own, which the master
//! key wraps.
//!
//! Sealed form, version 2: one byte `2`; 8 bytes id of the master key; 24 bytes nonce and 48 bytes
//! wrapped data key with tag; 24 bytes nonce and the credentials (a JSON object) with tag. Both are
//! XChaCha20-Poly1305. Integration, connection and kind (`data-key` or `credentials`) are their
//! associated data, so that neither can be moved to another connection or used as the other; a webhook
//! endpoint's secret has the endpoint's id in the place of the connection, and no integration.
//!
//! Version 1, which is still opened: one byte `1`, 24 bytes nonce, the credentials under the master
//! key itself.

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

const VERSION_1: u8 = 1;
const VERSION_2: u8 = 2;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 8;
const WRAPPED_BYTES: usize = NONCE_BYTES + KEY_BYTES + TAG_BYTES;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// They are sealed under another master key than those at hand.
    OtherKey(KeyId),
    /// Version 1, which doesn't say its key: another one, or damaged.
    OtherKeyOrDamaged,
    /// The key is the right one, and what is sealed is not what it was, or is another connection's.
    Damaged,
}

/// What the bytes of a sealed form are, before anything is decrypted.
enum Sealed<'a> {
    V1(&'a [u8]),
    V2 {
        id: KeyId,
        wrapped: &'a [u8],
        credentials: &'a [u8],
    },
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
        key.map(|key| Self::new(Zeroizing::new(key)))
            .ok_or_else(|| {
                Problem::invalid("not a master key: it must be 32 bytes in base64 (44 characters)")
            })
    }

    /// Base64.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.bytes.as_slice()))
    }

    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    /// Seal somebody's secrets. None at all seal to nothing.
    pub(crate) fn seal<'a>(
        &self,
        owner: impl Into<Owner<'a>>,
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
        let credentials = encrypt(&data_key, &associated(owner, "credentials"), &plain)?;
        Ok([&[VERSION_2], self.id.0.as_slice(), &wrapped, &credentials].concat())
    }

    fn wrap(&self, owner: Owner<'_>, data_key: &KeyBytes) -> Result<Vec<u8>> {
        encrypt(
            &self.bytes,
            &associated(owner, "data-key"),
            data_key.as_slice(),
        )
    }
}

/// The master key that a sealed form names; none for one of version 1, or nothing that we sealed.
pub(crate) fn key_of(sealed: &[u8]) -> Option<KeyId> {
    match parse(sealed) {
        Some(Sealed::V2 { id, .. }) => Some(id),
        _ => None,
    }
}

/// Open what [`MasterKey::seal`] made for the same owner, with the one of `masters` that it
/// needs.
pub(crate) fn open<'a>(
    masters: &[&MasterKey],
    owner: impl Into<Owner<'a>>,
    sealed: &[u8],
) -> std::result::Result<SecretMap, Unopened> {
    let owner = owner.into();
    if sealed.is_empty() {
        return Ok(SecretMap::new());
    }
    let plain = match parse(sealed).ok_or(Unopened::Damaged)? {
        Sealed::V1(credentials) => {
            let Owner::Connection(key) = owner else {
                return Err(Unopened::Damaged);
            };
            let associated =
                format!("tidegate/secrets/1/{}/{}", key.integration, key.connection).into_bytes();
            masters
                .iter()
                .find_map(|master| decrypt(&master.bytes, &associated, credentials))
                .ok_or(Unopened::OtherKeyOrDamaged)?
        }
        Sealed::V2 {
            id,
            wrapped,
            credentials,
        } => {
            let data_key = unwrap(masters, owner, id, wrapped)?;
            decrypt(&data_key, &associated(owner, "credentials"), credentials)
                .ok_or(Unopened::Damaged)?
        }
    };
    let map: BTreeMap<String, String> =
        serde_json::from_slice(&plain).map_err(|_| Unopened::Damaged)?;
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
) -> std::result::Result<(), Unopened> {
    let owner = owner.into();
    match parse(sealed) {
        Some(Sealed::V2 { id, wrapped, .. }) => unwrap(masters, owner, id, wrapped).map(drop),
        _ => open(masters, owner, sealed).map(drop),
    }
}

/// The same credentials sealed under `new`: of version 2 with the same data key, so that they
/// themselves are not touched.
pub(crate) fn rewrap<'a>(
    masters: &[&MasterKey],
    new: &MasterKey,
    owner: impl Into<Owner<'a>>,
    sealed: &[u8],
) -> Result<std::result::Result<Vec<u8>, Unopened>> {
    let owner = owner.into();
    let Some(Sealed::V2 {
        id,
        wrapped,
        credentials,
    }) = parse(sealed)
    else {
        return match open(masters, owner, sealed) {
            Ok(secrets) => new.seal(owner, &secrets).map(Ok),
            Err(unopened) => Ok(Err(unopened)),
        };
    };
    let data_key = match unwrap(masters, owner, id, wrapped) {
        Ok(data_key) => data_key,
        Err(unopened) => return Ok(Err(unopened)),
    };
    let wrapped = new.wrap(owner, &data_key)?;
    let sealed = [&[VERSION_2], new.id.0.as_slice(), &wrapped, credentials].concat();
    Ok(Ok(sealed))
}

fn parse(sealed: &[u8]) -> Option<Sealed<'_>> {
    match sealed.split_first()? {
        (&VERSION_1, rest) => Some(Sealed::V1(rest)),
        (&VERSION_2, rest) => {
            let (id, rest) = rest.split_first_chunk()?;
            let (wrapped, credentials) = rest.split_at_checked(WRAPPED_BYTES)?;
            Some(Sealed::V2 {
                id: KeyId(*id),
                wrapped,
                credentials,
            })
        }
        _ => None,
    }
}

fn unwrap(
    masters: &[&MasterKey],
    owner: Owner<'_>,
    id: KeyId,
    wrapped: &[u8],
) -> std::result::Result<KeyBytes, Unopened> {
    let master = masters.iter().find(|master| master.id == id);
    let master = master.ok_or(Unopened::OtherKey(id))?;
    let bytes = decrypt(&master.bytes, &associated(owner, "data-key"), wrapped);
    let bytes = bytes.ok_or(Unopened::Damaged)?;
    let bytes = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| Unopened::Damaged)?;
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
        }) => format!("tidegate/secrets/2/{kind}/{integration}/{connection}").into_bytes(),
        Owner::Endpoint(id) => format!("tidegate/secrets/2/{kind}//{id}").into_bytes(),
    }
}

/// Fill `bytes` from the operating system.
pub(crate) fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| Problem::internal(format!("no randomness: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(connection: &str) -> ConnectionKey {
        ConnectionKey {
            integration: "crm".parse().unwrap(),
            connection: connection.parse().unwrap(),
        }
    }

    fn master(byte: u8) -> MasterKey {
        MasterKey::new(Zeroizing::new([byte; KEY_BYTES]))
    }

    fn secrets() -> SecretMap {
        SecretMap::from([("token".to_owned(), Secret::new("s3cr3t".to_owned()))])
    }

    /// As version 1 sealed.
    fn seal_1(master: &MasterKey) -> Vec<u8> {
        let associated = b"tidegate/secrets/1/crm/acme";
        let plain = br#"{"token":"s3cr3t"}"#;
        let sealed = encrypt(&master.bytes, associated, plain).unwrap();
        [&[VERSION_1], sealed.as_slice()].concat()
    }

    #[track_caller]
    fn expect_secret(masters: &[&MasterKey], sealed: &[u8]) {
        let opened = open(masters, &key("acme"), sealed).unwrap();
        assert_eq!(opened["token"].expose(), "s3cr3t");
        assert_eq!(probe(masters, &key("acme"), sealed), Ok(()));
    }

    #[test]
    fn only_the_same_key_and_connection_open_it() {
        let (ours, other) = (master(7), master(8));
        for sealed in [ours.seal(&key("acme"), &secrets()).unwrap(), seal_1(&ours)] {
            assert!(!sealed.windows(6).any(|window| window == b"s3cr3t"));
            expect_secret(&[&ours], &sealed);
            expect_secret(&[&other, &ours], &sealed);

            let version_1 = sealed[0] == VERSION_1;
            let (moved, wrong) = match version_1 {
                true => (Unopened::OtherKeyOrDamaged, Unopened::OtherKeyOrDamaged),
                false => (Unopened::Damaged, Unopened::OtherKey(ours.id())),
            };
            assert_eq!(open(&[&ours], &key("other"), &sealed).unwrap_err(), moved);
            assert_eq!(open(&[&other], &key("acme"), &sealed).unwrap_err(), wrong);
            assert_eq!(open(&[], &key("acme"), &sealed).unwrap_err(), wrong);
            for position in 0..sealed.len() {
                let mut damaged = sealed.clone();
                damaged[position] ^= 4;
                let unopened = open(&[&ours], &key("acme"), &damaged).unwrap_err();
                let in_id = !version_1 && (1..=ID_BYTES).contains(&position);
                match unopened {
                    Unopened::OtherKey(_) => assert!(in_id, "byte {position}"),
                    Unopened::Damaged | Unopened::OtherKeyOrDamaged => {
                        assert!(!in_id, "byte {position}");
                    }
                }
            }
            for length in 1..sealed.len() {
                let cut = &sealed[..length];
                assert!(open(&[&ours], &key("acme"), cut).is_err(), "{length} bytes");
            }
        }
        assert!(
            ours.seal(&key("acme"), &SecretMap::new())
                .unwrap()
                .is_empty()
        );
        assert!(open(&[], &key("acme"), &[]).unwrap().is_empty());
    }

    #[test]
    fn neither_part_can_be_used_as_the_other_or_moved_alone() {
        let ours = master(7);
        let [acme, bolt] = ["acme", "bolt"].map(|name| ours.seal(&key(name), &secrets()).unwrap());
        let start = 1 + ID_BYTES;
        let parts = |sealed: &[u8]| {
            let (head, rest) = sealed.split_at(start);
            let (wrapped, credentials) = rest.split_at(WRAPPED_BYTES);
            (head.to_vec(), wrapped.to_vec(), credentials.to_vec())
        };
        let ((head, wrapped, credentials), (_, others, _)) = (parts(&acme), parts(&bolt));
        // (wrapped data key, credentials)
        let rows = [
            (&others, &credentials),
            (&wrapped, &wrapped),
            (&wrapped, &others),
        ];
        for (wrapped, credentials) in rows {
            let mixed = [head.as_slice(), wrapped, credentials].concat();
            let unopened = open(&[&ours], &key("acme"), &mixed).unwrap_err();
            assert_eq!(unopened, Unopened::Damaged);
        }
        // The same bytes under the other label don't decrypt.
        let label = |kind| {
            decrypt(
                &ours.bytes,
                &associated((&key("acme")).into(), kind),
                &wrapped,
            )
        };
        assert!(label("data-key").is_some() && label("credentials").is_none());
    }

    #[test]
    fn rewrapping_needs_the_old_key_once() {
        let (old, new) = (master(7), master(8));
        let sealed = old.seal(&key("acme"), &secrets()).unwrap();
        for sealed in [sealed.clone(), seal_1(&old)] {
            let again = rewrap(&[&old], &new, &key("acme"), &sealed)
                .unwrap()
                .unwrap();
            assert_eq!(key_of(&again), Some(new.id()));
            expect_secret(&[&new], &again);
            assert!(open(&[&old], &key("acme"), &again).is_err());
        }
        let tail = |sealed: &[u8]| sealed[1 + ID_BYTES + WRAPPED_BYTES..].to_vec();
        let again = rewrap(&[&old], &new, &key("acme"), &sealed)
            .unwrap()
            .unwrap();
        assert_eq!(
            tail(&again),
            tail(&sealed),
            "the credentials are not touched"
        );
        let refused = rewrap(&[&new], &new, &key("acme"), &sealed).unwrap();
        assert_eq!(refused, Err(Unopened::OtherKey(old.id())));
    }

    #[test]
    fn keys_are_text_and_their_ids_are_not_their_bytes() {
        let key = MasterKey::generate().unwrap();
        let read = MasterKey::decode(&format!("{}\n", key.text().as_str())).unwrap();
        assert_eq!(
            (read.bytes.as_slice(), read.id()),
            (key.bytes.as_slice(), key.id())
        );
        assert_ne!(master(7).id(), master(8).id());
        assert!(!hex::encode(key.bytes.as_slice()).contains(&key.id().to_string()));
        assert!(!format!("{key:?}").contains(key.text().as_str()));
        assert!(MasterKey::decode("c2hvcnQ=").is_err());
    }

    #[test]
    fn an_endpoints_secrets_are_nobody_elses() {
        let master = master(1);
        let [one, other] = [1, 2].map(|byte| EndpointId::from_bytes([byte; 16]));
        let sealed = master.seal(one, &secrets()).unwrap();
        assert!(open(&[&master], one, &sealed).is_ok());
        assert!(open(&[&master], other, &sealed).is_err());
        assert!(open(&[&master], &key("acme"), &sealed).is_err());
        assert!(open(&[&master], one, &seal_1(&master)).is_err());
    }
}
