//! That a data directory is readable by its owner only: whatever umask the process was started with, and also one
//! that was made before.

use std::fs::{self, DirBuilder, Permissions};
use std::io::Result;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::umask;

/// What others than the owner may do.
const OTHERS: u32 = 0o077;

/// Make the folder if it is not there. From now on whatever this process makes is its owner's alone: sled
/// makes its files itself, and has no say in their modes.
pub(crate) fn make(folder: &Path) -> Result<()> {
    let others = Mode::from_raw_mode(OTHERS);
    // It can only be asked for by setting it.
    let found = umask(others);
    umask(found | others);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Take from others what they may do with the folder and all that is in it. Says what was done, or that it could
/// not be: a folder whose owner is another user is that user's to change.
pub(crate) fn narrow(folder: &Path) -> Result<Option<String>> {
    let mode = fs::symlink_metadata(folder)?.permissions().mode();
    if mode & OTHERS == 0 {
        return Ok(None);
    }
    let (place, bits) = (folder.display(), mode & 0o777);
    let narrowed = narrow_all(folder);
    // Nobody gets past the folder to what another user has in it.
    let is_closed = fs::symlink_metadata(folder)?.permissions().mode() & OTHERS == 0;
    Ok(Some(match narrowed {
        _ if is_closed => format!(
            "{place} was open to other users of this machine (mode {bits:03o}); it is its owner's alone now"
        ),
        narrowed => {
            let why = narrowed
                .err()
                .map_or_else(String::new, |error| format!(": {error}"));
            format!(
                "warning: {place} is open to other users of this machine (mode {bits:03o}), and this one can't change \
                 that{why}"
            )
        }
    }))
}

/// The folder first, so that nobody comes into it any more while what is in it has its turn.
fn narrow_all(path: &Path) -> Result<()> {
    let about = fs::symlink_metadata(path)?;
    // What a link leads to may be anywhere.
    if about.is_symlink() {
        return Ok(());
    }
    let mode = about.permissions().mode();
    if mode & OTHERS != 0 {
        fs::set_permissions(path, Permissions::from_mode(mode & 0o7777 & !OTHERS))?;
    }
    if about.is_dir() {
        for entry in fs::read_dir(path)? {
            narrow_all(&entry?.path())?;
        }
    }
    Ok(())
}
