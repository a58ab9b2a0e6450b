//! The built binary on a data directory of its own: commands in, exit codes and lines out.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, PATIENCE_COMPILING, advice, wait_until};

/// Exit codes, as `docs/cli.md` lists them.
pub const OK: i32 = 0;
pub const RUN_FAILED: i32 = 1;
pub const INVALID: i32 = 2;
pub const NOT_FOUND: i32 = 3;
pub const CONFLICT: i32 = 4;
pub const DATA_DIRECTORY: i32 = 5;
pub const PLUGIN: i32 = 6;

/// `tidegate` with a data directory that lives as long as this.
#[derive(Debug)]
pub struct Tidegate {
    folder: TempDir,
}

impl Tidegate {
    pub fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    /// The data directory.
    pub fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// A command on this data directory; `words` are separated by spaces.
    pub fn cmd(&self, words: &str) -> Cmd {
        tidegate(words).env("TIDEGATE_DATA", self.data())
    }

    /// Deploy a component under a name, with what a server on loopback needs.
    #[track_caller]
    pub fn deploy(&self, component: &Path, name: &str, origin: &str) {
        let grants = format!("--allow-host {origin} --allow-private 127.0.0.0/8");
        self.cmd("deploy")
            .arg(component)
            .words(&format!("--as {name} --yes {grants}"))
            .ok();
    }

    /// Add a connection without secrets.
    #[track_caller]
    pub fn connect(&self, integration: &str, connection: &str, base_url: &str) {
        self.cmd(&format!(
            "connections add {integration} {connection} --base-url {base_url}"
        ))
        .ok();
    }

    /// Run a sync, whatever comes of it.
    #[track_caller]
    pub fn sync(&self, sync: &str, connection: &str) -> Finished {
        self.cmd(&format!("run {sync} --connection {connection} --json"))
            .finish()
    }

    /// Run a sync that succeeds; its run as JSON.
    #[track_caller]
    pub fn sync_ok(&self, sync: &str, connection: &str) -> Value {
        let finished = self.sync(sync, connection);
        finished.expect_code(OK);
        let run = finished.json();
        assert_eq!(run["outcome"], "success", "{run}");
        run
    }

    /// The change feed of a model after `cursor`, whole.
    #[track_caller]
    pub fn feed(&self, model: &str, connection: &str, cursor: Option<&str>) -> Vec<Value> {
        let (integration, model) = model.split_once('/').unwrap();
        let words = format!(
            "records {integration} {model} --connection {connection} --limit 1000000 --json"
        );
        let mut cmd = self.cmd(&words);
        if let Some(cursor) = cursor {
            cmd = cmd.words(&format!("--cursor {cursor}"));
        }
        cmd.ok().lines()
    }

    /// All runs, oldest first.
    #[track_caller]
    pub fn runs(&self) -> Vec<Value> {
        let mut runs = self.cmd("runs --limit 1000 --json").ok().lines();
        runs.reverse();
        runs
    }

    /// A run's log.
    #[track_caller]
    pub fn logs(&self, run: &Value) -> Vec<Value> {
        let run = run["run"].as_str().unwrap();
        self.cmd(&format!("logs {run} --json")).ok().lines()
    }
}

/// `tidegate` without a data directory.
pub fn tidegate(words: &str) -> Cmd {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let variables = ["", "_FILE", "_NEXT"].map(|end| format!("TIDEGATE_MASTER_KEY{end}"));
    for variable in variables
        .iter()
        .map(String::as_str)
        .chain(["TIDEGATE_DATA"])
    {
        command.env_remove(variable);
    }
    Cmd::new(command).words(words)
}

/// A command to be run.
#[derive(Debug)]
pub struct Cmd {
    command: Command,
    stdin: Option<String>,
    patience: Duration,
}

impl Cmd {
    pub fn new(command: Command) -> Self {
        Self {
            command,
            stdin: None,
            patience: PATIENCE,
        }
    }

    /// It runs a compiler, which takes its time.
    pub fn compiles(mut self) -> Self {
        self.patience = PATIENCE_COMPILING;
        self
    }

    pub fn words(mut self, words: &str) -> Self {
        self.command.args(words.split_whitespace());
        self
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// What comes on stdin; nothing by default.
    pub fn stdin(mut self, text: &str) -> Self {
        self.stdin = Some(text.to_owned());
        self
    }

    /// Let its files grow to so many blocks of 512 or 1,024 bytes only, as if the disk were full.
    pub fn with_little_disk(self, blocks: u32) -> Self {
        self.in_shell(&format!("ulimit -f {blocks}; trap '' XFSZ"))
    }

    /// Let what it makes be for everybody, unless it says otherwise itself.
    pub fn with_open_umask(self) -> Self {
        self.in_shell("umask 000")
    }

    /// Run it after this, in the same shell.
    fn in_shell(self, before: &str) -> Self {
        let script = format!("{before}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command
            .args(["-c", &script])
            .arg(self.command.get_program());
        command.args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Self { command, ..self }
    }

    /// Start it and go on.
    #[track_caller]
    pub fn start(mut self) -> Running {
        let shown = format!("{:?}", self.command);
        self.command.stdin(if self.stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self
            .command
            .spawn()
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
        if let (Some(text), Some(mut stdin)) = (self.stdin, child.stdin.take()) {
            // A program that doesn't read it closes the pipe, which is its right.
            let _ = stdin.write_all(text.as_bytes());
        }
        let stdout = Output::of(child.stdout.take().unwrap());
        let stderr = Output::of(child.stderr.take().unwrap());
        Running {
            child,
            stdout,
            stderr,
            shown,
            patience: self.patience,
        }
    }

    /// Run it to its end.
    #[track_caller]
    pub fn finish(self) -> Finished {
        self.start().finish()
    }

    /// Run it; it must succeed.
    #[track_caller]
    pub fn ok(self) -> Finished {
        let finished = self.finish();
        finished.expect_code(OK);
        finished
    }

    /// Run it; it must exit with `code` and say each of `parts` on stderr.
    #[track_caller]
    pub fn refused(self, code: i32, parts: &[&str]) -> Finished {
        let finished = self.finish();
        finished.expect_refusal(code, parts);
        finished
    }
}

/// What a process has written so far to one of its pipes.
#[derive(Debug)]
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            // What was read until the pipe broke is all there is.
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                shared.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self {
            bytes,
            reader: Some(reader),
        }
    }

    /// All of it, once the pipe is closed.
    fn text(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
    }
}

/// A process that runs; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Output,
    stderr: Output,
    shown: String,
    patience: Duration,
}

impl Running {
    /// Wait for its end.
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        let status = wait_until(&self.shown, self.patience, || {
            self.child.try_wait().unwrap()
        });
        self.finished(status.code())
    }

    /// The URL of a server, once it says on stderr that it listens.
    #[track_caller]
    pub fn wait_for_url(&self) -> String {
        wait_until(&format!("{} to listen", self.shown), PATIENCE, || {
            let said = self.stderr();
            let mut lines = said.split_inclusive('\n');
            let line = lines.find_map(|line| line.strip_prefix("listening on "))?;
            line.strip_suffix('\n').map(str::to_owned)
        })
    }

    /// Wait until it has printed so many lines.
    #[track_caller]
    pub fn wait_for_lines(&self, count: usize) {
        let what = format!("{count} lines of {}", self.shown);
        wait_until(&what, PATIENCE, || {
            let bytes = self.stdout.bytes.lock().unwrap();
            (bytes.iter().filter(|byte| **byte == b'\n').count() >= count).then_some(())
        });
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout.bytes.lock().unwrap()).into_owned()
    }

    /// The same of stderr.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.bytes.lock().unwrap()).into_owned()
    }

    /// Its process.
    #[allow(dead_code, reason = "only tests/soak measures it")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, now.
    pub fn kill(mut self) -> Finished {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        self.finished(status.code())
    }

    /// Ask it to end.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    #[track_caller]
    fn finished(&mut self, code: Option<i32>) -> Finished {
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        advice::check(&stdout);
        advice::check(&stderr);
        Finished {
            code,
            stdout,
            stderr,
            shown: self.shown.clone(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    /// `None` after a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    shown: String,
}

impl Finished {
    /// stdout as JSON objects, one a line.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line: &str| {
            let value: Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{}: {error} in the line {line:?}", self.shown));
            assert!(value.is_object(), "{}: not an object: {line}", self.shown);
            value
        };
        self.stdout.lines().map(parse).collect()
    }

    /// stdout as one JSON object.
    #[track_caller]
    pub fn json(&self) -> Value {
        let lines = self.lines();
        assert_eq!(lines.len(), 1, "{}: {}", self.shown, self.stdout);
        lines.into_iter().next().unwrap()
    }

    #[track_caller]
    pub fn expect_code(&self, code: i32) {
        assert_eq!(
            self.code,
            Some(code),
            "{}\n--- stdout\n{}\n--- stderr\n{}",
            self.shown,
            self.stdout,
            self.stderr
        );
    }

    /// It exited with `code` and said each of `parts` on stderr.
    #[track_caller]
    pub fn expect_refusal(&self, code: i32, parts: &[&str]) {
        self.expect_code(code);
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "{}\nwanted {part:?} in\n{}",
                self.shown,
                self.stderr
            );
        }
    }
}
