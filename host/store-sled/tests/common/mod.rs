//! What the tests of the sled store share: opening one, and looking behind it.

// Each test program uses a part of this.
#![allow(dead_code, unreachable_pub)]

use std::path::Path;

pub use tidegate_store_conformance::fixtures::*;
use tidegate_store_sled::{Options, SledStore};

pub fn open(root: &Path) -> SledStore {
    SledStore::open(root, Options::default()).unwrap()
}

/// sled's own database of a store that was closed, once sled's threads of whoever had it have let go of
/// its lock.
#[allow(dead_code, reason = "not every test file looks behind the store")]
pub fn sled_of(root: &Path) -> sled::Db {
    let path = root.join("db");
    let file = std::fs::File::open(path.join("db")).unwrap();
    file.lock().unwrap();
    // It would keep sled out.
    drop(file);
    let config = sled::Config::new().path(&path).flush_every_ms(None);
    config.open().unwrap()
}
