//! Pulls the items of an API that hands them out in pages, oldest change first.

use tidegate_sdk::prelude::*;

/// What the plugin is: `tidegate build` shows it, and the operator grants what it asks for.
fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .describe("Items of an example API")
        // Where it may go: the origin of each connection's base URL, and nowhere else.
        .host("base-url")
        // `--secret token=…` of a connection becomes `Authorization: Bearer …`.
        .auth(Auth::bearer("token"))
        .sync(Sync::new("items", items).model("Item").every("1h"))
}

/// What the sync reads of an item; the rest of it is stored as well.
#[derive(Deserialize)]
struct Item {
    id: String,
    updated_at: String,
    #[serde(default)]
    deleted: bool,
}

/// How far the sync has read. It is stored in one step with the records it belongs to, so that a
/// run that is killed goes on exactly where it was.
#[derive(Default, Serialize, Deserialize)]
struct Checkpoint {
    /// This pull asks for what changed since then; `None` asks for everything.
    since: Option<String>,
    /// The latest change seen so far: where the next pull begins.
    latest: Option<String>,
    /// The page where an unfinished pull goes on.
    position: Option<Position>,
}

async fn items(cx: Cx) -> Result<()> {
    let mut checkpoint: Checkpoint = cx.checkpoint()?.unwrap_or_default();

    // `GET /items?updated_since=…&limit=100&cursor=…` answers `{"items": […], "next_cursor": "…"}`.
    // `Paginate` knows the other common styles too.
    let style = Paginate::cursor("/next_cursor", "cursor")
        .items("/items")
        .size("limit", 100)
        .from(checkpoint.position.take());
    let since = checkpoint.since.as_deref();
    let mut pages = cx
        .get("/items")
        .query_opt("updated_since", since)
        .paginate(style);

    while let Some(page) = pages.next().await? {
        let mut commit = cx.batch("Item");
        // One that is no `Item` is skipped, and named in the log.
        for (item, json) in commit.items_and_json::<Item>(&page)? {
            checkpoint.latest = checkpoint.latest.max(Some(item.updated_at));
            if item.deleted {
                commit.delete(item.id);
            } else {
                commit.save_json(item.id, json.get());
            }
        }
        checkpoint.position = page.next_position().cloned();
        if checkpoint.position.is_none() {
            // The last page: only now is everything up to `latest` stored.
            checkpoint.since = checkpoint.latest.clone();
        }
        let outcome = commit.checkpoint(&checkpoint)?.commit().await?;
        debug!(added = outcome.model("Item").added, "stored a page");
    }
    Ok(())
}

tidegate_sdk::export!(plugin);

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_sdk::test::{FakeHost, get};

    #[test]
    fn pulls_all_pages_and_later_only_changes() {
        let host = FakeHost::new()
            .base_url("https://api.example.com")
            .respond(
                get("/items").without_query("updated_since").without_query("cursor"),
                json!({ "items": [{ "id": "a", "updated_at": "2026-01-01" }], "next_cursor": "p2" }),
            )
            .respond(
                get("/items").query("cursor", "p2"),
                json!({ "items": [{ "id": "b", "updated_at": "2026-01-02", "color": "red" }] }),
            );
        let outcome = host.run_sync(plugin(), "items");
        outcome.assert_ok();
        assert_eq!(outcome.totals("Item").added, 2);
        assert_eq!(outcome.records("Item")["b"]["color"], "red");

        let host = host.respond(
            get("/items").query("updated_since", "2026-01-02"),
            json!({ "items": [{ "id": "a", "updated_at": "2026-01-03", "deleted": true }] }),
        );
        let outcome = host.run_sync(plugin(), "items");
        outcome.assert_ok();
        assert_eq!(outcome.totals("Item").deleted, 1);
        host.assert_all_used();
    }
}
