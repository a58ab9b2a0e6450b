//! Recording runs: to a file, and to a connection's ring of its last runs.
//!
//! A ring is the folder `cassettes/INTEGRATION/CONNECTION` of the data directory. It is switched on by
//! the file `keep.json` in it, so that the switch outlives restarts, and holds at most so many
//! runs, and at most [`RING_BYTES_MAX`], the oldest going first. Cassettes hold what customers'
//! APIs answered: folders and files are for their owner only.

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use tidegate_engine::ConnectionKey;
use tidegate_engine::command;
use tidegate_engine::run::RunId;

use crate::notice::notice;
use crate::problem::{Problem, Result};

/// Where rings lie in the data directory.
const FOLDER: &str = "cassettes";
/// The switch of a ring.
const SWITCH: &str = "keep.json";
/// Begins the name of a cassette that is being written.
const UNFINISHED: &str = ".recording-";
/// Most bytes of one connection's ring.
pub const RING_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Most runs that a ring may be told to hold.
pub const RING_RUNS_MAX: u32 = 1000;

/// What a ring is told to hold.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Keep {
    /// Its last runs.
    pub runs: u32,
}

/// A cassette in a ring.
#[derive(Debug, Clone)]
pub struct KeptCassette {
    pub key: ConnectionKey,
    pub run: RunId,
    pub bytes: u64,
    pub path: PathBuf,
}

fn failed(path: &Path, error: &std::io::Error) -> Problem {
    Problem::internal(format!("{}: {error}", path.display()))
}

/// One connection's ring.
#[derive(Debug)]
pub struct Ring {
    key: ConnectionKey,
    folder: PathBuf,
}

impl Ring {
    pub fn of(data: &Path, key: &ConnectionKey) -> Self {
        let folder = data
            .join(FOLDER)
            .join(key.integration.as_str())
            .join(key.connection.as_str());
        Self {
            key: key.clone(),
            folder,
        }
    }

    /// What it is told to hold; `None` while it is off.
    pub(crate) fn keep(&self) -> Result<Option<Keep>> {
        let path = self.folder.join(SWITCH);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
                Problem::internal(format!("{}: {error}", path.display())).advise(
                    "switch it on again with",
                    command!(
                        "cassettes on {integration} {connection}",
                        self.key.integration,
                        self.key.connection
                    ),
                )
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    /// Record the connection's runs from now on, or hold another number of them.
    pub fn switch_on(&self, keep: Keep) -> Result<()> {
        create_private(&self.folder).map_err(|error| failed(&self.folder, &error))?;
        let path = self.folder.join(SWITCH);
        let write = || {
            let mut file = NamedTempFile::with_prefix_in(UNFINISHED, &self.folder)?;
            serde_json::to_writer(&mut file, &keep)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|error| failed(&path, &error))?;
        self.shrink(keep)
    }

    /// Record no more. Says whether it did.
    pub fn switch_off(&self) -> Result<bool> {
        let path = self.folder.join(SWITCH);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    /// Remove all its cassettes. Returns how many they were.
    pub fn clear(&self) -> Result<usize> {
        let kept = self.list()?;
        for cassette in &kept {
            remove(&cassette.path)?;
        }
        Ok(kept.len())
    }

    pub(crate) fn key(&self) -> &ConnectionKey {
        &self.key
    }

    /// Remove it with everything in it; it is off then.
    pub(crate) fn erase(&self) -> Result<()> {
        fs::remove_dir_all(&self.folder).map_err(|error| failed(&self.folder, &error))
    }

    /// Its cassettes, oldest first.
    pub(crate) fn list(&self) -> Result<Vec<KeptCassette>> {
        let mut kept = Vec::new();
        for path in entries(&self.folder)? {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let is_cassette = path.extension().is_some_and(|ending| ending == "jsonl");
            let run = stem
                .filter(|_| is_cassette)
                .and_then(|run| run.parse().ok());
            if let Some(run) = run {
                let metadata = fs::metadata(&path).map_err(|error| failed(&path, &error))?;
                kept.push(KeptCassette {
                    key: self.key.clone(),
                    run,
                    bytes: metadata.len(),
                    path,
                });
            }
        }
        kept.sort_by_key(|cassette| cassette.run);
        Ok(kept)
    }

    fn shrink(&self, keep: Keep) -> Result<()> {
        let kept = self.list()?;
        let mut bytes: u64 = 0;
        for (place, cassette) in kept.iter().rev().enumerate() {
            bytes += cassette.bytes;
            if place >= keep.runs as usize || bytes > RING_BYTES_MAX {
                remove(&cassette.path)?;
            }
        }
        Ok(())
    }

    /// What a killed process was writing.
    fn sweep(&self) -> Result<()> {
        let ours = format!("{UNFINISHED}{}-", std::process::id());
        for path in entries(&self.folder)? {
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.starts_with(UNFINISHED) && !name.starts_with(&ours)) {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

/// All rings, those that are off included.
pub(crate) fn rings(data: &Path) -> Result<Vec<Ring>> {
    let mut rings = Vec::new();
    for integration in entries(&data.join(FOLDER))? {
        for folder in entries(&integration)? {
            if let Some(key) = key_of(&folder) {
                rings.push(Ring { key, folder });
            }
        }
    }
    Ok(rings)
}

/// The cassettes of all rings, or of those of an integration or a connection, oldest first.
pub fn list(
    data: &Path,
    integration: Option<&str>,
    connection: Option<&str>,
) -> Result<Vec<KeptCassette>> {
    let mut found = Vec::new();
    for ring in rings(data)? {
        let key = ring.key();
        if integration.is_none_or(|name| name == key.integration.as_str())
            && connection.is_none_or(|name| name == key.connection.as_str())
        {
            found.extend(ring.list()?);
        }
    }
    found.sort_by_key(|cassette| cassette.run);
    Ok(found)
}

/// The cassette of a run, in whichever ring it is.
pub fn find(data: &Path, run: RunId) -> Result<PathBuf> {
    let found = list(data, None, None)?
        .into_iter()
        .find(|cassette| cassette.run == run);
    let found = found.map(|cassette| cassette.path);
    found.ok_or_else(|| {
        Problem::not_found(format!("no cassette of {run} is kept"))
            .advise("list those there are with", command!("cassettes list"))
    })
}

fn key_of(ring: &Path) -> Option<ConnectionKey> {
    let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
    Some(ConnectionKey {
        integration: name(ring.parent()?)?.parse().ok()?,
        connection: name(ring)?.parse().ok()?,
    })
}

/// The entries of a folder; none if it is not there.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    match read() {
        Ok(entries) => Ok(entries),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(folder, &error)),
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(path, &error)),
        _ => Ok(()),
    }
}

fn create_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// A cassette that is being written: to a temporary file beside its place, which it takes when it
/// is whole.
#[derive(Debug)]
pub struct CassetteWriter {
    temporary: NamedTempFile,
    file: Option<PathBuf>,
    ring: Option<(Ring, Keep)>,
}

impl CassetteWriter {
    /// Begin to record a run of a connection, to `file` and to its ring, as far as they are wanted.
    pub(crate) fn begin(
        data: &Path,
        key: &ConnectionKey,
        file: Option<PathBuf>,
    ) -> Result<Option<Self>> {
        let ring = Ring::of(data, key);
        let ring = ring.keep()?.map(|keep| (ring, keep));
        let folder = match (&file, &ring) {
            (Some(file), _) => folder_of(file),
            (None, Some((ring, _))) => {
                ring.sweep()?;
                ring.folder.clone()
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(Self {
            temporary: temporary(&folder)?,
            file,
            ring,
        }))
    }

    /// Begin to write one cassette to `file`.
    pub fn to(file: &Path) -> Result<Self> {
        Ok(Self {
            temporary: temporary(&folder_of(file))?,
            file: Some(file.to_owned()),
            ring: None,
        })
    }

    /// What gets its lines.
    pub(crate) fn sink(&self) -> Result<Box<dyn Write + Send>> {
        let file = self.temporary.as_file().try_clone();
        let file = file.map_err(|error| failed(self.temporary.path(), &error))?;
        Ok(Box::new(BufWriter::new(file)))
    }

    /// Put it in its place. A run that could not be recorded is told of, and is no problem of
    /// the run.
    pub(crate) fn finish(self, run: RunId, recorded: Option<std::result::Result<u64, String>>) {
        let kept = match recorded {
            Some(Ok(_)) => self.keep(run).map_err(|problem| problem.to_string()),
            Some(Err(reason)) => Err(reason),
            None => Err("nothing was written".to_owned()),
        };
        if let Err(reason) = kept {
            notice(format!("{run} is not recorded: {reason}"));
        }
    }

    fn keep(self, run: RunId) -> Result<()> {
        let path = self.temporary.path().to_owned();
        if let Some((ring, keep)) = &self.ring {
            let place = ring.folder.join(format!("{run}.jsonl"));
            if self.file.is_some() {
                let copy = temporary(&ring.folder)?;
                fs::copy(&path, copy.path()).map_err(|error| failed(&place, &error))?;
                persist(copy, &place)?;
            } else {
                persist(self.temporary, &place)?;
                return ring.shrink(*keep);
            }
            ring.shrink(*keep)?;
        }
        match &self.file {
            Some(file) => persist(self.temporary, file),
            None => Ok(()),
        }
    }
}

fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn temporary(folder: &Path) -> Result<NamedTempFile> {
    let prefix = format!("{UNFINISHED}{}-", std::process::id());
    NamedTempFile::with_prefix_in(prefix, folder).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Problem::not_found(format!(
            "the folder {} is not there; the cassette would go there",
            folder.display()
        )),
        _ => failed(folder, &error),
    })
}

fn persist(temporary: NamedTempFile, place: &Path) -> Result<()> {
    let kept = temporary.persist(place);
    kept.map(|_: File| ())
        .map_err(|error| failed(place, &error.error))
}
