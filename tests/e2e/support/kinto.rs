//! A real record server: Kinto, installed on first use, started by a test, ended with it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::{Value, json};

use super::http::{Request, Response, send};
use super::{PATIENCE, kept, root, wait_until};

/// The account that owns everything, as `tests/kinto/kinto.ini` allows anyone to make one.
pub const USER: &str = "alice";
pub const PASSWORD: &str = "s3cr3t-canary";
/// `Basic`, and user and password in base64.
const AUTHORIZATION: &str = "Basic YWxpY2U6czNjcjN0LWNhbmFyeQ==";
/// So many requests go into one batch (`kinto.batch_max_requests`).
const BATCH: usize = 200;

/// A running server with one empty collection, `crm/contacts`.
#[derive(Debug)]
pub struct Kinto {
    process: Child,
    /// When it closes, the server ends: also when the test process is killed.
    lifeline: Option<ChildStdin>,
    pub address: SocketAddr,
}

/// The path of the collection's records.
pub const RECORDS: &str = "/v1/buckets/crm/collections/contacts/records";

impl Kinto {
    /// Install what is missing and start a server. `None`, and loud words, where that can't be;
    /// with `CI=true` a panic.
    pub fn start(log: &str) -> Option<Self> {
        let pserve = match install() {
            Ok(pserve) => pserve,
            Err(reason) => {
                let message = format!("KINTO TESTS DID NOT RUN: {reason}");
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
                // Not println: the words must be seen although the test passes.
                std::io::stderr()
                    .write_all(format!("\n{message}\n\n").as_bytes())
                    .unwrap();
                return None;
            }
        };
        let log = kept("kinto-logs").join(format!("{log}.log"));
        let mut process = Command::new("sh")
            .args([
                "-c",
                "exec 3<&0; (read -r _ <&3; kill $$) & exec \"$0\" \"$1\" </dev/null",
            ])
            .arg(pserve)
            .arg(root().join("tests/kinto/kinto.ini"))
            .stdin(Stdio::piped())
            .stdout(File::create(&log).unwrap())
            .stderr(File::options().append(true).open(&log).unwrap())
            .spawn()
            .unwrap();
        let lifeline = process.stdin.take();
        let address = wait_until("Kinto to listen", PATIENCE, || {
            let said = fs::read_to_string(&log).unwrap();
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "Kinto ended ({ended:?}): {said}");
            let (_, after) = said.split_once("Serving on http://")?;
            after
                .split_once('\n')
                .and_then(|(address, _)| address.trim().parse().ok())
        });
        let kinto = Self {
            process,
            lifeline,
            address,
        };
        kinto.put(
            &format!("/v1/accounts/{USER}"),
            &json!({"data": {"password": PASSWORD}}),
        );
        kinto.put("/v1/buckets/crm", &json!({}));
        kinto.put("/v1/buckets/crm/collections/contacts", &json!({}));
        Some(kinto)
    }

    /// Create or replace records, each under its `id`.
    pub fn save(&self, records: &[Value]) {
        self.batch(records.iter().map(|record| {
            let path = format!("{RECORDS}/{}", record["id"].as_str().unwrap());
            json!({"method": "PUT", "path": path, "body": {"data": record}})
        }));
    }

    /// Delete records.
    pub fn delete(&self, ids: &[String]) {
        self.batch(
            ids.iter()
                .map(|id| json!({"method": "DELETE", "path": format!("{RECORDS}/{id}")})),
        );
    }

    /// All records by id, as the server has them.
    pub fn records(&self) -> BTreeMap<String, Value> {
        self.records_of(RECORDS)
    }

    /// The same of the collection whose records are at this path.
    pub fn records_of(&self, path: &str) -> BTreeMap<String, Value> {
        let mut records = BTreeMap::new();
        let mut target = path.to_owned();
        loop {
            let response = self.call("GET", &target, &Value::Null);
            for record in response.json()["data"].as_array().unwrap() {
                records.insert(record["id"].as_str().unwrap().to_owned(), record.clone());
            }
            match response.header("Next-Page") {
                // The path of http://127.0.0.1:PORT/v1/…
                Some(next) => target = format!("/{}", next.splitn(4, '/').nth(3).unwrap()),
                None => return records,
            }
        }
    }

    fn batch(&self, requests: impl Iterator<Item = Value>) {
        let requests: Vec<Value> = requests.collect();
        for requests in requests.chunks(BATCH) {
            let answer = self
                .call("POST", "/v1/batch", &json!({"requests": requests}))
                .json();
            for response in answer["responses"].as_array().unwrap() {
                assert!(response["status"].as_u64().unwrap() < 300, "{response}");
            }
        }
    }

    /// Create something, such as another collection.
    pub fn put(&self, path: &str, body: &Value) {
        self.call("PUT", path, body);
    }

    fn call(&self, method: &str, target: &str, body: &Value) -> Response {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut headers = vec![header("Authorization", AUTHORIZATION)];
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
        let body = String::from_utf8_lossy(&response.body);
        assert!(
            response.status < 300,
            "{method} {target}: {} {body}",
            response.status
        );
        response
    }
}

impl Drop for Kinto {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // Its end is what matters, not its exit code.
        let _ = self.process.wait();
    }
}

/// A virtual environment with exactly `tests/kinto/requirements.txt`; the path of its `pserve`.
/// The first of several test processes makes it, the others wait.
fn install() -> Result<PathBuf, String> {
    let folder = kept("kinto");
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let (venv, stamp) = (folder.join("venv"), folder.join("stamp"));
    let requirements = root().join("tests/kinto/requirements.txt");
    let wanted = fs::read_to_string(&requirements).unwrap();
    let pserve = venv.join("bin/pserve");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) && pserve.is_file() {
        return Ok(pserve);
    }
    let python = Path::new("python3");
    execute(
        Command::new(python)
            .args(["-m", "venv", "--clear"])
            .arg(&venv),
    )?;
    let mut pip = Command::new(venv.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
    ]);
    execute(pip.arg(&requirements))?;
    fs::write(&stamp, wanted).unwrap();
    Ok(pserve)
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
