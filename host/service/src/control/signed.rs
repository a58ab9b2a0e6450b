//! Who signed a component: kept when it is deployed with a signature, for those who deploy it again
//! without the file.
//!
//! A component is its digest, so a signature of it stays one. It is this machine's word: exports don't
//! carry it, and an import believes nobody else's.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tidegate_engine::command;
use tidegate_engine::integration::Digest;

use super::local::Local;
use crate::problem::{Kind, Problem, Result};

/// Where they lie in the data directory.
const FOLDER: &str = "signatures";

/// Who signed a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The trusted key, as the operator gave it.
    pub key: String,
    /// What the signer said about the file; signed with it.
    pub comment: String,
}

impl Local {
    /// Deploy nothing that nobody signed. For `serve`, before it begins.
    pub fn require_signatures(&mut self, required: bool) {
        self.signatures_only = required;
    }
}

fn place(local: &Local, digest: Digest) -> PathBuf {
    local.data.join(FOLDER).join(format!("{digest}.json"))
}

/// Keep who signed a component.
pub(super) fn keep(local: &Local, digest: Digest, signature: &Signature) -> Result<()> {
    let place = place(local, digest);
    let failed = |error: std::io::Error| Problem::internal(error).at(place.display());
    let text = serde_json::to_vec(signature).map_err(Problem::internal)?;
    let folder = local.data.join(FOLDER);
    fs::create_dir_all(&folder).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(&folder).map_err(failed)?;
    let written = file.write_all(&text);
    let written = written.and_then(|()| file.as_file().sync_all());
    written.map_err(failed)?;
    file.persist(&place)
        .map_err(|error| failed(error.error))
        .map(drop)
}

/// Who signed a component, as far as this data directory knows.
pub(super) fn of(local: &Local, digest: Digest) -> Result<Option<Signature>> {
    let place = place(local, digest);
    match fs::read(&place) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| Problem::internal(error).at(place.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Problem::internal(error).at(place.display())),
    }
}

/// Refuse a component that nobody signed, where signatures are required; `now` is who signed it with
/// this request.
pub(super) fn check(local: &Local, digest: Digest, now: Option<&Signature>) -> Result<()> {
    if !local.signatures_only || now.is_some() || of(local, digest)?.is_some() {
        return Ok(());
    }
    Err(refused(digest))
}

/// What is said of a component that was never deployed with a signature.
pub fn refused(digest: Digest) -> Problem {
    let message = format!(
        "component {digest} was never deployed with a signature here, and a signature is required"
    );
    Problem::new(Kind::Plugin, message).advise(
        "deploy it with its signature first",
        command!("deploy FILE"),
    )
}
