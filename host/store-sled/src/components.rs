//! Component files: one for each digest, written whole or not at all, checked when read.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use tidegate_engine::StoreError;
use tidegate_engine::integration::Digest;

/// The directory of component files.
#[derive(Debug, Clone)]
pub(crate) struct Components {
    dir: PathBuf,
}

fn failed(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Backend(format!("{}: {error}", path.display()))
}

impl Components {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("{digest}.wasm"))
    }

    pub(crate) fn has(&self, digest: Digest) -> bool {
        self.path(digest).is_file()
    }

    /// The files that are there, with their bytes.
    pub(crate) fn files(&self) -> Result<Vec<(PathBuf, u64)>, StoreError> {
        let list = || -> std::io::Result<Vec<_>> {
            fs::read_dir(&self.dir)?
                .map(|entry| {
                    let entry = entry?;
                    Ok((entry.path(), entry.metadata()?.len()))
                })
                .collect()
        };
        list().map_err(|error| failed(&self.dir, &error))
    }

    /// Keep `bytes`. A file that is there already is kept only if it is good.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if self.get(digest).is_ok() {
            return Ok(digest);
        }
        let path = self.path(digest);
        write_atomically(&path, bytes).map_err(|error| failed(&path, &error))?;
        Ok(digest)
    }

    /// Remove a component's file. Fine if there is none.
    pub(crate) fn remove(&self, digest: Digest) -> Result<(), StoreError> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&path, &error)),
            _ => Ok(()),
        }
    }

    pub(crate) fn get(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.path(digest);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(StoreError::NotFound {
                    what: "component",
                    name: digest.to_string(),
                });
            }
            Err(error) => return Err(failed(&path, &error)),
        };
        if Digest::of(&bytes) != digest {
            return Err(StoreError::Damaged {
                place: path.display().to_string(),
                reason: "the file's sha256 is not its name; deploy the component again".into(),
            });
        }
        Ok(bytes)
    }
}

/// Write a file so that a crash leaves the old one or the new one: to a temporary name, synced,
/// renamed, and the directory synced.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    // Two writers of one digest write the same bytes, but not to the same temporary file.
    let unique = format!("{}-{:?}", std::process::id(), std::thread::current().id());
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{unique}.tmp"));
    let temporary = PathBuf::from(temporary);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    File::open(dir)?.sync_all()
}
