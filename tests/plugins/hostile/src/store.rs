//! Misuses the record store: sizes, counts, and what is not its own.

use tidegate_sdk::__wasm::bindings::tidegate::plugin::records;
use tidegate_sdk::prelude::*;

use crate::MODEL;

pub async fn many_records(cx: Cx) -> Result<()> {
    store_empty(&cx, 10_001).await
}

pub async fn many_records_in_all(cx: Cx) -> Result<()> {
    loop {
        store_empty(&cx, 100).await?;
    }
}

pub async fn skips_many(cx: Cx) -> Result<()> {
    cx.on_bad_record(OnBadRecord::Skip {
        percent: 100,
        least: 0,
    });
    let mut batch = cx.batch(MODEL);
    for number in 0..250_u32 {
        batch.skip(Some(&number.to_string()), "it is a bad one");
    }
    batch.commit().await?;
    Ok(())
}

async fn store_empty(cx: &Cx, records: u32) -> Result<()> {
    let mut batch = cx.batch(MODEL);
    for number in 0..records {
        batch.save_json(number.to_string(), "{}");
    }
    batch.commit().await?;
    Ok(())
}

pub async fn large_record(cx: Cx) -> Result<()> {
    cx.on_bad_record(OnBadRecord::Fail);
    store_text(&cx, 1 << 20, 1).await
}

pub async fn large_commit(cx: Cx) -> Result<()> {
    store_text(&cx, 1000 << 10, 17).await
}

pub async fn large_call(cx: Cx) -> Result<()> {
    store_text(&cx, 1000 << 10, 40).await
}

async fn store_text(cx: &Cx, bytes: usize, records: u32) -> Result<()> {
    let body = json!({ "text": "x".repeat(bytes) }).to_string();
    let mut batch = cx.batch(MODEL);
    for number in 0..records {
        batch.save_json(number.to_string(), body.clone());
    }
    batch.commit().await?;
    Ok(())
}

pub async fn large_checkpoint(cx: Cx) -> Result<()> {
    cx.save_checkpoint(&"x".repeat(64 << 10)).await
}

/// The SDK would write JSON.
pub async fn checkpoint_no_json(_: Cx) -> Result<()> {
    match records::commit(Vec::new(), Some("{\"page\": ".to_owned())).await {
        Ok(_) => Ok(()),
        Err(error) => Err(crate::refused(&error)),
    }
}

pub async fn empty_id(cx: Cx) -> Result<()> {
    store_one(&cx, "", "{}").await
}

pub async fn long_id(cx: Cx) -> Result<()> {
    store_one(&cx, &"x".repeat(513), "{}").await
}

pub async fn control_id(cx: Cx) -> Result<()> {
    store_one(&cx, "a\u{1b}[31mb", "{}").await
}

pub async fn no_object(cx: Cx) -> Result<()> {
    store_one(&cx, "list", "[1, 2]").await
}

pub async fn no_json(cx: Cx) -> Result<()> {
    store_one(&cx, "half", "{\"half\": ").await
}

pub async fn deep_body(cx: Cx) -> Result<()> {
    let deep = format!(
        "{{\"deep\": {}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    store_one(&cx, "deep", &deep).await
}

/// Past the SDK, which has its own word about ids.
async fn store_one(_: &Cx, id: &str, body: &str) -> Result<()> {
    let saved = records::Saved {
        id: id.to_owned(),
        body: body.to_owned(),
    };
    let batch = records::Batch {
        model: MODEL.to_owned(),
        save: vec![saved],
        delete: Vec::new(),
        skipped: Vec::new(),
        may_skip: 0,
    };
    match records::commit(vec![batch], None).await {
        Ok(_) => Ok(()),
        Err(error) => Err(crate::refused(&error)),
    }
}

pub async fn undeclared_model(cx: Cx) -> Result<()> {
    cx.batch("Other").save_json("x", "{}").commit().await?;
    Ok(())
}

pub async fn large_metadata(cx: Cx) -> Result<()> {
    cx.merge_metadata(&json!({ "text": "x".repeat(64 << 10) }))
        .await
}

pub async fn writes_metadata(cx: Cx) -> Result<()> {
    cx.merge_metadata(&json!({ "text": "x" })).await
}

/// Saves four records, and then says that three of them are gone.
pub async fn sees_too_little(cx: Cx) -> Result<()> {
    for id in ["a", "b", "c", "d"] {
        cx.batch(MODEL).save(&json!({ "id": id }))?.commit().await?;
    }
    let mut pull = cx.full_pull(MODEL);
    pull.begin().await?;
    cx.batch(MODEL)
        .save(&json!({ "id": "a" }))?
        .commit()
        .await?;
    pull.answered();
    pull.saw("a");
    pull.finish(|_| ()).await.map(drop)
}

pub async fn ends_without_begin(cx: Cx) -> Result<()> {
    cx.full_pull(MODEL).finish(|_| ()).await.map(drop)
}

pub async fn reads_feed(cx: Cx) -> Result<()> {
    cx.feed("crm", "Contact").next().await?;
    Ok(())
}

pub async fn commit_and_panic(cx: Cx) -> Result<()> {
    cx.batch(MODEL)
        .save(&json!({ "id": "before the panic" }))?
        .commit()
        .await?;
    panic!("after a commit");
}
