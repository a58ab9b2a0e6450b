//! The write-ahead log's file: a group of commands is durable by one write and one sync.
//!
//! sled writes its log through a thread of its own, page by page, and needs two waits for the disk; that
//! takes two to three times as long. So what commands write goes here first, and into sled later, many
//! groups at once. The file has a fixed size: when it is full, sled's own file is synced, and the log
//! begins anew at its start. `layout::wal` has what is in it.

use std::fs::File;
use std::io::{Error, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The file grows by so many zeros: writing into blocks that are there already needs no change of the file
/// system's own records, which a sync would have to wait for.
const GROWTH: u64 = 256 * 1024;

#[derive(Debug)]
pub(super) struct Wal {
    file: File,
    /// Where the next record goes.
    at: u64,
    /// Bytes of the file that have been written.
    len: u64,
    /// It becomes no longer than this.
    max: u64,
}

impl Wal {
    /// Open or make the log; returns what is in it, too.
    pub(super) fn open(path: &Path, max: u64) -> Result<(Self, Vec<u8>), Error> {
        let is_new = !path.exists();
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path)?;
        if let (true, Some(directory)) = (is_new, path.parent()) {
            File::open(directory)?.sync_all()?;
        }
        let mut found = Vec::new();
        file.read_to_end(&mut found)?;
        let wal = Self {
            file,
            at: 0,
            len: found.len() as u64,
            max,
        };
        Ok((wal, found))
    }

    /// Whether there is room for a record of `len` bytes before the log has to begin anew.
    pub(super) fn fits(&self, len: usize) -> bool {
        self.at + len as u64 <= self.max
    }

    /// Write a record, and wait until it is on disk.
    pub(super) fn append(&mut self, record: &[u8]) -> Result<(), Error> {
        let end = self.at + record.len() as u64;
        if end > self.len {
            let grown = end.next_multiple_of(GROWTH).min(self.max.max(end));
            let zeros = vec![0; usize::try_from(grown - self.len).unwrap_or_default()];
            self.file.write_all_at(&zeros, self.len)?;
            self.len = grown;
        }
        self.file.write_all_at(record, self.at)?;
        self.file.sync_data()?;
        self.at = end;
        Ok(())
    }

    /// Begin anew: the database has everything that is in it, on disk.
    pub(super) fn rewind(&mut self) {
        self.at = 0;
    }

    /// Bytes on disk.
    pub(super) fn len(&self) -> u64 {
        self.len
    }
}
