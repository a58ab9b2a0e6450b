//! The real plugins, compiled by the binary under test.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use super::cli::tidegate;
use super::{kept, root};

/// Where the component of the crate in this folder is. Each is compiled once in a test run, and one
/// at a time, over all test processes: the first may have to install the target through rustup.
#[track_caller]
pub fn component(folder: &str) -> PathBuf {
    static BUILT: LazyLock<Mutex<HashMap<String, PathBuf>>> = LazyLock::new(Mutex::default);
    // A test that could not build one must not keep others from trying.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(file) = built.get(folder) {
        return file.clone();
    }
    let lock = File::create(kept("plugins").join("lock")).unwrap();
    lock.lock().unwrap();
    let build = tidegate("build --json").arg(root().join(folder));
    let listing = build.compiles().ok().json();
    let file = PathBuf::from(listing["file"].as_str().unwrap());
    built.insert(folder.to_owned(), file.clone());
    file
}

pub fn hello() -> PathBuf {
    component("plugins/hello")
}

pub fn demo_crm() -> PathBuf {
    component("plugins/demo-crm")
}

/// The same plugin in its next version.
pub fn demo_crm_next() -> PathBuf {
    component("tests/plugins/demo-crm-next")
}

pub fn rest() -> PathBuf {
    component("plugins/rest")
}

pub fn push() -> PathBuf {
    component("plugins/push")
}

pub fn kinto() -> PathBuf {
    component("plugins/kinto")
}

pub fn hostile() -> PathBuf {
    component("tests/plugins/hostile")
}

pub fn conformance() -> PathBuf {
    component("tests/plugins/conformance")
}

pub fn chance() -> PathBuf {
    component("tests/plugins/chance")
}

/// A component's bytes with each `old` replaced by `new`, which is as long.
pub fn patched(component: &Path, old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = std::fs::read(component).unwrap();
    let mut places = 0;
    for at in 0..bytes.len().saturating_sub(old.len()) {
        if bytes[at..].starts_with(old.as_bytes()) {
            bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
            places += 1;
        }
    }
    assert!(places > 0, "{} does not hold {old:?}", component.display());
    bytes
}
