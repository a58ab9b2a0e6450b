//! Opening a data directory: whose it is, which format it has, and what a crash left behind.

use std::fs::{self, File, TryLockError};
use std::io::{Error, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tidegate_engine::StoreError;

use crate::components::write_atomically;
use crate::disk::{Disk, OpenFailed, Writes, damaged};
use crate::identity::{self, Identity, Known};
use crate::layout::{Corrupt, keys};
use crate::{private, rewrite};

/// The format that this version reads and writes, and no other: `docs/store-format.md` describes it.
pub const FORMAT: u32 = 1;

/// Choices when opening a store.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Memory that sled may use for its cache, in bytes. Overwriting a million records in random
    /// order takes half the time with 128 MiB that it takes with 64.
    pub cache_bytes: u64,
    pub tuning: Tuning,
}

/// When work that is put off gets done. Tests make these small, so that it happens all the time.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// Superseded entries a feed may have, beyond as many as it has records, before its segments
    /// are rewritten.
    pub compact_slack: u64,
    /// Changes of a feed's sequence sets that are kept one by one before the sets are stored.
    pub fold_after: u64,
    /// Deletions in one batch; a snapshot that ends with more does it in several.
    pub ending_step: usize,
    /// Keys that one batch of upkeep removes, and bytes of values that it reads: compaction, pruning
    /// and purging go by steps of one batch, between which commands get their turn.
    pub step_keys: usize,
    pub step_bytes: usize,
    /// Idempotency keys of one connection that are remembered.
    pub keys_max: u64,
    /// Requests under idempotency keys of one API key that are remembered.
    pub requests_max: u64,
    /// Deliveries that may wait for one webhook endpoint.
    pub pending_max: u64,
    /// Bytes of the write-ahead log: when it is full, sled syncs its own files, which takes tens of
    /// milliseconds, and the log begins anew.
    pub wal_bytes: u64,
    /// Bytes of writes that are gathered at most before sled gets them; at half of it, it gets what is older.
    pub gather_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 128 * 1024 * 1024,
            tuning: Tuning::default(),
        }
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            compact_slack: 4096,
            fold_after: 256,
            ending_step: 2_000,
            step_keys: 500,
            step_bytes: 1024 * 1024,
            keys_max: tidegate_engine::idempotency::KEYS_MAX,
            requests_max: tidegate_engine::limits::API_IDEMPOTENCY_KEYS,
            pending_max: tidegate_engine::limits::WEBHOOK_PENDING,
            wal_bytes: 8 * 1024 * 1024,
            gather_bytes: 1024 * 1024,
        }
    }
}

/// Why a data directory can't be opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the data directory is in use by another tidegate process{}: stop it, or use its API if it serves",
        .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    InUse { pid: Option<u32> },
    #[error("can't write to the data directory: {}: {error}", .path.display())]
    ReadOnly { path: PathBuf, error: Error },
    #[error("can't use the data directory: {}: {error}", .path.display())]
    Io { path: PathBuf, error: Error },
    #[error(
        "the data directory has format {found}, and this version of tidegate reads and writes format {supported} only: \
         use the version that wrote it, or export its data with that one and import them into a new directory"
    )]
    OtherFormat { found: u32, supported: u32 },
    #[error("{} is not empty and not a data directory of tidegate: name another one", .path.display())]
    NotADataDirectory { path: PathBuf },
    #[error(
        "damaged data in {}: {reason}. Nothing was changed: keep the directory, and restore a backup or ask for help",
        .path.display()
    )]
    Damaged { path: PathBuf, reason: String },
}

impl OpenFailed {
    /// What it means for whoever opens the directory that has `db`.
    pub(crate) fn of(self, db: &Path) -> OpenError {
        match self {
            Self::Sled(sled::Error::Io(error)) => OpenError::io(db, error),
            Self::Sled(error) => OpenError::Damaged {
                path: db.to_owned(),
                reason: error.to_string(),
            },
            Self::Wal(reason) => OpenError::Damaged {
                path: db.join("wal"),
                reason,
            },
        }
    }
}

impl OpenError {
    /// What an error of the store means when it is found while `db` is opened.
    pub(crate) fn of_store(db: PathBuf, error: StoreError) -> Self {
        match error {
            StoreError::Damaged { place, reason } => Self::Damaged {
                path: db,
                reason: format!("{place}: {reason}"),
            },
            other => Self::Io {
                path: db,
                error: Error::other(other),
            },
        }
    }

    pub(crate) fn io(path: &Path, error: Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { path, error }
            }
            _ => Self::Io { path, error },
        }
    }
}

/// A data directory that belongs to this process.
#[derive(Debug)]
pub(crate) struct DataDir {
    pub(crate) disk: Disk,
    /// The store's own id, chosen when it was made.
    pub(crate) id: u64,
    pub(crate) components: PathBuf,
    /// Kept open: the lock goes with it.
    pub(crate) lock: File,
    /// What was done on the way, for the log.
    pub(crate) notes: Vec<String>,
}

/// Open `root`, making it if there is nothing.
pub(crate) fn open(root: &Path, options: &Options) -> Result<DataDir, OpenError> {
    private::make(root).map_err(|error| OpenError::io(root, error))?;
    let format = root.join("format");
    let found = read_format(root, &format)?;
    let path = root.join("lock");
    let lock = patiently(
        LOCK_PATIENCE,
        || lock(&path),
        |error| matches!(error, OpenError::InUse { .. }),
    )?;
    if found.is_none() {
        write_format(&format)?;
    }
    let components = root.join("components");
    fs::create_dir_all(&components).map_err(|error| OpenError::io(&components, error))?;

    let narrowed = private::narrow(root).map_err(|error| OpenError::io(root, error))?;
    let db = root.join("db");
    let known = identity::read(root)?;
    let mut notes: Vec<String> = narrowed
        .into_iter()
        .chain(rewrite::recover(root)?)
        .collect();
    notes.append(&mut remove_unfinished_snapshots(&db)?);
    identity::check_present(known, &db)?;
    let disk = Disk::open(&db, options).map_err(|error| error.of(&db))?;
    let (identity, id) = identify(root, &disk, known)?;
    disk.identify(identity);
    // Its own files are synced; that they are in the directory is to last, too.
    let synced = fs::File::open(root).and_then(|root| root.sync_all());
    synced.map_err(|error| OpenError::io(root, error))?;
    Ok(DataDir {
        disk,
        id,
        components,
        lock,
        notes,
    })
}

/// See that the database is the one that was left here, or say which one it is from now on.
fn identify(root: &Path, disk: &Disk, known: Option<Known>) -> Result<(Identity, u64), OpenError> {
    let db = root.join("db");
    let failed = |error: StoreError| OpenError::Damaged {
        path: db.clone(),
        reason: error.to_string(),
    };
    let stored = disk.view().row(&keys::store_id(), keys::decode_number);
    let (stored, writes) = (stored.map_err(failed)?, disk.number());
    if let Some(known) = known {
        identity::check(known, &db, stored, writes)?;
    }
    let id = match (stored, known) {
        (Some(id), _) | (None, Some(Known { id, .. })) => id,
        (None, None) => new_id(),
    };
    let identity = match known {
        Some(_) => Identity::open(root)?,
        None => Identity::write(root, Known { id, writes })?,
    };
    if stored.is_none() {
        store_id(disk, id).map_err(failed)?;
    }
    let noted = identity.reached(disk.number());
    noted.map_err(|error| OpenError::io(root, error))?;
    Ok((identity, id))
}

/// The standard library's hash keys are the randomness of the operating system.
fn new_id() -> u64 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id())
}

fn write_format(path: &Path) -> Result<(), OpenError> {
    let text = format!("tidegate data directory, format {FORMAT}\n");
    write_atomically(path, text.as_bytes()).map_err(|error| OpenError::io(path, error))
}

/// The format of the directory; `None` for one that is empty as yet.
fn read_format(root: &Path, path: &Path) -> Result<Option<u32>, OpenError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return if is_empty(root)? {
                Ok(None)
            } else {
                Err(OpenError::NotADataDirectory {
                    path: root.to_owned(),
                })
            };
        }
        Err(error) => return Err(OpenError::io(path, error)),
    };
    let number = text.trim().strip_prefix("tidegate data directory, format ");
    let found = number
        .and_then(|number| number.parse::<u32>().ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| {
            let reason = "it should say `tidegate data directory, format N`".into();
            OpenError::Damaged {
                path: path.to_owned(),
                reason,
            }
        })?;
    let supported = FORMAT;
    match found == supported {
        true => Ok(Some(found)),
        false => Err(OpenError::OtherFormat { found, supported }),
    }
}

/// Whether nothing is there but what an opening that was cut short leaves.
fn is_empty(root: &Path) -> Result<bool, OpenError> {
    for entry in fs::read_dir(root).map_err(|error| OpenError::io(root, error))? {
        let name = entry
            .map_err(|error| OpenError::io(root, error))?
            .file_name();
        let name = name.to_string_lossy();
        if name != "lock" && !(name.starts_with("format.") && name.ends_with(".tmp")) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How long a lock that somebody has is waited for. A process that another thread is just starting
/// has copies of this process's files, and so of its locks, until it runs its own program.
const LOCK_PATIENCE: Duration = Duration::from_millis(250);

/// Try until it works, fails otherwise than for a lock, or has taken too long.
pub(crate) fn patiently<T, E>(
    patience: Duration,
    attempt: impl Fn() -> Result<T, E>,
    is_locked: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let started = Instant::now();
    loop {
        match attempt() {
            Err(error) if is_locked(&error) && started.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(2));
            }
            result => return result,
        }
    }
}

/// Take the lock file, and write into it who has it.
fn lock(path: &Path) -> Result<File, OpenError> {
    let failed = |error| OpenError::io(path, error);
    let options = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        // Whoever may open it may lock it.
        .mode(0o600)
        .open(path);
    let mut file = options.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Whoever has the lock may just be writing its pid.
            let _ = file.read_to_string(&mut pid);
            return Err(OpenError::InUse {
                pid: pid.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

/// sled takes a `snap.*.generating` that a kill left behind for a snapshot, and then finds it
/// corrupt. Such files are never needed: a finished one has been renamed.
fn remove_unfinished_snapshots(db: &Path) -> Result<Vec<String>, OpenError> {
    let mut notes = Vec::new();
    let entries = match fs::read_dir(db) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(notes),
        Err(error) => return Err(OpenError::io(db, error)),
    };
    for entry in entries {
        let path = entry.map_err(|error| OpenError::io(db, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(&path).map_err(|error| OpenError::io(&path, error))?;
            notes.push(format!(
                "removed {name}, which an interrupted start had left behind"
            ));
        }
    }
    Ok(notes)
}

/// Give a new store its id: cursors of another store are told by it.
fn store_id(disk: &Disk, id: u64) -> Result<(), StoreError> {
    let key = keys::store_id();
    let mut writes = Writes::default();
    writes.put_new(key.clone(), &keys::encode_number(id));
    disk.apply(writes)?;
    disk.flush()?;
    match disk.view().row(&key, keys::decode_number)? {
        Some(stored) if stored == id => Ok(()),
        _ => Err(damaged(
            key.as_ref(),
            Corrupt("what was just written is not there"),
        )),
    }
}
