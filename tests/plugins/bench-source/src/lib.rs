//! The source of the benchmark, pulled by code written for it: what a plugin author would write.

use std::borrow::Cow;

use tidegate_sdk::prelude::*;
use tidegate_sdk::{Finish, FullPull, Pass};

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

#[derive(Clone, Default, Serialize, Deserialize)]
struct Checkpoint {
    /// The last update that is stored.
    since: u64,
    position: Option<Position>,
    /// Of a full pull.
    pass: Option<Pass>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    updated_at: u64,
}

/// The first pull, and any after `--reset`, is a full one that finds deletions.
async fn pull(cx: Cx) -> Result<()> {
    let mut checkpoint: Checkpoint = cx.checkpoint()?.unwrap_or_default();
    if checkpoint.since != 0 {
        checkpoint.since = list(&cx, &mut checkpoint, None).await?;
        return cx.save_checkpoint(&checkpoint).await;
    }
    let mut full = cx.full_pull(MODEL);
    let resumes = match checkpoint.pass.take() {
        Some(pass) => full.resume(pass).await?,
        None => false,
    };
    if !resumes {
        checkpoint.position = None;
        full.begin().await?;
    }
    loop {
        let newest = list(&cx, &mut checkpoint, Some(&mut full)).await?;
        let stored = |pass: Option<&Pass>| Checkpoint {
            since: if pass.is_some() { 0 } else { newest },
            position: None,
            pass: pass.cloned(),
        };
        match full.finish(stored).await? {
            Finish::Again(again) => full = *again,
            Finish::Done(_) => return Ok(()),
        }
    }
}

/// Store every page from the checkpoint's position on. Returns the last update.
async fn list(cx: &Cx, checkpoint: &mut Checkpoint, full: Option<&mut FullPull>) -> Result<u64> {
    let config: Config = cx.config()?;
    let style = Paginate::cursor("/next_cursor", "cursor")
        .items("/items")
        .size("limit", config.page_size)
        .from(checkpoint.position.take());
    let mut pages = cx
        .get("/records")
        .query("updated_since", checkpoint.since)
        .paginate(style);
    let mut newest = checkpoint.since;
    let mut full = full;
    while let Some(page) = pages.next().await? {
        let mut commit = cx.batch(MODEL);
        if let Some(full) = &mut full {
            full.answered();
        }
        for item in page.raw_items()? {
            let Item { id, updated_at } = serde_json::from_str(item.get())?;
            newest = newest.max(updated_at);
            if let Some(full) = &mut full {
                full.saw(&id);
            }
            commit.save_json(id, item.get());
        }
        checkpoint.position = page.next_position().cloned();
        checkpoint.pass = full.as_ref().map(|full| full.pass().clone());
        commit.checkpoint(&*checkpoint)?.commit().await?;
    }
    Ok(newest)
}

tidegate_sdk::export!(plugin);
