//! The token manager beside a token endpoint made up: clocks that jump, operators who are faster, runs that
//! end too soon.

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use futures::future::{BoxFuture, join_all};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_egress::{EgressError, Gate, GateOptions, Secret, TokenEndpoint, TokenFault};
use tidegate_engine::integration::{Connection, NewDeployment};
use tidegate_engine::manifest::{Auth, Manifest};
use tidegate_engine::{ConnectionKey, Store, Timestamp};
use tidegate_runtime::Clock;
use tidegate_store_memory::MemoryStore;
use tokio::sync::Notify;

use super::forget_tokens;
use super::manager::{CacheEntry, TokenManager, TokenRequester};
use crate::secrets::{KeyRing, SecretMap};

const HOUR_MS: u64 = 3_600_000;
const NOW: u64 = 1_700_000_000_000;

/// What the endpoint does before it answers, and with what: the number of the request, from 1, and
/// its refresh token.
type Script = Box<dyn Fn(usize, String) -> BoxFuture<'static, (u16, Value)> + Send + Sync>;

/// A token manager for one connection, and the endpoint that it asks.
struct Scene {
    folder: TempDir,
    store: Arc<dyn Store>,
    token_manager: Arc<TokenManager>,
    slot: Arc<CacheEntry>,
    requester: Arc<TokenRequester>,
    now: Arc<AtomicU64>,
    asked: Arc<AtomicUsize>,
}

struct Endpoint {
    asked: Arc<AtomicUsize>,
    script: Mutex<Option<Arc<Script>>>,
}

async fn answer(
    State(endpoint): State<Arc<Endpoint>>,
    form: String,
) -> (axum::http::StatusCode, Json<Value>) {
    let number = endpoint.asked.fetch_add(1, Ordering::SeqCst) + 1;
    let mut pairs = url::form_urlencoded::parse(form.as_bytes());
    let refresh = pairs.find(|(name, _)| name == "refresh_token").unwrap();
    let script = endpoint.script.lock().unwrap().clone().unwrap();
    let (status, value) = script(number, refresh.1.into_owned()).await;
    (status.try_into().unwrap(), Json(value))
}

fn key() -> ConnectionKey {
    ConnectionKey {
        integration: "crm".parse().unwrap(),
        connection: "acme".parse().unwrap(),
    }
}

/// `access-N` for an hour, and `refresh-N`.
fn tokens(number: usize) -> (u16, Value) {
    let value = json!({
        "access_token": format!("access-{number}"), "token_type": "bearer", "expires_in": 3600,
        "refresh_token": format!("refresh-{number}"),
    });
    (200, value)
}

fn rejection() -> (u16, Value) {
    (400, json!({"error": "invalid_grant"}))
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

/// What an operator does to the connection, in one command of the store.
async fn change(store: &dyn Store, data: &Path, change: impl Fn(&mut Connection, &mut SecretMap)) {
    let mut connection = store.connection(&key()).await.unwrap();
    let ring = KeyRing::load(data).unwrap();
    let mut secrets = ring
        .open(&key(), &connection.origin(), &connection.sealed_secrets)
        .unwrap();
    change(&mut connection, &mut secrets);
    let origin = connection.origin();
    connection.sealed_secrets = ring
        .sealing()
        .unwrap()
        .seal(&key(), &origin, &secrets)
        .unwrap();
    assert_eq!(
        store.update_connections(vec![connection]).await.unwrap(),
        [true]
    );
}

impl Scene {
    /// The script gets the store and the data directory, to play the operator.
    async fn new(script: impl FnOnce(Arc<dyn Store>, std::path::PathBuf) -> Script) -> Self {
        let folder = TempDir::new().unwrap();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
        let asked = Arc::new(AtomicUsize::new(0));
        let endpoint = Arc::new(Endpoint {
            asked: Arc::clone(&asked),
            script: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/token", post(answer));
        let router = router.with_state(Arc::clone(&endpoint));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

        let auth: Auth = serde_json::from_value(json!({
            "kind": "oauth2-refresh-token", "token_url": format!("{origin}/token"),
            "client_id": "id", "refresh_token": "refresh",
        }))
        .unwrap();
        let manifest = json!({"manifest": 1, "name": "crm", "version": "0.1.0"}).to_string();
        let digest = store.put_component(b"component".to_vec()).await.unwrap();
        let deployment = NewDeployment {
            integration: "crm".parse().unwrap(),
            digest,
            manifest: Manifest::parse(&manifest).unwrap(),
            grants: Default::default(),
            config: Default::default(),
            now: Timestamp(NOW),
        };
        store.deploy(deployment).await.unwrap();
        let mut ring = KeyRing::load(folder.path()).unwrap();
        ring.create().unwrap();
        let secrets = [("id", "me"), ("refresh", "refresh-0")];
        let secrets = secrets.map(|(name, text)| (name.to_owned(), secret(text)));
        let sealed = ring
            .sealing()
            .unwrap()
            .seal(&key(), "https://api.example", &secrets.into());
        let connection: Connection = serde_json::from_value(json!({
            "key": key(), "base_url": "https://api.example/", "config": {}, "metadata": {},
            "secret_names": ["id", "refresh"], "sealed_secrets": sealed.unwrap(),
            "created_at": NOW, "updated_at": NOW,
        }))
        .unwrap();
        store.add_connection(connection).await.unwrap();
        *endpoint.script.lock().unwrap() = Some(Arc::new(script(
            Arc::clone(&store),
            folder.path().to_owned(),
        )));

        let now = Arc::new(AtomicU64::new(NOW));
        let clock = Arc::clone(&now);
        let clock = Clock::new(move || Timestamp(clock.load(Ordering::SeqCst)));
        let token_manager = TokenManager::new(
            Arc::clone(&store),
            folder.path().to_owned(),
            clock,
            Arc::default(),
        );
        let token_manager = Arc::new(token_manager);
        let request = auth.token_request(&Default::default()).unwrap().unwrap();
        let requester = TokenRequester {
            endpoint: TokenEndpoint {
                connection: key(),
                url: request.url.clone(),
                granted: vec![origin.parse().unwrap()],
                private: vec!["127.0.0.0/8".parse().unwrap()],
            },
            request,
            gate: Gate::new(GateOptions::default()),
            again: false,
        };
        Self {
            folder,
            store,
            slot: token_manager.slot(&key()),
            token_manager,
            requester: Arc::new(requester),
            now,
            asked,
        }
    }

    async fn token(&self, refused: Option<&str>) -> Result<Option<String>, EgressError> {
        let refused = refused.map(secret);
        let token = self
            .token_manager
            .token(&self.slot, &self.requester, refused)
            .await?;
        Ok(token.map(|token| token.expose().to_owned()))
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// A secret as it is stored.
    async fn stored(&self, name: &str) -> Option<String> {
        let connection = self.store.connection(&key()).await.unwrap();
        let ring = KeyRing::load(self.folder.path()).unwrap();
        let secrets = ring
            .open(&key(), &connection.origin(), &connection.sealed_secrets)
            .unwrap();
        Some(secrets.get(name)?.expose().to_owned())
    }

    /// As another process would find things: nothing but what is stored.
    fn restarted(mut self) -> Self {
        drop(std::mem::take(&mut self.slot));
        self.slot = self.token_manager.slot(&key());
        self
    }
}

fn always(make: impl Fn(usize) -> (u16, Value) + Send + Sync + 'static) -> Script {
    Box::new(move |number, _| {
        let value = make(number);
        Box::pin(async move { value })
    })
}

#[tokio::test]
async fn one_renewal_however_many_ask_and_none_twice_for_a_401() {
    let scene = Scene::new(|_, _| always(tokens)).await;
    let all = join_all((0..50).map(|_| scene.token(None))).await;
    assert!(
        all.iter()
            .all(|token| *token == Ok(Some("access-1".to_owned())))
    );
    assert_eq!(scene.asked(), 1);
    assert_eq!(scene.stored("refresh").await.unwrap(), "refresh-1");

    let all = join_all((0..50).map(|_| scene.token(Some("access-1")))).await;
    assert!(
        all.iter()
            .all(|token| *token == Ok(Some("access-2".to_owned())))
    );
    assert_eq!(scene.asked(), 2);
    // The new one is refused as well: that is not the token's fault.
    assert_eq!(scene.token(Some("access-2")).await, Ok(None));
    assert_eq!(scene.token(None).await, Ok(Some("access-2".to_owned())));
    assert_eq!(scene.asked(), 2);

    // Another process finds it, and asks for nothing.
    let scene = scene.restarted();
    assert_eq!(scene.token(None).await, Ok(Some("access-2".to_owned())));
    assert_eq!(scene.asked(), 2);
}

#[tokio::test]
async fn a_clock_that_jumps_costs_one_renewal_and_keeps_no_dead_token() {
    let scene = Scene::new(|_, _| always(tokens)).await;
    let mut response = 1;
    scene.token(None).await.unwrap();
    let day = 24 * HOUR_MS;
    // Back, forwards by years, to the epoch, to the end of time, and to where it was.
    for now in [NOW - day, NOW + 3650 * day, 0, u64::MAX, NOW] {
        scene.now.store(now, Ordering::SeqCst);
        response += 1;
        let want = if now == u64::MAX { 2 } else { 1 };
        for _ in 0..want {
            assert_eq!(
                scene.token(None).await,
                Ok(Some(format!("access-{response}"))),
                "{now}"
            );
            // There is no time after the last one, so that nothing lives.
            response += usize::from(now == u64::MAX);
        }
        response -= usize::from(now == u64::MAX);
        assert_eq!(scene.asked(), response, "{now}");
    }
}

#[tokio::test]
async fn what_an_operator_changes_meanwhile_stays() {
    let script = |store: Arc<dyn Store>, data: std::path::PathBuf| -> Script {
        Box::new(move |number, refresh| {
            let (store, data) = (Arc::clone(&store), data.clone());
            Box::pin(async move {
                let plan = ("plan".to_owned(), "pro".to_owned());
                match number {
                    1 => change(&*store, &data, |c, _| c.tags.extend([plan.clone()])).await,
                    2 => {
                        change(&*store, &data, |_, secrets| {
                            forget_tokens(secrets);
                            secrets.insert("refresh".to_owned(), secret("operators"));
                        })
                        .await;
                    }
                    _ => assert_eq!(refresh, "operators"),
                }
                tokens(number)
            })
        })
    };
    let scene = Scene::new(script).await;
    assert_eq!(scene.token(None).await, Ok(Some("access-1".to_owned())));
    let connection = scene.store.connection(&key()).await.unwrap();
    assert_eq!(
        (connection.tags["plan"].as_str(), connection.revision),
        ("pro", 2)
    );
    assert_eq!(connection.updated_at, Timestamp(NOW));
    // The second response belongs to credentials that are gone; a token is requested again.
    scene.now.store(NOW + HOUR_MS, Ordering::SeqCst);
    assert_eq!(scene.token(None).await, Ok(Some("access-3".to_owned())));
    assert_eq!(scene.stored("refresh").await.unwrap(), "refresh-3");
    assert_eq!(scene.asked(), 3);
}

#[tokio::test]
async fn a_rejection_marks_only_the_credentials_that_were_rejected() {
    let script = |store: Arc<dyn Store>, data: std::path::PathBuf| -> Script {
        Box::new(move |number, _| {
            let (store, data) = (Arc::clone(&store), data.clone());
            Box::pin(async move {
                if number == 1 {
                    change(&*store, &data, |_, secrets| {
                        secrets.insert("refresh".to_owned(), secret("operators"));
                    })
                    .await;
                }
                match number {
                    1 | 3 => rejection(),
                    _ => tokens(number),
                }
            })
        })
    };
    let scene = Scene::new(script).await;
    assert_eq!(scene.token(None).await, Ok(Some("access-2".to_owned())));
    let failed = async || scene.store.connection(&key()).await.unwrap().auth_failed;
    assert_eq!(failed().await, None);

    scene.now.store(NOW + HOUR_MS, Ordering::SeqCst);
    for _ in 0..2 {
        let error = scene.token(None).await.unwrap_err();
        let fault = TokenFault::Rejected;
        let rejected = matches!(&error, EgressError::Token { fault: said, .. } if *said == fault);
        assert!(
            rejected && error.message().contains("invalid_grant"),
            "{error}"
        );
        assert_eq!(scene.asked(), 3, "a marked connection asks no more");
    }
    assert_eq!(failed().await.unwrap().at, Timestamp(NOW + HOUR_MS));
    assert_eq!(scene.stored("oauth2:access").await, None);
}

#[tokio::test]
async fn a_rotated_refresh_token_outlives_whatever_else_is_wrong() {
    let script = always(|number| match number {
        1 => (
            200,
            json!({"refresh_token": "refresh-1", "access_token": ""}),
        ),
        2 => (
            200,
            json!({"refresh_token": "refresh-2", "access_token": "a", "token_type": "DPoP"}),
        ),
        3 => (
            400,
            json!({"refresh_token": "refresh-3", "error": "odd_code"}),
        ),
        _ => tokens(number),
    });
    let scene = Scene::new(|_, _| script).await;
    for (number, fault) in [
        (1, TokenFault::Failed),
        (2, TokenFault::Failed),
        (3, TokenFault::Refused),
    ] {
        let error = scene.token(None).await.unwrap_err();
        assert!(
            matches!(&error, EgressError::Token { fault: said, .. } if *said == fault),
            "{error:?}"
        );
        let stored = scene.stored("refresh").await.unwrap();
        assert_eq!(stored, format!("refresh-{number}"));
    }
    assert_eq!(scene.token(None).await, Ok(Some("access-4".to_owned())));
    let connection = scene.store.connection(&key()).await.unwrap();
    assert_eq!(
        connection.auth_failed, None,
        "a code that nobody knows marks nothing"
    );
}

#[tokio::test]
async fn a_run_that_ends_too_soon_loses_no_token() {
    let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (at, on) = (Arc::clone(&arrived), Arc::clone(&go));
    let scene = Scene::new(move |_, _| {
        Box::new(move |number, _| {
            let (at, on) = (Arc::clone(&at), Arc::clone(&on));
            Box::pin(async move {
                at.notify_one();
                on.notified().await;
                tokens(number)
            })
        })
    })
    .await;
    {
        let mut waiting = Box::pin(scene.token(None));
        tokio::select! {
            _ = &mut waiting => panic!("nothing was answered"),
            () = arrived.notified() => {}
        }
    }
    go.notify_one();
    scene.token_manager.settle().await;
    assert_eq!(scene.stored("refresh").await.unwrap(), "refresh-1");
    assert_eq!(scene.token(None).await, Ok(Some("access-1".to_owned())));
    assert_eq!(scene.asked(), 1);
}
