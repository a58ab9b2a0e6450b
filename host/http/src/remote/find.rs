//! Finding the server that holds a data directory, and being sure that it is this one.
//!
//! A server that was killed leaves its file and its socket behind; then nobody listens there. Where the socket lies
//! outside of the data directory, its place may be somebody else's by now. So a command first asks for a proof that
//! only who knows the token can give, and sends nothing before it has it.

use futures::future::BoxFuture;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tidegate_engine::integration::Digest;
use tidegate_service::control::wire_secrets;
use tidegate_service::problem::{Kind, Problem, Result};
use zeroize::Zeroizing;

use super::client::Remote;

/// The file's name in the data directory.
pub(crate) const FILE: &str = "server.json";
/// How long the server has to prove itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the file says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerInfo {
    /// The socket of its commands: a path that is absolute, or begins in the data directory.
    pub(crate) socket: PathBuf,
    pub(crate) pid: u32,
    /// Opens everything there.
    #[serde(with = "wire_secrets::text")]
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

/// Somebody listens, and says nothing.
fn silent(data: &Path, pid: u32) -> Problem {
    let message = format!(
        "the server that holds {} (pid {pid}) does not answer",
        data.display()
    );
    Problem::new(Kind::DataDirectory, message)
        .hint("it may have been halted, or have more to do than it can; its log says what it does")
}

impl Remote {
    /// The server that holds the data directory, if there is one.
    pub fn find(data: &Path) -> BoxFuture<'_, Result<Option<Self>>> {
        Box::pin(async move {
            let path = data.join(FILE);
            let text = match tokio::fs::read(&path).await {
                Ok(text) => Zeroizing::new(text),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    let problem = Problem::new(Kind::DataDirectory, error).at(path.display());
                    return Err(problem.hint("a server of another user holds the data directory"));
                }
                Err(_) => return Ok(None),
            };
            // An older one's file, or half of one: then it depends on who holds the directory's lock.
            let Ok(found) = serde_json::from_slice::<ServerInfo>(&text) else {
                return Ok(None);
            };
            let mut nonce = [0; 24];
            tidegate_service::secrets::random(&mut nonce)?;
            let nonce = URL_SAFE_NO_PAD.encode(nonce);
            let wanted = proof(Digest::of(found.token.as_bytes()), &nonce).unwrap_or_default();
            let remote = Self::new(data.join(&found.socket), found.token);
            let asked = tokio::time::timeout(PATIENCE, remote.prove(&nonce));
            let given = match asked.await {
                Ok(Ok(Some(given))) => given,
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(problem)) => return Err(problem),
                Err(_) => return Err(silent(data, found.pid)),
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
        })
    }
}
