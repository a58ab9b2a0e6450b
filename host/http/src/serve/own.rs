//! The socket of this machine's commands: in the data directory, for its owner alone, so that the kernel says who
//! may connect.

use std::fs::{self, Permissions};
use std::io::Result as IoResult;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidegate_service::problem::{Problem, Result};
use tokio::net::UnixListener;

/// The socket's name.
const SOCKET: &str = "server.sock";
/// Longest path of a socket, in bytes: `sockaddr_un` has room for 108 with the 0 at the end on Linux, 104 elsewhere.
const PATH_BYTES_MAX: usize = 103;

/// A socket that is there until this is dropped.
#[derive(Debug)]
pub(super) struct CommandSocket {
    path: PathBuf,
    /// What a command finds in `server.json`.
    pub(super) named: PathBuf,
    /// Where it lies if the data directory can't have it.
    _folder: Option<TempDir>,
}

impl CommandSocket {
    /// Listen in the data directory, which this process holds. Where it can't have a socket (its path is too long, its file
    /// system has none), in a new folder of its own.
    pub(super) fn bind(data: &Path) -> Result<(Self, UnixListener)> {
        // Commands may name the data directory by another path, but by none that is longer than it has to be.
        let data = std::path::absolute(data).map_err(Problem::internal)?;
        let path = data.join(SOCKET);
        let bound = match path.as_os_str().len() {
            ..=PATH_BYTES_MAX => listen(&path),
            length => Err(std::io::Error::other(format!(
                "its path has {length} bytes"
            ))),
        };
        let error = match bound {
            Ok(listener) => {
                let own = Self {
                    path,
                    named: SOCKET.into(),
                    _folder: None,
                };
                return Ok((own, listener));
            }
            Err(error) => error,
        };
        let (own, listener) = elsewhere().map_err(|other| {
            Problem::invalid(format!(
                "no socket for commands can be made in {}: {error}; nor elsewhere: {other}",
                data.display()
            ))
            .hint("choose a data directory with a shorter path, or a TMPDIR that can be written")
        })?;
        tracing::info!(socket = %own.path.display(), %error, "the data directory can't have the socket of commands: it lies elsewhere");
        Ok((own, listener))
    }
}

/// Listen in a new folder, below the user's own for sockets and the like, or else below that for temporary files.
fn elsewhere() -> IoResult<(CommandSocket, UnixListener)> {
    let below = |parent: &Path| {
        let folder = tempfile::Builder::new()
            .prefix("tidegate-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        let path = folder.path().join(SOCKET);
        let listener = listen(&path)?;
        let own = CommandSocket {
            named: path.clone(),
            path,
            _folder: Some(folder),
        };
        Ok((own, listener))
    };
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let made = own.and_then(|parent| below(&parent).ok());
    made.map_or_else(|| below(&std::env::temp_dir()), Ok)
}

fn listen(path: &Path) -> IoResult<UnixListener> {
    // One that a killed server left behind: nobody else serves this data directory.
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl Drop for CommandSocket {
    fn drop(&mut self) {
        // The next server removes one that stays.
        let _ = fs::remove_file(&self.path);
    }
}
