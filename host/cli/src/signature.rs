//! Detached signatures of components: minisign (Ed25519), by keys that the operator trusts.
//!
//! The format is minisign's own (<https://jedisct1.github.io/minisign/>): `minisign -Sm x.wasm` makes
//! `x.wasm.minisig`. Only prehashed signatures are taken, which is what minisign has made by default
//! since 0.10.

use std::path::Path;

use minisign_verify::{PublicKey, Signature};
use tidegate_service::control::Signature as SignedBy;
use tidegate_service::problem::{Kind, Problem, Result};

/// Most bytes of a key or signature file; minisign's own have some 300.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// A public key that the operator trusts, with the text by which it was given.
#[derive(Debug)]
pub(crate) struct TrustedKey {
    given: String,
    key: PublicKey,
}

impl TrustedKey {
    /// A key as base64 (`RWQ…`, one line), or a file that minisign wrote.
    pub(crate) fn parse(given: &str) -> Result<Self> {
        let bad = |reason: String| {
            Problem::invalid(format!("trusted key {given:?}: {reason}"))
                .hint("give a minisign public key: the line that begins with RWQ, or its .pub file")
        };
        let key = match PublicKey::from_base64(given) {
            Ok(key) => key,
            Err(_) if Path::new(given).exists() => {
                let text = read(Path::new(given))?;
                PublicKey::decode(text.trim()).map_err(|error| bad(error.to_string()))?
            }
            Err(error) => return Err(bad(error.to_string())),
        };
        Ok(Self {
            given: given.to_owned(),
            key,
        })
    }
}

/// Check the signature in `file` against the keys; the first that made it is named.
pub(crate) fn verify(component: &[u8], file: &Path, keys: &[TrustedKey]) -> Result<SignedBy> {
    let refuse = |reason: &str| {
        Problem::new(
            Kind::Plugin,
            format!("the signature {}: {reason}", file.display()),
        )
    };
    let text = read(file)?;
    let signature = Signature::decode(text.trim())
        .map_err(|error| refuse(&format!("it is no minisign signature: {error}")))?;
    let verifies = |key: &&TrustedKey| key.key.verify(component, &signature, false).is_ok();
    let Some(trusted) = keys.iter().find(verifies) else {
        return Err(refuse(
            "no trusted key made it for this file; either the file was changed, or it is somebody else's",
        )
        .hint("nothing was deployed; trust a key with --trusted-key or TIDEGATE_TRUSTED_KEYS"));
    };
    Ok(SignedBy {
        key: trusted.given.clone(),
        comment: signature.trusted_comment().to_owned(),
    })
}

fn read(path: &Path) -> Result<String> {
    let failed = |error: std::io::Error| Problem::not_found(format!("{}: {error}", path.display()));
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(Problem::invalid(format!(
            "{}: {bytes} bytes; a key or signature has at most {FILE_BYTES_MAX}",
            path.display()
        )));
    }
    std::fs::read_to_string(path).map_err(failed)
}
