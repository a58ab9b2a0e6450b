//! Adding, changing and removing connections: checks first, then one command of the store.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tidegate_engine::connection;
use tidegate_engine::integration::{Connection, Integration, merge};
use tidegate_engine::manifest::Manifest;
use tidegate_engine::upkeep::Dropped;
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use url::Url;

use super::deploy::ConfigSchema;
use super::events;
use super::keys::ring_to_seal;
use super::local::Local;
use super::pages::{PAGE, Pages};
use super::schedules;
use super::upkeep::forget_cassettes;
use super::wire_secrets;
use crate::oauth::forget_tokens;
use crate::problem::{Kind, Problem, Result};
use crate::secrets::{KeyRing, SecretMap, origin_of};

/// How often an update is repeated whose connection was changed meanwhile, each time by somebody
/// else who got further.
const ATTEMPTS: usize = 100;
/// Connections added in one command of the store.
const ADDED_AT_ONCE: usize = 500;

/// A connection to add.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewConnection {
    pub key: ConnectionKey,
    pub base_url: Url,
    pub config: Map<String, Value>,
    pub metadata: Map<String, Value>,
    pub tags: BTreeMap<String, String>,
    pub external_id: Option<String>,
    #[serde(with = "wire_secrets::map")]
    pub secrets: SecretMap,
}

/// A new value of an object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ObjectChange {
    /// RFC 7396: members of `null` go.
    Merge(Map<String, Value>),
    Set(Map<String, Value>),
}

impl Default for ObjectChange {
    fn default() -> Self {
        Self::Merge(Map::new())
    }
}

impl ObjectChange {
    fn apply(&self, object: &mut Map<String, Value>) {
        match self {
            Self::Merge(patch) => merge(object, patch),
            Self::Set(new) => object.clone_from(new),
        }
    }
}

/// What to change of a connection; what is not named stays.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ConnectionUpdate {
    pub base_url: Option<Url>,
    pub config: ObjectChange,
    pub metadata: ObjectChange,
    pub tags: BTreeMap<String, String>,
    pub untag: BTreeSet<String>,
    /// `Some(None)` takes it away.
    #[serde(with = "wire_secrets::twice")]
    pub external_id: Option<Option<String>>,
    #[serde(with = "wire_secrets::map")]
    pub secrets: SecretMap,
    pub remove_secrets: BTreeSet<String>,
    /// Whether secrets that stay may be sent to the new base URL, should its origin be another one.
    pub keep_secrets: bool,
    /// Whether what is to be taken away may be gone already.
    pub missing_is_fine: bool,
}

/// Connections to add together. Every row is checked first, and if one is bad none is added; then
/// they go in by pages, of which a crash leaves the first ones.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewConnections {
    pub integration: Name,
    /// Each with the line that it comes from.
    pub rows: Vec<(u64, NewConnection)>,
    /// Leave out those that are there already, whatever they are like.
    pub skip_existing: bool,
    /// Only check.
    pub dry_run: bool,
}

/// What came of [`NewConnections`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AddedConnections {
    /// What would be added, in a dry run.
    pub added: u64,
    pub skipped: u64,
    /// By line, why it can't be added. If there are any, nothing was.
    pub bad: Vec<(u64, Problem)>,
}

/// What the plugin says about its connections.
pub(super) struct Rules<'a> {
    integration: &'a Integration,
    config: ConfigSchema<'a>,
}

impl<'a> Rules<'a> {
    pub(super) async fn of(local: &Local, integration: &'a Integration) -> Result<Self> {
        Ok(Self {
            integration,
            config: ConfigSchema::of(local, integration).await?,
        })
    }

    pub(super) async fn check_config(&self, own: &Map<String, Value>) -> Result<()> {
        let mut config = self.integration.current.config.clone();
        merge(&mut config, own);
        self.config.check(&config).await
    }

    pub(super) fn check_secrets<'n>(&self, names: impl Iterator<Item = &'n String>) -> Result<()> {
        check_secrets(
            &self.integration.current.manifest,
            names.map(String::as_str),
        )
    }

    async fn check(&self, new: &NewConnection) -> Result<()> {
        check_base_url(&new.base_url)?;
        let external_id = new.external_id.as_deref();
        connection::check(&new.config, &new.metadata, &new.tags, external_id)
            .map_err(Problem::invalid)?;
        self.check_secrets(new.secrets.keys())?;
        self.check_config(&new.config).await
    }
}

pub(super) async fn add(local: &Local, new: NewConnection) -> Result<()> {
    let integration = local.find_integration(&new.key.integration).await?;
    Rules::of(local, &integration).await?.check(&new).await?;
    let _in_use = local.key_use.read().await;
    let ring = ring_for(local, !new.secrets.is_empty()).await?;
    let connection = stored(local, new, ring.as_ref())?;
    add_page(local, &integration, vec![connection]).await
}

/// The keys, if there is something to seal.
async fn ring_for(local: &Local, needed: bool) -> Result<Option<KeyRing>> {
    match needed {
        true => ring_to_seal(local).await.map(Some),
        false => Ok(None),
    }
}

fn seal(
    ring: Option<&KeyRing>,
    key: &ConnectionKey,
    origin: &str,
    secrets: &SecretMap,
) -> Result<Vec<u8>> {
    if secrets.is_empty() {
        return Ok(Vec::new());
    }
    let master = ring.and_then(KeyRing::sealing);
    let master = master.ok_or_else(|| Problem::internal("there is no key to seal with"))?;
    master.seal(key, origin, secrets)
}

fn stored(local: &Local, new: NewConnection, ring: Option<&KeyRing>) -> Result<Connection> {
    let now = local.clock.now();
    let origin = new.base_url.origin().ascii_serialization();
    Ok(Connection {
        sealed_secrets: seal(ring, &new.key, &origin, &new.secrets)?,
        key: new.key,
        base_url: new.base_url,
        config: new.config,
        metadata: new.metadata,
        tags: new.tags,
        external_id: new.external_id,
        secret_names: new.secrets.keys().cloned().collect(),
        created_at: now,
        updated_at: now,
        revision: 0,
        auth_failed: None,
        health: Default::default(),
    })
}

pub(super) async fn add_many(local: &Local, new: NewConnections) -> Result<AddedConnections> {
    let integration = local.find_integration(&new.integration).await?;
    let rules = Rules::of(local, &integration).await?;
    let existing = names(local, &integration.name).await?;
    let mut done = AddedConnections::default();
    let mut lines: BTreeMap<ConnectionName, u64> = BTreeMap::new();
    let mut rows = Vec::new();
    for (line, row) in new.rows {
        let name = &row.key.connection;
        let exists = existing.contains(name);
        let first = *lines.entry(name.clone()).or_insert(line);
        let checked = if row.key.integration != integration.name {
            let message = format!("connection {} is of another integration", row.key);
            Err(Problem::invalid(message))
        } else if first != line {
            let message = format!("connection {name} is on line {first} already");
            Err(Problem::invalid(message))
        } else if exists && !new.skip_existing {
            let message = format!("connection {name} exists already");
            let hint = "to leave out those that exist, add --skip-existing";
            Err(Problem::new(Kind::Conflict, message).hint(hint))
        } else {
            rules.check(&row).await
        };
        match checked {
            Err(problem) => done.bad.push((line, problem)),
            Ok(()) if exists => done.skipped += 1,
            Ok(()) => rows.push(row),
        }
    }
    done.added = rows.len() as u64;
    if new.dry_run || !done.bad.is_empty() {
        return Ok(done);
    }
    let needed = rows.iter().any(|row| !row.secrets.is_empty());
    let _in_use = local.key_use.read().await;
    let ring = ring_for(local, needed).await?;
    let mut page = Vec::with_capacity(ADDED_AT_ONCE);
    for row in rows {
        page.push(stored(local, row, ring.as_ref())?);
        if page.len() >= ADDED_AT_ONCE {
            add_page(local, &integration, std::mem::take(&mut page)).await?;
        }
    }
    add_page(local, &integration, page).await?;
    Ok(done)
}

/// Add connections together, and then their schedules: those that a crash leaves out are made when a
/// server starts.
async fn add_page(local: &Local, integration: &Integration, page: Vec<Connection>) -> Result<()> {
    let told = events::created(local, integration, &page)?;
    let wakes = !told.is_empty();
    local.store.add_connections(page.clone(), told).await?;
    if wakes {
        local.jobs_changed.notify();
    }
    schedules::ensure(local, integration, &page).await?;
    Ok(())
}

/// The names of an integration's connections.
async fn names(local: &Local, integration: &Name) -> Result<BTreeSet<ConnectionName>> {
    let mut names = BTreeSet::new();
    let mut pages = Pages::of(integration, PAGE);
    while let Some(page) = pages.next(local).await? {
        names.extend(page.into_iter().map(|connection| connection.key.connection));
    }
    Ok(names)
}

pub(super) async fn update(
    local: &Local,
    key: &ConnectionKey,
    update: ConnectionUpdate,
) -> Result<Connection> {
    let integration = local.find_integration(&key.integration).await?;
    let rules = Rules::of(local, &integration).await?;
    if let Some(base_url) = &update.base_url {
        check_base_url(base_url)?;
    }
    rules.check_secrets(update.secrets.keys())?;
    let changes_secrets = !update.secrets.is_empty() || !update.remove_secrets.is_empty();
    let _in_use = local.key_use.read().await;
    for _ in 0..ATTEMPTS {
        let mut new = local.find_connection(key).await?;
        let (config, base_url) = (new.config.clone(), new.base_url.clone());
        let origin = new.origin();
        change(&mut new, &update)?;
        if new.config != config {
            rules.check_config(&new.config).await?;
        }
        let moves = new.origin() != origin && !new.sealed_secrets.is_empty();
        if changes_secrets || moves || update.keep_secrets {
            change_secrets(local, &mut new, &origin, &update).await?;
        }
        let changes_secrets = changes_secrets || moves;
        if changes_secrets || new.config != config || new.base_url != base_url {
            // What could not work may now.
            new.health = new.health.without(None).unwrap_or(new.health);
        }
        new.updated_at = local.clock.now();
        if local.store.update_connections(vec![new.clone()]).await? == [true] {
            if changes_secrets {
                local.tokens.forget(key);
            }
            new.revision += 1;
            // Its config may have given it syncs.
            schedules::ensure(local, &integration, std::slice::from_ref(&new)).await?;
            return Ok(new);
        }
        // Somebody else changed it meanwhile: what they did stays, and ours comes on top.
    }
    let message = format!("connection {key} is being changed all the time by others");
    Err(Problem::new(Kind::Conflict, message).hint("try again"))
}

/// Everything but the secrets.
fn change(new: &mut Connection, update: &ConnectionUpdate) -> Result<()> {
    if let Some(base_url) = &update.base_url {
        new.base_url.clone_from(base_url);
    }
    update.config.apply(&mut new.config);
    update.metadata.apply(&mut new.metadata);
    for tag in &update.untag {
        if new.tags.remove(tag).is_none() && !update.missing_is_fine {
            let problem = Problem::not_found(format!("connection {} has no tag {tag:?}", new.key));
            return Err(problem.listing("tags", new.tags.keys().map(String::as_str)));
        }
    }
    new.tags.extend(update.tags.clone());
    if let Some(external_id) = &update.external_id {
        new.external_id.clone_from(external_id);
    }
    let external_id = new.external_id.as_deref();
    connection::check(&new.config, &new.metadata, &new.tags, external_id).map_err(Problem::invalid)
}

/// They were given for `origin`, unless somebody has changed what is stored.
async fn change_secrets(
    local: &Local,
    new: &mut Connection,
    origin: &str,
    update: &ConnectionUpdate,
) -> Result<()> {
    for name in &update.remove_secrets {
        if !new.secret_names.contains(name) && !update.missing_is_fine {
            let problem =
                Problem::not_found(format!("connection {} has no secret {name:?}", new.key));
            return Err(problem.listing("secrets", new.secret_names.iter().map(String::as_str)));
        }
    }
    let goes =
        |name: &String| update.secrets.contains_key(name) || update.remove_secrets.contains(name);
    let ring = KeyRing::load(&local.data)?;
    // When none of them stays, damaged ones are no obstacle: this is how they are given anew.
    let mut secrets = match new.secret_names.iter().all(goes) {
        true => SecretMap::new(),
        false if update.keep_secrets => {
            let given_for = origin_of(&new.sealed_secrets).unwrap_or(origin);
            ring.open(&new.key, given_for, &new.sealed_secrets)?
        }
        false if new.origin() != origin => {
            let stay = new.secret_names.iter().filter(|name| !goes(name));
            return Err(elsewhere(new, origin, stay));
        }
        false => ring.open(&new.key, origin, &new.sealed_secrets)?,
    };
    // Tokens of other credentials stay theirs, and what was rejected may not be now.
    forget_tokens(&mut secrets);
    new.auth_failed = None;
    secrets.retain(|name, _| !update.remove_secrets.contains(name));
    secrets.extend(update.secrets.clone());
    let ring = ring_for(local, !secrets.is_empty()).await?;
    new.sealed_secrets = seal(ring.as_ref(), &new.key, &new.origin(), &secrets)?;
    new.secret_names = secrets.into_keys().collect();
    Ok(())
}

/// The secrets that stay would be sent elsewhere, and nobody has said that they may.
fn elsewhere<'a>(
    new: &Connection,
    origin: &str,
    stay: impl Iterator<Item = &'a String>,
) -> Problem {
    let stay: Vec<&str> = stay.map(String::as_str).collect();
    let message = format!(
        "the new base URL is at {}, and the secrets were given for {origin}: {} would be sent there",
        new.origin(),
        stay.join(", ")
    );
    Problem::new(Kind::Conflict, message).hint(
        "give them anew in the same update, or say that they may go there: with --keep-secrets, by the API with \
         \"keep_secrets\": true",
    )
}

/// The plugin hears of it first. Its runs are fenced off and gone with it in one command of the store; those of this process are
/// told to stop.
pub(super) async fn remove(local: &Local, key: &ConnectionKey) -> Result<Dropped> {
    local.find_connection(key).await?;
    events::removed(local, key).await;
    let dropped = local.store.remove_connection(key, local.clock.now()).await;
    local.registry.stop(key);
    local.tokens.forget(key);
    // Whoever follows its records learns that there are none any more.
    local.changes.tell(key);
    let dropped = dropped?;
    forget_cassettes(local).await?;
    Ok(dropped)
}

pub(super) fn check_base_url(base_url: &Url) -> Result<()> {
    if !base_url.username().is_empty() || base_url.password().is_some() {
        return Err(Problem::invalid(
            "the base URL holds credentials; add them with --secret instead",
        ));
    }
    if !matches!(base_url.scheme(), "http" | "https") || base_url.host().is_none() {
        return Err(Problem::invalid(format!(
            "base URL {base_url}: it must be http:// or https:// with a host"
        )));
    }
    if base_url.query().is_some() || base_url.fragment().is_some() {
        return Err(Problem::invalid(format!(
            "base URL {base_url}: it must end with its path; a query or fragment has no meaning there"
        )));
    }
    Ok(())
}

/// A secret that the manifest doesn't know is a typo that would show only as a 401.
fn check_secrets<'a>(manifest: &Manifest, names: impl Iterator<Item = &'a str>) -> Result<()> {
    let known: Vec<&str> = manifest
        .auth
        .iter()
        .flat_map(|auth| auth.secrets())
        .collect();
    for name in names {
        if !known.contains(&name) {
            let problem = Problem::invalid(format!(
                "the plugin {} has no use for a secret {name:?}",
                manifest.name
            ));
            return Err(match known.is_empty() {
                true => problem.hint("it uses none"),
                false => problem.listing("secrets it knows", known.iter().copied()),
            });
        }
    }
    Ok(())
}
