//! How large the store is: headers and names, no records.

use std::collections::BTreeMap;

use tidegate_engine::upkeep::{ModelSize, StoreStats};
use tidegate_engine::{ConnectionKey, ModelKey, StoreError};

use crate::components::Components;
use crate::disk::{View, damaged};
use crate::layout::header::Header;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows::{self, ConnectionRow};
use crate::read::Reader;

/// Rows that one view looks at: writing waits for it.
const STEP: usize = 2_000;

/// Add everything up, some rows or the models of one connection at a time.
pub(crate) fn stats(reader: &Reader, components: &Components) -> Result<StoreStats, StoreError> {
    let mut stats = StoreStats {
        disk_bytes: reader.disk.size()?,
        ..StoreStats::default()
    };
    for (_, bytes) in components.files()? {
        stats.components += 1;
        stats.component_bytes += bytes;
    }
    stats.integrations = count(reader, Tag::Integration)?;
    stats.runs = count(reader, Tag::RunOfConnection)?;
    let connections = connections(reader)?;
    stats.connections = connections.len() as u64;
    for (number, connection) in connections {
        add_models(&reader.disk.view(), number, &connection, &mut stats)?;
    }
    keep_largest(&mut stats.largest);
    Ok(stats)
}

/// Look at each row of a kind, as it is stored.
fn each(
    reader: &Reader,
    tag: Tag,
    mut look_at: impl FnMut(&View<'_>, &[u8], &sled::IVec) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let prefix = Key::new(tag);
    let end = prefix.after_prefix();
    let mut next = Some(prefix);
    while let Some(first) = next.take() {
        let view = reader.disk.view();
        for (count, item) in view.raw(&first, &end).enumerate() {
            let (key, stored) = item?;
            if count == STEP {
                next = Some(Key::stored(&key));
                break;
            }
            look_at(&view, &key, &stored)?;
        }
    }
    Ok(())
}

fn count(reader: &Reader, tag: Tag) -> Result<u64, StoreError> {
    let mut count = 0;
    each(reader, tag, |_, _, _| {
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

fn connections(reader: &Reader) -> Result<BTreeMap<u64, ConnectionKey>, StoreError> {
    let mut connections = BTreeMap::new();
    each(reader, Tag::Connection, |view, key, stored| {
        let value = view.whole(key, stored)?;
        let row: ConnectionRow = rows::decode(&value).map_err(|corrupt| damaged(key, corrupt))?;
        connections.insert(row.number, row.connection.key);
        Ok(())
    })?;
    Ok(connections)
}

fn add_models(
    view: &View<'_>,
    number: u64,
    connection: &ConnectionKey,
    stats: &mut StoreStats,
) -> Result<(), StoreError> {
    let prefix = keys::models(number);
    for item in view.prefix(&prefix) {
        let (key, value) = item?;
        let bad = |corrupt| damaged(&key, corrupt);
        let feed = keys::decode_number(&value).map_err(bad)?;
        let header = view.row(&keys::of_feed(Tag::Feed, feed), Header::decode)?;
        let Some(header) = header.filter(|header| header.records() > 0) else {
            continue;
        };
        let name = keys::rest(&key, &prefix).and_then(keys::decode_name);
        let model = connection.model(name.map_err(bad)?);
        let size = ModelSize {
            stats: header.stats,
            entries: header.entries,
            segments: header.segments,
            segment_bytes: header.segment_bytes,
        };
        stats.models += 1;
        stats.total.add(&size);
        stats.largest.push((model, size));
        if stats.largest.len() > 10 * StoreStats::LARGEST {
            keep_largest(&mut stats.largest);
        }
    }
    Ok(())
}

fn keep_largest(models: &mut Vec<(ModelKey, ModelSize)>) {
    models.sort_by(|(a, a_size), (b, b_size)| {
        let by_size = b_size.segment_bytes.cmp(&a_size.segment_bytes);
        by_size.then_with(|| a.cmp(b))
    });
    models.truncate(StoreStats::LARGEST);
}
