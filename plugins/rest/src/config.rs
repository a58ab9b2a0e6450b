//! The connection's config as it is written. `plan.rs` checks what the shapes can't say.
//!
//! `docs/rest-plugin.md` describes every key; `config.schema.json` is the same as a JSON Schema.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tidegate_sdk::Responses;

use crate::time::Format;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// For the host: what carries a secret, and where tokens come from.
    #[serde(default, rename = "auth")]
    pub(crate) _auth: AuthConfig,
    /// Headers of every request.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// What becomes of records that can't be stored, unless a model says otherwise.
    pub(crate) on_bad_record: Option<BadRecord>,
    /// What a check of the connection asks for; by default the path of the first model.
    pub(crate) check: Option<String>,
    /// Each is a sync, and the model that it writes.
    pub(crate) models: BTreeMap<String, Model>,
    /// Each is an action.
    #[serde(default)]
    pub(crate) actions: BTreeMap<String, Action>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Action {
    pub(crate) method: Method,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default = "body_default")]
    pub(crate) body: String,
    pub(crate) if_match: Option<String>,
    #[serde(default)]
    pub(crate) record: String,
    pub(crate) model: Option<String>,
    #[serde(default)]
    pub(crate) deletes: bool,
    #[serde(default)]
    pub(crate) responses: Responses,
}

fn body_default() -> String {
    "/body".to_owned()
}

/// Of what writes: reading is for syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    Post,
    Put,
    Patch,
    Delete,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthConfig {
    #[serde(rename = "header")]
    _header: Option<String>,
    #[serde(rename = "query")]
    _query: Option<String>,
    #[serde(rename = "token_url")]
    _token_url: Option<String>,
    #[serde(default, rename = "scopes")]
    _scopes: Vec<String>,
    #[serde(rename = "client_auth")]
    _client_auth: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Model {
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) query: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) records: String,
    #[serde(default)]
    pub(crate) records_may_be_absent: bool,
    #[serde(default)]
    pub(crate) empty_statuses: Vec<u16>,
    #[serde(default = "id_default")]
    pub(crate) id: OneOrMany,
    pub(crate) tombstone: Option<Tombstone>,
    #[serde(default)]
    pub(crate) pagination: Pagination,
    pub(crate) incremental: Option<Incremental>,
    #[serde(default)]
    pub(crate) conditional: bool,
    #[serde(default)]
    pub(crate) full_pull_with_deletes: WithDeletes,
    pub(crate) full_pull_every_hours: Option<u32>,
    pub(crate) detail: Option<Detail>,
    pub(crate) on_bad_record: Option<BadRecord>,
    #[serde(default)]
    pub(crate) responses: Responses,
}

/// What becomes of a record that can't be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BadRecord {
    Fail,
    Skip,
}

fn id_default() -> OneOrMany {
    OneOrMany::One("/id".to_owned())
}

/// A pointer, or several.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a JSON pointer or a list of JSON pointers"
)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            OneOrMany::One(pointer) => std::slice::from_ref(pointer),
            OneOrMany::Many(pointers) => pointers,
        }
    }
}

/// Whether a full pull finds deletions, and how it makes sure of them.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a boolean, or an object with `confirm` and perhaps `record`"
)]
pub(crate) enum WithDeletes {
    Whether(bool),
    By(Confirm),
}

impl Default for WithDeletes {
    fn default() -> Self {
        WithDeletes::Whether(false)
    }
}

/// How to ask for one record.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirm {
    pub(crate) confirm: String,
    #[serde(default)]
    pub(crate) record: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tombstone {
    pub(crate) field: String,
    pub(crate) value: Option<Value>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Style {
    #[default]
    None,
    Cursor,
    Page,
    Offset,
    Link,
    NextUrl,
}

/// All styles in one shape, so that an error names the very key; which keys belong to which style
/// is checked in `plan.rs`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pagination {
    pub(crate) style: Style,
    pub(crate) parameter: Option<String>,
    pub(crate) first: Option<u64>,
    pub(crate) cursor_pointer: Option<String>,
    pub(crate) cursor_header: Option<String>,
    pub(crate) cursor_record_pointer: Option<String>,
    pub(crate) url_pointer: Option<String>,
    pub(crate) url_header: Option<String>,
    pub(crate) more_pointer: Option<String>,
    pub(crate) total_pages_pointer: Option<String>,
    pub(crate) total_pointer: Option<String>,
    pub(crate) end_statuses: Option<Vec<u16>>,
    pub(crate) next_url_origin: Option<NextUrlOrigin>,
    pub(crate) end_values: Option<Vec<Value>>,
    pub(crate) stable_order: Option<bool>,
    pub(crate) page_size: Option<u64>,
    pub(crate) page_size_parameter: Option<String>,
}

/// Where a next URL of another origin than the base URL's is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NextUrlOrigin {
    Base,
    AsGiven,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Incremental {
    pub(crate) parameter: String,
    pub(crate) field: Option<OneOrMany>,
    pub(crate) header: Option<String>,
    pub(crate) format: Option<Format>,
    pub(crate) parameter_format: Option<Format>,
    pub(crate) zone: Option<String>,
    pub(crate) overlap_seconds: Option<u32>,
    pub(crate) initial: Option<Value>,
    #[serde(default)]
    pub(crate) ordered: bool,
    #[serde(default)]
    pub(crate) on_missing_overlap: OnMissingOverlap,
}

/// What follows when what changed last does not come again.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnMissingOverlap {
    #[default]
    Warn,
    FullPull,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    #[default]
    Replace,
    Merge,
}

/// What becomes of a listed record whose detail is not there.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnSkip {
    #[default]
    LeaveOut,
    Keep,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Detail {
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) record: String,
    #[serde(default)]
    pub(crate) mode: Mode,
    pub(crate) skip_statuses: Option<Vec<u16>>,
    #[serde(default)]
    pub(crate) on_skip: OnSkip,
    pub(crate) concurrency: Option<usize>,
}
