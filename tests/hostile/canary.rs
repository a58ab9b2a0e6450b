//! A secret is planted in a connection, and then looked for in everything that was written while
//! plugins used it, failed, logged, printed and panicked, and in a guest's own memory.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tidegate_engine::run::{Figures, LogLine, Outcome, RunId};
use tidegate_engine::store::{Durability, RunFilter};
use tidegate_server::control::{Control, Progress, SyncRequest};

use crate::case::{Case, Does};
use crate::house::{House, key, name};
use crate::support::http::Request;
use crate::support::server::{Reply, Server};

const CANARY: &str = "canary-7215ee9c7d9dc229d2921a40";
/// What the API answers with, so that a search of the guest's memory has something to find.
const CONTROL: &str = "control-b1946ac92492d2347c6235b4";

fn backwards(text: &str) -> String {
    text.chars().rev().collect()
}

/// The forms in which a secret might be written.
fn forms() -> Vec<Vec<u8>> {
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    // base64 of its first 30 bytes: whole groups of three, so nothing depends on padding.
    let base64 = "Y2FuYXJ5LTcyMTVlZTljN2Q5ZGMyMjlkMjkyMWE0";
    let list: Vec<String> = CANARY.bytes().map(|byte| byte.to_string()).collect();
    [CANARY.to_owned(), hex, base64.to_owned(), list.join(", ")]
        .map(String::into_bytes)
        .to_vec()
}

#[track_caller]
fn expect_none(place: &str, bytes: &[u8]) {
    for form in forms() {
        let found = bytes.windows(form.len()).any(|window| window == form);
        let form = String::from_utf8_lossy(&form);
        assert!(!found, "{place} holds the secret as {form}");
    }
}

/// Keeps all that an observer is told.
#[derive(Default)]
struct Told(Mutex<String>);

impl Progress for Told {
    fn started(&self, run: RunId) {
        writeln!(self.0.lock().unwrap(), "{run}").unwrap();
    }

    fn log(&self, line: &LogLine) {
        writeln!(self.0.lock().unwrap(), "{line:?}").unwrap();
    }

    fn figures(&self, figures: &Figures) {
        writeln!(self.0.lock().unwrap(), "{figures:?}").unwrap();
    }
}

/// Answers those who know the secret, in the way that the path of the connection asks for, and
/// never repeats it.
fn api(elsewhere: String) -> Server {
    Server::start(move |request: &Request| {
        let known = request.header("authorization") == Some(&format!("Bearer {CANARY}"));
        match (known, request.path()) {
            (_, "/token") => Reply::json(&json!({
                "access_token": CANARY, "refresh_token": format!("{CANARY}-2"), "token_type": "bearer",
            })),
            (false, _) => Reply::text("who are you?").with_status(401),
            (true, path) if path.starts_with("/denies") => Reply::text("no").with_status(403),
            (true, path) if path.starts_with("/breaks") => Reply::text("oh").cut(),
            (true, path) if path.starts_with("/leads-away") => {
                Reply::status(302).header("Location", &format!("{elsewhere}/taken"))
            }
            (true, _) => Reply::text(CONTROL),
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_nowhere_to_be_found() {
    search_for(&[("token", CANARY)]).await;
}

/// The same with every part of OAuth 2 a secret: what buys the token, the token, and what comes with it.
#[tokio::test(flavor = "multi_thread")]
async fn neither_is_a_token_nor_what_buys_it() {
    let secrets = ["client_secret", "refresh_token"].map(|name| (name, CANARY));
    search_for(&[&[("client_id", "me")], &secrets[..]].concat()).await;
}

async fn search_for(secrets: &[(&str, &str)]) {
    let house = House::open().await;
    let stranger = Server::start(|_| Reply::text("thanks"));
    let api = api(stranger.origin());
    let plain = Case::new("a spy", Does::Sync("seek-secret"));
    house
        .deploy("spy", house.hostile.clone(), &api.origin(), &plain)
        .await
        .unwrap();
    let told = Arc::new(Told::default());
    // (path of the base URL, sync, outcome)
    let rows = [
        ("", "seek-secret", Outcome::Success),
        ("", "look-around", Outcome::Success),
        ("denies", "ask-once", Outcome::Failed),
        ("breaks", "ask-once", Outcome::Failed),
        ("leads-away", "ask-once", Outcome::Failed),
        ("", "header-injection", Outcome::Failed),
        ("", "metadata-service", Outcome::Failed),
        ("", "error", Outcome::Failed),
        ("", "panic", Outcome::Failed),
        ("", "print-bytes", Outcome::Success),
        ("", "long-lines", Outcome::Success),
    ];
    let mut cassettes = Vec::new();
    for (number, (path, sync, outcome)) in rows.into_iter().enumerate() {
        let connection = format!("acme-{number}");
        let config = json!({
            "backwards": backwards(CANARY), "control_backwards": backwards(CONTROL),
            "token_url": format!("{}/token", api.origin()),
        });
        let Value::Object(config) = config else {
            panic!("an object");
        };
        let base_url = format!("{}/{path}", api.origin());
        house
            .connect_with("spy", &connection, &base_url, config, secrets)
            .await;
        let cassette = house.data().join(format!("{number}.cassette"));
        let request = SyncRequest {
            connection: key("spy", &connection),
            sync: name(sync),
            reset: false,
            allow_deletes: false,
            durability: Durability::Durable,
            record: Some(cassette.clone()),
        };
        let run = house.local.run_sync(request, told.clone()).await.unwrap();
        let end = run.end.as_ref().unwrap();
        assert_eq!(end.outcome, outcome, "{path}/{sync}: {:?}", end.failure);
        expect_none("the run", format!("{run:?}").as_bytes());
        let logs = house.local.logs(run.id, 0, 100_000).await.unwrap();
        expect_none("its log", format!("{logs:?}").as_bytes());
        cassettes.push(cassette);
    }
    let authorised = api.requests();
    let with_secret = authorised
        .iter()
        .filter(|r| r.header("authorization").is_some());
    assert!(with_secret.count() >= 4, "the secret was used");
    assert!(
        stranger.requests().is_empty(),
        "nothing goes where nobody granted"
    );

    let found = house.records("spy", "acme-0", "Thing").await;
    let found = found.iter().find(|record| record["id"] == "found").unwrap();
    assert_eq!(found["secret"], 0, "the guest's memory: {found}");
    assert!(
        found["control"].as_u64().unwrap() > 0,
        "the search finds: {found}"
    );
    assert!(found["bytes"].as_u64().unwrap() > 1 << 20, "{found}");

    let shown = [
        format!(
            "{:?}",
            house.local.connection(&key("spy", "acme-0")).await.unwrap()
        ),
        format!("{:?}", house.local.integrations().await.unwrap()),
        format!(
            "{:?}",
            house.local.runs(RunFilter::default()).await.unwrap()
        ),
        told.0.lock().unwrap().clone(),
    ];
    for text in shown {
        expect_none("what is shown", text.as_bytes());
    }
    house.close().await;
    assert!(cassettes.iter().all(|cassette| cassette.exists()));
    let mut files = 0;
    search(&house.data(), &mut files);
    assert!(files > 10, "{files} files were searched");
}

/// Search every file below, byte by byte.
fn search(folder: &Path, files: &mut usize) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, files);
        } else {
            *files += 1;
            expect_none(&path.display().to_string(), &fs::read(&path).unwrap());
        }
    }
}
