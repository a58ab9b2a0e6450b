//! A real OAuth 2 server: `oidc-provider`, installed on first use, started by a test, ended with it.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

use super::http::{Request, send};
use super::real::{Real, node, or_loudly};

/// What the server is made of, below `tests/oidc`.
const PARTS: [&str; 4] = ["package.json", "package-lock.json", ".npmrc", "server.mjs"];

/// A running server; `tests/oidc/server.mjs` says what it does.
#[derive(Debug)]
pub struct Oidc {
    server: Real,
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
    /// Install what is missing and start a server; see [`or_loudly`] for where that can't be.
    pub fn start(log: &str) -> Option<Self> {
        let folder = or_loudly("OAUTH", node("oidc", "tests/oidc", &PARTS))?;
        let script = folder.join("server.mjs");
        let server = Real::start(log, Path::new("node"), &[&script], "Serving on ");
        Some(Self { server })
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// `http://127.0.0.1:PORT`
    pub fn origin(&self) -> String {
        format!("http://{}", self.address())
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
        let response = send(self.address(), &request).unwrap();
        assert_eq!(response.status, 200, "{target}");
        response.json()
    }
}
