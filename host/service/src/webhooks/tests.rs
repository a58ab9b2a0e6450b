//! The worker beside receivers made up, with a clock that the test sets.

mod answers;
mod kill;
mod order;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_egress::{Gate, GateOptions};
use tidegate_engine::integration::{Connection, Digest, NewDeployment};
use tidegate_engine::manifest::Manifest;
use tidegate_engine::run::{Figures, NewRun, Outcome, RunEnd, RunId, Target, Trigger};
use tidegate_engine::store::DeliveryFilter;
use tidegate_engine::webhook::{
    Delivery, Endpoint, EndpointId, SealedSecret, SigningSecret, verify,
};
use tidegate_engine::{ConnectionKey, Store, SyncKey, Timestamp};
use tidegate_runtime::Clock;
use tidegate_store_memory::MemoryStore;
use tokio::sync::{RwLock, oneshot, watch};

use super::{Alarm, Receivers, Worker, new_secret, seal_secret};
use crate::secrets::KeyRing;

const NOW: u64 = 1_795_305_600_000;
const SECOND_MS: u64 = 1000;
const HOUR_MS: u64 = 3600 * SECOND_MS;
/// Longest wait for something that must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A clock that stands until it is set; alarms go by it.
#[derive(Clone)]
struct Hands(watch::Sender<u64>);

impl Hands {
    fn new(now: u64) -> Self {
        Self(watch::Sender::new(now))
    }

    fn now(&self) -> u64 {
        *self.0.borrow()
    }

    fn set(&self, now: u64) {
        self.0.send_replace(now);
    }

    fn clock(&self) -> Clock {
        let hands = self.clone();
        Clock::new(move || Timestamp(hands.now()))
    }

    fn alarm(&self) -> Alarm {
        let hands = self.clone();
        Alarm::new(move |at| {
            let mut changes = hands.0.subscribe();
            async move {
                // It can't end: the test holds the other half.
                let _ = changes.wait_for(|now| *now >= at.0).await;
            }
            .boxed()
        })
    }
}

/// A request as a receiver saw it.
#[derive(Debug, Clone)]
struct Seen {
    path: String,
    id: String,
    timestamp: u64,
    signature: String,
    body: String,
}

impl Seen {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn verifies(&self, secret: &SigningSecret) -> bool {
        verify(
            secret,
            &self.id,
            self.timestamp,
            &self.body,
            &self.signature,
            self.timestamp,
        )
        .is_ok()
    }
}

type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);
/// What a receiver does with a request, given how many came before it to the same path.
type Script = dyn Fn(Seen, usize) -> BoxFuture<'static, Answer> + Send + Sync;

#[derive(Clone)]
struct Receiver {
    origin: String,
    seen: watch::Sender<Vec<Seen>>,
}

impl Receiver {
    async fn new(
        script: impl Fn(Seen, usize) -> BoxFuture<'static, Answer> + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let seen = watch::Sender::new(Vec::new());
        let state = (seen.clone(), Arc::new(script) as Arc<Script>);
        let router = Router::new().fallback(receive).with_state(state);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { origin, seen }
    }

    /// Answers with these statuses, the last one for ever.
    async fn with_statuses(statuses: &'static [u16]) -> Self {
        Self::new(move |_, before| {
            let status = statuses[before.min(statuses.len() - 1)];
            async move { (status, vec![], vec![]) }.boxed()
        })
        .await
    }

    /// Wait until so many requests have come; returns them.
    async fn until(&self, count: usize) -> Vec<Seen> {
        let mut seen = self.seen.subscribe();
        let come = seen.wait_for(|seen| seen.len() >= count);
        let come = tokio::time::timeout(PATIENCE, come).await;
        come.expect("the requests should have come")
            .unwrap()
            .clone()
    }
}

async fn receive(
    State((seen, script)): State<(watch::Sender<Vec<Seen>>, Arc<Script>)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/json");
    let request = Seen {
        path: uri.path().to_owned(),
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp").parse().unwrap(),
        signature: header("webhook-signature"),
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let mut before = 0;
    seen.send_modify(|all| {
        before = all.iter().filter(|own| own.path == request.path).count();
        all.push(request.clone());
    });
    let (status, lines, body) = script(request, before).await;
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.insert(name, value.parse().unwrap());
    }
    (status.try_into().unwrap(), headers, body)
}

fn connection(name: &str) -> ConnectionKey {
    ConnectionKey {
        integration: "crm".parse().unwrap(),
        connection: name.parse().unwrap(),
    }
}

/// Deploy `crm` and connect these.
async fn set_up(store: &dyn Store, connections: &[&str]) {
    let digest = store.put_component(b"component".to_vec()).await.unwrap();
    let manifest = json!({"manifest": 1, "name": "crm", "version": "0.1.0"}).to_string();
    let deployment = NewDeployment {
        integration: "crm".parse().unwrap(),
        digest,
        manifest: Manifest::parse(&manifest).unwrap(),
        grants: Default::default(),
        config: Default::default(),
        now: Timestamp(NOW),
    };
    store.deploy(deployment).await.unwrap();
    for name in connections {
        let new: Connection = serde_json::from_value(json!({
            "key": connection(name), "base_url": "https://api.example/", "config": {}, "metadata": {},
            "secret_names": [], "sealed_secrets": [], "created_at": NOW, "updated_at": NOW,
        }))
        .unwrap();
        store.add_connection(new).await.unwrap();
    }
}

/// A run of a connection's sync that ends at `at`, which makes an event.
async fn run_once(store: &dyn Store, name: &str, number: u128, at: u64) -> RunId {
    let id = RunId::from_parts(Timestamp(at), number);
    let sync = SyncKey {
        connection: connection(name),
        sync: "contacts".parse().unwrap(),
        variant: "base".parse().unwrap(),
    };
    let new = NewRun {
        id,
        target: Target::Sync(sync),
        plugin: Digest::of(b""),
        plugin_version: "1".into(),
        trigger: Trigger::Manual,
        attempt: 1,
        job: None,
        reset: false,
        now: Timestamp(at),
    };
    let fence = store.start_run(new).await.unwrap().fence;
    let end = RunEnd {
        at: Timestamp(at),
        outcome: Outcome::Success,
        failure: None,
        figures: Figures::default(),
    };
    store.finish_run(id, fence, end).await.unwrap();
    id
}

/// A worker over a store, with endpoints whose secrets the test knows.
struct Scene {
    folder: TempDir,
    store: Arc<dyn Store>,
    hands: Hands,
    secrets: Mutex<BTreeMap<EndpointId, SigningSecret>>,
    numbers: AtomicU64,
    stop: Option<oneshot::Sender<()>>,
    worker: Option<tokio::task::JoinHandle<crate::problem::Result<()>>>,
}

impl Scene {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        KeyRing::load(folder.path()).unwrap().create().unwrap();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
        set_up(&*store, &["acme", "bolt"]).await;
        Self {
            folder,
            store,
            hands: Hands::new(NOW),
            secrets: Mutex::default(),
            numbers: AtomicU64::new(1),
            stop: None,
            worker: None,
        }
    }

    fn ring(&self) -> KeyRing {
        KeyRing::load(self.folder.path()).unwrap()
    }

    async fn endpoint(&self, url: &str) -> EndpointId {
        let number = self.numbers.fetch_add(1, Ordering::SeqCst);
        let id = EndpointId::from_parts(Timestamp(NOW), number.into());
        let secret = new_secret().unwrap();
        let endpoint = Endpoint {
            id,
            url: url.parse().unwrap(),
            description: String::new(),
            events: [].into(),
            integration: None,
            connection: None,
            secrets: vec![self.sealed(id, &secret)],
            disabled: None,
            first_failure_at: None,
            probe_at: None,
            created_at: Timestamp(NOW),
            revision: 0,
        };
        self.store.add_endpoint(endpoint).await.unwrap();
        self.secrets.lock().unwrap().insert(id, secret);
        id
    }

    fn sealed(&self, id: EndpointId, secret: &SigningSecret) -> SealedSecret {
        SealedSecret {
            sealed: seal_secret(&self.ring(), id, secret).unwrap(),
            created_at: Timestamp(NOW),
            expires_at: None,
        }
    }

    fn secret(&self, id: EndpointId) -> SigningSecret {
        self.secrets.lock().unwrap()[&id].clone()
    }

    /// An event about a connection, now.
    async fn event(&self, name: &str) {
        let number = self.numbers.fetch_add(1, Ordering::SeqCst);
        run_once(&*self.store, name, number.into(), self.hands.now()).await;
    }

    fn worker(&self) -> Worker {
        let loopback = vec!["127.0.0.0/8".parse().unwrap()];
        Worker {
            store: Arc::clone(&self.store),
            receivers: Receivers::new(Gate::new(GateOptions::default()), loopback),
            clock: self.hands.clock(),
            alarm: self.hands.alarm(),
            data: self.folder.path().to_owned(),
            key_use: Arc::new(RwLock::new(())),
        }
    }

    fn start(&mut self) {
        let worker = Arc::new(self.worker());
        let (stop, stopped) = oneshot::channel();
        self.stop = Some(stop);
        self.worker = Some(tokio::spawn(async move {
            worker
                .run(async {
                    let _ = stopped.await;
                })
                .await
        }));
    }

    async fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        let ended = tokio::time::timeout(PATIENCE, self.worker.take().unwrap()).await;
        ended.expect("it should have stopped").unwrap().unwrap();
    }

    async fn deliveries(&self, endpoint: EndpointId) -> Vec<Delivery> {
        let filter = DeliveryFilter {
            endpoint,
            state: None,
            before: None,
            limit: 1000,
        };
        let mut deliveries = self.store.deliveries(filter).await.unwrap();
        deliveries.reverse();
        deliveries
    }

    /// Wait until the deliveries of an endpoint are so.
    async fn until(&self, endpoint: EndpointId, so: impl Fn(&[Delivery]) -> bool) -> Vec<Delivery> {
        let mut heard = 0;
        let wait = async {
            loop {
                let deliveries = self.deliveries(endpoint).await;
                if so(&deliveries) {
                    return deliveries;
                }
                heard = self.store.deliveries_changed(heard).await.unwrap();
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        match waited {
            Ok(deliveries) => deliveries,
            Err(_) => panic!(
                "the deliveries did not become so at {:?}: {:#?}",
                self.hands.now(),
                self.deliveries(endpoint).await
            ),
        }
    }

    /// Wait for one more attempt than `made` at the first delivery.
    async fn settled(&self, endpoint: EndpointId, made: u32) -> Delivery {
        let all = self.until(endpoint, |all| {
            all.first().is_some_and(|one| one.made > made)
        });
        all.await.remove(0)
    }
}
