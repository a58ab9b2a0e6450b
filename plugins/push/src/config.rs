//! The connection's config as it is written. `plan.rs` checks what the shapes can't say.
//!
//! `docs/push-plugin.md` describes every key; `config.schema.json` is the same as a JSON Schema.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidegate_sdk::Responses;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// For the host: names of the header and the query parameter that carry a secret.
    #[serde(default, rename = "auth")]
    pub(crate) _auth: AuthNames,
    /// Headers of every request.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// What a check of the connection asks for.
    pub(crate) check: Option<String>,
    /// Each is a sync, and the model that it writes.
    pub(crate) pushes: BTreeMap<String, Push>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthNames {
    #[serde(rename = "header")]
    _header: Option<String>,
    #[serde(rename = "query")]
    _query: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Push {
    pub(crate) from: FeedSource,
    #[serde(default = "identity")]
    pub(crate) transform: String,
    pub(crate) save: Request,
    /// Without it, nothing is deleted at the destination.
    pub(crate) delete: Option<Request>,
    #[serde(default = "page_size_default")]
    pub(crate) page_size: u32,
    #[serde(default)]
    pub(crate) pause_ms: u64,
    #[serde(default = "concurrency_default")]
    pub(crate) concurrency: usize,
    #[serde(default)]
    pub(crate) on_reject: OnReject,
    #[serde(default)]
    pub(crate) on_left_out: OnLeftOut,
}

/// Whose change feed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeedSource {
    pub(crate) integration: String,
    pub(crate) model: String,
    /// By default the one of the same name.
    pub(crate) connection: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) per: RequestUnit,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<String>,
    /// What answers mean, beside what they say by themselves.
    #[serde(default)]
    pub(crate) responses: Responses,
    /// What became of each record of a list.
    pub(crate) results: Option<String>,
    /// Only of `delete`: statuses which say that the record is gone already.
    pub(crate) gone: Option<Vec<u16>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    /// Whether a repeat means the same by itself (RFC 9110 §9.2.2).
    pub(crate) fn is_idempotent(self) -> bool {
        matches!(self, Method::Put | Method::Delete)
    }
}

/// What one request is about.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RequestUnit {
    #[default]
    Record,
    Page,
}

/// What to do about a record that the destination does not want.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnReject {
    #[default]
    Fail,
    Skip,
}

/// What to do about a record that the destination has, and that the transform makes nothing of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnLeftOut {
    #[default]
    Keep,
    Delete,
}

fn identity() -> String {
    ".".to_owned()
}

fn page_size_default() -> u32 {
    100
}

fn concurrency_default() -> usize {
    4
}
