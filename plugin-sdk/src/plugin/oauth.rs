//! OAuth 2: the host requests tokens with the connection's secrets, renews them and sends them along.

use super::auth::Auth;
use crate::json::{Object, quoted};

/// OAuth 2 as a way to authenticate. The secrets are called `client_id`, `client_secret`,
/// `refresh_token` and `access_token`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth {
    kind: &'static str,
    secrets: &'static [&'static str],
    token_url: TokenUrl,
    scopes: Option<String>,
    client_auth: Option<String>,
}

impl OAuth {
    /// Tokens are requested with the connection's `client_id` and `client_secret` (RFC 6749, section 4.4).
    pub fn client_credentials(token_url: impl Into<TokenUrl>) -> Self {
        OAuth {
            kind: "oauth2-client-credentials",
            secrets: &["client_id", "client_secret"],
            token_url: token_url.into(),
            scopes: None,
            client_auth: None,
        }
    }

    /// Tokens are requested with the connection's `refresh_token` (RFC 6749, section 6), its `client_id`, and
    /// its `client_secret` if it has one. The first `access_token` may be there too.
    pub fn refresh_token(token_url: impl Into<TokenUrl>) -> Self {
        OAuth {
            kind: "oauth2-refresh-token",
            secrets: &[
                "client_id",
                "client_secret",
                "refresh_token",
                "access_token",
            ],
            token_url: token_url.into(),
            scopes: None,
            client_auth: None,
        }
    }

    /// Ask for these scopes.
    #[must_use]
    pub fn scopes<S: AsRef<str>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        let scopes = scopes.into_iter().map(|scope| quoted(scope.as_ref()));
        self.scopes = Some(format!("[{}]", scopes.collect::<Vec<_>>().join(",")));
        self
    }

    /// Ask for the scopes in a list at a JSON pointer of the connection's config.
    #[must_use]
    pub fn scopes_from(mut self, pointer: &str) -> Self {
        self.scopes = Some(from_config(pointer));
        self
    }

    /// How the client shows who it is: [`ClientAuth::Basic`] unless said otherwise.
    #[must_use]
    pub fn client_auth(mut self, client_auth: ClientAuth) -> Self {
        self.client_auth = Some(quoted(match client_auth {
            ClientAuth::Basic => "basic",
            ClientAuth::Body => "body",
        }));
        self
    }

    /// That as `basic` or `body` at a JSON pointer of the connection's config.
    #[must_use]
    pub fn client_auth_from(mut self, pointer: &str) -> Self {
        self.client_auth = Some(from_config(pointer));
        self
    }

    /// Its entry of the manifest.
    pub(super) fn manifest(&self) -> String {
        let url = match &self.token_url {
            TokenUrl::Fixed(url) => quoted(url),
            TokenUrl::Config(pointer) => from_config(pointer),
        };
        let mut entry = Object::default();
        entry.text("kind", self.kind).raw("token_url", &url);
        for secret in self.secrets {
            entry.text(secret, secret);
        }
        entry
            .raw_opt("scopes", self.scopes.as_deref())
            .raw_opt("client_auth", self.client_auth.as_deref())
            .finish()
    }
}

impl From<OAuth> for Auth {
    fn from(oauth: OAuth) -> Self {
        Auth::OAuth(oauth)
    }
}

/// Where tokens are requested: https, or http in a private network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenUrl {
    /// The same for every connection.
    Fixed(String),
    /// At a JSON pointer of the connection's config.
    Config(String),
}

impl From<&str> for TokenUrl {
    fn from(url: &str) -> Self {
        TokenUrl::Fixed(url.to_owned())
    }
}

/// How a client shows who it is (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAuth {
    /// `Authorization: Basic`
    Basic,
    /// In the request's form.
    Body,
}

fn from_config(pointer: &str) -> String {
    Object::default().text("config", pointer).finish()
}
