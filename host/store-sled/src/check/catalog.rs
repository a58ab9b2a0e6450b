//! The small rows: the store's own, integrations, connections, models, syncs and their checkpoints,
//! removals that are not finished, and API keys.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tidegate_engine::api_key::ApiKey;
use tidegate_engine::integration::{Digest, Integration};
use tidegate_engine::schedule::ScheduleId;
use tidegate_engine::{ConnectionKey, ModelKey, Name, StoreError, SyncKey};

use crate::disk::damaged;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows::{self, ConnectionRow, Counters, SyncRow};

use super::checker::Checker;
use super::{ResumeAt, STEP};

/// What the rest of the check goes by.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    pub(super) models: Vec<Model>,
    /// All feeds that models have, those of connections that are being removed as well.
    pub(super) feeds: HashSet<u64>,
    /// The last feed that there was at first.
    pub(super) last_feed: u64,
    /// Each with the first deployment that names it.
    pub(super) components: BTreeMap<Digest, String>,
}

/// A model with its feed.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) key: ModelKey,
    pub(super) connection: u64,
    pub(super) feed: u64,
}

/// What was seen so far. Rows come and go between the steps, so whatever seems to be wrong with two rows of which one was
/// seen earlier is looked up once more.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// As they were at first: what has a later number came after that.
    counters: Counters,
    integrations: BTreeSet<Name>,
    connections: HashMap<u64, ConnectionKey>,
    syncs: BTreeMap<u64, SyncKey>,
    /// Each with its model and the number of its connection.
    feeds: HashMap<u64, (ModelKey, u64)>,
    /// Syncs of connections that are being removed: what is left of them is fine.
    dropped_syncs: BTreeSet<u64>,
    unfinished: u64,
    pub(super) catalog: Catalog,
}

/// Kinds of rows, in the order in which they are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Store,
    Integration,
    Connection,
    Model,
    Sync,
    Checkpoint,
    Removal,
    ApiKey,
}

impl Kind {
    pub(super) const ALL: [Self; 8] = [
        Self::Store,
        Self::Integration,
        Self::Connection,
        Self::Model,
        Self::Sync,
        Self::Checkpoint,
        Self::Removal,
        Self::ApiKey,
    ];

    pub(super) fn first(self) -> Key {
        Key::new(match self {
            Self::Store => Tag::Store,
            Self::Integration => Tag::Integration,
            Self::Connection => Tag::Connection,
            Self::Model => Tag::Model,
            Self::Sync => Tag::Sync,
            Self::Checkpoint => Tag::Checkpoint,
            Self::Removal => Tag::Dropped,
            Self::ApiKey => Tag::ApiKey,
        })
    }
}

/// Check rows of one kind from `from` on.
pub(super) fn check(
    look: &mut Checker<'_>,
    known: &mut Known,
    kind: Kind,
    from: &Key,
) -> Result<ResumeAt, StoreError> {
    match kind {
        Kind::Store => store_rows(look, known, from),
        Kind::Integration => integrations(look, known, from),
        Kind::Connection => connections(look, known, from),
        Kind::Model => models(look, known, from),
        Kind::Sync => syncs(look, known, from),
        Kind::Checkpoint => checkpoints(look, known, from),
        Kind::Removal => removals(look, known, from),
        Kind::ApiKey => api_keys(look, from),
    }
}

/// The numbers given out by now.
pub(super) fn counters(look: &Checker<'_>) -> Counters {
    let row = look.view.row(&keys::counters(), rows::decode);
    // Damage there has been found already.
    row.ok().flatten().unwrap_or_default()
}

fn store_rows(
    look: &mut Checker<'_>,
    known: &mut Known,
    from: &Key,
) -> Result<ResumeAt, StoreError> {
    look.subject("the store's own rows");
    let (id, counters, applied) = (keys::store_id(), keys::counters(), keys::applied());
    let end = Kind::Store.first().after_prefix();
    look.some_rows(from, &end, STEP, |look, key, value| {
        let bad = |corrupt| damaged(key, corrupt);
        if **key == *id.as_ref() || **key == *applied.as_ref() {
            keys::decode_number(value).map_err(bad)?;
        } else if **key == *counters.as_ref() {
            known.counters = rows::decode(value).map_err(bad)?;
            known.catalog.last_feed = known.counters.feed;
        } else {
            look.wrong_key(key, "a row that nothing knows");
        }
        Ok(())
    })
}

fn api_keys(look: &mut Checker<'_>, from: &Key) -> Result<ResumeAt, StoreError> {
    look.subject("API keys");
    let end = Kind::ApiKey.first().after_prefix();
    look.some_rows(from, &end, STEP, |look, key, value| {
        let row: ApiKey = rows::decode(value).map_err(|corrupt| damaged(key, corrupt))?;
        if **key != *keys::api_key(row.id).as_ref() {
            look.wrong_key(key, format!("its row is of {}", row.id));
        }
        if let Err(error) = row.check() {
            look.wrong_key(key, error.to_string());
        }
        Ok(())
    })
}

fn integrations(
    look: &mut Checker<'_>,
    known: &mut Known,
    from: &Key,
) -> Result<ResumeAt, StoreError> {
    let prefix = Key::new(Tag::Integration);
    look.subject("integrations");
    look.some_rows(from, &prefix.after_prefix(), STEP, |look, key, value| {
        let bad = |corrupt| damaged(key, corrupt);
        let name = keys::rest(key, &prefix)
            .and_then(keys::decode_name)
            .map_err(bad)?;
        known.integrations.insert(name.clone());
        let row: Integration = rows::decode(value).map_err(bad)?;
        if row.name != name {
            look.wrong_key(key, format!("its row is of integration {}", row.name));
        }
        for deployment in std::iter::once(&row.current).chain(&row.earlier) {
            let place = format!("integration {name}, deployment {}", deployment.number);
            let components = &mut known.catalog.components;
            components.entry(deployment.digest).or_insert(place);
        }
        Ok(())
    })
}

fn connections(
    look: &mut Checker<'_>,
    known: &mut Known,
    from: &Key,
) -> Result<ResumeAt, StoreError> {
    let prefix = Key::new(Tag::Connection);
    look.subject("connections");
    let last = counters(look);
    look.some_rows(from, &prefix.after_prefix(), STEP, |look, key, value| {
        let ConnectionRow { number, connection } =
            rows::decode(value).map_err(|corrupt| damaged(key, corrupt))?;
        let name = connection.key;
        if **key != *keys::connection(&name.integration, &name.connection).as_ref() {
            look.wrong_key(key, format!("its row is of connection {name}"));
        }
        let integration = &name.integration;
        if !known.integrations.contains(integration)
            && look.view.get(&keys::integration(integration))?.is_none()
            && !is_unfinished(look, integration)?
        {
            look.wrong(format!("{name}"), "its integration is not there");
        }
        not_above(look, &name, "connection", number, last.connection);
        if let Some(other) = known.connections.insert(number, name.clone()) {
            look.wrong(
                format!("{name}"),
                format!("it has the number {number}, which {other} has"),
            );
        }
        Ok(())
    })
}

/// Whether an integration is one of an import that is not finished.
fn is_unfinished(look: &Checker<'_>, integration: &Name) -> Result<bool, StoreError> {
    let row = keys::unfinished_imports().name(integration.as_str());
    Ok(look.view.get(&row)?.is_some())
}

/// Numbers are given out once: the counter must not be behind one in use.
fn not_above(look: &mut Checker<'_>, place: &impl ToString, what: &str, number: u64, last: u64) {
    if number > last {
        look.wrong(
            place.to_string(),
            format!(
                "its {what} has the number {number}, and the counter says that {last} was the last given out"
            ),
        );
    }
}

/// The connection that a row's key names, its number first, and the rest of the key.
type ConnectionRowKey<'k> = (u64, ConnectionKey, &'k [u8]);

/// The connection of a row; `None` for one that is being removed, or not there, which is a finding.
fn of_connection<'k>(
    look: &mut Checker<'_>,
    known: &Known,
    key: &'k [u8],
    prefix: &Key,
) -> Result<Option<ConnectionRowKey<'k>>, StoreError> {
    let (number, rest) = keys::rest(key, prefix)
        .and_then(keys::split_number)
        .map_err(|corrupt| damaged(key, corrupt))?;
    let Some(connection) = known.connections.get(&number) else {
        let is_dropped = look.view.get(&keys::dropped_connections().number(number))?;
        let came_later = known.counters.connection < number && number <= counters(look).connection;
        if came_later || is_dropped.is_some() {
            return Ok(None);
        }
        look.wrong_key(
            key,
            format!("it belongs to connection number {number}, which no connection has"),
        );
        return Ok(None);
    };
    Ok(Some((number, connection.clone(), rest)))
}

fn models(look: &mut Checker<'_>, known: &mut Known, from: &Key) -> Result<ResumeAt, StoreError> {
    let prefix = Key::new(Tag::Model);
    look.subject("models");
    let last = counters(look);
    look.some_rows(from, &prefix.after_prefix(), STEP, |look, key, value| {
        let bad = |corrupt| damaged(key, corrupt);
        let feed = keys::decode_number(value).map_err(bad)?;
        known.catalog.feeds.insert(feed);
        let Some((number, connection, rest)) = of_connection(look, known, key, &prefix)? else {
            return Ok(());
        };
        let model = connection.model(keys::decode_name(rest).map_err(bad)?);
        not_above(look, &model, "feed", feed, last.feed);
        if let Some((other, _)) = known.feeds.insert(feed, (model.clone(), number)) {
            look.wrong(
                format!("{model}"),
                format!("its feed, number {feed}, is that of {other} too"),
            );
        }
        known.catalog.models.push(Model {
            key: model,
            connection: number,
            feed,
        });
        Ok(())
    })
}

fn syncs(look: &mut Checker<'_>, known: &mut Known, from: &Key) -> Result<ResumeAt, StoreError> {
    let prefix = Key::new(Tag::Sync);
    look.subject("syncs");
    let last = counters(look);
    look.some_rows(from, &prefix.after_prefix(), STEP, |look, key, value| {
        let bad = |corrupt| damaged(key, corrupt);
        let row: SyncRow = rows::decode(value).map_err(bad)?;
        let Some((_, connection, rest)) = of_connection(look, known, key, &prefix)? else {
            known.dropped_syncs.insert(row.number);
            return Ok(());
        };
        let (sync, variant) = keys::decode_two_names(rest).map_err(bad)?;
        let sync = SyncKey {
            connection,
            sync,
            variant,
        };
        not_above(look, &sync, "row", row.number, last.sync);
        if let Some(other) = known.syncs.insert(row.number, sync.clone()) {
            look.wrong(
                format!("{sync}"),
                format!("it has the number {}, which {other} has", row.number),
            );
        }
        Ok(())
    })
}

fn checkpoints(
    look: &mut Checker<'_>,
    known: &mut Known,
    from: &Key,
) -> Result<ResumeAt, StoreError> {
    let prefix = Key::new(Tag::Checkpoint);
    look.subject("checkpoints");
    look.some_rows(from, &prefix.after_prefix(), STEP, |look, key, value| {
        let bad = |corrupt| damaged(key, corrupt);
        let (number, _) = keys::rest(key, &prefix)
            .and_then(keys::split_number)
            .map_err(bad)?;
        if known.dropped_syncs.contains(&number) {
            return Ok(());
        }
        let Some(sync) = known.syncs.get(&number) else {
            if known.counters.sync < number && number <= counters(look).sync {
                // It came later.
                return Ok(());
            }
            look.wrong_key(
                key,
                format!("a checkpoint of sync number {number}, which no sync has"),
            );
            return Ok(());
        };
        if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(value) {
            look.wrong(
                format!("{sync}"),
                format!("its checkpoint is not JSON: {error}"),
            );
        }
        Ok(())
    })
}

/// Rows of what is being removed; whatever has one is no model's or connection's any more.
fn removals(look: &mut Checker<'_>, known: &mut Known, from: &Key) -> Result<ResumeAt, StoreError> {
    look.subject("removals");
    let (feeds, connections) = (keys::dropped_feeds(), keys::dropped_connections());
    let (endpoints, schedules) = (keys::dropped_endpoints(), keys::dropped_schedules());
    let end = Kind::Removal.first().after_prefix();
    let next = look.some_rows(from, &end, STEP, |look, key, _| {
        let bad = |corrupt| damaged(key, corrupt);
        let number = |prefix| {
            let number = keys::rest(key, prefix).and_then(keys::split_number);
            number.map(|(number, _)| number)
        };
        if let Ok(number) = number(&feeds) {
            if let Some((model, connection)) = known.feeds.get(&number) {
                let row = keys::model(*connection, &model.model);
                let feed = look.view.row(&row, keys::decode_number)?;
                if feed == Some(number) {
                    look.wrong(format!("{model}"), "its feed is being removed");
                }
            }
        } else if let Ok(id) = keys::rest(key, &endpoints) {
            let (id, _) = keys::split_endpoint(id).map_err(bad)?;
            if look.view.get(&keys::endpoint(id))?.is_some() {
                look.wrong(format!("{id}"), "it is being removed");
            }
        } else if let Ok(id) = keys::rest(key, &schedules) {
            let id = ScheduleId::from_bytes(keys::decode_id(id).map_err(bad)?);
            if look.view.get(&keys::schedule(id))?.is_some() {
                look.wrong(format!("{id}"), "it is being removed");
            }
        } else if let Ok(name) = keys::rest(key, &keys::unfinished_imports()) {
            let name = keys::decode_name(name).map_err(bad)?;
            if look.view.get(&keys::integration(&name))?.is_some() {
                look.wrong(
                    format!("{name}"),
                    "it is there, and its import is not finished",
                );
            }
        } else if let Ok(name) = keys::rest(key, &keys::dropped_integrations()) {
            keys::decode_name(name).map_err(bad)?;
        } else {
            let number = number(&connections).map_err(bad)?;
            if let Some(connection) = known.connections.get(&number) {
                let row = keys::connection(&connection.integration, &connection.connection);
                let row: Option<ConnectionRow> = look.view.row(&row, rows::decode)?;
                if row.is_some_and(|row| row.number == number) {
                    look.wrong(format!("{connection}"), "it is being removed");
                }
            }
        }
        known.unfinished += 1;
        Ok(())
    })?;
    let unfinished = known.unfinished;
    if next.is_none() && unfinished > 0 {
        let note = format!(
            "{unfinished} removals of models, connections, schedules and webhook endpoints, or imports, are unfinished; the store goes on with them by itself"
        );
        look.report.notes.push(note);
    }
    Ok(next)
}
