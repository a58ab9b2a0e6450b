//! A plugin's crate, found.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tidegate_engine::command;
use tidegate_service::problem::{Kind, Problem, Result};

use super::toolchain;

/// A crate with a library that becomes a component.
#[derive(Debug)]
pub(crate) struct Package {
    pub(super) name: String,
    /// As cargo's messages name it.
    pub(super) id: String,
    pub(super) manifest: PathBuf,
    pub(super) folder: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<PackageInfo>,
}

#[derive(Debug, Deserialize)]
struct PackageInfo {
    name: String,
    id: String,
    manifest_path: PathBuf,
    targets: Vec<TargetInfo>,
}

/// A target of a package, as cargo describes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TargetInfo {
    /// A library's crate types; `bin`, `example` and so on for others.
    kind: Vec<String>,
}

impl TargetInfo {
    pub(super) fn is_component(&self) -> bool {
        self.kind.iter().any(|kind| kind == "cdylib")
    }

    fn is_library(&self) -> bool {
        self.kind
            .iter()
            .any(|kind| kind.ends_with("lib") || kind == "proc-macro")
    }
}

impl Package {
    /// The crate at `path`: its folder or its Cargo.toml.
    pub(crate) async fn find(path: &Path) -> Result<Self> {
        let manifest = manifest_of(path)?;
        let folder = manifest.parent().unwrap_or(Path::new("/")).to_owned();
        let mut cargo = toolchain::tool("cargo", &folder);
        cargo
            .args([
                "metadata",
                "--no-deps",
                "--format-version",
                "1",
                "--manifest-path",
            ])
            .arg(&manifest);
        let printed = toolchain::capture(&mut cargo).await?;
        if !printed.status.success() {
            let said = String::from_utf8_lossy(&printed.stderr);
            return Err(Problem::new(
                Kind::Plugin,
                format!("cargo can't read {}:\n{}", manifest.display(), said.trim()),
            ));
        }
        let metadata: Metadata = serde_json::from_slice(&printed.stdout).map_err(|error| {
            Problem::internal(format!("what `cargo metadata` printed: {error}"))
        })?;
        choose(metadata, &manifest)
    }
}

/// The Cargo.toml that `path` means, absolute.
fn manifest_of(path: &Path) -> Result<PathBuf> {
    let shown = path.display();
    let found = path
        .canonicalize()
        .map_err(|error| Problem::not_found(format!("{shown}: {error}")))?;
    if found.is_dir() {
        let manifest = found.join("Cargo.toml");
        if manifest.is_file() {
            return Ok(manifest);
        }
        let message = format!("{shown} is no crate: it has no Cargo.toml");
        return Err(Problem::not_found(message).advise(
            "give the folder of a plugin's crate; this writes one",
            command!("new NAME"),
        ));
    }
    if found.file_name().is_some_and(|name| name == "Cargo.toml") {
        return Ok(found);
    }
    let message = format!("{shown} is neither a crate's folder nor its Cargo.toml");
    Err(Problem::invalid(message).advise(
        "look at a component with",
        command!("inspect {file}", super::program::path(&found)),
    ))
}

/// The package of this manifest, if it is a plugin's.
fn choose(metadata: Metadata, manifest: &Path) -> Result<Package> {
    let is_ours = |package: &PackageInfo| {
        package.manifest_path == manifest
            || package
                .manifest_path
                .canonicalize()
                .is_ok_and(|path| path == manifest)
    };
    let Some(at) = metadata.packages.iter().position(is_ours) else {
        return Err(no_package(&metadata, manifest));
    };
    let mut packages = metadata.packages;
    let package = packages.swap_remove(at);
    if !package.targets.iter().any(TargetInfo::is_component) {
        return Err(no_component(&package));
    }
    Ok(Package {
        name: package.name,
        id: package.id,
        folder: manifest.parent().unwrap_or(manifest).to_owned(),
        manifest: package.manifest_path,
    })
}

/// The manifest is only a workspace's.
fn no_package(metadata: &Metadata, manifest: &Path) -> Problem {
    let plugins = metadata
        .packages
        .iter()
        .filter(|p| p.targets.iter().any(TargetInfo::is_component));
    let folders: Vec<String> = plugins
        .filter_map(|package| package.manifest_path.parent())
        .map(|folder| folder.display().to_string())
        .collect();
    let message = format!("{} is a workspace, not a crate", manifest.display());
    if folders.is_empty() {
        return Problem::invalid(message).hint("give the folder of a plugin's crate");
    }
    Problem::invalid(message).hint(format!(
        "give one of its plugins' folders: {}",
        folders.join(", ")
    ))
}

/// The package has no library, or one that doesn't become a component.
fn no_component(package: &PackageInfo) -> Problem {
    let manifest = package.manifest_path.display();
    let (lacks, first) = if package.targets.iter().any(TargetInfo::is_library) {
        ("its library is not compiled to a component", "add")
    } else {
        (
            "it has no library",
            "move the plugin's code to src/lib.rs, and add",
        )
    };
    Problem::new(
        Kind::Plugin,
        format!("{} can't become a plugin: {lacks}", package.name),
    )
    .hint(format!(
        "{first} to {manifest}:\n\n    [lib]\n    crate-type = [\"cdylib\", \"rlib\"]\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_taught() {
        let packages = |kinds: &[&str]| Metadata {
            packages: vec![PackageInfo {
                name: "my-sync".to_owned(),
                id: "id".to_owned(),
                manifest_path: "/x/my-sync/Cargo.toml".into(),
                targets: vec![TargetInfo {
                    kind: kinds.iter().map(|&kind| kind.to_owned()).collect(),
                }],
            }],
        };
        let at = |kinds: &[&str], manifest: &str| choose(packages(kinds), Path::new(manifest));
        assert_eq!(
            at(&["cdylib", "rlib"], "/x/my-sync/Cargo.toml")
                .unwrap()
                .name,
            "my-sync"
        );
        for (kinds, manifest, message) in [
            (
                &["lib"][..],
                "/x/my-sync/Cargo.toml",
                "crate-type = [\"cdylib\", \"rlib\"]",
            ),
            (
                &["lib"],
                "/x/my-sync/Cargo.toml",
                "not compiled to a component",
            ),
            (
                &["bin"],
                "/x/my-sync/Cargo.toml",
                "move the plugin's code to src/lib.rs",
            ),
            (&["cdylib"], "/x/Cargo.toml", "/x/my-sync"),
            (&["bin"], "/x/Cargo.toml", "is a workspace"),
        ] {
            let problem = at(kinds, manifest).unwrap_err().to_string();
            assert!(problem.contains(message), "wanted {message:?} in {problem}");
        }
    }

    #[test]
    fn paths_that_are_no_crate_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.wasm");
        std::fs::write(&file, "").unwrap();
        for (path, kind) in [
            (folder.path().join("nothing"), Kind::NotFound),
            (folder.path().to_owned(), Kind::NotFound),
            (file, Kind::Invalid),
        ] {
            assert_eq!(
                manifest_of(&path).unwrap_err().kind,
                kind,
                "{}",
                path.display()
            );
        }
    }
}
