//! A real Stripe-like server: localstripe, installed on first use, started by a test, ended with it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};

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
        let key = format!("Bearer {KEY}");
        self.server.call(&key, method, target, body).json()
    }
}
