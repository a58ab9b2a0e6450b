//! The application's side of the API, with connections that are kept.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

/// How long one request may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client with a key; clones share its connections.
#[derive(Debug, Clone)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    authorization: String,
}

impl Client {
    pub fn new(address: SocketAddr, key: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false);
        Self {
            agent: config.build().new_agent(),
            base: format!("http://{address}"),
            authorization: format!("Bearer {key}"),
        }
    }

    #[track_caller]
    pub fn get(&self, target: &str) -> Value {
        let request = self.agent.get(format!("{}{target}", self.base));
        let answer = request
            .header("authorization", &self.authorization)
            .call()
            .unwrap_or_else(|error| panic!("GET {target}: {error}"));
        read(answer, target)
    }

    #[track_caller]
    pub fn post(&self, target: &str, body: &Value) -> Value {
        let request = self.agent.post(format!("{}{target}", self.base));
        let answer = request
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .send(body.to_string())
            .unwrap_or_else(|error| panic!("POST {target}: {error}"));
        read(answer, target)
    }

    /// Everything of a list, page by page.
    #[track_caller]
    pub fn all(&self, target: &str, member: &str, mut each: impl FnMut(&Value)) {
        let sign = if target.contains('?') { '&' } else { '?' };
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{target}{sign}limit=1000{cursor}"));
            page[member].as_array().unwrap().iter().for_each(&mut each);
            if page["more"] != true {
                return;
            }
            cursor = format!("&cursor={}", page["next_cursor"].as_str().unwrap());
        }
    }
}

#[track_caller]
fn read(mut answer: ureq::http::Response<ureq::Body>, target: &str) -> Value {
    let status = answer.status();
    let body = answer.body_mut().with_config().limit(1 << 30);
    let text = body.read_to_string().unwrap();
    assert!(status.is_success(), "{target}: {status}: {text}");
    serde_json::from_str(&text).unwrap()
}
