//! Pushes the records of another integration to an API, from the connection's config alone: reads
//! the change feed of a model, transforms each record, and sends what the destination does not have.
//! `docs/push-plugin.md` describes the config.
//!
//! Each key of the config's `pushes` is a sync, and the model that it writes: that model holds what
//! the destination has acknowledged. A run goes through these files: `config` (what is written) →
//! `plan` (what it means, checked) → `push` (page by page: `page` decides what to do about each
//! change, `send` does it, `answer` reads what came of it, and what was acknowledged is committed with the cursor).

mod answer;
mod config;
mod jq;
mod made;
mod page;
mod plan;
mod push;
mod results;
mod send;
#[cfg(test)]
mod tests;

use tidegate_sdk::ConfigKey;
use tidegate_sdk::prelude::*;

use crate::config::Config;
use crate::plan::Plan;
use crate::push::Pusher;

const CONFIG_SCHEMA: &str = include_str!("../config.schema.json");

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .describe(
            "Pushes records of other integrations to an API, from the connection's config alone",
        )
        .host("base-url")
        .feed("config")
        .config(serde_json::from_str::<Value>(CONFIG_SCHEMA).unwrap_or_default())
        .auth(Auth::bearer("token"))
        .auth(Auth::basic("username", "password"))
        .auth(Auth::header(
            ConfigKey::new("/auth/header", "X-Api-Key"),
            "api_key",
        ))
        .auth(Auth::query(
            ConfigKey::new("/auth/query", "api_key"),
            "query_key",
        ))
        .sync(
            Sync::each("/pushes", sync)
                .describe("Each push of the connection's config")
                .every("15m"),
        )
        .check(check)
}

tidegate_sdk::export!(plugin);

async fn sync(cx: Cx) -> Result<()> {
    let config: Config = cx.config()?;
    let plan = Plan::new(&config, &cx.context()?.name)?;
    Pusher::begin(&cx, &plan)?.run().await
}

/// Checks the config of every push, that each feed may be read and what is made of its first records, and asks for
/// the path that the config names, if it does.
async fn check(cx: Cx) -> Result<()> {
    let config: Config = cx.config()?;
    for name in config.pushes.keys() {
        let plan = Plan::new(&config, name)?;
        for finding in push::look_at_feed(&cx, &plan).await? {
            warn!("{finding}");
        }
    }
    match &config.check {
        Some(path) => cx.get(path).send().await.map(drop),
        None => Ok(()),
    }
}
