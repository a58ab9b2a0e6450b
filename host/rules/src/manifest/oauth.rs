//! OAuth 2 in a manifest's `auth`: where tokens come from, and which secrets they are requested with.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use super::auth::pointer_get;

/// A value of the manifest: fixed, or read from the connection's config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting<T> {
    Config {
        config: String,
        /// What holds when the config has nothing there.
        #[serde(default = "nothing", skip_serializing_if = "Option::is_none")]
        default: Option<T>,
    },
    Fixed(T),
}

fn nothing<T>() -> Option<T> {
    None
}

impl<T: Default> Default for Setting<T> {
    fn default() -> Self {
        Self::Fixed(T::default())
    }
}

impl<T: Clone + DeserializeOwned> Setting<T> {
    /// The value for a connection with this config; `Ok(None)` when there is none.
    fn resolve(&self, what: &'static str, config: &Map<String, Value>) -> Result<Option<T>, Fault> {
        match self {
            Self::Fixed(value) => Ok(Some(value.clone())),
            Self::Config {
                config: pointer,
                default,
            } => match pointer_get(config, pointer) {
                None => Ok(default.clone()),
                Some(value) => T::deserialize(value).map(Some).map_err(|_| Fault::Shape {
                    what,
                    pointer: pointer.clone(),
                }),
            },
        }
    }

    /// What can be said of it without a connection: the pointer's form, and a fixed value.
    fn check(&self, check: impl Fn(&T) -> Result<(), Fault>) -> Result<(), Fault> {
        match self {
            Self::Fixed(value) => check(value),
            Self::Config { config, default } => {
                if !config.starts_with('/') {
                    return Err(Fault::Pointer(config.clone()));
                }
                default.as_ref().map_or(Ok(()), check)
            }
        }
    }
}

/// How a client shows who it is (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// `Authorization: Basic`
    #[default]
    Basic,
    /// In the request's form.
    Body,
}

/// RFC 6749 §4.4: a token is requested with the client's own credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCredentials {
    pub token_url: Setting<String>,
    /// Names of secrets, as all that follow but the last two.
    pub client_id: String,
    pub client_secret: String,
    #[serde(default)]
    pub scopes: Setting<Vec<String>>,
    #[serde(default)]
    pub client_auth: Setting<ClientAuth>,
}

/// RFC 6749 §6: a token is requested with a refresh token. The authorisation was done elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefreshToken {
    pub token_url: Setting<String>,
    /// Names of secrets, as all that follow but the last two.
    pub client_id: String,
    /// A connection without it is that of a public client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    pub refresh_token: String,
    /// Used until the API refuses it, where a connection has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
    #[serde(default)]
    pub scopes: Setting<Vec<String>>,
    #[serde(default)]
    pub client_auth: Setting<ClientAuth>,
}

/// Either of them, as a token request needs it. The names are those of secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    pub url: Url,
    pub client_id: String,
    pub client_secret: Option<String>,
    /// `None` asks with the client's own credentials.
    pub refresh_token: Option<String>,
    pub access_token: Option<String>,
    pub scopes: Vec<String>,
    pub client_auth: ClientAuth,
}

/// What is wrong with a part of an OAuth 2 entry, or with the config that it reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("{0:?}: a JSON pointer starts with /")]
    Pointer(String),
    #[error("the config's {pointer} can't be the {what}: it has another type")]
    Shape { what: &'static str, pointer: String },
    #[error("there is no token URL; set it in the connection's config at {pointer}")]
    NoUrl { pointer: String },
    #[error(
        "the token URL {0:?}: it must be https:// (or http:// at a private address), with a host, \
             without credentials and fragment"
    )]
    Url(String),
    #[error(
        "the scope {0:?}: a scope has 1 to 256 visible ASCII characters without space, \" and \\"
    )]
    Scope(String),
}

impl ClientCredentials {
    pub(super) fn check(&self) -> Result<(), Fault> {
        check(&self.token_url, &self.scopes, &self.client_auth)
    }

    /// The request, for a connection with this config.
    pub fn request(&self, config: &Map<String, Value>) -> Result<TokenRequest, Fault> {
        let (url, scopes, client_auth) =
            resolve(&self.token_url, &self.scopes, &self.client_auth, config)?;
        Ok(TokenRequest {
            url,
            client_id: self.client_id.clone(),
            client_secret: Some(self.client_secret.clone()),
            refresh_token: None,
            access_token: None,
            scopes,
            client_auth,
        })
    }
}

impl RefreshToken {
    pub(super) fn check(&self) -> Result<(), Fault> {
        check(&self.token_url, &self.scopes, &self.client_auth)
    }

    /// The request, for a connection with this config.
    pub fn request(&self, config: &Map<String, Value>) -> Result<TokenRequest, Fault> {
        let (url, scopes, client_auth) =
            resolve(&self.token_url, &self.scopes, &self.client_auth, config)?;
        Ok(TokenRequest {
            url,
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            refresh_token: Some(self.refresh_token.clone()),
            access_token: self.access_token.clone(),
            scopes,
            client_auth,
        })
    }
}

fn check(
    token_url: &Setting<String>,
    scopes: &Setting<Vec<String>>,
    client_auth: &Setting<ClientAuth>,
) -> Result<(), Fault> {
    token_url.check(|text| parse_url(text).map(drop))?;
    scopes.check(|scopes| check_scopes(scopes))?;
    client_auth.check(|_| Ok(()))
}

fn resolve(
    token_url: &Setting<String>,
    scopes: &Setting<Vec<String>>,
    client_auth: &Setting<ClientAuth>,
    config: &Map<String, Value>,
) -> Result<(Url, Vec<String>, ClientAuth), Fault> {
    let text = token_url.resolve("token URL", config)?;
    let url = match (text, token_url) {
        (Some(text), _) => parse_url(&text)?,
        (
            None,
            Setting::Config {
                config: pointer, ..
            },
        ) => {
            let pointer = pointer.clone();
            return Err(Fault::NoUrl { pointer });
        }
        (None, Setting::Fixed(text)) => return Err(Fault::Url(text.clone())),
    };
    let scopes = scopes
        .resolve("list of scopes", config)?
        .unwrap_or_default();
    check_scopes(&scopes)?;
    let client_auth = client_auth.resolve("client's authentication", config)?;
    Ok((url, scopes, client_auth.unwrap_or_default()))
}

fn parse_url(text: &str) -> Result<Url, Fault> {
    let fits = |url: &Url| {
        matches!(url.scheme(), "https" | "http")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    };
    let url = Url::parse(text).ok().filter(fits);
    url.ok_or_else(|| Fault::Url(text.chars().take(200).collect()))
}

fn check_scopes(scopes: &[String]) -> Result<(), Fault> {
    // RFC 6749 §3.3
    let token = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
    let bad = |scope: &&String| !(1..=256).contains(&scope.len()) || !scope.chars().all(token);
    match scopes.iter().find(bad) {
        None => Ok(()),
        Some(scope) => Err(Fault::Scope(scope.chars().take(100).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Auth;
    use serde_json::json;

    fn request(auth: &Value, config: &Value) -> Result<TokenRequest, String> {
        let auth: Auth = serde_json::from_value(auth.clone()).map_err(|e| e.to_string())?;
        auth.check()?;
        let request = auth.token_request(config.as_object().unwrap());
        request.unwrap().map_err(|fault| fault.to_string())
    }

    #[test]
    fn settings_come_from_the_manifest_or_the_config() {
        let from_config = json!({
            "kind": "oauth2-refresh-token", "client_id": "id", "refresh_token": "refresh",
            "client_secret": "secret", "token_url": {"config": "/oauth/token_url"},
            "scopes": {"config": "/oauth/scopes"},
            "client_auth": {"config": "/oauth/client_auth", "default": "body"},
        });
        let got = request(
            &from_config,
            &json!({"oauth": {"token_url": "https://id.example/token", "scopes": ["a", "b"]}}),
        )
        .unwrap();
        assert_eq!(got.url.as_str(), "https://id.example/token");
        assert_eq!(got.scopes, ["a", "b"]);
        assert_eq!(got.client_auth, ClientAuth::Body);
        let fixed = json!({
            "kind": "oauth2-client-credentials", "client_id": "id", "client_secret": "secret",
            "token_url": "https://id.example/token",
        });
        let got = request(&fixed, &json!({})).unwrap();
        assert_eq!(
            (got.client_auth, got.refresh_token),
            (ClientAuth::Basic, None)
        );

        // (pointer into the entry, value, config, part of the error)
        let oauth = |key: &str, value: Value| json!({"oauth": {key: value}});
        let rows = [
            (
                "/kind",
                json!("oauth2-refresh-token"),
                json!({}),
                "/oauth/token_url",
            ),
            (
                "/token_url",
                json!("ftp://id.example/"),
                json!({}),
                "https://",
            ),
            (
                "/token_url",
                json!("https://a:b@id.example/"),
                json!({}),
                "without credentials",
            ),
            (
                "/token_url",
                json!({"config": "x"}),
                json!({}),
                "starts with /",
            ),
            (
                "/kind",
                json!("oauth2-refresh-token"),
                oauth("token_url", json!(7)),
                "another type",
            ),
            (
                "/kind",
                json!("oauth2-refresh-token"),
                oauth("token_url", json!("x")),
                "\"x\"",
            ),
            ("/scopes", json!(["a b"]), json!({}), "\"a b\""),
            ("/client_auth", json!("jwt"), json!({}), "did not match"),
            (
                "/refresh_token",
                Value::Null,
                json!({}),
                "expected a string",
            ),
        ];
        for (pointer, value, config, part) in rows {
            let mut auth = from_config.clone();
            *auth.pointer_mut(pointer).unwrap() = value;
            let error = request(&auth, &config).unwrap_err();
            assert!(error.contains(part), "{pointer}: {error}");
        }
    }

    #[test]
    fn what_a_connection_must_have() {
        let auth: Auth = serde_json::from_value(json!({
            "kind": "oauth2-refresh-token", "client_id": "id", "client_secret": "secret",
            "refresh_token": "refresh", "access_token": "access", "token_url": "https://id.example/",
        }))
        .unwrap();
        assert_eq!(auth.secrets(), ["id", "refresh", "secret", "access"]);
        assert_eq!(auth.needs(), ["id", "refresh"]);
    }
}
