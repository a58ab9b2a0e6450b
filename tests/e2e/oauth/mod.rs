//! OAuth 2 with a real server: tokens bought, kept fresh, rotated, refused, and lost with a killed
//! process.

mod crash;
mod endpoints;
mod rejected;
mod tokens;

use crate::support::cli::{Cmd, Tidegate};
use crate::support::oidc::{Oidc, secret};
use crate::support::plugins;

const SYNC: &str = "crm/Item";

/// The rest plugin with grants for `api` and `tokens`, which are origins on loopback.
fn deployed(api: &str, tokens: &str) -> Tidegate {
    let tidegate = Tidegate::new();
    tidegate
        .cmd("deploy")
        .arg(plugins::rest())
        .words("--as crm --yes --allow-private 127.0.0.0/8")
        .words(&format!("--allow-host {api} --allow-token-host {tokens}"))
        .ok();
    tidegate
}

/// Adding a connection whose tokens come from `token_url`; secrets come with [`given`].
fn adding(tidegate: &Tidegate, name: &str, api: &str, token_url: &str) -> Cmd {
    tidegate
        .cmd(&format!("connections add crm {name} --base-url {api}/api"))
        .words(r#"--config models={"Item":{"path":"items"}}"#)
        .words(&format!(r#"--config auth={{"token_url":"{token_url}"}}"#))
}

/// Secrets that a command gets through its environment.
fn given(mut cmd: Cmd, secrets: &[(&str, &str)]) -> Cmd {
    for (name, value) in secrets {
        let variable = format!("TIDE_{}", name.to_uppercase());
        cmd = cmd
            .words(&format!("--secret {name}=env:{variable}"))
            .env(&variable, value);
    }
    cmd
}

/// A connection with a refresh token of a confidential client.
fn connect(tidegate: &Tidegate, oidc: &Oidc, client: &str, token_url: &str) {
    let (refresh, own) = (oidc.issue(client), secret(client));
    let secrets = [
        ("client_id", client),
        ("client_secret", own.as_str()),
        ("refresh_token", &refresh),
    ];
    given(
        adding(tidegate, client, &oidc.origin(), token_url),
        &secrets,
    )
    .ok();
}
