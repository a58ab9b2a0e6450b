//! A record with its metadata.
//!
//! The body is passed through as it was saved, line breaks aside: no number loses digits on the way,
//! and a hundred thousand records a second are written without parsing one.

use std::borrow::Cow;
use std::io::Write;

use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_engine::cursor::Cursor;
use tidegate_engine::record;
use tidegate_service::display;
use tidegate_service::problem::{Problem, Result};
use tidegate_service::transfer::one_line;
use utoipa::ToSchema;

use super::text::{self, Time};
use super::word::{Word, words};

words! {
    /// What last happened to a record.
    pub(crate) enum RecordAction of record::Action {
        /// Saved for the first time, or again after a deletion.
        Added = "added",
        /// Saved with another body.
        Updated = "updated",
        /// Gone at the source; the last body is kept.
        Deleted = "deleted",
    }
}

/// A record of a model in its latest state.
#[derive(Debug, Serialize, ToSchema)]
pub struct Record<'a> {
    id: &'a str,
    action: RecordAction,
    /// As it was saved; of a deleted record the last one.
    #[schema(value_type = Option<text::JsonObject>)]
    body: Option<Cow<'a, RawValue>>,
    /// Whether retention removed the body.
    pruned: bool,
    first_seen_at: Time,
    last_modified_at: Time,
    deleted_at: Option<Time>,
    /// To go on reading after this record.
    cursor: String,
}

impl<'a> Record<'a> {
    /// The JSON form of `record`, with the cursor just after it.
    pub fn new(record: &'a record::Record, cursor: Cursor) -> Result<Self> {
        let raw = |body| match one_line(body) {
            Cow::Borrowed(body) => serde_json::from_str(body).map(Cow::Borrowed),
            Cow::Owned(body) => RawValue::from_string(body).map(Cow::Owned),
        };
        let body = record.body.as_deref().map(raw).transpose();
        Ok(Self {
            id: &record.id,
            action: record.action.into(),
            body: body
                .map_err(|error| Problem::internal(format!("record {}: {error}", record.id)))?,
            pruned: record.body.is_none(),
            first_seen_at: Time(record.first_seen_at),
            last_modified_at: Time(record.last_modified_at),
            deleted_at: record.deleted_at.map(Time),
            cursor: cursor.to_string(),
        })
    }
}

/// Write what [`Record`] is as JSON, without looking into the body: it was checked when it was saved.
pub fn write_record(
    out: &mut Vec<u8>,
    record: &record::Record,
    cursor: Cursor,
) -> std::io::Result<()> {
    out.extend_from_slice(b"{\"id\":");
    serde_json::to_writer(&mut *out, &record.id)?;
    write!(
        out,
        ",\"action\":\"{}\",\"body\":",
        RecordAction::from(record.action).word()
    )?;
    match &record.body {
        Some(body) => out.extend_from_slice(one_line(body).as_bytes()),
        None => out.extend_from_slice(b"null"),
    }
    let (first, last) = (
        display::time(record.first_seen_at),
        display::time(record.last_modified_at),
    );
    let pruned = record.body.is_none();
    write!(
        out,
        ",\"pruned\":{pruned},\"first_seen_at\":\"{first}\",\"last_modified_at\":\"{last}\",\"deleted_at\":"
    )?;
    match record.deleted_at {
        Some(at) => write!(out, "\"{}\"", display::time(at))?,
        None => out.extend_from_slice(b"null"),
    }
    write!(out, ",\"cursor\":\"{cursor}\"}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_engine::Timestamp;
    use tidegate_engine::record::Action;

    #[test]
    fn both_ways_of_writing_a_record_are_the_same() {
        let cursor = Cursor {
            store: 1,
            feed: 2,
            seq: 3,
            pruned: 0,
        };
        let at = Timestamp(1_700_000_000_123);
        for (id, body, action, deleted_at) in [
            (
                "a",
                Some("{\"n\": 12345678901234567890.10}"),
                Action::Added,
                None,
            ),
            (
                "é\"\\/",
                Some("{\"t\":\n \"x\\n\"\r\n}"),
                Action::Updated,
                None,
            ),
            ("b", None, Action::Added, None),
            ("c", Some("{}"), Action::Deleted, Some(at)),
        ] {
            let record = record::Record {
                id: id.to_owned(),
                body: body.map(str::to_owned),
                action,
                first_seen_at: Timestamp(0),
                last_modified_at: at,
                deleted_at,
                seq: 3,
            };
            let mut written = Vec::new();
            write_record(&mut written, &record, cursor).unwrap();
            let shown = Record::new(&record, cursor).unwrap();
            let shown = serde_json::to_string(&shown).unwrap();
            assert_eq!(String::from_utf8(written).unwrap(), shown);
        }
    }
}
