//! Precompiled components on disk, and the one `unsafe` of the host.
//!
//! Loading a precompiled component runs native code from a file, which is why wasmtime calls it
//! unsafe. We load only files that this module wrote, named by the component's sha256 and by
//! wasmtime's compatibility hash, that belong to us and that nobody else may write, in a directory
//! of which the same holds, and only when the file's own checksum is right. Anything else is
//! compiled again.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tidegate_engine::integration::Digest;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::RuntimeError;

/// Bytes of the checksum in front of the code.
const CHECKSUM_BYTES: usize = 32;

/// Compile `bytes`, or load the code from `directory` when it is there and whole.
pub(crate) fn load(
    engine: &Engine,
    directory: Option<&Path>,
    digest: Digest,
    bytes: &[u8],
) -> Result<Component, RuntimeError> {
    let compile_error = |error: wasmtime::Error| RuntimeError::Compile(format!("{error:#}"));
    let Some(directory) = directory else {
        return Component::from_binary(engine, bytes).map_err(compile_error);
    };
    let path = file_path(engine, directory, digest);
    if is_ours(directory)
        && is_ours(&path)
        && let Some(component) = read(engine, &path)
    {
        return Ok(component);
    }
    let component = Component::from_binary(engine, bytes).map_err(compile_error)?;
    // A cache that can't be written costs time, not correctness.
    if let Ok(code) = component.serialize() {
        let _ = write(directory, &path, &code);
    }
    Ok(component)
}

fn file_path(engine: &Engine, directory: &Path, digest: Digest) -> PathBuf {
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    directory.join(format!("{digest}-{:016x}.cwasm", hasher.finish()))
}

/// Whether a file or directory belongs to this process's user and nobody else may write it.
fn is_ours(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    let own = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(path)
        .is_ok_and(|found| found.uid() == own && found.mode() & WRITABLE_BY_OTHERS == 0)
}

fn read(engine: &Engine, path: &Path) -> Option<Component> {
    let file = fs::read(path).ok()?;
    let (checksum, code) = file.split_at_checked(CHECKSUM_BYTES)?;
    if Digest::of(code).as_bytes() != checksum {
        return None;
    }
    load_code(engine, code)
}

#[allow(unsafe_code, reason = "the only way to load precompiled code")]
fn load_code(engine: &Engine, code: &[u8]) -> Option<Component> {
    // SAFETY: `code` was written by `write` below from `Component::serialize` of this wasmtime
    // version and configuration (both are in the file's name), into a directory of mode 0700, and
    // its checksum has just been verified.
    unsafe { Component::deserialize(engine, code) }.ok()
}

fn write(directory: &Path, path: &Path, code: &[u8]) -> io::Result<()> {
    create_private(directory)?;
    // Two processes may write the same file at once; each writes its own and the rename decides.
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = (|| {
        use std::os::unix::fs::OpenOptionsExt;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(Digest::of(code).as_bytes())?;
        file.write_all(code)?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn create_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
}
