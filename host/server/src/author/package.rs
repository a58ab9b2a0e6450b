//! A plugin's crate: found, and compiled to a component.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

use super::toolchain::{self, TARGET};
use crate::problem::{Kind, Problem, Result};

/// Passed on the command line, so that a crate needs no profile in its manifest. Measured in
/// `docs/decisions`: small components that load fast, without unwinding, which wasm doesn't do.
const PROFILE: &str = "tidegate-plugin";
const PROFILE_SETTINGS: &[&str] = &[
    "inherits=\"release\"",
    "opt-level=\"s\"",
    "lto=true",
    "codegen-units=1",
    "panic=\"abort\"",
    "strip=true",
];

/// Lines of cargo's output that are kept for an error.
const TAIL_LINES: usize = 60;

/// Who sees cargo's own output.
#[derive(Clone, Copy)]
pub(crate) enum Echo<'a> {
    /// It goes to stderr as it is.
    Stderr,
    /// Each line goes to this function, and the last ones into the error if there is one.
    Lines(&'a (dyn Fn(&str) + Sync)),
}

/// A crate with a library that becomes a component.
#[derive(Debug)]
pub(crate) struct Package {
    name: String,
    id: String,
    manifest: PathBuf,
    folder: PathBuf,
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

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TargetInfo {
    /// A library's crate types; `bin`, `example` and so on for others.
    kind: Vec<String>,
}

impl TargetInfo {
    fn is_component(&self) -> bool {
        self.kind.iter().any(|kind| kind == "cdylib")
    }

    fn is_library(&self) -> bool {
        self.kind.iter().any(|kind| kind.ends_with("lib") || kind == "proc-macro")
    }
}

/// A line of cargo's messages, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    package_id: String,
    #[serde(default)]
    target: TargetInfo,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

impl Package {
    /// The crate at `path`: its folder or its Cargo.toml.
    pub(crate) async fn find(path: &Path) -> Result<Self> {
        let manifest = manifest_of(path)?;
        let folder = manifest.parent().unwrap_or(Path::new("/")).to_owned();
        let mut cargo = toolchain::tool("cargo", &folder);
        cargo.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(&manifest);
        let printed = toolchain::capture(&mut cargo).await?;
        if !printed.status.success() {
            let said = String::from_utf8_lossy(&printed.stderr);
            return Err(Problem::new(Kind::Plugin, format!("cargo can't read {}:\n{}", manifest.display(), said.trim())));
        }
        let metadata: Metadata = serde_json::from_slice(&printed.stdout)
            .map_err(|error| Problem::internal(format!("what `cargo metadata` printed: {error}")))?;
        choose(metadata, &manifest)
    }

    /// Compile the crate to a component. Returns where cargo put it.
    pub(crate) async fn compile(&self, echo: Echo<'_>) -> Result<PathBuf> {
        toolchain::ensure_target(&self.folder).await?;
        let mut cargo = toolchain::tool("cargo", &self.folder);
        // Only the component: with an `rlib` beside it, cargo would leave out `lto`.
        cargo.args(["rustc", "--lib", "--crate-type", "cdylib", "--target", TARGET, "--profile", PROFILE]);
        cargo.arg("--message-format=json-render-diagnostics").arg("--manifest-path").arg(&self.manifest);
        for setting in PROFILE_SETTINGS {
            cargo.arg("--config").arg(format!("profile.{PROFILE}.{setting}"));
        }
        cargo.stdout(Stdio::piped());
        if let Echo::Lines(_) = echo {
            cargo.stderr(Stdio::piped());
        }
        let mut running = cargo.spawn().map_err(|error| toolchain::not_started(&cargo, &error))?;
        let (stdout, stderr) = (running.stdout.take(), running.stderr.take());
        let mut component = None;
        let mut tail = VecDeque::new();
        let messages = each_line(stdout, |line| {
            if let Some(file) = artifact(line, &self.id) {
                component = Some(file);
            }
        });
        let progress = each_line(stderr, |line| {
            if let Echo::Lines(show) = echo {
                show(line);
            }
            if tail.len() == TAIL_LINES {
                tail.pop_front();
            }
            tail.push_back(line.to_owned());
        });
        let (messages, progress) = tokio::join!(messages, progress);
        let status = running.wait().await;
        let lost = |error| Problem::internal(format!("what cargo printed: {error}"));
        messages.map_err(lost)?;
        progress.map_err(lost)?;
        let status = status.map_err(lost)?;
        if !status.success() {
            return Err(self.not_compiled(tail));
        }
        component.ok_or_else(|| {
            Problem::internal(format!("cargo built {} and named no .wasm file of it", self.name))
        })
    }

    fn not_compiled(&self, tail: VecDeque<String>) -> Problem {
        let mut message = format!("{} does not compile", self.manifest.display());
        if tail.is_empty() {
            message.push_str("; cargo's messages are above");
        }
        for line in tail {
            message.push_str("\n  ");
            message.push_str(&line);
        }
        Problem::new(Kind::Plugin, message)
    }
}

/// The Cargo.toml that `path` means, absolute.
fn manifest_of(path: &Path) -> Result<PathBuf> {
    let shown = path.display();
    let found = path.canonicalize().map_err(|error| Problem::not_found(format!("{shown}: {error}")))?;
    if found.is_dir() {
        let manifest = found.join("Cargo.toml");
        if manifest.is_file() {
            return Ok(manifest);
        }
        let message = format!("{shown} is no crate: it has no Cargo.toml");
        return Err(Problem::not_found(message)
            .hint("give the folder of a plugin's crate; `tidegate new NAME` writes one"));
    }
    if found.file_name().is_some_and(|name| name == "Cargo.toml") {
        return Ok(found);
    }
    let message = format!("{shown} is neither a crate's folder nor its Cargo.toml");
    Err(Problem::invalid(message).hint("to look at a component, use `tidegate inspect FILE.wasm`"))
}

/// The package of this manifest, if it is a plugin's.
fn choose(metadata: Metadata, manifest: &Path) -> Result<Package> {
    let is_ours = |package: &PackageInfo| {
        package.manifest_path == manifest
            || package.manifest_path.canonicalize().is_ok_and(|path| path == manifest)
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
    let plugins = metadata.packages.iter().filter(|p| p.targets.iter().any(TargetInfo::is_component));
    let folders: Vec<String> = plugins
        .filter_map(|package| package.manifest_path.parent())
        .map(|folder| folder.display().to_string())
        .collect();
    let message = format!("{} is a workspace, not a crate", manifest.display());
    if folders.is_empty() {
        return Problem::invalid(message).hint("give the folder of a plugin's crate");
    }
    Problem::invalid(message).hint(format!("give one of its plugins' folders: {}", folders.join(", ")))
}

/// The package has no library, or one that doesn't become a component.
fn no_component(package: &PackageInfo) -> Problem {
    let manifest = package.manifest_path.display();
    let (lacks, also) = if package.targets.iter().any(TargetInfo::is_library) {
        ("its library is not compiled to a component", "")
    } else {
        ("it has no library", " and move the plugin's code to src/lib.rs")
    };
    Problem::new(Kind::Plugin, format!("{} can't become a plugin: {lacks}", package.name))
        .hint(format!("add to {manifest}:\n\n    [lib]\n    crate-type = [\"cdylib\", \"rlib\"]\n\n  {also}").trim_end())
}

/// The component that a message of cargo's names, if it does.
fn artifact(line: &str, package_id: &str) -> Option<PathBuf> {
    let message: Message = serde_json::from_str(line).ok()?;
    let ours = message.reason == "compiler-artifact"
        && message.package_id == package_id
        && message.target.is_component();
    let is_wasm = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "wasm");
    if ours { message.filenames.into_iter().find(is_wasm) } else { None }
}

/// Call `see` with each line until the stream ends.
async fn each_line(stream: Option<impl AsyncRead + Unpin>, mut see: impl FnMut(&str)) -> std::io::Result<()> {
    let Some(stream) = stream else { return Ok(()) };
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    // Bytes, not text: what compilers print is not always UTF-8.
    while stream.read_until(b'\n', &mut line).await? > 0 {
        see(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_our_own_component_is_taken() {
        let id = "path+file:///x/my-sync#0.1.0";
        let line = |package: &str, kinds: &[&str], files: &[&str]| {
            json!({
                "reason": "compiler-artifact", "package_id": package, "fresh": true,
                "target": { "kind": kinds, "name": "my_sync" },
                "filenames": files,
            })
            .to_string()
        };
        let both = ["/t/libmy_sync.rlib", "/t/my_sync.wasm"];
        for (line, found) in [
            (line(id, &["cdylib", "rlib"], &both), Some("/t/my_sync.wasm")),
            (line(id, &["cdylib"], &["/t/my_sync.so"]), None),
            (line("path+file:///x/other#0.1.0", &["cdylib"], &both), None),
            (line(id, &["bin"], &both), None),
            (json!({ "reason": "build-finished", "success": true }).to_string(), None),
            ("not json".to_owned(), None),
        ] {
            assert_eq!(artifact(&line, id), found.map(PathBuf::from), "{line}");
        }
    }

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
        assert_eq!(at(&["cdylib", "rlib"], "/x/my-sync/Cargo.toml").unwrap().name, "my-sync");
        for (kinds, manifest, message) in [
            (&["lib"][..], "/x/my-sync/Cargo.toml", "crate-type = [\"cdylib\", \"rlib\"]"),
            (&["lib"], "/x/my-sync/Cargo.toml", "not compiled to a component"),
            (&["bin"], "/x/my-sync/Cargo.toml", "move the plugin's code to src/lib.rs"),
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
            assert_eq!(manifest_of(&path).unwrap_err().kind, kind, "{}", path.display());
        }
    }
}
