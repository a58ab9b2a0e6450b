//! Passes on what an API says, at every place where a plugin can put it.

use tidegate_sdk::prelude::*;

use super::MODEL;

/// A description that would pass for lines of whoever shows it.
pub const FORGED: &str = "harmless\n  requests    FORGED nothing\ngranted      FORGED \u{202e}nothing\u{2028}FORGED\u{200b}";

/// In the log, on stdout and stderr, in metadata and checkpoint, and then as a failure.
pub async fn repeats(cx: Cx) -> Result<()> {
    let response = cx.get("say").send_any().await?;
    let said = response.text()?.to_owned();
    info!("{said}");
    warn!(said = said.as_str(), "{said}");
    println!("{said}");
    eprintln!("{said}");
    for (name, value) in response.headers() {
        info!("{name}: {value}");
    }
    info!("from {}", response.url());
    cx.merge_metadata(&json!({ "said": said, &*said: [said] }))
        .await?;
    cx.batch(MODEL)
        .save(&json!({ "id": "parrot" }))?
        .checkpoint(&json!({ "next": said, &*said: 1 }))?
        .commit()
        .await?;
    Err(Failure::rejected(&*said)
        .code(&*said)
        .payload(json!({ "said": said, &*said: [said] })))
}

/// As the SDK puts it.
pub async fn repeats_an_error(cx: Cx) -> Result<()> {
    cx.get("say").send().await?;
    Ok(())
}

/// On stdout, where each line is one.
pub async fn repeats_in_print(cx: Cx) -> Result<()> {
    let said = cx.get("say").send_any().await?.text()?.to_owned();
    println!("{}", said.replace('\n', "\r"));
    Ok(())
}

/// As a record.
pub async fn repeats_in_a_record(cx: Cx) -> Result<()> {
    let said = cx.get("say").send_any().await?.text()?.to_owned();
    cx.batch(MODEL)
        .save(&json!({ "id": format!("id-{said}"), "said": said }))?
        .commit()
        .await?;
    Ok(())
}

pub async fn repeats_to_a_caller(cx: Cx, _: Value) -> Result<Value> {
    let said = cx.get("say").send_any().await?.text()?.to_owned();
    Ok(json!({ "said": said, &*said: [said, 1.10] }))
}

pub async fn repeats_in_a_failure(cx: Cx, _: Value) -> Result<Value> {
    let said = cx.get("say").send_any().await?.text()?.to_owned();
    Err(Failure::rejected(&*said)
        .code(&*said)
        .payload(json!({ "said": said, &*said: [said] })))
}

pub async fn check(cx: Cx) -> Result<()> {
    repeats_an_error(cx).await
}
