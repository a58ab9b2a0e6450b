//! How secrets become credentials.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_engine::manifest::{self, AuthName, Setting};
use utoipa::ToSchema;

use super::super::text;
use super::super::word::words;

/// How secrets are put on requests to the connection's own origin. Texts that are not said to be something else are
/// names of secrets.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Auth {
    /// `Authorization: Bearer`
    Bearer { token: String },
    /// `Authorization: Basic`
    Basic { username: String, password: String },
    /// A header.
    Header {
        name: ParameterName,
        value: String,
        /// What stands before the secret.
        prefix: String,
    },
    /// A parameter of the query.
    Query { name: ParameterName, value: String },
    /// Headers and query parameters with secrets in them: `{KEY}` is where the secret KEY goes.
    Template {
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        #[schema(required = false)]
        headers: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        #[schema(required = false)]
        query: BTreeMap<String, String>,
    },
    /// RFC 6749, section 4.4.
    #[serde(rename = "oauth2-client-credentials")]
    ClientCredentials {
        token_url: TextSetting,
        client_id: String,
        client_secret: String,
        scopes: ListSetting,
        client_auth: ClientAuthSetting,
    },
    /// RFC 6749, section 6.
    #[serde(rename = "oauth2-refresh-token")]
    RefreshToken {
        token_url: TextSetting,
        client_id: String,
        /// A connection without it is that of a public client.
        #[serde(skip_serializing_if = "Option::is_none")]
        client_secret: Option<String>,
        refresh_token: String,
        /// Used until the API refuses it, where a connection has it.
        #[serde(skip_serializing_if = "Option::is_none")]
        access_token: Option<String>,
        scopes: ListSetting,
        client_auth: ClientAuthSetting,
    },
}

/// The name of a header or a query parameter: fixed, or read from the connection's config.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum ParameterName {
    Fixed(String),
    Config {
        #[schema(value_type = text::ConfigPointer)]
        config: String,
        default: String,
    },
}

words! {
    /// How a client shows who it is (RFC 6749, section 2.3.1).
    pub(super) enum ClientAuth of manifest::ClientAuth {
        /// `Authorization: Basic`
        Basic = "basic",
        /// In the request's form.
        Body = "body",
    }
}

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident of $from:ty as $as:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Serialize, ToSchema)]
        #[serde(untagged)]
        pub(super) enum $name {
            Config {
                #[schema(value_type = text::ConfigPointer)]
                config: String,
                /// What holds when the config has nothing there.
                #[serde(skip_serializing_if = "Option::is_none")]
                default: Option<$as>,
            },
            Fixed($as),
        }

        impl From<Setting<$from>> for $name {
            fn from(setting: Setting<$from>) -> Self {
                match setting {
                    Setting::Config { config, default } => Self::Config {
                        config,
                        default: default.map(Into::into),
                    },
                    Setting::Fixed(value) => Self::Fixed(value.into()),
                }
            }
        }
    )*};
}

settings! {
    /// A text: fixed, or read from the connection's config.
    TextSetting of String as String;
    /// A list: fixed, or read from the connection's config.
    ListSetting of Vec<String> as Vec<String>;
    /// How a client shows who it is: fixed, or read from the connection's config.
    ClientAuthSetting of manifest::ClientAuth as ClientAuth;
}

impl From<AuthName> for ParameterName {
    fn from(name: AuthName) -> Self {
        match name {
            AuthName::Fixed(name) => Self::Fixed(name),
            AuthName::Config { config, default } => Self::Config { config, default },
        }
    }
}

impl From<manifest::Auth> for Auth {
    fn from(auth: manifest::Auth) -> Self {
        use manifest::Auth as Engine;
        let templates = |templates: BTreeMap<String, manifest::SecretTemplate>| {
            let texts = templates.into_iter();
            texts
                .map(|(name, text)| (name, String::from(text)))
                .collect()
        };
        match auth {
            Engine::Bearer { token } => Self::Bearer { token },
            Engine::Basic { username, password } => Self::Basic { username, password },
            Engine::Header {
                name,
                value,
                prefix,
            } => Self::Header {
                name: name.into(),
                value,
                prefix,
            },
            Engine::Query { name, value } => Self::Query {
                name: name.into(),
                value,
            },
            Engine::Template { headers, query } => Self::Template {
                headers: templates(headers),
                query: templates(query),
            },
            Engine::ClientCredentials(auth) => Self::ClientCredentials {
                token_url: auth.token_url.into(),
                client_id: auth.client_id,
                client_secret: auth.client_secret,
                scopes: auth.scopes.into(),
                client_auth: auth.client_auth.into(),
            },
            Engine::RefreshToken(auth) => Self::RefreshToken {
                token_url: auth.token_url.into(),
                client_id: auth.client_id,
                client_secret: auth.client_secret,
                refresh_token: auth.refresh_token,
                access_token: auth.access_token,
                scopes: auth.scopes.into(),
                client_auth: auth.client_auth.into(),
            },
        }
    }
}
