//! A secret is planted in a connection, and then looked for in everything that was written while
//! plugins used it, failed, logged, printed and panicked, and in a guest's own memory.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tidegate_engine::run::{Figures, LogLine, Outcome, RunId};
use tidegate_engine::store::{Durability, RunFilter};
use tidegate_service::control::{Control, Management, Progress, SyncRequest};

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
    let list: Vec<String> = CANARY.bytes().map(|byte| byte.to_string()).collect();
    let forms = [CANARY.to_owned(), hex, list.join(", ")].into_iter();
    forms.chain(base64()).map(String::into_bytes).collect()
}

/// In base64, as it is sent behind texts of each length.
fn in_base64() -> [String; 3] {
    use base64::Engine as _;
    ["", "a", "ab"]
        .map(|ahead| base64::engine::general_purpose::STANDARD.encode(format!("{ahead}{CANARY}")))
}

/// In base64, behind any text: only what comes from whole groups of its own bytes.
fn base64() -> [String; 3] {
    use base64::Engine as _;
    let whole = |from: usize| {
        let bytes = &CANARY.as_bytes()[from..];
        let bytes = &bytes[..bytes.len() / 3 * 3];
        base64::engine::general_purpose::STANDARD.encode(bytes)
    };
    [whole(0), whole(1), whole(2)]
}

/// Secrets of each kind of `auth` that the plugin has, and where its canary is to arrive.
const KINDS: [(&[(&str, &str)], &str); 7] = [
    (&[("token", CANARY)], "authorization: bearer"),
    (
        &[("username", "ada"), ("password", CANARY)],
        "authorization: basic",
    ),
    (
        &[("username", CANARY), ("password", "x")],
        "authorization: basic",
    ),
    (&[("header_key", CANARY)], "x-key"),
    (&[("query_key", CANARY)], "query"),
    (
        &[("first", CANARY), ("second", CANARY)],
        "x-first and query",
    ),
    // What buys the token; the token itself is one too.
    (
        &[
            ("client_id", "me"),
            ("client_secret", CANARY),
            ("refresh_token", CANARY),
        ],
        "authorization: bearer",
    ),
];

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

/// Where the secret is in a request.
fn arrived(request: &Request) -> Option<&'static str> {
    let has = |name| request.header(name).unwrap_or_default();
    let authorization = has("authorization");
    let query = request.target.contains(CANARY);
    match () {
        () if authorization == format!("Bearer {CANARY}") => Some("authorization: bearer"),
        () if base64().iter().any(|form| authorization.contains(form)) => {
            Some("authorization: basic")
        }
        () if has("x-key") == format!("Key {CANARY}") => Some("x-key"),
        () if has("x-first") == format!("First {CANARY}") && query => Some("x-first and query"),
        () if query => Some("query"),
        () => None,
    }
}

/// Answers those who know the secret, in the way that the path of the connection asks for.
fn api(elsewhere: String) -> Server {
    Server::start(move |request: &Request| {
        let known = arrived(request).is_some();
        match (known, request.path()) {
            (_, "/token") => Reply::json(&json!({
                "access_token": CANARY, "refresh_token": format!("{CANARY}-2"), "token_type": "bearer",
            })),
            (false, _) => Reply::text("who are you?").with_status(401),
            (true, path) if path.starts_with("/denies") => Reply::text("no").with_status(403),
            (true, path) if path.starts_with("/breaks") => Reply::text("oh").cut(),
            // As APIs do: what they were sent, in their error.
            (true, path) if path.starts_with("/repeats") => {
                let [first, second, third] = in_base64();
                let escaped = CANARY.replace('-', "%2d");
                let sent = format!(
                    "{CANARY} {escaped} {first} {second} {third} {:?}",
                    request.headers
                );
                Reply::text(&sent)
                    .with_status(401)
                    .header("X-Echo", CANARY)
                    .header("Link", &format!("<{}>; rel=\"next\"", request.target))
            }
            (true, path) if path.starts_with("/leads-away") => {
                Reply::status(302).header("Location", &format!("{elsewhere}/taken"))
            }
            (true, _) => Reply::text(CONTROL),
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_nowhere_to_be_found() {
    let house = House::open().await;
    let stranger = Server::start(|_| Reply::text("thanks"));
    let api = api(stranger.origin());
    let plain = Case {
        metadata_write: true,
        ..Case::new("a spy", Does::Sync("seek-secret"))
    };
    house
        .deploy("spy", house.hostile.clone(), &api.origin(), &plain)
        .await
        .unwrap();
    let told = Arc::new(Told::default());
    // (path of the base URL, sync, outcome), with each kind of credentials
    let ways = [
        ("", "seek-secret", Outcome::Success),
        ("", "look-around", Outcome::Success),
        ("denies", "ask-once", Outcome::Failed),
        ("breaks", "ask-once", Outcome::Failed),
        ("leads-away", "ask-once", Outcome::Failed),
        ("", "header-injection", Outcome::Failed),
        ("", "metadata-service", Outcome::Failed),
        ("", "error", Outcome::Failed),
        ("", "panic", Outcome::Failed),
        ("repeats", "repeat", Outcome::Failed),
        ("repeats", "repeat-error", Outcome::Failed),
        ("", "print-bytes", Outcome::Success),
        ("", "long-lines", Outcome::Success),
    ];
    let mut cassettes = Vec::new();
    let rows = KINDS
        .into_iter()
        .flat_map(|kind| ways.map(|way| (kind, way)));
    for (number, ((secrets, place), (path, sync, outcome))) in rows.enumerate() {
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
            empty: false,
            allow_deletes: false,
            durability: Durability::Durable,
            record: Some(cassette.clone()),
        };
        let run = house.local.run_sync(request, told.clone()).await.unwrap();
        let end = run.end.as_ref().unwrap();
        assert_eq!(end.outcome, outcome, "{path}/{sync}: {:?}", end.failure);
        if number % ways.len() == 0 {
            let last = api.requests().pop();
            assert_eq!(last.as_ref().and_then(arrived), Some(place));
            let connection = format!("acme-{number}");
            let found = house.records("spy", &connection, "Thing").await;
            let found = found.iter().find(|record| record["id"] == "found").unwrap();
            assert_eq!(found["secret"], 0, "the guest's memory: {found}");
            assert!(
                found["control"].as_u64().unwrap() > 0,
                "the search finds: {found}"
            );
            assert!(found["bytes"].as_u64().unwrap() > 1 << 20, "{found}");
        }
        expect_none("the run", format!("{run:?}").as_bytes());
        let logs = house.local.logs(run.id, 0, 100_000).await.unwrap();
        expect_none("its log", format!("{logs:?}").as_bytes());
        cassettes.push(cassette);
    }
    let with_secret = api.requests().iter().filter_map(arrived).count();
    assert!(with_secret >= 4 * KINDS.len(), "the secret was used");
    assert!(
        stranger.requests().is_empty(),
        "nothing goes where nobody granted"
    );

    let shown = [
        format!(
            "{:?}",
            house.local.connection(&key("spy", "acme-0")).await.unwrap()
        ),
        format!(
            "{:?}",
            house.local.integrations(None, usize::MAX).await.unwrap()
        ),
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
