//! The built binary with a data directory of its own, and the server that it runs.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tidegate");

/// A data directory.
pub(crate) struct House {
    folder: tempfile::TempDir,
}

impl House {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        Self { folder }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(words).arg("--data").arg(self.data());
        command
    }

    /// Run a command to its end; what it printed.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let output = self.command(words).output().expect("tidegate starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tidegate {words:?}: {error}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Deploy a plugin of this checkout that asks `origin`.
    pub(crate) fn deploy(&self, plugin: &str, name: &str, origin: &str, more: &[&str]) {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join(plugin);
        let built = Command::new(PROGRAM)
            .arg("build")
            .arg(place)
            .arg("--json")
            .output();
        let built = built.expect("tidegate starts");
        let error = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{error}");
        let report: Value = serde_json::from_slice(&built.stdout).expect("JSON");
        let file = report["file"].as_str().expect("a path");
        let words = [
            "deploy",
            file,
            "--as",
            name,
            "--yes",
            "--allow-host",
            origin,
        ];
        let words = [&words[..], &["--allow-private", "127.0.0.0/8"], more].concat();
        self.run(&words);
    }

    /// Connections `c0`, `c1` … of `integration`.
    pub(crate) fn connect(&self, integration: &str, count: usize, origin: &str) {
        let mut rows = String::new();
        for number in 0..count {
            let row = json!({"connection": format!("c{number}"), "base_url": origin});
            writeln!(rows, "{row}").expect("memory");
        }
        let file = self.folder.path().join("connections.jsonl");
        std::fs::write(&file, rows).expect("a file");
        let file = file.to_str().expect("a path of text");
        self.run(&["connections", "import", integration, file]);
    }

    /// Start a server.
    pub(crate) fn serve(&self) -> Server {
        let made = self.run(&[
            "api-keys",
            "create",
            "--name",
            "bench",
            "--scope",
            "manage",
            "--rate-limit",
            "1000000/1s burst 100000",
            "--json",
        ]);
        let made: Value = serde_json::from_str(&made).expect("JSON");
        let key = made["api_key"].as_str().expect("a key");
        let mut child = self
            .command(&["serve", "--listen", "127.0.0.1:0", "--log-level", "warn"])
            .stdout(std::io::stderr())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tidegate starts");
        let stderr = child.stderr.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stderr).read_line(&mut line).expect("a line");
        let url = line
            .trim()
            .strip_prefix("listening on ")
            .expect("an address");
        Server {
            child,
            url: url.to_owned(),
            authorization: format!("Bearer {key}"),
            agent: ureq::Agent::new_with_defaults(),
        }
    }
}

/// A server that runs; killed when dropped.
pub(crate) struct Server {
    child: Child,
    url: String,
    authorization: String,
    agent: ureq::Agent,
}

impl Server {
    pub(crate) fn get(&self, target: &str) -> Value {
        serde_json::from_str(&self.text(target, "application/json")).expect("JSON")
    }

    /// An answer of this type, whole.
    pub(crate) fn text(&self, target: &str, accept: &str) -> String {
        let request = self.agent.get(format!("{}{target}", self.url));
        let request = request.header("authorization", &self.authorization);
        let mut answer = request.header("accept", accept).call().expect(target);
        let body = answer.body_mut().with_config().limit(u64::MAX);
        body.read_to_string().expect("an answer")
    }

    pub(crate) fn post(&self, target: &str, body: &Value) -> Value {
        let request = self.agent.post(format!("{}{target}", self.url));
        let request = request.header("authorization", &self.authorization);
        let request = request.header("content-type", "application/json");
        let answer = request.send(body.to_string());
        let mut answer = answer.unwrap_or_else(|error| panic!("{target}: {error}"));
        let text = answer.body_mut().read_to_string().expect("an answer");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Leave something to a job.
    pub(crate) fn post_later(&self, target: &str, body: &Value) {
        let request = self.agent.post(format!("{}{target}", self.url));
        let request = request.header("authorization", &self.authorization);
        let request = request.header("content-type", "application/json");
        let answer = request
            .header("prefer", "respond-async")
            .send(body.to_string());
        answer.unwrap_or_else(|error| panic!("{target}: {error}"));
    }

    /// A request that may be refused.
    pub(crate) fn try_post(&self, target: &str, body: &Value) {
        let request = self.agent.post(format!("{}{target}", self.url));
        let request = request.header("authorization", &self.authorization);
        let request = request.header("content-type", "application/json");
        let _ = request.send(body.to_string());
    }

    /// CPU of the server so far, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.expect("it runs");
        let (_, fields) = stat.rsplit_once(')').expect("its name is in brackets");
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // utime and stime, fields 14 and 15 of proc(5), in ticks of 10 ms.
        let ticks = |index: usize| fields[index].parse::<f64>().expect("a number");
        (ticks(11) + ticks(12)) / 100.0
    }

    /// Its memory now, in MB.
    pub(crate) fn resident_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kb = line.expect("VmRSS").trim().trim_end_matches(" kB");
        kb.parse::<f64>().expect("a number") / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
