//! A real OAuth 2 server: `oidc-provider`, installed on first use, started by a test, ended with it.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

use super::http::{Request, send};
use super::{PATIENCE, kept, root, wait_until};

/// What the server is made of, below `tests/oidc`.
const PARTS: [&str; 4] = ["package.json", "package-lock.json", ".npmrc", "server.mjs"];

/// A running server; `tests/oidc/server.mjs` says what it does.
#[derive(Debug)]
pub struct Oidc {
    process: Child,
    /// When it closes, the server ends: also when the test process is killed.
    lifeline: Option<ChildStdin>,
    pub address: SocketAddr,
}

/// What the server counted for one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub given: u64,
    pub refused: u64,
    /// API calls with a valid token.
    pub let_in: u64,
    /// Access tokens that have not expired.
    pub live: u64,
}

/// The secret of a client.
pub fn secret(client: &str) -> String {
    format!("SECRET-{client}")
}

impl Oidc {
    /// Install what is missing and start a server. `None`, and loud words, where that can't be;
    /// with `CI=true` a panic.
    pub fn start(log: &str) -> Option<Self> {
        let folder = match install() {
            Ok(folder) => folder,
            Err(reason) => {
                let message = format!("OAUTH TESTS DID NOT RUN: {reason}");
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
                // Not println: the words must be seen although the test passes.
                std::io::stderr()
                    .write_all(format!("\n{message}\n\n").as_bytes())
                    .unwrap();
                return None;
            }
        };
        let log = kept("oidc-logs").join(format!("{log}.log"));
        let mut process = Command::new("node")
            .arg("server.mjs")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(File::create(&log).unwrap())
            .stderr(File::options().append(true).open(&log).unwrap())
            .spawn()
            .unwrap();
        let lifeline = process.stdin.take();
        let address = wait_until("the OAuth server to listen", PATIENCE, || {
            let said = fs::read_to_string(&log).unwrap();
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "it ended ({ended:?}): {said}");
            let (_, after) = said.split_once("Serving on http://")?;
            let (address, _) = after.split_once('\n')?;
            address.trim().parse().ok()
        });
        Some(Self {
            process,
            lifeline,
            address,
        })
    }

    /// `http://127.0.0.1:PORT`
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The refresh token of a new grant.
    pub fn issue(&self, client: &str) -> String {
        let issued = self.control("POST", &format!("issue?client={client}"));
        issued["refresh_token"].as_str().unwrap().to_owned()
    }

    /// Take away all tokens of this model: `AccessToken`, `ClientCredentials` or `RefreshToken`.
    pub fn revoke(&self, client: &str, model: &str) {
        self.control("POST", &format!("revoke?client={client}&model={model}"));
    }

    pub fn counted(&self, client: &str) -> Counted {
        let state = self.control("GET", "state");
        let figure = |name: &str| state[client][name].as_u64().unwrap_or_default();
        Counted {
            given: figure("given"),
            refused: figure("refused"),
            let_in: figure("let_in"),
            live: figure("live"),
        }
    }

    fn control(&self, method: &str, target: &str) -> Value {
        let request = Request {
            method: method.to_owned(),
            target: format!("/control/{target}"),
            headers: Vec::new(),
            body: Vec::new(),
        };
        let response = send(self.address, &request).unwrap();
        assert_eq!(response.status, 200, "{target}");
        response.json()
    }
}

impl Drop for Oidc {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // Its end is what matters, not its exit code.
        let _ = self.process.wait();
    }
}

/// A folder with exactly what `tests/oidc` says. The first of several test processes makes it, the
/// others wait.
fn install() -> Result<PathBuf, String> {
    let folder = kept("oidc");
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let source = |part: &str| fs::read_to_string(root().join("tests/oidc").join(part)).unwrap();
    let wanted = PARTS.map(source).concat();
    let (place, stamp) = (folder.join("server"), folder.join("stamp"));
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(place);
    }
    fs::create_dir_all(&place).unwrap();
    for part in PARTS {
        fs::write(place.join(part), source(part)).unwrap();
    }
    let mut npm = Command::new("npm");
    npm.args([
        "ci",
        "--omit=dev",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ])
    .current_dir(&place)
    .stdin(Stdio::null());
    let output = npm.output().map_err(|error| format!("npm: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("npm ci: {}: {}", output.status, said.trim()));
    }
    fs::write(&stamp, wanted).unwrap();
    Ok(place)
}
