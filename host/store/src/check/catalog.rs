//! The small rows: the store's own, integrations, connections, models, syncs and their checkpoints,
//! removals that are not finished, and API keys.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tidegate_engine::api_key::ApiKey;
use tidegate_engine::integration::{Digest, Integration};
use tidegate_engine::schedule::ScheduleId;
use tidegate_engine::{ConnectionKey, ModelKey, Name, StoreError, SyncKey};

use crate::disk::damaged;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows::{self, ConnectionRow, Counters, SyncRow};

use super::look::Look;

/// What the rest of the check goes by.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    pub(super) models: Vec<Model>,
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

#[derive(Debug, Default)]
struct Known {
    counters: Counters,
    integrations: BTreeSet<Name>,
    connections: HashMap<u64, ConnectionKey>,
    syncs: BTreeMap<u64, SyncKey>,
    feeds: HashMap<u64, ModelKey>,
    /// Connections that are being removed, and their syncs: what is left of them is fine.
    dropped: BTreeSet<u64>,
    dropped_syncs: BTreeSet<u64>,
    catalog: Catalog,
}

pub(super) fn check(look: &mut Look<'_>) -> Result<Catalog, StoreError> {
    let mut known = Known::default();
    store_rows(look, &mut known)?;
    dropped_connections(look, &mut known)?;
    integrations(look, &mut known)?;
    connections(look, &mut known)?;
    models(look, &mut known)?;
    syncs(look, &mut known)?;
    checkpoints(look, &known)?;
    removals(look, &known)?;
    api_keys(look)?;
    Ok(known.catalog)
}

fn store_rows(look: &mut Look<'_>, known: &mut Known) -> Result<(), StoreError> {
    look.subject("the store's own rows");
    let (id, counters, applied) = (keys::store_id(), keys::counters(), keys::applied());
    look.rows(&Key::new(Tag::Store), |look, key, value| {
        let bad = |corrupt| damaged(key, corrupt);
        if **key == *id.as_ref() || **key == *applied.as_ref() {
            keys::decode_number(value).map_err(bad)?;
        } else if **key == *counters.as_ref() {
            known.counters = rows::decode(value).map_err(bad)?;
        } else {
            look.wrong_key(key, "a row that nothing knows");
        }
        Ok(())
    })?;
    Ok(())
}

fn api_keys(look: &mut Look<'_>) -> Result<(), StoreError> {
    look.subject("API keys");
    look.rows(&Key::new(Tag::ApiKey), |look, key, value| {
        let row: ApiKey = rows::decode(value).map_err(|corrupt| damaged(key, corrupt))?;
        if **key != *keys::api_key(row.id).as_ref() {
            look.wrong_key(key, format!("its row is of {}", row.id));
        }
        if let Err(error) = row.check() {
            look.wrong_key(key, error.to_string());
        }
        Ok(())
    })?;
    Ok(())
}

fn integrations(look: &mut Look<'_>, known: &mut Known) -> Result<(), StoreError> {
    let prefix = Key::new(Tag::Integration);
    look.subject("integrations");
    look.rows(&prefix, |look, key, value| {
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
    })?;
    Ok(())
}

fn connections(look: &mut Look<'_>, known: &mut Known) -> Result<(), StoreError> {
    let prefix = Key::new(Tag::Connection);
    look.subject("connections");
    look.rows(&prefix, |look, key, value| {
        let ConnectionRow { number, connection } =
            rows::decode(value).map_err(|corrupt| damaged(key, corrupt))?;
        let name = connection.key;
        if **key != *keys::connection(&name.integration, &name.connection).as_ref() {
            look.wrong_key(key, format!("its row is of connection {name}"));
        }
        if !known.integrations.contains(&name.integration) {
            look.wrong(format!("{name}"), "its integration is not there");
        }
        not_above(look, &name, "connection", number, known.counters.connection);
        if let Some(other) = known.connections.insert(number, name.clone()) {
            look.wrong(
                format!("{name}"),
                format!("it has the number {number}, which {other} has"),
            );
        }
        Ok(())
    })?;
    Ok(())
}

/// Numbers are given out once: the counter must not be behind one in use.
fn not_above(look: &mut Look<'_>, place: &impl ToString, what: &str, number: u64, last: u64) {
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
type OfConnection<'k> = (u64, ConnectionKey, &'k [u8]);

/// The connection of a row; `None` for one that is being removed, or not there, which is a finding.
fn of_connection<'k>(
    look: &mut Look<'_>,
    known: &Known,
    key: &'k [u8],
    prefix: &Key,
) -> Result<Option<OfConnection<'k>>, StoreError> {
    let (number, rest) = keys::rest(key, prefix)
        .and_then(keys::split_number)
        .map_err(|corrupt| damaged(key, corrupt))?;
    let Some(connection) = known.connections.get(&number) else {
        if known.dropped.contains(&number) {
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

fn models(look: &mut Look<'_>, known: &mut Known) -> Result<(), StoreError> {
    let prefix = Key::new(Tag::Model);
    look.subject("models");
    look.rows(&prefix, |look, key, value| {
        let bad = |corrupt| damaged(key, corrupt);
        let feed = keys::decode_number(value).map_err(bad)?;
        let Some((number, connection, rest)) = of_connection(look, known, key, &prefix)? else {
            return Ok(());
        };
        let model = connection.model(keys::decode_name(rest).map_err(bad)?);
        not_above(look, &model, "feed", feed, known.counters.feed);
        if let Some(other) = known.feeds.insert(feed, model.clone()) {
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
    })?;
    Ok(())
}

fn syncs(look: &mut Look<'_>, known: &mut Known) -> Result<(), StoreError> {
    let prefix = Key::new(Tag::Sync);
    look.subject("syncs");
    look.rows(&prefix, |look, key, value| {
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
        not_above(look, &sync, "row", row.number, known.counters.sync);
        if let Some(other) = known.syncs.insert(row.number, sync.clone()) {
            look.wrong(
                format!("{sync}"),
                format!("it has the number {}, which {other} has", row.number),
            );
        }
        Ok(())
    })?;
    Ok(())
}

fn checkpoints(look: &mut Look<'_>, known: &Known) -> Result<(), StoreError> {
    let prefix = Key::new(Tag::Checkpoint);
    look.subject("checkpoints");
    look.rows(&prefix, |look, key, value| {
        let bad = |corrupt| damaged(key, corrupt);
        let (number, _) = keys::rest(key, &prefix)
            .and_then(keys::split_number)
            .map_err(bad)?;
        if known.dropped_syncs.contains(&number) {
            return Ok(());
        }
        let Some(sync) = known.syncs.get(&number) else {
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
    })?;
    Ok(())
}

fn dropped_connections(look: &Look<'_>, known: &mut Known) -> Result<(), StoreError> {
    let prefix = keys::dropped_connections();
    let view = look.view;
    for item in view.raw(&prefix, &prefix.after_prefix()) {
        // Damage there is found when these rows are looked at themselves.
        let Ok((key, _)) = item else { break };
        let number = keys::rest(&key, &prefix).and_then(keys::split_number);
        known.dropped.extend(number.map(|(number, _)| number));
    }
    Ok(())
}

/// Rows of what is being removed; whatever has one is no model's or connection's any more.
fn removals(look: &mut Look<'_>, known: &Known) -> Result<(), StoreError> {
    look.subject("removals");
    let (feeds, connections) = (keys::dropped_feeds(), keys::dropped_connections());
    let (endpoints, schedules) = (keys::dropped_endpoints(), keys::dropped_schedules());
    let mut unfinished = 0;
    look.rows(&Key::new(Tag::Dropped), |look, key, _| {
        let bad = |corrupt| damaged(key, corrupt);
        let number = |prefix| {
            let number = keys::rest(key, prefix).and_then(keys::split_number);
            number.map(|(number, _)| number)
        };
        if let Ok(number) = number(&feeds) {
            if let Some(model) = known.feeds.get(&number) {
                look.wrong(format!("{model}"), "its feed is being removed");
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
        } else {
            let number = number(&connections).map_err(bad)?;
            if let Some(connection) = known.connections.get(&number) {
                look.wrong(format!("{connection}"), "it is being removed");
            }
        }
        unfinished += 1;
        Ok(())
    })?;
    if unfinished > 0 {
        let note = format!(
            "{unfinished} removals of models, connections, schedules and webhook endpoints, or imports, are unfinished; the store goes on with them by itself"
        );
        look.report.notes.push(note);
    }
    Ok(())
}
