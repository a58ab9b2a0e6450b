//! How a connection's secrets are put on requests. A plugin names secrets; it never reads one.

use super::oauth::OAuth;
use crate::json::{Object, quoted};

/// How the host authenticates requests to the connection's own origin.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// `Authorization: Bearer …`
    Bearer {
        /// The secret's name.
        token: String,
    },
    /// `Authorization: Basic …` (RFC 7617)
    Basic {
        /// The name of the secret that holds the user name.
        username: String,
        /// The name of the secret that holds the password.
        password: String,
    },
    /// A header of any name.
    Header(HeaderAuth),
    /// A query parameter.
    Query {
        /// The parameter.
        name: Name,
        /// The secret's name.
        value: String,
    },
    /// Several headers and query parameters with several secrets.
    Template(TemplateAuth),
    /// A token that the host requests and renews.
    OAuth(OAuth),
}

impl Auth {
    /// `Authorization: Bearer` with the secret of this name, usually `token`.
    pub fn bearer(token: impl Into<String>) -> Self {
        Auth::Bearer {
            token: token.into(),
        }
    }

    /// `Authorization: Basic` with the secrets of these names.
    pub fn basic(username: impl Into<String>, password: impl Into<String>) -> Self {
        Auth::Basic {
            username: username.into(),
            password: password.into(),
        }
    }

    /// A header with a secret: `Auth::header("X-Api-Key", "token")`. Its name may come from the
    /// connection's config: `Auth::header(ConfigKey::new("/header", "X-Api-Key"), "token")`.
    pub fn header(name: impl Into<Name>, value: impl Into<String>) -> HeaderAuth {
        HeaderAuth {
            name: name.into(),
            value: value.into(),
            prefix: None,
        }
    }

    /// A query parameter with a secret: `Auth::query("api_key", "token")`.
    pub fn query(name: impl Into<Name>, value: impl Into<String>) -> Self {
        Auth::Query {
            name: name.into(),
            value: value.into(),
        }
    }

    /// Headers and query parameters whose texts name secrets in braces:
    /// `Auth::template().header("DD-API-KEY", "{api_key}").header("DD-APPLICATION-KEY", "{app_key}")`.
    /// `{{` and `}}` are braces that stay.
    pub fn template() -> TemplateAuth {
        TemplateAuth::default()
    }
}

impl Auth {
    /// Its entry of the manifest.
    pub(super) fn manifest(&self) -> String {
        let mut entry = Object::default();
        match self {
            Auth::Bearer { token } => entry.text("kind", "bearer").text("token", token),
            Auth::Basic { username, password } => entry
                .text("kind", "basic")
                .text("username", username)
                .text("password", password),
            Auth::Header(header) => entry
                .text("kind", "header")
                .raw("name", &header.name.manifest())
                .text("value", &header.value)
                .text_opt("prefix", header.prefix.as_deref()),
            Auth::Query { name, value } => entry
                .text("kind", "query")
                .raw("name", &name.manifest())
                .text("value", value),
            Auth::Template(template) => entry
                .text("kind", "template")
                .raw("headers", &template.headers.manifest())
                .raw("query", &template.query.manifest()),
            Auth::OAuth(oauth) => return oauth.manifest(),
        };
        entry.finish()
    }
}

/// A header with a secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderAuth {
    name: Name,
    value: String,
    prefix: Option<String>,
}

impl HeaderAuth {
    /// Text before the secret, for example `Token `.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }
}

impl From<HeaderAuth> for Auth {
    fn from(header: HeaderAuth) -> Self {
        Auth::Header(header)
    }
}

/// Headers and query parameters with secrets in them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TemplateAuth {
    headers: Texts,
    query: Texts,
}

/// Templates by name, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Texts(Vec<(String, String)>);

impl Texts {
    fn manifest(&self) -> String {
        let mut texts = Object::default();
        for (name, text) in &self.0 {
            texts.text(name, text);
        }
        texts.finish()
    }
}

impl TemplateAuth {
    /// One more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, template: impl Into<String>) -> Self {
        self.headers.0.push((name.into(), template.into()));
        self
    }

    /// One more query parameter.
    #[must_use]
    pub fn query(mut self, name: impl Into<String>, template: impl Into<String>) -> Self {
        self.query.0.push((name.into(), template.into()));
        self
    }
}

impl From<TemplateAuth> for Auth {
    fn from(template: TemplateAuth) -> Self {
        Auth::Template(template)
    }
}

/// The name of a header or a query parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Name {
    /// The same for every connection.
    Fixed(String),
    /// Read from the connection's config.
    Config(ConfigKey),
}

impl Name {
    fn manifest(&self) -> String {
        match self {
            Name::Fixed(name) => quoted(name),
            Name::Config(key) => Object::default()
                .text("config", &key.config)
                .text("default", &key.default)
                .finish(),
        }
    }
}

/// A place in the connection's config, and what to take when nothing is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigKey {
    config: String,
    default: String,
}

impl ConfigKey {
    /// The text at a JSON pointer of the connection's config, or `default`.
    pub fn new(pointer: impl Into<String>, default: impl Into<String>) -> Self {
        ConfigKey {
            config: pointer.into(),
            default: default.into(),
        }
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Name::Fixed(name.to_owned())
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Name::Fixed(name)
    }
}

impl From<ConfigKey> for Name {
    fn from(key: ConfigKey) -> Self {
        Name::Config(key)
    }
}
