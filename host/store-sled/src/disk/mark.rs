//! How far the writes on disk have come, noted outside the database.

use tidegate_engine::StoreError;

use super::{Disk, io_failed};
use crate::identity::Identity;

impl Disk {
    /// Note there from now on how far the writes on disk have come.
    pub(crate) fn identify(&self, identity: Identity) {
        // A database is opened once.
        let _ = self.identity.set(identity);
    }

    /// The number of the last write.
    pub(crate) fn number(&self) -> u64 {
        self.look().number
    }

    /// All writes up to this one are on disk.
    pub(super) fn note(&self, number: u64) -> Result<(), StoreError> {
        match self.identity.get() {
            Some(identity) => identity.reached(number).map_err(|error| io_failed(&error)),
            None => Ok(()),
        }
    }
}
