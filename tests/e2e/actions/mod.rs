//! Actions: what they return, how they fail, keys under which they act once, and single requests.

mod cassettes;
mod done;
mod input;
mod keys;
mod outcomes;
mod request;
mod two_way;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::cli::{Cmd, Finished, OK, Tidegate};
use crate::support::http::Request;
use crate::support::plugins;
use crate::support::server::{Reply, Server};

/// Exit codes of actions and requests, as `docs/cli.md` lists them.
const REJECTED: i32 = 10;
const UPSTREAM: i32 = 11;

pub fn acts() -> PathBuf {
    plugins::component("tests/plugins/acts")
}

/// The plugin `acts`, deployed and connected as `acme` to a server of the test's own.
pub struct Acts {
    tidegate: Tidegate,
    server: Server,
}

impl Acts {
    pub fn new(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let server = Server::start(answer);
        let tidegate = Tidegate::new();
        tidegate.deploy(&acts(), "acts", &server.origin());
        tidegate.connect("acts", "acme", &server.origin());
        Self { tidegate, server }
    }

    /// With a server that makes an item of whatever is posted, numbered.
    pub fn making_items() -> Self {
        let made = std::sync::atomic::AtomicU64::new(0);
        Self::new(move |request| {
            let number = made.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
            let mut item: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            item["id"] = json!(format!("i{number}"));
            Reply::json(&item).with_status(201)
        })
    }

    /// For who uses them in another way.
    pub fn into_parts(self) -> (Tidegate, Server) {
        (self.tidegate, self.server)
    }

    /// An invocation of the action, with `--json`.
    fn cmd(&self, action: &str, input: &Value) -> Cmd {
        self.plain(action)
            .arg("--input")
            .arg(input.to_string())
            .arg("--json")
    }

    /// One without an input.
    fn plain(&self, action: &str) -> Cmd {
        self.tidegate
            .cmd(&format!("invoke acts/{action} --connection acme"))
    }

    /// Invoke an action that ends with this exit code; what it says as JSON.
    #[track_caller]
    fn invoke(&self, action: &str, input: &Value, code: i32) -> Value {
        let finished = self.cmd(action, input).finish();
        finished.expect_code(code);
        finished.json()
    }

    #[track_caller]
    fn invoke_ok(&self, action: &str, input: &Value) -> Value {
        let said = self.invoke(action, input, OK);
        assert_eq!(said["outcome"], "success", "{said}");
        said["output"].clone()
    }

    /// Invoke under an idempotency key.
    fn keyed(&self, key: &str, action: &str, input: &Value) -> Finished {
        let cmd = self.cmd(action, input).arg("--idempotency-key").arg(key);
        cmd.finish()
    }

    /// What the server was asked, as `METHOD /path`.
    fn asked(&self) -> Vec<String> {
        let requests = self.server.requests();
        let shown = |request: &Request| format!("{} {}", request.method, request.target);
        requests.iter().map(shown).collect()
    }
}
