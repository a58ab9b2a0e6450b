//! The rules that no compiler checks: floors, sizes, what is written twice, and words that must not be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends by panicking, helpers included"
)]

mod advice;
mod code;
mod documents;
mod limits;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below these folders whose name ends so, relative to the checkout.
fn files(folders: &[&str], ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if path.is_dir() && !path.ends_with("target") && !is_hidden {
                left.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    assert!(!found.is_empty(), "no *{ending} below {folders:?}");
    found.sort();
    found
}

/// The code of all crates, without what tools have written.
fn code() -> Vec<PathBuf> {
    let mut code = files(
        &["benches", "host", "plugin-sdk", "plugins", "tests"],
        ".rs",
    );
    code.retain(|file| !read(file).starts_with("// Generated"));
    code
}

fn documents() -> Vec<PathBuf> {
    files(&["."], ".md")
}
