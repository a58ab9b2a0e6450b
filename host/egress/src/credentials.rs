//! A connection's credentials: which header or query parameter they become, and how they stay secret.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use tidegate_engine::manifest::{Auth, AuthName, SecretTemplate, TemplatePart};
use tidegate_engine::redact::Secret;
use tidegate_engine::run::Blame;
use url::Url;
use zeroize::Zeroizing;

use crate::error::EgressError;
use crate::token::TokenSource;

/// Why secrets can't be put on requests. The operator must act; no text holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    #[error("the connection has no secret {0:?}; add it with --secret {0}=…")]
    Missing(String),
    #[error(
        "the secret {0:?} has a line break or another control character, which no header can \
         carry; set it again without (often it is the last line break of a file)"
    )]
    Characters(String),
    #[error(
        "the user name in the secret {0:?} has a colon, which Basic credentials can't carry (RFC 7617)"
    )]
    Colon(String),
    #[error("{0:?} can't name the header of a credential: {1}")]
    HeaderName(String, &'static str),
    #[error(
        "a query credential needs a parameter's name; the manifest or the config has an empty one"
    )]
    QueryName,
    #[error("tokens are requested with these credentials; requests do not carry them")]
    Source,
}

/// Credentials, ready to be put on requests to the connection's own origin.
///
/// Only the gate reads them, and it puts them on after it has let a request through. On that
/// origin they replace a header or query parameter of the same name that the guest set.
#[derive(Debug, Clone)]
pub enum Credentials {
    Bearer(Secret),
    Basic {
        username: Secret,
        password: Secret,
    },
    Header {
        name: HeaderName,
        prefix: String,
        value: Secret,
    },
    Query {
        name: String,
        value: Secret,
    },
    Template {
        headers: Vec<(HeaderName, Secret)>,
        query: Vec<(String, Secret)>,
    },
    /// A bearer token that is asked for before each request.
    Token(Arc<dyn TokenSource>),
}

impl Credentials {
    /// The credentials that the manifest's `auth` entry describes, for a connection with this
    /// config; `secret` looks a secret up by name.
    pub fn resolve(
        auth: &Auth,
        secret: &dyn Fn(&str) -> Option<Secret>,
        config: &Map<String, Value>,
    ) -> Result<Self, CredentialsError> {
        let get = |name: &str| {
            let found = secret(name).ok_or_else(|| CredentialsError::Missing(name.to_owned()))?;
            if found.expose().chars().any(char::is_control) {
                return Err(CredentialsError::Characters(name.to_owned()));
            }
            Ok(found)
        };
        match auth {
            Auth::Bearer { token } => Ok(Self::Bearer(get(token)?)),
            Auth::Basic { username, password } => {
                let user = get(username)?;
                if user.expose().contains(':') {
                    return Err(CredentialsError::Colon(username.clone()));
                }
                Ok(Self::Basic {
                    username: user,
                    password: get(password)?,
                })
            }
            Auth::Header {
                name,
                value,
                prefix,
            } => {
                let name = header_name(name, config)?;
                if prefix.chars().any(char::is_control) {
                    return Err(CredentialsError::Characters(value.clone()));
                }
                Ok(Self::Header {
                    name,
                    prefix: prefix.clone(),
                    value: get(value)?,
                })
            }
            Auth::Query { name, value } => match name.resolve(config) {
                "" => Err(CredentialsError::QueryName),
                name => Ok(Self::Query {
                    name: name.to_owned(),
                    value: get(value)?,
                }),
            },
            Auth::Template { headers, query } => Ok(Self::Template {
                headers: headers
                    .iter()
                    .map(|(name, template)| Ok((parse_header(name)?, fill(template, &get)?)))
                    .collect::<Result<_, _>>()?,
                query: query
                    .iter()
                    .map(|(name, template)| match name.as_str() {
                        "" => Err(CredentialsError::QueryName),
                        name => Ok((name.to_owned(), fill(template, &get)?)),
                    })
                    .collect::<Result<_, _>>()?,
            }),
            // Whoever knows a connection's tokens makes `Credentials::Token` of it.
            Auth::ClientCredentials(_) | Auth::RefreshToken(_) => Err(CredentialsError::Source),
        }
    }

    /// Put them on a request that the gate has let through to the connection's own origin.
    pub(crate) fn apply(&self, url: &mut Url, headers: &mut HeaderMap) -> Result<(), EgressError> {
        let (name, text) = match self {
            Self::Template {
                headers: filled,
                query,
            } => {
                for (name, value) in filled {
                    headers.insert(name.clone(), sensitive(value.expose())?);
                }
                for (name, value) in query {
                    put_parameter(url, name, value);
                }
                return Ok(());
            }
            Self::Bearer(token) => (
                http::header::AUTHORIZATION,
                Zeroizing::new(format!("Bearer {}", token.expose())),
            ),
            Self::Basic { username, password } => {
                let pair = Zeroizing::new(format!("{}:{}", username.expose(), password.expose()));
                let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
                (
                    http::header::AUTHORIZATION,
                    Zeroizing::new(format!("Basic {}", *encoded)),
                )
            }
            Self::Header {
                name,
                prefix,
                value,
            } => (
                name.clone(),
                Zeroizing::new(format!("{prefix}{}", value.expose())),
            ),
            // The session puts its token of the moment on, as `Bearer`.
            Self::Token(_) => return Ok(()),
            Self::Query { name, value } => {
                put_parameter(url, name, value);
                return Ok(());
            }
        };
        headers.insert(name, sensitive(&text)?);
        Ok(())
    }

    /// Take a query credential off a URL that a server made from ours (a redirect's target), so
    /// that neither another origin nor the guest gets it.
    pub(crate) fn strip(&self, url: &mut Url) {
        match self {
            Self::Query { name, value } => remove_parameter(url, name, Some(value)),
            Self::Template { query, .. } => {
                for (name, value) in query {
                    remove_parameter(url, name, Some(value));
                }
            }
            Self::Bearer(_) | Self::Basic { .. } | Self::Header { .. } | Self::Token(_) => {}
        }
    }
}

fn sensitive(text: &str) -> Result<HeaderValue, EgressError> {
    let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| EgressError::Other {
        blame: Blame::Operator,
        message: "the connection's secret has characters that no header can carry".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The template with its secrets in it.
fn fill(
    template: &SecretTemplate,
    get: &dyn Fn(&str) -> Result<Secret, CredentialsError>,
) -> Result<Secret, CredentialsError> {
    // Made at its full length: a text that grows leaves copies of itself behind.
    let mut parts = Vec::new();
    for part in template.parts() {
        parts.push(match part {
            TemplatePart::Text(text) => Secret::new(text.clone()),
            TemplatePart::Secret(name) => get(name)?,
        });
    }
    let length = parts.iter().map(|part| part.expose().len()).sum();
    let mut filled = String::with_capacity(length);
    for part in &parts {
        filled.push_str(part.expose());
    }
    Ok(Secret::new(filled))
}

fn header_name(
    name: &AuthName,
    config: &Map<String, Value>,
) -> Result<HeaderName, CredentialsError> {
    parse_header(name.resolve(config))
}

fn parse_header(name: &str) -> Result<HeaderName, CredentialsError> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        CredentialsError::HeaderName(
            name.chars().take(100).collect(),
            "a header's name has letters, digits and dashes",
        )
    })?;
    match tidegate_rules::request::reserved(&parsed) {
        Some(reason) => Err(CredentialsError::HeaderName(name.to_owned(), reason)),
        None => Ok(parsed),
    }
}

fn put_parameter(url: &mut Url, name: &str, value: &Secret) {
    remove_parameter(url, name, None);
    url.query_pairs_mut().append_pair(name, value.expose());
}

/// Remove the parameters called `name`, or only those with this value.
fn remove_parameter(url: &mut Url, name: &str, value: Option<&Secret>) {
    let hit = |key: &str, text: &str| key == name && value.is_none_or(|v| v.expose() == text);
    if !url.query_pairs().any(|(key, text)| hit(&key, &text)) {
        return;
    }
    // Raw parts are kept as they were: serialising parsed pairs would respell the others.
    let kept: Vec<String> = url
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|part| !url::form_urlencoded::parse(part.as_bytes()).any(|(k, v)| hit(&k, &v)))
        .map(str::to_owned)
        .collect();
    url.set_query((!kept.is_empty()).then(|| kept.join("&")).as_deref());
}
