//! Which store a data directory is, and how far it had come: outside its database, so that one that was
//! lost, emptied or put back from an earlier moment is not taken for the one that was left.
//!
//! sled takes an empty or cut file for a new or younger database, and says nothing. The change feed then
//! gives sequences out again that consumers have seen, and they miss what comes under them. So the file
//! `identity` has the store's id, and the number of the last write that is on disk. It is written after
//! that write was synced and not synced itself, so that it costs microseconds, and is never ahead.

use std::fs::{self, File};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::components::write_atomically;
use crate::open::OpenError;

const HEAD: &str = "tidegate store ";
const WRITES: &str = "\nwrites ";
/// Digits of the largest number.
const DIGITS: usize = 20;
const ID_DIGITS: usize = 16;

/// What was found in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: u64,
    /// The number of the last write.
    pub(crate) writes: u64,
}

impl Known {
    fn text(self) -> String {
        format!("{HEAD}{:016x}{WRITES}{:020}\n", self.id, self.writes)
    }

    fn parse(text: &str) -> Option<Self> {
        let (id, writes) = text.strip_prefix(HEAD)?.split_once(WRITES)?;
        Some(Self {
            id: u64::from_str_radix(id, 16).ok()?,
            writes: writes.trim_end().parse().ok()?,
        })
    }
}

/// The file, open to be written.
#[derive(Debug)]
pub(crate) struct Identity(File);

fn place(root: &Path) -> PathBuf {
    root.join("identity")
}

/// Read the file of a data directory; `None` if there is none yet.
pub(crate) fn read(root: &Path) -> Result<Option<Known>, OpenError> {
    let path = place(root);
    match fs::read_to_string(&path) {
        Ok(text) => match Known::parse(&text) {
            Some(known) => Ok(Some(known)),
            None => Err(OpenError::Damaged {
                path,
                reason: "it should say which store this is, and how many writes it has".into(),
            }),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::io(&path, error)),
    }
}

impl Identity {
    /// Make the file.
    pub(crate) fn write(root: &Path, known: Known) -> Result<Self, OpenError> {
        let path = place(root);
        let written = write_atomically(&path, known.text().as_bytes());
        written.map_err(|error| OpenError::io(&path, error))?;
        Self::open(root)
    }

    /// Open the file that is there.
    pub(crate) fn open(root: &Path) -> Result<Self, OpenError> {
        let path = place(root);
        let file = File::options().write(true).open(&path);
        file.map(Self).map_err(|error| OpenError::io(&path, error))
    }

    /// A write is on disk.
    pub(crate) fn reached(&self, writes: u64) -> Result<(), Error> {
        let at = (HEAD.len() + ID_DIGITS + WRITES.len()) as u64;
        let digits = format!("{writes:0DIGITS$}");
        self.0.write_all_at(digits.as_bytes(), at)
    }
}

/// Before a database is opened, which makes one where there is none: whether it is there.
pub(crate) fn check_present(known: Option<Known>, db: &Path) -> Result<(), OpenError> {
    let Some(Known { writes: 1.., .. }) = known else {
        return Ok(());
    };
    let file = db.join("db");
    match fs::metadata(&file) {
        Ok(metadata) if metadata.len() > 0 => Ok(()),
        Ok(_) => Err(lost(&file, "it is empty, and this directory was used")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(lost(&file, "it is gone, and this directory was used"))
        }
        Err(error) => Err(OpenError::io(&file, error)),
    }
}

/// Whether a database is the one that was left: its id, if it has one, and the number of its last write.
pub(crate) fn check(
    known: Known,
    db: &Path,
    id: Option<u64>,
    writes: u64,
) -> Result<(), OpenError> {
    match id {
        Some(id) if id != known.id => Err(lost(
            db,
            "it is that of another store than the file identity says",
        )),
        None if known.writes > 0 => Err(lost(db, "nothing is in it, and this directory was used")),
        _ if writes < known.writes => Err(lost(
            db,
            &format!(
                "it ends with write {writes}, and had come to {} before: it or its log was put back from an \
                 earlier moment, or lost its end, and consumers have seen more of the feeds than it has. To go \
                 back to it all the same, remove the file identity and have consumers read anew",
                known.writes
            ),
        )),
        _ => Ok(()),
    }
}

fn lost(path: &Path, reason: &str) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_and_further() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let known = |writes| Known { id: 0xabc, writes };
        let file = Identity::write(dir.path(), known(7)).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(known(7)));
        for writes in [8, 1_000, u64::MAX] {
            file.reached(writes).unwrap();
            assert_eq!(read(dir.path()).unwrap(), Some(known(writes)));
        }
        for text in [
            "",
            "tidegate store x\nwrites 1\n",
            "tidegate store 1\nwrites\n",
        ] {
            fs::write(place(dir.path()), text).unwrap();
            assert!(
                matches!(read(dir.path()), Err(OpenError::Damaged { .. })),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_database_that_is_not_the_one_that_was_left_is_told() {
        let known = Known { id: 1, writes: 5 };
        let check = |id, writes| check(known, Path::new("db"), id, writes);
        assert!(check(Some(1), 5).is_ok() && check(Some(1), 9).is_ok());
        for (id, writes, says) in [
            (Some(2), 9, "another store"),
            (None, 0, "nothing is in it"),
            (Some(1), 4, "ends with write 4"),
        ] {
            let error = check(id, writes).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
