//! A connection's secrets, opened for one run: credentials, and what nothing kept or shown may hold.

use std::sync::Arc;

use tidegate_egress::{Credentials, Secret, SecretTexts, TokenEndpoint};
use tidegate_engine::command;
use tidegate_engine::integration::Connection;
use tidegate_engine::manifest::{Auth, TokenRequest};
use tidegate_engine::redact::SECRET_BYTES_MIN;

use super::launch::RunSite;
use super::local::Local;
use crate::display;
use crate::oauth::{self, Source, TokenRequester};
use crate::problem::{Kind, Problem, Result};
use crate::secrets::SecretMap;

/// A connection's secrets, opened for one run.
#[derive(Default)]
pub(super) struct Secrets {
    pub(super) credentials: Option<Credentials>,
    /// What nothing kept or shown may hold.
    pub(super) texts: SecretTexts,
}

/// Those of a site's connection. With credentials that the token endpoint rejected nothing is
/// started, but `again`.
pub(super) async fn secrets(local: &Local, site: &RunSite, again: bool) -> Result<Secrets> {
    let RunSite {
        integration,
        connection,
        config,
    } = site;
    let manifest = &integration.current.manifest;
    let has = |name: &str| connection.secret_names.iter().any(|known| known == name);
    let Some(auth) = manifest.auth_for(has) else {
        return Ok(Secrets::default());
    };
    let mut secrets = open(local, connection).await?;
    if let Some(request) = auth.token_request(config) {
        let request = request.map_err(|fault| Problem::invalid(fault).at(&connection.key))?;
        return tokens(local, site, request, secrets, again);
    }
    let credentials = Credentials::resolve(auth, &|name| secrets.get(name).cloned(), config)
        .map_err(|error| Problem::invalid(error).at(&connection.key))?;
    if let Auth::Basic { username, password } = auth {
        // A user name is none by itself, and may well stand in paths and records.
        let user = secrets.remove(username);
        if let (Some(user), Some(password)) = (user, secrets.get(password)) {
            let both = format!("{}:{}", user.expose(), password.expose());
            // Where the key is the user name, any password will do: `sk_live_…:x`.
            if password.expose().len() < SECRET_BYTES_MIN || is_token(user.expose()) {
                secrets.insert(format!("{username}:"), user);
            }
            secrets.insert(username.clone(), Secret::new(both));
        }
    }
    Ok(Secrets {
        credentials: Some(credentials),
        texts: SecretTexts::new(secrets.into_values().collect()),
    })
}

/// Whether a user name looks like a key rather than like a name.
fn is_token(user: &str) -> bool {
    user.len() >= 16
        && !user.contains(['@', ' '])
        && user.contains(|c: char| c.is_ascii_digit())
        && user.contains(|c: char| c.is_ascii_alphabetic())
}

/// A connection's secrets, as it was read a moment ago.
pub(super) async fn open(local: &Local, connection: &Connection) -> Result<SecretMap> {
    let _in_use = local.key_use.read().await;
    let (key, ring) = (&connection.key, local.key_ring()?);
    // Where they will be sent is what was read.
    let origin = connection.origin();
    if let Ok(secrets) = ring.open(key, &origin, &connection.sealed_secrets) {
        return Ok(secrets);
    }
    // A rotation may have ended since the connection was read.
    let now = local.find_connection(key).await?;
    ring.open(key, &origin, &now.sealed_secrets)
}

/// Credentials that are renewed while the run goes on.
fn tokens(
    local: &Local,
    site: &RunSite,
    request: TokenRequest,
    secrets: SecretMap,
    again: bool,
) -> Result<Secrets> {
    let key = &site.connection.key;
    if let (Some(rejection), false) = (&site.connection.auth_failed, again) {
        let message = format!(
            "connection {key} is auth-failed since {}: {}",
            display::time(rejection.at),
            rejection.message
        );
        let (integration, connection) = (&key.integration, &key.connection);
        return Err(Problem::new(Kind::RunFailed, message).hint(format!(
            "give it new credentials with `{}`, or see whether they are accepted now: {}",
            command!(
                "connections update {integration} {connection} --secret KEY=…",
                integration,
                connection
            ),
            command!(
                "connections test {integration} {connection}",
                integration,
                connection
            )
        )));
    }
    let grants = &site.integration.current.grants;
    let texts = SecretTexts::new(oauth::texts(secrets, &request));
    let requester = TokenRequester {
        endpoint: TokenEndpoint {
            connection: key.clone(),
            url: request.url.clone(),
            granted: grants.token_hosts.clone(),
            private: grants.private.clone(),
        },
        request,
        gate: local.runtime()?.gate().clone(),
        again,
    };
    let source = Source::new(&local.tokens, requester, texts.clone());
    Ok(Secrets {
        credentials: Some(Credentials::Token(Arc::new(source))),
        texts,
    })
}
