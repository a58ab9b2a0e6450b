//! The real plugins, compiled by the binary under test.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use super::cli::tidegate;
use super::root;

/// Where a plugin's component is. Compiled once in this process; cargo, which `tidegate build`
/// calls, keeps other processes from doing the same at the same time.
#[track_caller]
pub fn component(folder: &str) -> PathBuf {
    static BUILT: OnceLock<Mutex<HashMap<String, Arc<OnceLock<PathBuf>>>>> = OnceLock::new();
    let built = BUILT.get_or_init(Mutex::default);
    let one = Arc::clone(built.lock().unwrap().entry(folder.to_owned()).or_default());
    one.get_or_init(|| {
        let listing = tidegate("build --json")
            .compiles()
            .arg(root().join(folder))
            .ok()
            .json();
        PathBuf::from(listing["file"].as_str().unwrap())
    })
    .clone()
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

pub fn kinto() -> PathBuf {
    component("plugins/kinto")
}

pub fn hostile() -> PathBuf {
    component("tests/plugins/hostile")
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
