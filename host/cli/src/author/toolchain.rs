//! cargo, rustc and rustup as a crate's own folder chooses them, and the target for components.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tidegate_service::problem::{Kind, Problem, Result};
use tokio::process::Command;

use crate::output;

/// What plugins are compiled for.
pub(super) const TARGET: &str = "wasm32-wasip2";

/// A tool, run in `folder`: there rustup and cargo look for the crate's toolchain and settings.
pub(super) fn tool(name: impl AsRef<OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(name);
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    // Below `cargo run`, rustup's proxy has set the outer project's toolchain, which would win over
    // the crate's own. It goes when the crate says which one it wants; otherwise it stays, as one
    // that is surely installed. What a person has set without a proxy always stays.
    let by_proxy = std::env::var_os("RUST_RECURSION_COUNT").is_some();
    if by_proxy && names_toolchain(folder) {
        command.env_remove("RUSTUP_TOOLCHAIN");
    }
    command
}

/// Whether the folder or one above it has a toolchain file.
fn names_toolchain(folder: &Path) -> bool {
    folder.ancestors().any(|folder| {
        ["rust-toolchain.toml", "rust-toolchain"]
            .iter()
            .any(|name| folder.join(name).is_file())
    })
}

/// Run a tool and keep what it prints.
pub(super) async fn capture(command: &mut Command) -> Result<Output> {
    command
        .output()
        .await
        .map_err(|error| not_started(command, &error))
}

/// The tool could not be started.
pub(super) fn not_started(command: &Command, error: &std::io::Error) -> Problem {
    let name = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let problem = Problem::new(
        Kind::Plugin,
        format!("{name} could not be started: {error}"),
    );
    if error.kind() == std::io::ErrorKind::NotFound {
        return problem.hint(
            "building plugins needs a Rust toolchain: install it with rustup (https://rustup.rs)",
        );
    }
    problem
}

/// The target is there for the toolchain that cargo uses in `folder`; when it is missing, rustup
/// adds it.
pub(super) async fn ensure_target(folder: &Path) -> Result<()> {
    let Some(missing) = missing_target(folder).await? else {
        return Ok(());
    };
    output::notice(format!(
        "The target {TARGET} is not installed; running: rustup target add {TARGET}"
    ));
    let mut rustup = tool("rustup", folder);
    rustup.args(["target", "add", TARGET]);
    // stdout is for the command's result.
    rustup.stdout(std::io::stderr());
    let by_hand = || {
        format!(
            "run it by hand: cd '{}' && rustup target add {TARGET} (without rustup, install your \
             distribution's package of Rust's standard library for {TARGET})",
            folder.display()
        )
    };
    let missing = |reason: String| {
        let message = format!(
            "the target {TARGET} is not installed in {}: {reason}",
            missing.display()
        );
        Problem::new(Kind::Plugin, message).hint(by_hand())
    };
    let status = rustup
        .status()
        .await
        .map_err(|error| missing(format!("rustup: {error}")))?;
    if !status.success() {
        return Err(missing(format!("rustup could not add it ({status})")));
    }
    match missing_target(folder).await? {
        None => Ok(()),
        Some(_) => Err(missing(
            "rustup added it to another toolchain than cargo uses".to_owned(),
        )),
    }
}

/// Where the target's standard library should be and is not.
async fn missing_target(folder: &Path) -> Result<Option<PathBuf>> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = tool(rustc, folder);
    command.args(["--print", "target-libdir", "--target", TARGET]);
    let printed = capture(&mut command).await?;
    if !printed.status.success() {
        let said = String::from_utf8_lossy(&printed.stderr);
        return Err(Problem::new(
            Kind::Plugin,
            format!("rustc does not know the target {TARGET}: {}", said.trim()),
        )
        .hint("update Rust: rustup update"));
    }
    let libraries = PathBuf::from(String::from_utf8_lossy(&printed.stdout).trim());
    let installed = std::fs::read_dir(&libraries).is_ok_and(|mut files| files.next().is_some());
    Ok((!installed).then_some(libraries))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolchain_file_counts_for_the_folders_below() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        assert!(!names_toolchain(&below));
        std::fs::write(folder.path().join("rust-toolchain.toml"), "").unwrap();
        assert!(names_toolchain(&below));
    }

    #[tokio::test]
    async fn a_missing_tool_is_explained() {
        let mut command = tool("tidegate-no-such-tool", Path::new("."));
        let problem = capture(&mut command).await.unwrap_err();
        assert_eq!(problem.kind, Kind::Plugin);
        assert!(
            problem.message.contains("tidegate-no-such-tool"),
            "{problem}"
        );
        assert!(problem.hint.unwrap().contains("rustup.rs"));
    }
}
