//! The outside API of the whole fleet: `/CONNECTION/contacts`, in pages, with a cursor and `updated_since`,
//! as `plugins/demo-crm` reads it. Now and then it fails, throttles, hangs, is slow, or cuts its answer.
//!
//! Its ledger knows what each connection was given, and notices a checkpoint that goes back and two runs
//! of one connection at the same time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

/// Records of a connection before its first sync, and records of a page.
const AT_FIRST: u64 = 9;
const PAGE: u64 = 4;
/// How long a slow answer takes, and a hanging one: longer than the host waits.
const SLOW: Duration = Duration::from_millis(700);
const HANGS: Duration = Duration::from_secs(600);

/// One connection's side of the source.
#[derive(Debug, Default)]
struct Account {
    /// Records 1 to this exist.
    newest: u64,
    /// The highest `updated_since` that was ever asked for: what was certainly stored.
    stored: u64,
    asked: u64,
    /// The server's life in which a request is being answered.
    answering: Option<u64>,
    /// The last of the records handed out.
    given: u64,
}

#[derive(Debug)]
struct Ledger {
    accounts: Vec<Mutex<Account>>,
    behaves: AtomicBool,
    /// Which life of the server asks.
    life: AtomicU64,
    wrongs: Mutex<Vec<String>>,
    done: Mutex<BTreeMap<&'static str, u64>>,
}

/// The source; it serves as long as its runtime.
#[derive(Debug)]
pub struct Source {
    address: SocketAddr,
    ledger: Arc<Ledger>,
}

impl Source {
    pub async fn start(connections: usize) -> Self {
        let account = |_| {
            Mutex::new(Account {
                newest: AT_FIRST,
                ..Account::default()
            })
        };
        let ledger = Arc::new(Ledger {
            accounts: (0..connections).map(account).collect(),
            behaves: AtomicBool::new(false),
            life: AtomicU64::new(0),
            wrongs: Mutex::default(),
            done: Mutex::default(),
        });
        let routes = Router::new()
            .route("/{connection}/contacts", get(contacts))
            .with_state(Arc::clone(&ledger));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { address, ledger }
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on every answer is as it should be.
    pub fn behave(&self) {
        self.ledger.behaves.store(true, Ordering::SeqCst);
    }

    /// The server was killed: what it asked is no business of the next one.
    pub fn new_life(&self) {
        self.ledger.life.fetch_add(1, Ordering::SeqCst);
    }

    /// The last record of the connection that was handed out, and the last that was surely stored.
    pub fn given_and_stored(&self, connection: usize) -> (u64, u64) {
        let account = self.ledger.accounts[connection].lock().unwrap();
        (account.given, account.stored)
    }

    /// No connection had two runs at once, and no checkpoint went back.
    #[track_caller]
    pub fn expect_no_overlap(&self) {
        let wrongs = self.ledger.wrongs.lock().unwrap();
        assert!(wrongs.is_empty(), "{} wrongs: {wrongs:#?}", wrongs.len());
    }

    pub fn report(&self) {
        println!("source: {:?}", self.ledger.done.lock().unwrap());
    }
}

/// The body of a record, which the verdict compares.
pub fn record(connection: usize, number: u64) -> Value {
    json!({"id": format!("r{number}"), "number": number, "owner": connection})
}

/// Marks a connection as being answered, until dropped.
struct Answering<'a>(&'a Ledger, usize);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.accounts[self.1].lock().unwrap().answering = None;
    }
}

impl Ledger {
    fn count(&self, what: &'static str) {
        *self.done.lock().unwrap().entry(what).or_default() += 1;
    }

    fn wrong(&self, what: String) {
        self.wrongs.lock().unwrap().push(what);
    }
}

async fn contacts(
    State(ledger): State<Arc<Ledger>>,
    Path(connection): Path<usize>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let number = |name: &str| query.get(name).map(|text| text.parse::<u64>().unwrap());
    let since = number("updated_since").unwrap_or(0);
    let life = ledger.life.load(Ordering::SeqCst);
    let mood = {
        let mut account = ledger.accounts[connection].lock().unwrap();
        account.asked += 1;
        if since < account.stored {
            let stored = account.stored;
            ledger.wrong(format!(
                "{connection} is read from {since} after {stored} had been stored"
            ));
        }
        account.stored = since.max(account.stored);
        if account.answering == Some(life) {
            ledger.wrong(format!("{connection} is read twice at the same time"));
        }
        mood(&ledger, connection as u64, account.asked)
    };
    ledger.count(mood);
    match mood {
        "fails" => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        "throttles" => {
            return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response();
        }
        "hangs" => {
            tokio::time::sleep(HANGS).await;
            return StatusCode::GATEWAY_TIMEOUT.into_response();
        }
        _ => {}
    }
    ledger.accounts[connection].lock().unwrap().answering = Some(life);
    let answering = Answering(&ledger, connection);
    if mood == "slow" {
        tokio::time::sleep(SLOW).await;
    }
    let page = {
        let mut account = ledger.accounts[connection].lock().unwrap();
        // The first page of a pull: something has happened meanwhile.
        let (from, until) = match query.get("cursor").and_then(|text| text.split_once('-')) {
            Some((from, until)) => (from.parse().unwrap(), until.parse().unwrap()),
            None => {
                account.newest += account.asked % 3;
                (since, account.newest)
            }
        };
        let last = until.min(from + PAGE);
        account.given = account.given.max(last);
        let items: Vec<Value> = (from + 1..=last).map(|n| record(connection, n)).collect();
        let next = (last < until).then(|| format!("{last}-{until}"));
        json!({"items": items, "next_cursor": next, "as_of": until.to_string()})
    };
    drop(answering);
    if mood == "cuts" {
        let half = page.to_string().into_bytes();
        let half = Bytes::copy_from_slice(&half[..half.len() / 2]);
        let broken = Err(std::io::Error::other("cut"));
        let stream = futures::stream::iter([Ok(half), broken]);
        return (
            [("content-type", "application/json")],
            Body::from_stream(stream),
        )
            .into_response();
    }
    axum::Json(page).into_response()
}

/// How it answers: the same in every soak for the same request of a connection.
fn mood(ledger: &Ledger, connection: u64, asked: u64) -> &'static str {
    if ledger.behaves.load(Ordering::SeqCst) {
        return "answers";
    }
    let mut hash = blake3::Hasher::new();
    hash.update(&connection.to_le_bytes());
    hash.update(&asked.to_le_bytes());
    let chance = u16::from_le_bytes([hash.finalize().as_bytes()[0], hash.finalize().as_bytes()[1]]);
    match chance % 1000 {
        0..20 => "fails",
        20..30 => "throttles",
        30..40 => "cuts",
        40..43 => "hangs",
        43..60 => "slow",
        _ => "answers",
    }
}
