//! How secrets become credentials: the manifest's `auth` entries.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::template::SecretTemplate;

/// Most headers and query parameters of one template entry, together.
pub const TEMPLATES_MAX: usize = 16;

/// How secrets are put on requests to the connection's own origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Auth {
    Bearer {
        token: String,
    },
    Basic {
        username: String,
        password: String,
    },
    Header {
        name: AuthName,
        value: String,
        #[serde(default)]
        prefix: String,
    },
    Query {
        name: AuthName,
        value: String,
    },
    /// Several headers and query parameters, each a text with secrets in it.
    Template {
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, SecretTemplate>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        query: BTreeMap<String, SecretTemplate>,
    },
}

impl Auth {
    /// The secrets that it needs.
    #[must_use]
    pub fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Bearer { token } => vec![token],
            Self::Basic { username, password } => vec![username, password],
            Self::Header { value, .. } | Self::Query { value, .. } => vec![value],
            Self::Template { headers, query } => {
                let templates = headers.values().chain(query.values());
                let names: BTreeSet<&str> = templates.flat_map(SecretTemplate::secrets).collect();
                names.into_iter().collect()
            }
        }
    }
}

impl Auth {
    /// What no entry may be, whatever its shape.
    pub(super) fn check(&self) -> Result<(), String> {
        let Self::Template { headers, query } = self else {
            return Ok(());
        };
        let count = headers.len() + query.len();
        if count == 0 || count > TEMPLATES_MAX {
            return Err(format!(
                "a template entry has 1 to {TEMPLATES_MAX} headers and query parameters, not {count}"
            ));
        }
        let mut names = BTreeSet::new();
        match headers
            .keys()
            .find(|name| !names.insert(name.to_ascii_lowercase()))
        {
            Some(twice) => Err(format!("the header {twice:?} is there twice")),
            None => Ok(()),
        }
    }
}

/// The name of a header or query parameter: fixed, or read from the connection's config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AuthName {
    Fixed(String),
    Config { config: String, default: String },
}

impl AuthName {
    /// The name, for a connection with this config.
    #[must_use]
    pub fn resolve<'a>(&'a self, config: &'a Map<String, Value>) -> &'a str {
        match self {
            Self::Fixed(name) => name,
            Self::Config {
                config: pointer,
                default,
            } => pointer_get(config, pointer)
                .and_then(Value::as_str)
                .unwrap_or(default),
        }
    }
}

/// `Value::pointer` on an object.
pub(super) fn pointer_get<'a>(object: &'a Map<String, Value>, pointer: &str) -> Option<&'a Value> {
    let rest = pointer.strip_prefix('/')?;
    let (first, tail) = match rest.split_once('/') {
        Some((first, tail)) => (first, Some(tail)),
        None => (rest, None),
    };
    let value = object.get(&first.replace("~1", "/").replace("~0", "~"))?;
    match tail {
        None => Some(value),
        Some(tail) => value.pointer(&format!("/{tail}")),
    }
}
