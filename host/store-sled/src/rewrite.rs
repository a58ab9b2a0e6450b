//! Writing the database anew, so that its files are as small as what is in them.
//!
//! sled uses free space again and hardly ever gives it back. So everything is copied into a database
//! beside the old one, read again and compared, and the two change places. A kill at any moment
//! leaves one of them whole, and the next opening clears up:
//!
//! | there are | what happened | at the next opening |
//! |---|---|---|
//! | `db`, `db.next` | the copy is not finished | `db.next` goes |
//! | `db.old`, `db.next` | the copy was finished, and `db` moved aside | `db.next` becomes `db`, `db.old` goes |
//! | `db.old`, `db` | the copy is in place | `db.old` goes |

use std::fs::{self, File};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use crate::disk::{Disk, OpenFailed};
use crate::open::{self, OpenError, Options};

/// Bytes of keys and values that are copied in one batch.
const BATCH_BYTES: usize = 1024 * 1024;

/// What a rewriting came to, in bytes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten {
    pub before: u64,
    pub after: u64,
}

/// Where the databases of a data directory lie.
struct Places {
    root: PathBuf,
    db: PathBuf,
    next: PathBuf,
    old: PathBuf,
}

impl Places {
    fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            db: root.join("db"),
            next: root.join("db.next"),
            old: root.join("db.old"),
        }
    }

    fn sync(&self) -> Result<(), Error> {
        File::open(&self.root)?.sync_all()
    }

    /// Put the finished copy in the database's place, or what of that is left to do.
    fn change(&self) -> Result<(), Error> {
        if self.db.exists() && !self.old.exists() {
            fs::rename(&self.db, &self.old)?;
            self.sync()?;
        }
        if self.next.exists() {
            fs::rename(&self.next, &self.db)?;
            self.sync()?;
        }
        remove(&self.old)
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Clear up after a rewriting that was killed. Returns what was done, for the log.
pub(crate) fn recover(root: &Path) -> Result<Option<String>, OpenError> {
    let places = Places::new(root);
    let (note, cleared) = match (places.db.exists(), places.next.exists()) {
        (true, true) => (
            "removed the unfinished copy of an interrupted compaction",
            remove(&places.next).and_then(|()| remove(&places.old)),
        ),
        (false, true) if places.old.exists() => {
            ("finished an interrupted compaction", places.change())
        }
        _ if places.old.exists() => (
            "removed what an interrupted compaction had left",
            if places.db.exists() {
                remove(&places.old)
            } else {
                fs::rename(&places.old, &places.db)
            },
        ),
        _ => return Ok(None),
    };
    cleared
        .and_then(|()| places.sync())
        .map_err(|error| OpenError::io(root, error))?;
    Ok(Some(note.to_owned()))
}

/// Write the database of `root` anew. Nothing else may have it open; takes as much space again as
/// is in use, and blocks for seconds per gigabyte. When it fails, all is as it was.
pub fn rewrite(root: &Path, options: &Options) -> Result<Rewritten, OpenError> {
    let dir = open::open(root, options)?;
    let places = Places::new(root);
    let failed = |error: Failed| match error {
        Failed::Io(error) => OpenError::io(root, error),
        Failed::Open(error) => error.of(&places.next),
        Failed::Sled(error) => OpenFailed::Sled(error).of(&places.db),
        Failed::Differs => OpenError::Damaged {
            path: places.next.clone(),
            reason: "the copy is not what was copied; it was removed".into(),
        },
    };
    let before = dir.disk.bytes().map_err(|e| failed(e.into()))?;
    let copied = copy(&dir.disk, &places.next, options);
    if copied.is_err() {
        // The first error is the one to tell; the next opening tries again.
        let _ = remove(&places.next);
    }
    let after = copied.map_err(failed)?;
    drop(dir.disk);
    wait_closed(&places.db)
        .and_then(|()| wait_closed(&places.next))
        .and_then(|()| sync_all(&places.next))
        .and_then(|()| places.change())
        .map_err(|error| OpenError::io(root, error))?;
    Ok(Rewritten { before, after })
}

enum Failed {
    Io(Error),
    Sled(sled::Error),
    Open(OpenFailed),
    /// What was read again is something else.
    Differs,
}

impl From<sled::Error> for Failed {
    fn from(error: sled::Error) -> Self {
        Self::Sled(error)
    }
}

fn copy(from: &Disk, path: &Path, options: &Options) -> Result<u64, Failed> {
    let to = Disk::open(path, options).map_err(Failed::Open)?;
    let mut sum = crc32fast::Hasher::new();
    let (mut batch, mut bytes) = (sled::Batch::default(), 0);
    for item in from.everything() {
        let (key, value) = item?;
        add(&mut sum, &key, &value);
        bytes += key.len() + value.len();
        batch.insert(key, value);
        if bytes >= BATCH_BYTES {
            to.apply_raw(std::mem::take(&mut batch))?;
            bytes = 0;
        }
    }
    to.apply_raw(batch)?;
    to.sync().map_err(Failed::Io)?;
    let mut again = crc32fast::Hasher::new();
    for item in to.everything() {
        let (key, value) = item?;
        add(&mut again, &key, &value);
    }
    if sum.finalize() != again.finalize() {
        return Err(Failed::Differs);
    }
    Ok(to.bytes()?)
}

fn add(sum: &mut crc32fast::Hasher, key: &[u8], value: &[u8]) {
    for part in [key, value] {
        sum.update(&(part.len() as u64).to_le_bytes());
        sum.update(part);
    }
}

/// sled's threads may still be ending after a database was dropped; its lock goes last.
fn wait_closed(db: &Path) -> Result<(), Error> {
    File::options().write(true).open(db.join("db"))?.lock()
}

/// sled syncs its log and not its other files.
fn sync_all(db: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(db)? {
        File::open(entry?.path())?.sync_all()?;
    }
    File::open(db)?.sync_all()
}
