//! A real Stripe-like server: localstripe, installed on first use, started by a test, ended with it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::http::{Request, send};
use super::real::{Real, or_loudly, python};
use super::root;

/// It takes any key of this shape.
pub const KEY: &str = "sk_test_canary0123456789";

/// A running server without data.
#[derive(Debug)]
pub struct Stripe {
    server: Real,
}

impl Stripe {
    /// Install what is missing and start a server; see [`or_loudly`] for where that can't be.
    pub fn start(log: &str) -> Option<Self> {
        let installed = python("stripe", "tests/stripe/requirements.txt");
        let bin = or_loudly("STRIPE", installed)?;
        let script = root().join("tests/stripe/serve.py");
        let server = Real::start(log, &bin.join("python"), &[&script], "Running on ");
        Some(Self { server })
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Make a customer; its id.
    pub fn create(&self, customer: &Value) -> String {
        let made = self.call("POST", "/v1/customers", customer);
        made["id"].as_str().unwrap().to_owned()
    }

    pub fn update(&self, id: &str, change: &Value) {
        self.call("POST", &format!("/v1/customers/{id}"), change);
    }

    pub fn delete(&self, id: &str) {
        self.call("DELETE", &format!("/v1/customers/{id}"), &json!({}));
    }

    /// All customers by id, as the server has them.
    pub fn customers(&self, ids: &[String]) -> BTreeMap<String, Value> {
        let one = |id: &String| {
            let customer = self.call("GET", &format!("/v1/customers/{id}"), &Value::Null);
            (id.clone(), customer)
        };
        ids.iter().map(one).collect()
    }

    fn call(&self, method: &str, target: &str, body: &Value) -> Value {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut headers = vec![header("Authorization", &format!("Bearer {KEY}"))];
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
        let response = send(self.server.address, &request).unwrap();
        let said = String::from_utf8_lossy(&response.body);
        assert!(response.status < 300, "{method} {target}: {said}");
        response.json()
    }
}
