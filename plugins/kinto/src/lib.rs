//! Syncs one collection of a [Kinto](https://docs.kinto-storage.org) server: every record, every
//! change, and every deletion (Kinto lists deleted records as tombstones).
//!
//! # Why the checkpoint is what it is
//!
//! Kinto gives each change of a collection its own `last_modified`, a number that only grows, and
//! a change moves its record to the end of the list sorted by it. So one request says it all:
//! *the next records after `last_modified` X, in order* (`_since="X"`, `_sort=last_modified`), and
//! X, the `last_modified` of the last record committed, is the whole checkpoint:
//!
//! - A page holds every change after X up to its own last one. Whatever changes later, during the
//!   run or after a kill, is numbered higher and comes on a later page. Nothing is lost, and
//!   nothing that was committed is fetched again unless it has changed again.
//! - The first run asks with `_since="0"` rather than without: only with `_since` does Kinto list
//!   tombstones, and a record may be deleted after its page was read, before the run ends.
//! - The `ETag` is not the checkpoint: already on the first page it covers the whole collection,
//!   so that storing it there loses the other pages.
//! - `Next-Page` tells that there are more pages. Its URL is not followed: it means the same as
//!   asking after the new X, and names the server as it sees itself, which behind a proxy is an
//!   origin that the connection has no credentials for.
//! - An `ETag` of X means that nothing has changed since X, so `If-None-Match` makes such a run
//!   one empty answer of status 304.

mod actions;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde_json::value::RawValue;
use tidegate_sdk::prelude::*;

const NOT_MODIFIED: u16 = 304;
/// A record, as Kinto has it: what is stored, and what the actions answer.
const RECORD_SCHEMA: &str = include_str!("../schemas/record.json");

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .describe("Records of a collection of a Kinto server")
        .host("base-url")
        .auth(Auth::basic("username", "password"))
        .config(config_schema())
        .sync(
            Sync::new("records", records)
                .describe("Every record of the collection, incrementally")
                .model(Head::model())
                .every("15m"),
        )
        .action(
            Action::new("create", actions::create)
                .describe("Create a record")
                .model(Head::model())
                .input(actions::create_schema())
                .output(RECORD_SCHEMA),
        )
        .action(
            Action::new("update", actions::update)
                .describe(
                    "Change members of a record, or replace it, unless it has changed meanwhile",
                )
                .model(Head::model())
                .input(actions::update_schema())
                .output(RECORD_SCHEMA),
        )
        .action(
            Action::new("delete", actions::delete)
                .describe("Delete a record, unless it has changed meanwhile")
                .model(Head::model())
                .input(actions::delete_schema())
                .output(RECORD_SCHEMA),
        )
        .check(check)
}

tidegate_sdk::export!(plugin);

/// The connection's config.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    bucket: String,
    collection: String,
    /// How many records to ask for at once; the server may give fewer.
    #[serde(default = "page_size_default")]
    page_size: u32,
}

fn page_size_default() -> u32 {
    100
}

fn config_schema() -> Value {
    json!({
        "type": "object",
        "required": ["bucket", "collection"],
        "additionalProperties": false,
        "properties": {
            "bucket": { "type": "string", "minLength": 1 },
            "collection": { "type": "string", "minLength": 1 },
            "page_size": { "type": "integer", "minimum": 1, "maximum": 10_000, "default": 100 }
        }
    })
}

impl Config {
    fn path(&self) -> String {
        let bucket = tidegate_sdk::encode(&self.bucket);
        let collection = tidegate_sdk::encode(&self.collection);
        format!("/buckets/{bucket}/collections/{collection}")
    }
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Checkpoint {
    /// The `last_modified` of the last change that was committed.
    since: u64,
}

/// A page of records. They are stored as the text that came.
#[derive(Deserialize)]
struct Listing<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

/// What there is to know of a record, which is stored as the text that came.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    last_modified: u64,
    /// `true` in a tombstone; anything else is a field of the record's own.
    #[serde(default)]
    deleted: Value,
}

impl Record for Head<'_> {
    const MODEL: &'static str = "Record";
    const SCHEMA: Option<&'static str> = Some(RECORD_SCHEMA);
}

async fn records(cx: Cx) -> Result<()> {
    let config: Config = cx.config()?;
    let path = format!("{}/records", config.path());
    let mut checkpoint: Checkpoint = cx.checkpoint()?.unwrap_or_default();
    loop {
        let since = format!("\"{}\"", checkpoint.since);
        let response = cx
            .get(&path)
            .query("_since", &since)
            .query("_sort", "last_modified")
            .query("_limit", config.page_size)
            .header("If-None-Match", since)
            .send()
            .await?;
        if response.status() == NOT_MODIFIED {
            return Ok(());
        }
        let before = checkpoint.since;
        let listing: Listing<'_> = response.json()?;
        let mut batch = cx.batch(Head::model());
        for record in listing.data {
            let head: Head<'_> = serde_json::from_str(record.get())
                .context("a record without a usable `id` and `last_modified`")?;
            checkpoint.since = checkpoint.since.max(head.last_modified);
            if head.deleted == Value::Bool(true) {
                batch.delete(head.id);
            } else {
                batch.save_json(head.id, record.get());
            }
        }
        if !batch.is_empty() {
            batch.checkpoint(&checkpoint)?.commit().await?;
        }
        if response.header("Next-Page").is_none() {
            return Ok(());
        }
        if checkpoint.since == before {
            return Err(Failure::other(format!(
                "{path} promises a next page, but this one had nothing after {before}"
            ))
            .code("pagination-loop"));
        }
    }
}

/// One cheap request that needs the credentials and both names of the config.
async fn check(cx: Cx) -> Result<()> {
    let config: Config = cx.config()?;
    cx.get(config.path()).send().await.map(drop)
}
