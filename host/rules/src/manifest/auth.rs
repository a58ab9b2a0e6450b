//! How secrets become credentials: the manifest's `auth` entries.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::oauth::{ClientCredentials, Fault, RefreshToken, TokenRequest};
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
    #[serde(rename = "oauth2-client-credentials")]
    ClientCredentials(ClientCredentials),
    #[serde(rename = "oauth2-refresh-token")]
    RefreshToken(RefreshToken),
}

impl Auth {
    /// The secrets that a connection must have for it.
    #[must_use]
    pub fn needs(&self) -> Vec<&str> {
        match self {
            Self::RefreshToken(auth) => vec![&auth.client_id, &auth.refresh_token],
            other => other.secrets(),
        }
    }

    /// The token request that it makes for a connection with this config, if it is OAuth 2.
    #[must_use]
    pub fn token_request(
        &self,
        config: &Map<String, Value>,
    ) -> Option<Result<TokenRequest, Fault>> {
        match self {
            Self::ClientCredentials(auth) => Some(auth.request(config)),
            Self::RefreshToken(auth) => Some(auth.request(config)),
            _ => None,
        }
    }

    /// What can be wrong with it whatever the connection is.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Self::ClientCredentials(auth) => auth.check().map_err(|fault| fault.to_string()),
            Self::RefreshToken(auth) => auth.check().map_err(|fault| fault.to_string()),
            Self::Template { headers, query } => check_templates(headers, query.len()),
            _ => Ok(()),
        }
    }

    /// All secrets that it knows.
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
            Self::ClientCredentials(auth) => vec![&auth.client_id, &auth.client_secret],
            Self::RefreshToken(auth) => {
                let optional = auth.client_secret.iter().chain(&auth.access_token);
                let mut all: Vec<&str> = vec![&auth.client_id, &auth.refresh_token];
                all.extend(optional.map(String::as_str));
                all
            }
        }
    }
}

fn check_templates(headers: &BTreeMap<String, SecretTemplate>, query: usize) -> Result<(), String> {
    let count = headers.len() + query;
    if count == 0 || count > TEMPLATES_MAX {
        return Err(format!(
            "a template entry has 1 to {TEMPLATES_MAX} headers and query parameters, not {count}"
        ));
    }
    let mut names = BTreeSet::new();
    let mut headers = headers.keys();
    match headers.find(|name| !names.insert(name.to_ascii_lowercase())) {
        Some(twice) => Err(format!("the header {twice:?} is there twice")),
        None => Ok(()),
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
