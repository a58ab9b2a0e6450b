//! The demo's story: build a plugin, deploy it, sync a source API, change the source, sync again.
//!
//! Everything goes the way that a person's commands go, through [`Control`]. What the syncs count is
//! compared with what happened at the source; a difference is an error.
//!
//! | module | its one job |
//! |---|---|
//! | [`source`] | the source API over HTTP |
//! | [`crm`] | its data, and how they change |
//! | [`people`] | believable names |
//! | [`steps`] | progress |
//! | [`report`] | what is shown at the end |

mod crm;
mod people;
mod report;
mod source;
mod steps;

use crate::output;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Map;
use tidegate_egress::Secret;
use tidegate_engine::cursor::Cursor;
use tidegate_engine::grant::HostPattern;
use tidegate_engine::record::{Counts, Record};
use tidegate_engine::run::Outcome;
use tidegate_engine::store::{ActionFilter, Durability};
use tidegate_engine::{ConnectionKey, Name};
use tidegate_http::views;
use tidegate_service::control::{
    Control, DeployRequest, GrantChanges, Local, Management, NewConnection, ReadModel, SyncRequest,
};
use tidegate_service::display;
use tidegate_service::problem::{Kind as ProblemKind, Problem, Result};
use tidegate_service::secrets::SecretMap;
use url::Url;

use self::crm::{Crm, Kind};
use self::report::{ChangeLine, PluginLine, SyncLine, counted};
use self::source::Source;
use self::steps::Step;
use crate::author::compile::Echo;
use crate::author::component;
use crate::author::package::Package;
use crate::author::sdk;

pub(crate) use self::report::Report;

const CONNECTION: &str = "acme";
/// Only the demo's own API, on the loopback interface, accepts it.
const TOKEN: &str = "demo-token";
/// The end of this model's change feed is shown, with so many changes.
const FEED_MODEL: &str = "Contact";
const FEED_SHOWN: usize = 8;
/// What is synced: the kind at the source, the plugin's sync, and its model.
const SYNCS: [(Kind, &str, &str); 2] = [
    (Kind::Companies, "companies", "Company"),
    (Kind::Contacts, "contacts", "Contact"),
];

/// Play it, with so many contacts. The data directory must be empty or not there yet; without one,
/// a new one is made among the temporary files, and kept.
pub(crate) async fn play(data: Option<PathBuf>, contacts: usize) -> Result<Report> {
    check_fresh(data.as_deref())?;
    let component = build().await?;
    let directory = match data {
        Some(directory) => directory,
        None => temporary()?,
    };
    let control = Local::open(&directory).await?;
    let step = Step::begin("Starting the source API, a fictional CRM");
    let source = Source::start(Crm::new(contacts), TOKEN).await?;
    step.end(format!(
        "http://{} has {}",
        source.address(),
        source.with(|crm| contents(crm))
    ));

    let told = Story {
        control: &control,
        source: &source,
        component,
    }
    .tell()
    .await;
    let closed = control.close().await;
    let stopped = source.stop().await;
    let (plugin, syncs, feed) = told?;
    closed?;
    stopped?;
    Ok(Report::new(directory, plugin, syncs, feed))
}

fn check_fresh(data: Option<&Path>) -> Result<()> {
    let Some(directory) = data else { return Ok(()) };
    let fresh = match std::fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if fresh {
        return Ok(());
    }
    let message = format!(
        "{} is not an empty folder; the demo starts from nothing",
        directory.display()
    );
    Err(Problem::new(ProblemKind::Conflict, message)
        .hint("give --data a new folder, or leave it out for a temporary one"))
}

fn temporary() -> Result<PathBuf> {
    let made = tempfile::Builder::new()
        .prefix("tidegate-demo-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir();
    made.map(tempfile::TempDir::keep).map_err(|error| {
        Problem::new(
            ProblemKind::DataDirectory,
            format!("no temporary folder: {error}"),
        )
    })
}

/// Compile the demo's plugin, from the checkout or the copy inside the binary.
async fn build() -> Result<Vec<u8>> {
    let package = Package::find(&sdk::demo_plugin_path()?).await?;
    package.prepare().await?;
    let step = Step::begin("Building the plugin demo-crm");
    let file = package
        .compile(Echo::Lines(&|line| step.at(line.trim())))
        .await?;
    let component = component::read(&file)?;
    step.end(output::bytes(component.len() as u64));
    Ok(component)
}

fn contents(crm: &Crm) -> String {
    let count = |kind| display::count(crm.count(kind));
    format!(
        "{} contacts and {} companies",
        count(Kind::Contacts),
        count(Kind::Companies)
    )
}

/// What the story is told with.
struct Story<'a> {
    control: &'a Local,
    source: &'a Source,
    component: Vec<u8>,
}

impl Story<'_> {
    async fn tell(self) -> Result<(PluginLine, Vec<SyncLine>, Vec<ChangeLine>)> {
        let (integration, plugin) = self.deploy().await?;
        let key = ConnectionKey {
            integration,
            connection: CONNECTION.parse()?,
        };
        self.connect(&key).await?;

        let mut lines = Vec::new();
        for (kind, sync, model) in SYNCS {
            let added = self.source.with(|crm| crm.count(kind));
            let expected = Counts {
                added,
                ..Counts::default()
            };
            lines.push(self.sync(&key, 1, sync, expected).await?);
            self.check_stored(&key, kind, model).await?;
        }
        let (before, _) = self.feed(&key, FEED_MODEL, None).await?;

        let step = Step::begin("Changing the source");
        let changes = SYNCS.map(|(kind, ..)| self.source.with(|crm| crm.change(kind)));
        let told = SYNCS
            .iter()
            .zip(changes)
            .map(|((_, sync, _), counts)| format!("{sync}: {}", counted(counts)));
        step.end(told.collect::<Vec<_>>().join("; "));

        for ((kind, sync, model), expected) in SYNCS.into_iter().zip(changes) {
            lines.push(self.sync(&key, 2, sync, expected).await?);
            self.check_stored(&key, kind, model).await?;
        }
        let (_, mut feed) = self.feed(&key, FEED_MODEL, Some(before)).await?;
        let end = feed.split_off(feed.len().saturating_sub(FEED_SHOWN));
        Ok((plugin, lines, end))
    }

    fn base_url(&self) -> Result<Url> {
        Url::parse(&format!("http://{}", self.source.address())).map_err(Problem::internal)
    }

    /// Deploy the plugin with exactly what it needs.
    async fn deploy(&self) -> Result<(Name, PluginLine)> {
        let step = Step::begin("Deploying it with exactly what it needs");
        let host = HostPattern::of_origin(&self.base_url()?);
        let granted: Vec<HostPattern> = host.into_iter().collect();
        let private = ipnet::IpNet::from(self.source.address().ip());
        let grants = GrantChanges {
            hosts: Some(granted.clone()),
            private: Some(vec![private]),
            ..GrantChanges::default()
        };
        let request = DeployRequest {
            signed: None,
            component: self.component.clone(),
            name: None,
            grants,
        };
        let plan = self.control.plan_deploy(request.clone()).await?;
        if !plan.missing.is_empty() {
            return Err(Problem::internal(format!(
                "the demo doesn't grant {}",
                views::flags(&plan.missing).join(", ")
            )));
        }
        let integration = self.control.deploy(request).await?;
        let hosts: Vec<String> = granted.iter().map(ToString::to_string).collect();
        step.end(format!(
            "host {}, which is at the private address {private}",
            hosts.join(", ")
        ));
        Ok((integration.name, PluginLine::new(&plan.inspection)))
    }

    async fn connect(&self, key: &ConnectionKey) -> Result<()> {
        let secrets = SecretMap::from([("token".to_owned(), Secret::new(TOKEN.to_owned()))]);
        let connection = NewConnection {
            key: key.clone(),
            base_url: self.base_url()?,
            config: Map::new(),
            metadata: Map::new(),
            tags: BTreeMap::new(),
            external_id: None,
            secrets,
        };
        self.control.add_connection(connection).await?;
        // Begun late: making the key that seals the token is told, and would get into the spinner.
        Step::begin(format!("Adding the connection {CONNECTION}"))
            .end("with a token that the plugin never sees");
        Ok(())
    }

    /// Run a sync, and compare what it counted.
    async fn sync(
        &self,
        key: &ConnectionKey,
        round: u32,
        sync: &str,
        expected: Counts,
    ) -> Result<SyncLine> {
        let again = if round == 1 { "" } else { " again" };
        let step = Arc::new(Step::begin(format!("Syncing {sync}{again}")));
        let request = SyncRequest {
            connection: key.clone(),
            sync: sync.parse()?,
            reset: false,
            empty: false,
            allow_deletes: false,
            durability: Durability::Durable,
            record: None,
        };
        let run = self
            .control
            .run_sync(request, Arc::clone(&step) as _)
            .await?;
        let line = SyncLine::new(sync, round, &run)
            .ok_or_else(|| Problem::internal(format!("{} has not ended", run.id)))?;
        let failure = run.end.as_ref().and_then(|end| end.failure.as_ref());
        if line.outcome() != Outcome::Success {
            let why = failure.map_or_else(String::new, |failure| format!(": {}", failure.message));
            let message = format!("{} ended as {}{why}", run.id, line.outcome().as_str());
            return Err(Problem::new(ProblemKind::RunFailed, message));
        }
        if line.counts() != expected {
            return Err(differs(
                &format!("sync {sync}, round {round}"),
                &counted(expected),
                &counted(line.counts()),
            ));
        }
        if let Some(step) = Arc::into_inner(step) {
            step.end(counted(line.counts()));
        }
        Ok(line)
    }

    /// The store has as many records as the source.
    async fn check_stored(&self, key: &ConnectionKey, kind: Kind, model: &str) -> Result<()> {
        let expected = self.source.with(|crm| crm.count(kind));
        let models = self.control.models(key).await?;
        let stored = models
            .iter()
            .find(|(name, _)| name.as_str() == model)
            .map_or(0, |(_, stats)| stats.live);
        if stored == expected {
            return Ok(());
        }
        Err(differs(
            &format!("{model} records"),
            &expected.to_string(),
            &stored.to_string(),
        ))
    }

    /// The change feed from a cursor to its end, and the cursor there.
    async fn feed(
        &self,
        key: &ConnectionKey,
        model: &str,
        after: Option<Cursor>,
    ) -> Result<(Cursor, Vec<ChangeLine>)> {
        let name: Name = model.parse()?;
        let (mut after, mut lines) = (after, Vec::new());
        let known = self.control.known_model(&key.model(name)).await?;
        loop {
            let read = ReadModel {
                model: known.clone(),
                after,
                filter: ActionFilter::ALL,
                limit: 1000,
                bytes_max: 8 << 20,
            };
            let changes = self.control.read_changes(read).await?;
            let line = |record: &Record| {
                ChangeLine::new(model, record, changes.cursor_after(record).to_string())
            };
            lines.extend(changes.records.iter().map(line));
            if !changes.more {
                return Ok((changes.next, lines));
            }
            after = Some(changes.next);
        }
    }
}

/// The demo itself went wrong: what is stored is not what is at the source.
fn differs(what: &str, expected: &str, found: &str) -> Problem {
    let message = format!("{what}: expected {expected}, and it is {found}");
    Problem::new(ProblemKind::RunFailed, message)
        .hint("this is a bug of tidegate; please report it")
}
