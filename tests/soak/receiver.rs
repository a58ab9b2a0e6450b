//! The endpoint of the fleet's webhooks. Now and then it says no, or takes an event and hangs up.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;

use crate::support::wait_until;
use crate::verdict::Run;

/// How long the last events may take: a failed attempt is repeated after five seconds, one without an answer
/// after a minute.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Default)]
struct Taken {
    /// The run of each event by `webhook-id`, and how often it came.
    events: BTreeMap<String, (String, u32)>,
    /// Events that were refused once.
    refused: BTreeMap<String, u32>,
    /// The last run told of by connection, to see their order.
    last: BTreeMap<String, String>,
    /// Up to which record each connection is told to be stored.
    told: BTreeMap<String, u64>,
    wrongs: Vec<String>,
}

#[derive(Debug, Default)]
struct Shared {
    taken: Mutex<Taken>,
    behaves: AtomicBool,
}

/// The receiver; it serves as long as its runtime.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let routes = Router::new()
            .route("/hook", post(take))
            .with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn behave(&self) {
        self.shared.behaves.store(true, Ordering::SeqCst);
    }

    /// How many different events have come.
    pub fn count(&self) -> usize {
        self.shared.taken.lock().unwrap().events.len()
    }

    /// Wait until as many events have come as runs have ended.
    #[track_caller]
    pub fn await_all(&self, runs: &[Run]) {
        let wanted = runs.iter().filter(|run| run.is_told()).count();
        // As long as some come, they are not lost.
        while self.count() < wanted {
            let before = self.count();
            wait_until(&format!("{wanted} events after {before}"), PATIENCE, || {
                (self.count() > before).then_some(())
            });
        }
    }

    /// Each run that ended has exactly one event, and events of a connection came in order.
    #[track_caller]
    pub fn expect_one_event_for_each(&self, runs: &[Run]) {
        let taken = self.shared.taken.lock().unwrap();
        let mut told: BTreeMap<&str, u32> = BTreeMap::new();
        for (run, _) in taken.events.values() {
            *told.entry(run).or_default() += 1;
        }
        for run in runs.iter().filter(|run| run.is_told()) {
            let times = told.remove(run.id.as_str());
            assert_eq!(times, Some(1), "events of {run:?}");
        }
        assert!(
            told.is_empty(),
            "events of runs that are not there: {told:?}"
        );
        let wrongs = &taken.wrongs;
        assert!(wrongs.is_empty(), "{} wrongs: {wrongs:#?}", wrongs.len());
    }

    /// The last record that the connection's events told to be stored.
    pub fn told(&self, connection: &str) -> u64 {
        let taken = self.shared.taken.lock().unwrap();
        taken.told.get(connection).copied().unwrap_or(0)
    }

    pub fn report(&self) {
        let taken = self.shared.taken.lock().unwrap();
        let again = taken.events.values().filter(|(_, times)| *times > 1);
        println!(
            "receiver: {} events, {} came more than once, {} were refused at first",
            taken.events.len(),
            again.count(),
            taken.refused.len(),
        );
    }
}

async fn take(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    let event: Value = serde_json::from_slice(&body).unwrap();
    let data = &event["data"];
    let run = data["run"].as_str().unwrap().to_owned();
    let connection = data["connection"].as_str().unwrap().to_owned();
    let mut taken = shared.taken.lock().unwrap();
    let mood = match shared.behaves.load(Ordering::SeqCst) || taken.refused.contains_key(&id) {
        true => 99,
        false => blake3::hash(id.as_bytes()).as_bytes()[0] % 100,
    };
    // One in a hundred is refused, and one is taken with an answer that says otherwise.
    if mood <= 1 {
        *taken.refused.entry(id.clone()).or_default() += 1;
    }
    if mood == 0 {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    let known = taken.events.entry(id.clone()).or_insert((run.clone(), 0));
    known.1 += 1;
    let (was, times) = known.clone();
    if was != run {
        taken
            .wrongs
            .push(format!("{id} told of {was} and of {run}"));
    }
    // Run ids sort by time.
    if let Some(until) = data["checkpoint"]["to"]["since"].as_str() {
        let told = taken.told.entry(connection.clone()).or_default();
        *told = until.parse::<u64>().unwrap().max(*told);
    }
    // Run ids sort by time. Only what comes for the first time has a place in the order.
    let last = taken.last.get(&connection).cloned().unwrap_or_default();
    if times == 1 && last > run {
        taken
            .wrongs
            .push(format!("{id}: {run} was told of after {last}"));
    }
    taken.last.insert(connection, last.max(run));
    if mood == 1 {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    StatusCode::NO_CONTENT
}
