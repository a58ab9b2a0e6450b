//! The source of the benchmark, pulled by code written for it: what a plugin author would write.

use std::borrow::Cow;

use tidegate_sdk::prelude::*;

const MODEL: &str = "Contact";

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .describe("The source of the benchmark")
        .host("base-url")
        .config(json!({ "type": "object", "properties": { "page_size": { "type": "integer" } } }))
        .sync(Sync::new(MODEL, pull).model(Model::new(MODEL)))
}

#[derive(Deserialize)]
struct Config {
    page_size: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct Checkpoint {
    /// The last update that is stored.
    since: u64,
    position: Option<Position>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    updated_at: u64,
}

/// The first pull, and any after `--reset`, is a full one that deletes what it did not see.
async fn pull(cx: Cx) -> Result<()> {
    let config: Config = cx.config()?;
    let mut checkpoint: Checkpoint = cx.checkpoint()?.unwrap_or_default();
    let since = checkpoint.since;
    if since == 0 {
        cx.begin_snapshot(MODEL).await?;
    }
    let style = Paginate::cursor("/next_cursor", "cursor")
        .items("/items")
        .size("limit", config.page_size)
        .from(checkpoint.position.take());
    let mut pages = cx
        .get("/records")
        .query("updated_since", since)
        .paginate(style);
    let mut newest = since;
    while let Some(page) = pages.next().await? {
        let mut commit = cx.page(MODEL);
        for item in page.raw_items()? {
            let Item { id, updated_at } = serde_json::from_str(item.get())?;
            newest = newest.max(updated_at);
            commit.save_json(id, item.get());
        }
        checkpoint.position = page.next_position().cloned();
        if checkpoint.position.is_none() && since != 0 {
            checkpoint.since = newest;
        }
        commit.checkpoint(&checkpoint)?.commit().await?;
    }
    if since == 0 {
        checkpoint.since = newest;
        cx.end_snapshot_with(MODEL, &checkpoint).await?;
    }
    Ok(())
}

tidegate_sdk::export!(plugin);
