//! Actions as they should not be.

use std::hint::spin_loop;
use std::time::Duration;

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
pub struct Fail {
    kind: String,
}

pub async fn fail(_: Cx, fail: Fail) -> Result<()> {
    let message = format!("it is {}", fail.kind);
    let failure = match fail.kind.as_str() {
        "transient" => Failure::transient(message).retry_after(Duration::from_secs(7)),
        "auth" => Failure::auth(message),
        "config" => Failure::config(message),
        "rejected" => Failure::rejected(message),
        _ => Failure::other(message),
    };
    let payload = json!({ "kind": fail.kind });
    Err(failure.code("as-told").payload(payload))
}

pub async fn reject_at_length(_: Cx, bytes: usize) -> Result<()> {
    Err(Failure::rejected("at length").payload("x".repeat(bytes)))
}

pub async fn large(_: Cx, bytes: usize) -> Result<String> {
    Ok("x".repeat(bytes))
}

pub async fn misfit(_: Cx, _: Value) -> Result<Value> {
    Ok(json!({ "name": "without an id" }))
}

pub async fn panics(_: Cx, _: Value) -> Result<()> {
    panic!("the action panics on purpose");
}

pub async fn loops(_: Cx, _: Value) -> Result<()> {
    loop {
        spin_loop();
    }
}

pub async fn sleeps(cx: Cx, _: Value) -> Result<()> {
    cx.sleep(Duration::from_secs(3600)).await;
    Ok(())
}

/// Acts, then waits for an answer.
pub async fn holds(cx: Cx, _: Value) -> Result<()> {
    cx.post("/hold").send().await?;
    Ok(())
}

/// A model that is not this action's.
pub async fn trespasses(cx: Cx, _: Value) -> Result<()> {
    let record = json!({ "id": 1 });
    cx.batch("Secretive").save(&record)?.commit().await?;
    Ok(())
}

pub async fn checkpoints(cx: Cx, _: Value) -> Result<()> {
    cx.save_checkpoint(&1).await
}
