//! The lines of an export, as they are written and read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tidegate_engine::canonical::BodyHash;
use tidegate_engine::integration::{Connection, Digest, Integration};
use tidegate_engine::record::{Action, Record};
use tidegate_engine::transfer::ImportedRecord;
use tidegate_engine::{ConnectionKey, ConnectionName, Name, Timestamp};
use url::Url;

use super::{ExportScope, Totals};
use crate::display;
use crate::problem::{Problem, Result};

/// The first line.
#[derive(Debug, Serialize)]
pub(super) struct Head<'a> {
    pub(super) tidegate_export: u64,
    pub(super) scope: &'a ExportScope,
    pub(super) exported_at: String,
}

/// What is read of the first line: whatever else it says, the version says whether to go on.
#[derive(Debug, Deserialize)]
pub(super) struct HeadRead {
    pub(super) tidegate_export: u64,
}

/// A line with its kind in front.
#[derive(Debug, Serialize)]
pub(super) struct Typed<T> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(flatten)]
    pub(super) line: T,
}

/// The kind of a line.
#[derive(Debug, Deserialize)]
pub(super) struct Kind<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
}

/// A piece of a component: 0 to `pieces` - 1, in order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ComponentLine<'a> {
    pub(super) digest: Digest,
    pub(super) piece: u64,
    pub(super) pieces: u64,
    #[serde(borrow)]
    pub(super) base64: Cow<'a, str>,
}

/// An integration as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct IntegrationLine {
    pub(super) integration: Integration,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ConnectionLine {
    integration: Name,
    connection: ConnectionName,
    base_url: Url,
    config: Map<String, Value>,
    metadata: Map<String, Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    secret_names: Vec<String>,
    /// Base64; they open only with the master key that they were sealed with.
    sealed_secrets: String,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CheckpointLine<'a> {
    pub(super) integration: Name,
    pub(super) connection: ConnectionName,
    pub(super) sync: Name,
    pub(super) variant: Name,
    #[serde(borrow)]
    pub(super) checkpoint: Cow<'a, RawValue>,
}

/// The records that follow are of this model.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ModelLine {
    pub(super) integration: Name,
    pub(super) connection: ConnectionName,
    pub(super) model: Name,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RecordLine<'a> {
    // In front of it all, so that a line needs no flattening, which would take the body apart.
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    action: Action,
    first_seen_at: Cow<'a, str>,
    last_modified_at: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted_at: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pruned: bool,
    hash: Cow<'a, str>,
    size: u64,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

/// JSON without line breaks. Valid JSON has them between tokens only, where a space means the same.
pub fn one_line(json: &str) -> Cow<'_, str> {
    if json.contains(['\n', '\r']) {
        Cow::Owned(json.replace(['\n', '\r'], " "))
    } else {
        Cow::Borrowed(json)
    }
}

/// The moment that [`display::time`] wrote.
fn parse_time(text: &str) -> Result<Timestamp> {
    let parsed: jiff::Timestamp = text
        .parse()
        .map_err(|error| Problem::invalid(format!("{text:?} is no time: {error}")))?;
    let ms = u64::try_from(parsed.as_millisecond());
    let ms = ms.map_err(|_| Problem::invalid(format!("{text:?} is before 1970")))?;
    Ok(Timestamp(ms))
}

impl ConnectionLine {
    pub(super) fn of(connection: &Connection) -> Self {
        Self {
            integration: connection.key.integration.clone(),
            connection: connection.key.connection.clone(),
            base_url: connection.base_url.clone(),
            config: connection.config.clone(),
            metadata: connection.metadata.clone(),
            tags: connection.tags.clone(),
            external_id: connection.external_id.clone(),
            secret_names: connection.secret_names.clone(),
            sealed_secrets: STANDARD.encode(&connection.sealed_secrets),
            created_at: display::time(connection.created_at),
            updated_at: display::time(connection.updated_at),
        }
    }

    pub(super) fn connection(self) -> Result<Connection> {
        let sealed = STANDARD.decode(&self.sealed_secrets);
        Ok(Connection {
            key: ConnectionKey {
                integration: self.integration,
                connection: self.connection,
            },
            base_url: self.base_url,
            config: self.config,
            metadata: self.metadata,
            tags: self.tags,
            external_id: self.external_id,
            secret_names: self.secret_names,
            sealed_secrets: sealed
                .map_err(|error| Problem::invalid(format!("sealed_secrets: {error}")))?,
            created_at: parse_time(&self.created_at)?,
            updated_at: parse_time(&self.updated_at)?,
            revision: 0,
            // If they are still rejected, the next run finds that out.
            auth_failed: None,
            health: Default::default(),
        })
    }
}

impl ComponentLine<'_> {
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        let bytes = STANDARD.decode(self.base64.as_bytes());
        bytes.map_err(|error| Problem::invalid(format!("base64: {error}")))
    }
}

/// The lines of a component's bytes.
pub(super) fn component_lines(
    digest: Digest,
    bytes: &[u8],
) -> impl Iterator<Item = ComponentLine<'static>> {
    let pieces = bytes.chunks(super::COMPONENT_PIECE_BYTES);
    let count = pieces.len() as u64;
    pieces.zip(0..).map(move |(piece, number)| ComponentLine {
        digest,
        piece: number,
        pieces: count,
        base64: STANDARD.encode(piece).into(),
    })
}

/// The line of a record; `hash` and `size` are those of its body as it was saved, and `body` is it
/// in one line.
pub(super) fn record_line<'a>(
    record: &'a Record,
    hash: BodyHash,
    size: u64,
    body: Option<&'a str>,
) -> Result<RecordLine<'a>> {
    let body = body.map(serde_json::from_str).transpose();
    Ok(RecordLine {
        kind: "record".into(),
        id: record.id.as_str().into(),
        action: record.action,
        first_seen_at: display::time(record.first_seen_at).into(),
        last_modified_at: display::time(record.last_modified_at).into(),
        deleted_at: record.deleted_at.map(display::time),
        pruned: record.body.is_none(),
        hash: hex::encode(hash.to_bytes()).into(),
        size,
        body: body
            .map_err(|error| Problem::internal(format!("record {:?}: {error}", record.id)))?,
    })
}

impl RecordLine<'_> {
    pub(super) fn record(self) -> Result<ImportedRecord> {
        let mut hash = [0; 16];
        hex::decode_to_slice(self.hash.as_bytes(), &mut hash).map_err(|_| {
            Problem::invalid(format!(
                "hash {:?}: 32 hexadecimal digits are expected",
                self.hash
            ))
        })?;
        if self.pruned == self.body.is_some() {
            return Err(Problem::invalid(format!(
                "record {:?}: it has either a body or \"pruned\": true",
                self.id
            )));
        }
        Ok(ImportedRecord {
            id: self.id.into_owned(),
            body: self.body.map(|body| body.get().to_owned()),
            hash: BodyHash::from_bytes(hash),
            body_len: self.size,
            action: self.action,
            first_seen_at: parse_time(&self.first_seen_at)?,
            last_modified_at: parse_time(&self.last_modified_at)?,
        })
    }
}

/// The last line: how many there were of each kind.
pub(super) fn end_line(totals: Totals) -> Typed<Totals> {
    Typed {
        kind: "end",
        line: totals,
    }
}
