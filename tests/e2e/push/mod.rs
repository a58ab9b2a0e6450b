//! `plugins/push`: from one integration to an API, against a real server, one that has its moods,
//! and whatever can be configured wrongly.

mod grants;
mod jq;
mod kinto;
mod misuse;
mod moods;

use std::fs;

use serde_json::{Value, json};

use crate::support::cli::Tidegate;
use crate::support::plugins;
use crate::support::server::{Reply, Server};

/// A source, `crm`, whose connection `acme` has the model `Contact`; its API is the test's.
fn source(tidegate: &Tidegate, origin: &str) {
    tidegate.deploy(&plugins::rest(), "crm", origin);
    connect_source(tidegate, "acme", origin);
}

/// Another customer of the source.
fn connect_source(tidegate: &Tidegate, connection: &str, origin: &str) {
    let models = json!({ "Contact": { "path": "/contacts", "full_pull_with_deletes": true } });
    let words = format!("connections add crm {connection} --base-url {origin} --config");
    tidegate.cmd(&words).arg(format!("models={models}")).ok();
}

/// Deploy `plugins/push` as `out` with these further words, such as grants.
fn deploy(tidegate: &Tidegate, origin: &str, words: &str) {
    let cmd = tidegate.cmd("deploy").arg(plugins::push());
    let grants = format!("--allow-host {origin} --allow-private 127.0.0.0/8");
    cmd.words(&format!("--as out --yes {grants} {words}")).ok();
}

/// Connect it as `acme` with these pushes.
fn connect(tidegate: &Tidegate, connection: &str, base_url: &str, pushes: &Value) {
    let file = tidegate.data().with_file_name(format!("{connection}.json"));
    fs::write(&file, json!({ "pushes": pushes }).to_string()).unwrap();
    let words = format!("connections add out {connection} --base-url {base_url} --config");
    tidegate
        .cmd(&words)
        .arg(format!("@{}", file.display()))
        .ok();
}

/// A push of `crm/Contact` with these keys over the usual ones.
fn push(keys: &Value) -> Value {
    let mut push = json!({
        "from": { "integration": "crm", "model": "Contact" },
        "save": { "method": "PUT", "path": "/people/{id}" },
        "delete": { "method": "DELETE", "path": "/people/{id}" },
    });
    for (key, value) in keys.as_object().unwrap() {
        push[key] = value.clone();
    }
    push
}

/// An API that has these contacts.
fn contacts(contacts: Vec<Value>) -> Server {
    Server::start(move |_| Reply::json(&json!(contacts)))
}
