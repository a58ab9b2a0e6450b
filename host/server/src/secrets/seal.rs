//! Sealing a connection's secrets with XChaCha20-Poly1305 under the master key.
//!
//! Sealed form, version 1: one byte `1`, 24 bytes nonce, ciphertext with tag. The plain text is a
//! JSON object. Integration and connection are associated data, so that sealed bytes can't be
//! moved to another connection.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use tidegate_egress::Secret;
use tidegate_engine::ConnectionKey;
use zeroize::Zeroizing;

use super::SecretMap;
use crate::output;
use crate::problem::{Kind, Problem, Result};

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;
/// Base64 of 32 bytes.
const VARIABLE: &str = "TIDEGATE_MASTER_KEY";
const FILE: &str = "master.key";

/// The key that seals all secrets of a data directory.
pub(crate) struct MasterKey(Zeroizing<[u8; KEY_BYTES]>);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[master key]")
    }
}

impl MasterKey {
    /// From the environment variable, else from the file in the data directory, which is made
    /// (mode 0600, with a notice) when there is none.
    pub(crate) fn load(data: &Path) -> Result<Self> {
        if let Ok(text) = std::env::var(VARIABLE) {
            return Self::decode(&Zeroizing::new(text)).map_err(|problem| problem.at(VARIABLE));
        }
        let path = data.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                Self::decode(&Zeroizing::new(text)).map_err(|problem| problem.at(path.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::create(&path),
            Err(error) => Err(Problem::new(
                Kind::DataDirectory,
                format!("{}: {error}", path.display()),
            )),
        }
    }

    fn create(path: &Path) -> Result<Self> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        random(key.as_mut_slice())?;
        let text = Zeroizing::new(format!("{}\n", STANDARD.encode(key.as_slice())));
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())
                    .and_then(|()| file.sync_all())
            });
        written.map_err(|error| {
            Problem::new(Kind::DataDirectory, format!("{}: {error}", path.display()))
        })?;
        output::notice(format!(
            "note: made the key {} that seals credentials; back it up apart from the data, or set {VARIABLE}",
            path.display()
        ));
        Ok(Self(key))
    }

    fn decode(text: &str) -> Result<Self> {
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new).ok();
        let key = bytes.and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).ok());
        key.map(|key| Self(Zeroizing::new(key))).ok_or_else(|| {
            Problem::invalid("not a master key: it must be 32 bytes in base64 (44 characters)")
        })
    }

    /// Seal a connection's secrets. None at all seal to nothing.
    pub(crate) fn seal(&self, key: &ConnectionKey, secrets: &SecretMap) -> Result<Vec<u8>> {
        if secrets.is_empty() {
            return Ok(Vec::new());
        }
        let plain: BTreeMap<&str, &str> = secrets
            .iter()
            .map(|(name, secret)| (name.as_str(), secret.expose()))
            .collect();
        let plain = Zeroizing::new(serde_json::to_vec(&plain).map_err(Problem::internal)?);
        let mut nonce = [0; NONCE_BYTES];
        random(&mut nonce)?;
        let payload = Payload {
            msg: &plain,
            aad: &associated(key),
        };
        let sealed = self
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| Problem::internal("the secrets could not be sealed"))?;
        Ok([&[VERSION], nonce.as_slice(), &sealed].concat())
    }

    /// Open what [`Self::seal`] made for the same connection.
    pub(crate) fn open(&self, key: &ConnectionKey, sealed: &[u8]) -> Result<SecretMap> {
        if sealed.is_empty() {
            return Ok(SecretMap::new());
        }
        let unreadable = || {
            Problem::new(
                Kind::DataDirectory,
                format!("the secrets of connection {key} can't be opened: wrong master key, or damaged data"),
            )
            .hint(format!("set {VARIABLE} to the key they were sealed with, or add the connection anew"))
        };
        let (version, rest) = sealed.split_first().ok_or_else(unreadable)?;
        if *version != VERSION {
            return Err(unreadable());
        }
        let (nonce, sealed) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or_else(unreadable)?;
        let payload = Payload {
            msg: sealed,
            aad: &associated(key),
        };
        let plain = self
            .cipher()
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| unreadable())?;
        let plain = Zeroizing::new(plain);
        let map: BTreeMap<String, String> =
            serde_json::from_slice(&plain).map_err(|_| unreadable())?;
        Ok(map
            .into_iter()
            .map(|(name, text)| (name, Secret::new(text)))
            .collect())
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*self.0).into())
    }
}

fn associated(key: &ConnectionKey) -> Vec<u8> {
    // Names hold no '/', so that two keys never look alike.
    format!("tidegate/secrets/1/{}/{}", key.integration, key.connection).into_bytes()
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

    #[test]
    fn only_the_same_key_and_connection_open_it() {
        let master = MasterKey(Zeroizing::new([7; KEY_BYTES]));
        let secrets = SecretMap::from([("token".to_owned(), Secret::new("s3cr3t".to_owned()))]);
        let sealed = master.seal(&key("acme"), &secrets).unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"s3cr3t"));
        let opened = master.open(&key("acme"), &sealed).unwrap();
        assert_eq!(opened["token"].expose(), "s3cr3t");

        assert!(master.open(&key("other"), &sealed).is_err());
        let other = MasterKey(Zeroizing::new([8; KEY_BYTES]));
        assert!(other.open(&key("acme"), &sealed).is_err());
        for position in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[position] ^= 1;
            assert!(
                master.open(&key("acme"), &damaged).is_err(),
                "byte {position}"
            );
        }
        for length in 1..sealed.len() {
            assert!(
                master.open(&key("acme"), &sealed[..length]).is_err(),
                "length {length}"
            );
        }
    }

    #[test]
    fn a_generated_key_is_private_and_found_again() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let made = MasterKey::create(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let read = MasterKey::decode(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(made.0.as_slice(), read.0.as_slice());
        assert!(MasterKey::decode("c2hvcnQ=").is_err());
    }
}
