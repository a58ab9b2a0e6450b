//! `server.json` in the data directory: how this machine's commands find the server that holds it.
//!
//! It names a socket and a token that opens everything there, so only who may read the data directory's files may
//! read it (mode 0600). `crate::remote` reads it. A process that was killed leaves it behind; then nobody listens
//! at the socket, and it means nothing.

use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidegate_engine::integration::Digest;
use tidegate_service::problem::{Problem, Result};
use zeroize::Zeroizing;

use crate::remote::{FILE, ServerInfo};

/// What the file will say.
pub(super) struct NewServerInfo {
    socket: PathBuf,
    token: Zeroizing<String>,
}

/// The file, until this is dropped.
#[derive(Debug)]
pub(super) struct ServerInfoFile(PathBuf);

impl NewServerInfo {
    /// With a new token.
    pub(super) fn new(socket: PathBuf) -> Result<Self> {
        let mut random = Zeroizing::new([0; 32]);
        tidegate_service::secrets::random(&mut *random)?;
        let token = Zeroizing::new(URL_SAFE_NO_PAD.encode(*random));
        Ok(Self { socket, token })
    }

    /// What the token is known by.
    pub(super) fn digest(&self) -> Digest {
        Digest::of(self.token.as_bytes())
    }

    /// Write it, whole or not at all.
    pub(super) fn write(self, data: &Path) -> Result<ServerInfoFile> {
        let path = data.join(FILE);
        let failed = |error: std::io::Error| Problem::internal(error).at(path.display());
        let found = ServerInfo {
            socket: self.socket,
            pid: std::process::id(),
            token: self.token,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let text = Zeroizing::new(serde_json::to_string(&found).map_err(Problem::internal)?);
        // Temporary files are made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(data).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(ServerInfoFile(path))
    }
}

impl Drop for ServerInfoFile {
    fn drop(&mut self) {
        // One that stays means nothing without the directory's lock.
        let _ = std::fs::remove_file(&self.0);
    }
}
