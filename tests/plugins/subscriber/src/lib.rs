//! Subscribes to an API when a connection is there, and ends that when it goes. Its syncs fail, each in words of its own.

use tidegate_sdk::prelude::*;

const MODEL: &str = "Thing";

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .host("base-url")
        .metadata_write()
        .on_event("connection-created", created)
        .on_event("connection-removed", removed)
        .sync(Sync::new("passed-on", passed_on).model(MODEL))
        .sync(Sync::new("reworded", reworded).model(MODEL))
        .sync(Sync::new("unrelated", unrelated).model(MODEL))
        .sync(Sync::new("rejects", rejects).model(MODEL))
}

tidegate_sdk::export!(plugin);

async fn created(cx: Cx, _: Value) -> Result<()> {
    let subscription: Value = cx
        .post("/subscriptions")
        .json_body(&json!({}))
        .json()
        .await?;
    cx.merge_metadata(&json!({ "subscription": subscription["id"] }))
        .await
}

async fn removed(cx: Cx, _: Value) -> Result<()> {
    let metadata: Value = cx.metadata()?;
    let id = metadata["subscription"].as_str().unwrap_or_default();
    cx.delete(format!("/subscriptions/{id}"))
        .send()
        .await
        .map(drop)
}

/// What the host refuses, as the connection's config says.
async fn refused(cx: &Cx) -> Result<()> {
    let config: Value = cx.config()?;
    match config["refused"].as_str() {
        Some("record") => {
            let long = "x".repeat(2 * 1024 * 1024);
            let mut batch = cx.batch(MODEL);
            cx.on_bad_record(OnBadRecord::Fail);
            batch.save(&json!({ "id": 1, "text": long }))?;
            batch.commit().await.map(drop)
        }
        Some("requests") => loop {
            cx.get("/ok").send().await?;
        },
        _ => cx.get("/loop").send().await.map(drop),
    }
}

async fn passed_on(cx: Cx) -> Result<()> {
    refused(&cx).await
}

async fn reworded(cx: Cx) -> Result<()> {
    let refused = refused(&cx).await;
    refused.map_err(|failure| Failure::other("things can't be had").caused_by(&failure))
}

async fn unrelated(cx: Cx) -> Result<()> {
    let _ = refused(&cx).await;
    Err(Failure::other("and then there was a bug"))
}

async fn rejects(cx: Cx) -> Result<()> {
    let _ = refused(&cx).await;
    Err(Failure::rejected("the customer is blocked"))
}
