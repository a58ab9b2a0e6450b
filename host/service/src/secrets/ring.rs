//! The master keys at hand: the one in use, and while keys are rotated the next one too.
//!
//! The key in use is that of `TIDEGATE_MASTER_KEY`, or of the file that `TIDEGATE_MASTER_KEY_FILE`
//! names, or of `master.key` in the data directory. The next one is that of
//! `TIDEGATE_MASTER_KEY_NEXT` beside the first, and of the file with `.next` after its name beside
//! the others; it takes the other's place when everything is sealed under it.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tidegate_engine::command;
use zeroize::Zeroizing;

use super::SecretMap;
use super::seal::{self, KeyId, MasterKey, Owner, UnsealError};
use crate::notice::notice;
use crate::problem::{Kind, Problem, Result};

/// Base64 of 32 bytes.
pub const VARIABLE: &str = "TIDEGATE_MASTER_KEY";
pub const VARIABLE_NEXT: &str = "TIDEGATE_MASTER_KEY_NEXT";
/// A path.
const VARIABLE_FILE: &str = "TIDEGATE_MASTER_KEY_FILE";
const FILE: &str = "master.key";

/// Where the key in use is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The environment: [`VARIABLE`], and [`VARIABLE_NEXT`] for the next one.
    Environment,
    File(PathBuf),
}

impl Place {
    /// Where the next key is kept.
    pub(crate) fn next(&self) -> String {
        match self {
            Self::Environment => VARIABLE_NEXT.to_owned(),
            Self::File(path) => beside(path).display().to_string(),
        }
    }

    /// Without its folder: a problem may go to who should not know this machine.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Environment => VARIABLE.to_owned(),
            Self::File(path) => name_of(path),
        }
    }

    /// The same of the place of the next key.
    pub(crate) fn next_name(&self) -> String {
        match self {
            Self::Environment => VARIABLE_NEXT.to_owned(),
            Self::File(path) => name_of(&beside(path)),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str(VARIABLE),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The master keys at hand.
#[derive(Debug, Clone)]
pub(crate) struct KeyRing {
    place: Place,
    current: Option<MasterKey>,
    next: Option<MasterKey>,
}

impl KeyRing {
    /// Find the keys. Makes none, and changes nothing.
    pub(crate) fn load(data: &Path) -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let decode = |name: &str, text: String| decode(name, &Zeroizing::new(text));
        match (variable(VARIABLE), variable(VARIABLE_FILE)) {
            (Some(_), Some(_)) => Err(Problem::new(
                Kind::Secrets,
                format!(
                    "{VARIABLE} and {VARIABLE_FILE} are both set: which one is it? Unset the other"
                ),
            )),
            (Some(text), None) => {
                let next = variable(VARIABLE_NEXT);
                Ok(Self {
                    place: Place::Environment,
                    current: Some(decode(VARIABLE, text)?),
                    next: next.map(|text| decode(VARIABLE_NEXT, text)).transpose()?,
                })
            }
            (None, named) => {
                let is_named = named.is_some();
                let path = named.map_or_else(|| data.join(FILE), PathBuf::from);
                let (current, next) = (read(&path)?, read(&beside(&path))?);
                if is_named && current.is_none() {
                    let message = format!("{VARIABLE_FILE}: {}: no such file", name_of(&path));
                    return Err(Problem::new(Kind::Secrets, message));
                }
                Ok(Self {
                    place: Place::File(path),
                    current,
                    next,
                })
            }
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The key in use.
    pub(crate) fn current(&self) -> Option<&MasterKey> {
        self.current.as_ref()
    }

    /// The key that a rotation which is not finished puts in its place.
    pub(crate) fn next(&self) -> Option<&MasterKey> {
        self.next.as_ref()
    }

    pub(crate) fn keys(&self) -> Vec<&MasterKey> {
        self.current.iter().chain(&self.next).collect()
    }

    /// The key that seals: during a rotation the next one, so that nothing new is left to re-wrap.
    pub(crate) fn sealing(&self) -> Option<&MasterKey> {
        self.next.as_ref().or(self.current.as_ref())
    }

    /// Make a key in the data directory, where nothing is sealed and no other is named.
    pub(crate) fn create(&mut self) -> Result<()> {
        if let Place::File(path) = &self.place {
            let key = MasterKey::generate()?;
            write(path, &key)?;
            notice(format!(
                "note: made the key {} that seals credentials; back it up apart from the data, or set {VARIABLE} or \
                 {VARIABLE_FILE}",
                path.display()
            ));
            self.current = Some(key);
        }
        Ok(())
    }

    /// Keep the key that a rotation is going to; from here on both are known, whatever happens.
    pub(crate) fn keep_next(&mut self, key: MasterKey) -> Result<()> {
        if let Place::File(path) = &self.place {
            write(&beside(path), &key)?;
        }
        self.next = Some(key);
        Ok(())
    }

    /// Everything is sealed under the next key: it is the one in use now.
    pub(crate) fn finish(&mut self) -> Result<()> {
        if let Place::File(path) = &self.place {
            let renamed = fs::rename(beside(path), path).and_then(|()| sync_folder(path));
            renamed.map_err(|error| file_problem(path, &error))?;
        }
        self.current = self.next.take();
        Ok(())
    }

    /// Open somebody's secrets, a connection's for the origin of its base URL.
    pub(crate) fn open<'a>(
        &self,
        owner: impl Into<Owner<'a>>,
        origin: &str,
        sealed: &[u8],
    ) -> Result<SecretMap> {
        let owner = owner.into();
        let opened = seal::open(&self.keys(), owner, origin, sealed);
        opened.map_err(|unopened| self.problem(owner, unopened))
    }

    /// Why somebody's secrets can't be opened, and what to do.
    pub(crate) fn problem<'a>(
        &self,
        owner: impl Into<Owner<'a>>,
        unopened: UnsealError,
    ) -> Problem {
        let here = self.shown();
        let (whose, again) = match owner.into() {
            Owner::Connection(key) => (
                format!("credentials of connection {key}"),
                command!(
                    "connections update {integration} {connection} --secret KEY=…",
                    key.integration,
                    key.connection
                ),
            ),
            Owner::Endpoint(id) => (
                format!("signing secrets of endpoint {id}"),
                command!("webhooks rotate-secret {endpoint} --now", id),
            ),
        };
        let (why, hint) = match (unopened, self.current.is_some()) {
            (UnsealError::OtherKey(id), true) => (
                format!("wrong master key: they are sealed under {id}, and {here}"),
                format!("use the key {id}, or give the credentials anew: {again}"),
            ),
            (UnsealError::OtherKey(id), false) => (
                format!("the master key {id} is missing: {here}"),
                format!("put it back, or set {VARIABLE} or {VARIABLE_FILE}"),
            ),
            (UnsealError::OtherOrigin(origin), _) => (
                format!(
                    "they were given for {origin}, and the connection's base URL is another one now"
                ),
                format!("if they may go there, give them anew: {again}"),
            ),
            (UnsealError::Damaged, _) => (
                "they are damaged; others' are not concerned".to_owned(),
                format!("give them anew: {again}"),
            ),
        };
        let message = format!("the {whose} can't be opened: {why}");
        Problem::new(Kind::Secrets, message).hint(hint)
    }

    /// The keys at hand, for people: `TIDEGATE_MASTER_KEY is 0f…`.
    fn shown(&self) -> String {
        let shown = |place: &str, id: KeyId| format!("{place} is {id}");
        let current = self.current();
        let current = current.map(|key| shown(&self.place.name(), key.id()));
        let next = self.next();
        let next = next.map(|key| shown(&self.place.next_name(), key.id()));
        let found: Vec<String> = current.into_iter().chain(next).collect();
        match found.is_empty() {
            true => format!("there is no {}", self.place.name()),
            false => found.join(", "),
        }
    }
}

/// Where the next key is while this one is in use.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    PathBuf::from(name)
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The key in the environment or in a file, `name`: what is none there is the operator's to mend.
fn decode(name: &str, text: &str) -> Result<MasterKey> {
    MasterKey::decode(text).map_err(|problem| Problem::new(Kind::Secrets, problem.at(name).message))
}

fn read(path: &Path) -> Result<Option<MasterKey>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file_problem(path, &error)),
    };
    if let Ok(metadata) = fs::metadata(path)
        && metadata.permissions().mode() & 0o077 != 0
    {
        notice(format!(
            "warning: {} is the master key, and others than its owner may use it (mode {:o}); chmod 600 it",
            path.display(),
            metadata.permissions().mode() & 0o777
        ));
    }
    decode(&name_of(path), &text).map(Some)
}

/// Write a key file that was not there, whole or not at all, for its owner only.
fn write(path: &Path, key: &MasterKey) -> Result<()> {
    let folder = folder_of(path);
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        writeln!(file, "{}", key.text().as_str())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path).map_err(|error| error.error)?;
        sync_folder(path)
    };
    write().map_err(|error| file_problem(path, &error))
}

/// A new name is on disk once its folder is.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    fs::File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn file_problem(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(Kind::DataDirectory, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_private_whole_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut ring = KeyRing {
            place: Place::File(path.clone()),
            current: None,
            next: None,
        };
        ring.create().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        let id = |path: &Path| read(path).unwrap().map(|key| key.id());
        assert_eq!(id(&path), ring.current().map(MasterKey::id));
        assert!(ring.create().is_err(), "a key is never written over");

        let next = MasterKey::generate().unwrap();
        ring.keep_next(next.clone()).unwrap();
        assert_eq!(ring.sealing().map(MasterKey::id), Some(next.id()));
        assert_eq!(
            (id(&beside(&path)), mode(&beside(&path))),
            (Some(next.id()), 0o600)
        );
        ring.finish().unwrap();
        assert_eq!((id(&path), id(&beside(&path))), (Some(next.id()), None));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
