//! The plugin of `tidegate demo`: contacts and companies of a fictional CRM, pulled incrementally
//! with deletions, from where the last run ended or was killed.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use tidegate_sdk::prelude::*;

fn plugin() -> Plugin {
    let contact = Model::new("Contact").schema(include_str!("../schemas/contact.json"));
    let company = Model::new("Company").schema(include_str!("../schemas/company.json"));
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .describe("Contacts and companies of a fictional CRM")
        .host("base-url")
        .auth(Auth::bearer("token"))
        .config(include_str!("../schemas/config.json"))
        .check(check)
        .sync(
            Sync::new("contacts", |cx| pull(cx, "/contacts", "Contact"))
                .describe("People, with the company that they work for")
                .model(contact.describe("A person"))
                .every("1h"),
        )
        .sync(
            Sync::new("companies", |cx| pull(cx, "/companies", "Company"))
                .describe("The companies that contacts work for")
                .model(company.describe("A company"))
                .every("1h"),
        )
}

/// One cheap authenticated request.
async fn check(cx: Cx) -> Result<()> {
    cx.get("/contacts").query("limit", 1).send().await?;
    Ok(())
}

#[derive(Deserialize)]
#[serde(default)]
struct Config {
    page_size: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config { page_size: 100 }
    }
}

/// How far this sync has read the CRM.
#[derive(Default, Serialize, Deserialize)]
struct Checkpoint {
    /// Everything that changed before this time of the CRM's clock is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// Where a pull goes on that is not finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    /// The CRM's clock when that pull began: what changes meanwhile belongs to the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<String>,
}

/// What the plugin reads of an item; the rest is stored as it came.
#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(default)]
    deleted: bool,
}

async fn pull(cx: Cx, path: &'static str, model: &'static str) -> Result<()> {
    let config: Config = cx.config()?;
    let mut checkpoint: Checkpoint = cx.checkpoint()?.unwrap_or_default();
    let style = Paginate::cursor("/next_cursor", "cursor")
        .items("/items")
        .size("limit", config.page_size)
        .from(checkpoint.position.take());
    let since = checkpoint.since.as_deref();
    let mut pages = cx
        .get(path)
        .query_opt("updated_since", since)
        .paginate(style);

    while let Some(page) = pages.next().await? {
        if checkpoint.as_of.is_none() {
            checkpoint.as_of = page.at("/as_of")?;
        }
        checkpoint.position = page.next_position().cloned();
        if checkpoint.position.is_none() {
            checkpoint.since = checkpoint.as_of.take();
        }

        let mut commit = cx.batch(model);
        for item in page.raw_items()? {
            match serde_json::from_str::<Item<'_>>(item.get()) {
                Ok(Item { id, deleted: true }) => commit.delete(id),
                Ok(Item { id, .. }) => commit.save_json(id, item.get()),
                // One that can't be read does not stop the others.
                Err(error) => commit.skip(None, format!("{error} of {}", item.get())),
            };
        }
        let outcome = commit.checkpoint(&checkpoint)?.commit().await?.model(model);
        debug!(
            added = outcome.added,
            updated = outcome.updated,
            deleted = outcome.deleted,
            "stored a page of {path}"
        );
    }
    Ok(())
}

tidegate_sdk::export!(plugin);
