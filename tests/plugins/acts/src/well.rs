//! Actions as they should be.

use tidegate_sdk::prelude::*;
use tidegate_sdk::serde_json;

pub async fn items(cx: Cx) -> Result<()> {
    let items: Vec<Value> = cx.get("/items").json().await?;
    cx.batch("Item").save_all(&items)?.commit().await?;
    Ok(())
}

pub async fn echo(_: Cx, input: Value) -> Result<Value> {
    Ok(input)
}

pub async fn context(cx: Cx, _: Value) -> Result<Value> {
    Ok(serde_json::to_value(cx.context()?)?)
}

/// Asks the API, and stores what it made.
pub async fn create(cx: Cx, new: Value) -> Result<Value> {
    let response = cx.post("/items").json_body(&new).send_any().await?;
    if response.status() == 409 {
        let taken = response.json::<Value>()?;
        let failure = Failure::rejected("the name is taken").code("duplicate-name");
        return Err(failure.payload(taken));
    }
    if response.status() >= 400 {
        let message = format!("the API answered {}", response.status());
        return Err(match response.status() {
            500.. => Failure::transient(message),
            _ => Failure::rejected(message),
        });
    }
    let made: Value = response.json()?;
    cx.batch("Item").save(&made)?.commit().await?;
    Ok(made)
}

/// Two writes in one run.
pub async fn twice(cx: Cx, _: Value) -> Result<()> {
    cx.post("/a").send().await?;
    cx.post("/b").send().await?;
    Ok(())
}

/// Reads and writes in both of its models.
pub async fn count(cx: Cx, _: Value) -> Result<u64> {
    let stored: Vec<Option<Value>> = cx.get_records("Note", ["count"]).await?;
    let before = stored.into_iter().flatten().next();
    let count = before.and_then(|note| note["n"].as_u64()).unwrap_or(0) + 1;
    let note = json!({ "id": "count", "n": count });
    let item = json!({ "id": format!("counted-{count}") });
    cx.batch("Note")
        .save(&note)?
        .and("Item")
        .save(&item)?
        .commit()
        .await?;
    Ok(count)
}

/// What the API answers, or the failure that its status means.
pub async fn get(cx: Cx, path: String) -> Result<Value> {
    cx.get(path).never_retry().json().await
}
