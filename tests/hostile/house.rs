//! One process with a data directory, where hostile runs and healthy ones live side by side.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use tempfile::TempDir;
use tidegate_egress::Secret;
use tidegate_engine::run::{Figures, LogLine, Outcome, Run, RunId};
use tidegate_engine::store::{ActionFilter, Durability};
use tidegate_engine::{ConnectionKey, Name};
use tidegate_service::control::{
    Control, DeployRequest, GrantChanges, InvokeRequest, Invoked, Local, Management, NewConnection,
    Progress, ReadModel, SyncRequest,
};

use crate::case::{Case, Does, End, Seen};
use crate::support::PATIENCE;
use crate::support::crm::{contacts, reply};
use crate::support::plugins;
use crate::support::server::{Gate, Listener, Reply, Server};

/// A healthy run starts this long after the one before.
const PACE: Duration = Duration::from_millis(20);
/// Healthy runs beside each case, at least.
const HEALTHY_MIN: usize = 3;
/// The honest integration.
const CRM: &str = "crm";
const MIB: usize = 1 << 20;

/// A data directory, open in this process, with an honest plugin deployed.
pub struct House {
    folder: TempDir,
    pub local: Local,
    /// What the honest plugin syncs from.
    honest: Server,
    pub hostile: Vec<u8>,
    demo: Vec<u8>,
}

/// A sync as a healthy run's is: nobody watches.
struct Quiet;

impl Progress for Quiet {
    fn started(&self, _: RunId) {}
    fn log(&self, _: &LogLine) {}
    fn figures(&self, _: &Figures) {}
}

impl House {
    pub async fn open() -> Self {
        let (hostile, demo) = tokio::task::spawn_blocking(|| {
            let read = |path| fs::read(path).unwrap();
            (read(plugins::hostile()), read(plugins::demo_crm()))
        })
        .await
        .unwrap();
        let folder = TempDir::new().unwrap();
        let local = Local::open(&folder.path().join("data")).await.unwrap();
        let honest = Case::new("nothing", Does::Sync("contacts"));
        let house = Self {
            folder,
            local,
            honest: Server::start(|_| reply(&contacts(0..20, 1), None)),
            hostile,
            demo,
        };
        house
            .deploy(CRM, house.demo.clone(), &house.honest.origin(), &honest)
            .await
            .unwrap();
        house
    }

    pub fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    pub async fn close(&self) {
        self.local.close().await.unwrap();
    }

    /// Deploy a component with grants for a server on loopback, and the case's; on refusal the
    /// kind and message.
    pub async fn deploy(
        &self,
        name: &str,
        component: Vec<u8>,
        origin: &str,
        case: &Case,
    ) -> Result<(), (String, String)> {
        let limits = case
            .limits
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value));
        let request = DeployRequest {
            signed: None,
            component,
            name: Some(name.parse().unwrap()),
            grants: GrantChanges {
                hosts: Some(vec![origin.parse().unwrap()]),
                token_hosts: Some(vec![origin.parse().unwrap()]),
                private: Some(vec!["127.0.0.0/8".parse().unwrap()]),
                limits: Some(limits.collect()),
                metadata_write: Some(case.metadata_write),
                ..GrantChanges::default()
            },
        };
        match self.local.deploy(request).await {
            Ok(_) => Ok(()),
            Err(problem) => Err((format!("{:?}", problem.kind), problem.to_string())),
        }
    }

    pub async fn connect(&self, integration: &str, connection: &str, base_url: &str) {
        self.connect_with(integration, connection, base_url, Map::new(), &[])
            .await;
    }

    pub async fn connect_with(
        &self,
        integration: &str,
        connection: &str,
        base_url: &str,
        config: Map<String, Value>,
        secrets: &[(&str, &str)],
    ) {
        let secret = |(name, text): &(&str, &str)| {
            let text = Secret::new((*text).to_owned());
            ((*name).to_owned(), text)
        };
        let connection = NewConnection {
            key: key(integration, connection),
            base_url: base_url.parse().unwrap(),
            config,
            metadata: Map::new(),
            tags: std::collections::BTreeMap::new(),
            external_id: None,
            secrets: secrets.iter().map(secret).collect(),
        };
        self.local.add_connection(connection).await.unwrap();
    }

    pub fn demo(&self) -> Vec<u8> {
        self.demo.clone()
    }

    pub async fn sync(&self, integration: &str, connection: &str, sync: &str) -> Run {
        self.try_sync(integration, connection, sync).await.unwrap()
    }

    /// A run, or why there is none.
    pub async fn try_sync(
        &self,
        integration: &str,
        connection: &str,
        sync: &str,
    ) -> Result<Run, String> {
        let request = SyncRequest {
            connection: key(integration, connection),
            sync: name(sync),
            reset: false,
            empty: false,
            allow_deletes: false,
            durability: Durability::Durable,
            record: None,
        };
        let run = self.local.run_sync(request, Arc::new(Quiet)).await;
        run.map_err(|problem| problem.to_string())
    }

    async fn invoke(&self, integration: &str, connection: &str, action: &str) -> Run {
        let invoked = self
            .invoke_with(integration, connection, action, None)
            .await;
        invoked.unwrap().run
    }

    pub async fn invoke_with(
        &self,
        integration: &str,
        connection: &str,
        action: &str,
        idempotency_key: Option<&str>,
    ) -> Result<Invoked, String> {
        let request = InvokeRequest {
            connection: key(integration, connection),
            action: name(action),
            input: r#"{"name": "Ada"}"#.to_owned(),
            idempotency_key: idempotency_key.map(|key| key.parse().unwrap()),
            record: None,
        };
        let invoked = self.local.invoke(request, Arc::new(Quiet)).await;
        invoked.map_err(|problem| problem.to_string())
    }

    /// The bodies of a model's records.
    pub async fn records(&self, integration: &str, connection: &str, model: &str) -> Vec<Value> {
        let model = key(integration, connection).model(name(model));
        let read = ReadModel {
            model: Management::known_model(&self.local, &model).await.unwrap(),
            after: None,
            filter: ActionFilter::ALL,
            limit: 10_000,
            bytes_max: 64 * MIB,
        };
        let changes = self.local.read_changes(read).await.unwrap();
        let bodies = changes.records.into_iter().filter_map(|record| record.body);
        bodies
            .map(|body| serde_json::from_str(&body).unwrap())
            .collect()
    }

    /// A healthy run, and how long it took.
    async fn healthy(&self, connection: &str) -> Duration {
        let started = Instant::now();
        let run = self.sync(CRM, connection, "contacts").await;
        let took = started.elapsed();
        let end = run.end.expect("it has ended");
        assert_eq!(
            end.outcome,
            Outcome::Success,
            "{connection}: {:?}",
            end.failure
        );
        took
    }

    /// Healthy runs with nothing beside them.
    pub async fn healthy_alone(&self) -> Vec<Duration> {
        self.connect(CRM, "alone", &self.honest.origin()).await;
        let mut took = Vec::new();
        for _ in 0..50 {
            took.push(self.healthy("alone").await);
        }
        took
    }

    /// Do what the case does.
    async fn perform(&self, number: usize, case: &Case) -> Came {
        let integration = format!("case-{number}");
        let (component, sync) = match &case.does {
            Does::Sync(name) | Does::Action(name) => (self.hostile.clone(), *name),
            Does::Component(make) => (make(), "run"),
            Does::Deploy(make) => (make(), ""),
            Does::Serve(_) => (self.demo.clone(), "contacts"),
        };
        let at_once = Arc::new(AtomicUsize::new(0));
        let server = CaseServer::start(&case.does, &at_once);
        let origin = server.origin();
        let started = Instant::now();
        let deployed = self.deploy(&integration, component, &origin, case);
        if let Err((kind, message)) = deployed.await {
            return Came {
                end: End::refused(&kind, &message),
                message,
                took: started.elapsed(),
                seen: None,
            };
        }
        self.connect(&integration, "acme", &origin).await;
        let (started, before) = (Instant::now(), now_ms());
        let run = match case.does {
            Does::Action(_) => self.invoke(&integration, "acme", sync).await,
            _ => self.sync(&integration, "acme", sync).await,
        };
        let (took, between) = (started.elapsed(), (before, now_ms()));
        let end = End::of(&run);
        let failure = run.end.as_ref().and_then(|end| end.failure.clone());
        let message = failure.map(|failure| failure.message).unwrap_or_default();
        let model = if matches!(case.does, Does::Serve(_)) {
            "Contact"
        } else {
            "Thing"
        };
        let seen = Seen {
            logs: self.local.logs(run.id, 0, 100_000).await.unwrap(),
            records: self.records(&integration, "acme", model).await,
            at_once: at_once.load(Ordering::SeqCst),
            run,
            between,
        };
        Came {
            end,
            message,
            took,
            seen: Some(seen),
        }
    }
}

/// What came of a case.
struct Came {
    end: End,
    /// The failure's, or why it is not deployed.
    message: String,
    /// The run, or the deploy that was refused.
    took: Duration,
    seen: Option<Seen>,
}

/// Unix time in milliseconds.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_millis() as u64
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn key(integration: &str, connection: &str) -> ConnectionKey {
    ConnectionKey {
        integration: name(integration),
        connection: connection.parse().unwrap(),
    }
}

/// What a case talks to.
enum CaseServer {
    Hostile(Listener),
    Patient(Server),
}

impl CaseServer {
    fn start(does: &Does, most: &Arc<AtomicUsize>) -> Self {
        if let Does::Serve(serve) = does {
            return Self::Hostile(Listener::start(*serve));
        }
        let (now, most) = (AtomicUsize::new(0), Arc::clone(most));
        Self::Patient(Server::start(move |request| match request.path() {
            "/hang" => Reply::status(200).behind(&Gate::default()),
            "/large" => Reply::text(&"x".repeat(MIB)),
            "/slow" => {
                let together = now.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(together, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(50));
                now.fetch_sub(1, Ordering::SeqCst);
                Reply::status(200)
            }
            _ => Reply::status(200),
        }))
    }

    fn origin(&self) -> String {
        match self {
            Self::Hostile(listener) => format!("http://{}", listener.address),
            Self::Patient(server) => server.origin(),
        }
    }
}

/// What came of a case, and of its neighbour.
pub struct Row {
    pub case: Case,
    pub end: End,
    pub took: Duration,
    /// How long the healthy runs beside it took.
    pub beside: Vec<Duration>,
    faults: Vec<String>,
}

impl Row {
    pub fn faults(&self) -> impl Iterator<Item = &str> {
        self.faults.iter().map(String::as_str)
    }
}

/// Do what the case does, with healthy runs beside it from before its start until after its end.
pub async fn row(house: Arc<House>, number: usize, case: Case) -> Row {
    let connection = format!("beside-{number}");
    house
        .connect(CRM, &connection, &house.honest.origin())
        .await;
    house.healthy(&connection).await;
    let hostile = tokio::spawn({
        let (house, case) = (Arc::clone(&house), case.clone());
        async move { house.perform(number, &case).await }
    });
    let mut beside = Vec::new();
    let begun = Instant::now();
    while !hostile.is_finished() || beside.len() < HEALTHY_MIN {
        let name = case.name;
        assert!(begun.elapsed() < PATIENCE, "{name}: nothing stops it");
        beside.push(house.healthy(&connection).await);
        tokio::time::sleep(PACE).await;
    }
    let Came {
        end,
        message,
        took,
        seen,
    } = hostile.await.expect("the case ends");
    let mut faults = Vec::new();
    if end != case.end {
        faults.push(format!(
            "{}: wanted {:?}, got {end:?}: {message}",
            case.name, case.end
        ));
    }
    for part in case.says.iter().filter(|part| !message.contains(**part)) {
        faults.push(format!("{}: wanted {part:?} in {message}", case.name));
    }
    if let (Some(check), Some(seen)) = (case.check, seen)
        && let Err(panicked) = std::panic::catch_unwind(|| check(&seen))
    {
        let text = panicked.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panicked.downcast_ref::<&str>().copied());
        faults.push(format!("{}: {}", case.name, text.unwrap_or_default()));
    }
    Row {
        case,
        end,
        took,
        beside,
        faults,
    }
}
