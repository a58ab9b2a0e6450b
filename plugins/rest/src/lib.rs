//! Syncs most REST APIs from the connection's config alone: no code to write, build or deploy for
//! another API. `docs/rest-plugin.md` describes the config.
//!
//! Each key of the config's `models` is a sync, and the model that it writes. A run goes through
//! these files: `config` (what is written) → `plan` (what it means, checked) → `pull` (page by
//! page: `paging` asks, `page` finds the changes, `commit` stores them with the `checkpoint`).
//! Each key of the config's `actions` is an action (`action`).

mod action;
mod answer;
mod answers;
mod check;
mod checkpoint;
mod commit;
mod config;
mod confirm;
mod detail;
mod empty;
mod incremental;
mod latest;
mod page;
mod paging;
mod plan;
mod pull;
#[cfg(test)]
mod tests;
mod time;
mod url;
mod watch;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tidegate_sdk::prelude::*;
use tidegate_sdk::{ConfigKey, OAuth, TokenUrl};

use crate::action::Action;
use crate::config::Config;
use crate::plan::Plan;
use crate::pull::Puller;

const CONFIG_SCHEMA: &str = include_str!("../config.schema.json");

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .describe("Most REST APIs, from the connection's config alone")
        .host("base-url")
        .host("granted")
        .config(serde_json::from_str::<Value>(CONFIG_SCHEMA).unwrap_or_default())
        .auth(Auth::bearer("token"))
        .auth(Auth::basic("username", "password"))
        .auth(Auth::header(
            ConfigKey::new("/auth/header", "X-Api-ConfigPath"),
            "api_key",
        ))
        .auth(Auth::query(
            ConfigKey::new("/auth/query", "api_key"),
            "query_key",
        ))
        .auth(oauth(OAuth::refresh_token))
        .auth(oauth(OAuth::client_credentials))
        .sync(
            Sync::each("/models", sync)
                .describe("Each model of the connection's config")
                .every("1h"),
        )
        .action(
            tidegate_sdk::Action::each("/actions", act)
                .describe("Each action of the connection's config")
                .input(r#"{"type":"object"}"#),
        )
        .check(check::check)
}

/// OAuth 2 with everything from the config.
fn oauth(kind: impl Fn(TokenUrl) -> OAuth) -> OAuth {
    kind(TokenUrl::Config("/auth/token_url".to_owned()))
        .scopes_from("/auth/scopes")
        .client_auth_from("/auth/client_auth")
}

tidegate_sdk::export!(plugin);

async fn sync(cx: Cx) -> Result<()> {
    let config: Config = cx.config()?;
    let plan = Plan::new(&config, &cx.context()?.name)?;
    cx.on_bad_record(plan.on_bad_record);
    let is_first = cx.checkpoint::<IgnoredAny>()?.is_none();
    Puller::begin(&cx, &plan).await?.run().await?;
    for finding in plan.findings(is_first) {
        warn!("{finding}");
    }
    Ok(())
}

async fn act(cx: Cx, input: Box<RawValue>) -> Result<Box<RawValue>> {
    let config: Config = cx.config()?;
    let action = Action::new(&config, &cx.context()?.name)?;
    action.act(&cx, input.get()).await
}
