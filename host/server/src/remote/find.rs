//! Finding the server that holds a data directory, and being sure that it is this one.
//!
//! A server that was killed leaves its file behind, and its port may be somebody else's by now. So a command first asks
//! for a proof that only who knows the token can give, and sends nothing before it has it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tidegate_engine::integration::Digest;
use zeroize::Zeroizing;

use super::client::Remote;
use crate::control::clear;
use crate::problem::{Kind, Problem, Result};

/// The file's name in the data directory.
pub(crate) const FILE: &str = "server.json";
/// How long the server has to prove itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the file says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Found {
    /// On loopback.
    pub(crate) address: SocketAddr,
    /// Opens everything there.
    #[serde(with = "clear::text")]
    pub(crate) token: Zeroizing<String>,
    /// The server's; a command of another one does not know its types.
    pub(crate) version: String,
}

/// What a server says to `nonce` that knows the token of this digest: nobody learns the token from it.
pub(crate) fn proof(token: Digest, nonce: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(token.to_string().as_bytes()).ok()?;
    mac.update(b"tidegate server.json ");
    mac.update(nonce.as_bytes());
    Some(hex::encode(mac.finalize().into_bytes()))
}

impl Remote {
    /// The server that holds the data directory, if there is one.
    pub(crate) async fn find(data: &Path) -> Result<Option<Self>> {
        let path = data.join(FILE);
        let text = match tokio::fs::read(&path).await {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                let problem = Problem::new(Kind::DataDirectory, error).at(path.display());
                return Err(problem.hint("a server of another user holds the data directory"));
            }
            Err(_) => return Ok(None),
        };
        // An older one's file, or half of one: then it depends on who holds the directory's lock.
        let Ok(found) = serde_json::from_slice::<Found>(&text) else {
            return Ok(None);
        };
        let mut nonce = [0; 24];
        crate::secrets::random(&mut nonce)?;
        let nonce = URL_SAFE_NO_PAD.encode(nonce);
        let wanted = proof(Digest::of(found.token.as_bytes()), &nonce).unwrap_or_default();
        let remote = Self::new(found.address, found.token);
        let given = tokio::time::timeout(PATIENCE, remote.ask_proof(&nonce)).await;
        let Ok(Ok(given)) = given else {
            return Ok(None);
        };
        if !bool::from(given.as_bytes().ct_eq(wanted.as_bytes())) {
            return Ok(None);
        }
        let own = env!("CARGO_PKG_VERSION");
        if found.version != own {
            let message = format!(
                "the server that holds {} is tidegate {}, and this is {own}",
                data.display(),
                found.version
            );
            let problem = Problem::new(Kind::Conflict, message);
            return Err(problem.hint("use the server's binary, or stop the server"));
        }
        Ok(Some(remote))
    }
}
