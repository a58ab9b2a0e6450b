//! Where the SDK is: the checkout that the binary was built from, or the copy inside the binary.
//!
//! The copy is unpacked into the user's cache directory, under its version and the digest of its
//! content, so that two builds of tidegate never share one. It lies there as it does in the
//! checkout (`plugin-sdk`, `host/rules`, which it depends on, `plugins/demo-crm`), with the lock file of the build: a demo without a
//! checkout compiles the versions that were tested.

use std::fs;
use std::path::{Path, PathBuf};

use include_dir::{Dir, File, include_dir};
use tidegate_engine::integration::Digest;
use tidegate_service::problem::{Kind, Problem, Result};

const SDK_NAME: &str = "tidegate-sdk";
/// Where they lie, in the checkout and in the unpacked copy.
const SDK: &str = "plugin-sdk";
const RULES: &str = "host/rules";
const DEMO_PLUGIN: &str = "plugins/demo-crm";

static SDK_FOLDER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../plugin-sdk");
static RULES_FOLDER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../rules");
static DEMO_FOLDER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../plugins/demo-crm");
static SDK_MANIFEST: &str = include_str!("../../../../plugin-sdk/Cargo.toml");
static WORKSPACE: &str = include_str!("../../templates/sdk-workspace.toml");
static LOCK_FILE: &str = include_str!("../../../../Cargo.lock");

/// The folder of the SDK, absolute.
pub(crate) fn sdk_path() -> Result<PathBuf> {
    Ok(home()?.join(SDK))
}

/// The folder of the demo's plugin, absolute.
pub(crate) fn demo_plugin_path() -> Result<PathBuf> {
    Ok(home()?.join(DEMO_PLUGIN))
}

/// Check that `path` is the folder of an SDK, and make it absolute.
pub(crate) fn given(path: &Path) -> Result<PathBuf> {
    let refused = |reason: &str| {
        let message = format!(
            "{} is not the folder of tidegate's SDK: {reason}",
            path.display()
        );
        Problem::invalid(message).hint("give --sdk the folder plugin-sdk of a tidegate checkout")
    };
    let manifest = fs::read_to_string(path.join("Cargo.toml"))
        .map_err(|error| refused(&format!("its Cargo.toml can't be read: {error}")))?;
    if value_of(&manifest, "name") != Some(SDK_NAME) {
        return Err(refused(&format!(
            "its Cargo.toml doesn't name the package {SDK_NAME}"
        )));
    }
    path.canonicalize()
        .map_err(|error| refused(&error.to_string()))
}

/// The folder that holds them: the checkout if it still is there with this version, else the copy.
fn home() -> Result<PathBuf> {
    if let Some(checkout) = checkout() {
        return Ok(checkout);
    }
    let cache = directories::ProjectDirs::from("", "", "tidegate").ok_or_else(|| {
        Problem::internal("there is no home directory to keep the SDK in")
            .hint("set HOME, or give an SDK with --sdk")
    })?;
    unpack(cache.cache_dir())
}

fn checkout() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .ok()?;
    let manifest = fs::read_to_string(root.join(SDK).join("Cargo.toml")).ok()?;
    let same = value_of(&manifest, "name") == Some(SDK_NAME)
        && value_of(&manifest, "version") == value_of(SDK_MANIFEST, "version")
        && root.join(DEMO_PLUGIN).join("Cargo.toml").is_file();
    same.then_some(root)
}

/// Write the embedded copy below `cache`, unless it is there, whole or not at all.
fn unpack(cache: &Path) -> Result<PathBuf> {
    let version = value_of(SDK_MANIFEST, "version").unwrap_or_default();
    let target = cache.join(format!("sdk-{version}-{}", digest().short()));
    if target.is_dir() {
        return Ok(target);
    }
    let failed = |error: std::io::Error| {
        let message = format!(
            "the SDK could not be unpacked into {}: {error}",
            target.display()
        );
        Problem::new(Kind::Internal, message)
            .hint("set XDG_CACHE_HOME to a folder that can be written")
    };
    fs::create_dir_all(cache).map_err(failed)?;
    let draft = tempfile::Builder::new()
        .prefix(".sdk-")
        .tempdir_in(cache)
        .map_err(failed)?;
    for (path, content) in files() {
        let path = draft.path().join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        fs::write(path, content).map_err(failed)?;
    }
    match fs::rename(draft.path(), &target) {
        // Another process was faster, with the same content.
        Err(_) if target.is_dir() => Ok(target),
        Err(error) => Err(failed(error)),
        Ok(()) => {
            // The folder has moved away: there is nothing for the guard to remove.
            let _ = draft.keep();
            Ok(target)
        }
    }
}

/// Everything that is embedded: path and content.
fn files() -> Vec<(String, &'static [u8])> {
    let mut files = vec![
        ("Cargo.toml".to_owned(), WORKSPACE.as_bytes()),
        ("Cargo.lock".to_owned(), LOCK_FILE.as_bytes()),
    ];
    collect(SDK, &SDK_FOLDER, &mut files);
    collect(RULES, &RULES_FOLDER, &mut files);
    collect(DEMO_PLUGIN, &DEMO_FOLDER, &mut files);
    files.sort();
    files
}

fn collect(prefix: &str, folder: &'static Dir<'static>, files: &mut Vec<(String, &'static [u8])>) {
    let named = |file: &'static File<'static>| {
        (
            format!("{prefix}/{}", file.path().display()),
            file.contents(),
        )
    };
    files.extend(folder.files().map(named));
    for inner in folder.dirs() {
        // Paths of embedded files are relative to the outermost folder already.
        collect(prefix, inner, files);
    }
}

/// Of all that is embedded.
fn digest() -> Digest {
    let mut all = Vec::new();
    for (path, content) in files() {
        // Lengths in front, so that no two sets of files look alike.
        all.extend_from_slice(&(path.len() as u64).to_be_bytes());
        all.extend_from_slice(path.as_bytes());
        all.extend_from_slice(&(content.len() as u64).to_be_bytes());
        all.extend_from_slice(content);
    }
    Digest::of(&all)
}

/// The first `key = "value"` of a manifest, which is its package's.
fn value_of<'a>(manifest: &'a str, key: &str) -> Option<&'a str> {
    manifest.lines().find_map(|line| {
        let (found, value) = line.split_once('=')?;
        (found.trim() == key).then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::author::compile::Echo;
    use crate::author::component::Component;
    use crate::author::package::Package;

    #[test]
    fn the_copy_is_whole_and_written_once() {
        let cache = tempfile::tempdir().unwrap();
        let home = unpack(cache.path()).unwrap();
        // The same as in the checkout, to the byte.
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (path, content) in files() {
            assert_eq!(fs::read(home.join(&path)).unwrap(), content, "{path}");
            if path != "Cargo.toml" {
                assert_eq!(fs::read(root.join(&path)).unwrap(), content, "{path}");
            }
        }
        assert_eq!(unpack(cache.path()).unwrap(), home);
        let left: Vec<_> = fs::read_dir(cache.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[tokio::test]
    async fn the_copy_compiles_by_itself() {
        let cache = tempfile::tempdir().unwrap();
        let home = unpack(cache.path()).unwrap();
        let package = Package::find(&home.join(DEMO_PLUGIN)).await.unwrap();
        package.prepare().await.unwrap();
        let file = package.compile(Echo::Lines(&|_| ())).await.unwrap();
        let plugin = Component::inspect(&file).await.unwrap();
        let text = plugin.text().to_string();
        assert!(text.starts_with("demo-crm "), "{text}");
    }

    #[test]
    fn a_folder_that_is_no_sdk_is_refused() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-sdk");
        assert!(given(&sdk).unwrap().is_absolute());
        for other in [
            Path::new(env!("CARGO_MANIFEST_DIR")),
            Path::new("/no/such/folder"),
        ] {
            let problem = given(other).unwrap_err();
            assert_eq!(problem.kind, Kind::Invalid);
            assert!(
                problem.message.contains("not the folder of tidegate's SDK"),
                "{problem}"
            );
        }
    }

    #[test]
    fn the_packages_own_values_are_found() {
        let manifest =
            "# x\n[package]\nname = \"a\"\nversion=\"1.2.3\"\n[dependencies]\nname = \"b\"\n";
        assert_eq!(value_of(manifest, "name"), Some("a"));
        assert_eq!(value_of(manifest, "version"), Some("1.2.3"));
        assert_eq!(value_of(manifest, "edition"), None);
    }
}
