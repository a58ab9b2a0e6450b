//! A real record server: Kinto, installed on first use, started by a test, ended with it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::http::Response;
use super::real::{Real, or_loudly, python};
use super::root;

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
    server: Real,
}

/// The path of the collection's records.
pub const RECORDS: &str = "/v1/buckets/crm/collections/contacts/records";

impl Kinto {
    /// Install what is missing and start a server. `None`, and loud words, where that can't be;
    /// with `CI=true` a panic.
    pub fn start(log: &str) -> Option<Self> {
        let installed = python("kinto", "tests/kinto/requirements.txt");
        let bin = or_loudly("KINTO", installed)?;
        let settings = root().join("tests/kinto/kinto.ini");
        let server = Real::start(log, &bin.join("pserve"), &[&settings], "Serving on ");
        let kinto = Self { server };
        kinto.put(
            &format!("/v1/accounts/{USER}"),
            &json!({"data": {"password": PASSWORD}}),
        );
        kinto.put("/v1/buckets/crm", &json!({}));
        kinto.put("/v1/buckets/crm/collections/contacts", &json!({}));
        Some(kinto)
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
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
        self.server.call(AUTHORIZATION, method, target, body)
    }
}
