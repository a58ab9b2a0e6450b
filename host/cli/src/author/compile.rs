//! A plugin's crate, compiled to a component.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::Stdio;

use serde::Deserialize;
use tidegate_service::problem::{Kind, Problem, Result};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

use super::package::{Package, TargetInfo};
use super::toolchain::{self, TARGET};

/// Passed on the command line, so that a crate needs no profile in its manifest.
const PROFILE: &str = "tidegate-plugin";
/// Of `plugins/demo-crm`, `opt-level` 3 makes 270 kB and "s" 224 kB, and a sync of 60,000 records takes
/// 0.34 s inside the guest instead of 0.50 s. Without `lto` it is a quarter larger.
const PROFILE_SETTINGS: &[&str] = &[
    "inherits=\"release\"",
    "opt-level=3",
    "lto=true",
    "codegen-units=1",
    // A panic ends the run: wasm doesn't unwind.
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
    /// Have the target installed that the crate is compiled for. Comes before
    /// [`compile`](Self::compile), and says so when there is something to do.
    pub(crate) async fn prepare(&self) -> Result<()> {
        toolchain::ensure_target(&self.folder).await
    }

    /// Compile the crate to a component. Returns where cargo put it.
    pub(crate) async fn compile(&self, echo: Echo<'_>) -> Result<PathBuf> {
        let mut cargo = toolchain::tool("cargo", &self.folder);
        // Only the component: with an `rlib` beside it, cargo would leave out `lto`.
        cargo.args([
            "rustc",
            "--lib",
            "--crate-type",
            "cdylib",
            "--target",
            TARGET,
            "--profile",
            PROFILE,
        ]);
        cargo
            .arg("--message-format=json-render-diagnostics")
            .arg("--manifest-path")
            .arg(&self.manifest);
        for setting in PROFILE_SETTINGS {
            cargo
                .arg("--config")
                .arg(format!("profile.{PROFILE}.{setting}"));
        }
        cargo.stdout(Stdio::piped());
        if let Echo::Lines(_) = echo {
            cargo.stderr(Stdio::piped());
        }
        let mut running = cargo
            .spawn()
            .map_err(|error| toolchain::not_started(&cargo, &error))?;
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
            Problem::internal(format!(
                "cargo built {} and named no .wasm file of it",
                self.name
            ))
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

/// The component that a message of cargo's names, if it does.
fn artifact(line: &str, package_id: &str) -> Option<PathBuf> {
    let message: Message = serde_json::from_str(line).ok()?;
    let ours = message.reason == "compiler-artifact"
        && message.package_id == package_id
        && message.target.is_component();
    let is_wasm = |file: &PathBuf| {
        file.extension()
            .is_some_and(|extension| extension == "wasm")
    };
    if ours {
        message.filenames.into_iter().find(is_wasm)
    } else {
        None
    }
}

/// Call `see` with each line until the stream ends.
async fn each_line(
    stream: Option<impl AsyncRead + Unpin>,
    mut see: impl FnMut(&str),
) -> std::io::Result<()> {
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
            (
                line(id, &["cdylib", "rlib"], &both),
                Some("/t/my_sync.wasm"),
            ),
            (line(id, &["cdylib"], &["/t/my_sync.so"]), None),
            (line("path+file:///x/other#0.1.0", &["cdylib"], &both), None),
            (line(id, &["bin"], &both), None),
            (
                json!({ "reason": "build-finished", "success": true }).to_string(),
                None,
            ),
            ("not json".to_owned(), None),
        ] {
            assert_eq!(artifact(&line, id), found.map(PathBuf::from), "{line}");
        }
    }
}
