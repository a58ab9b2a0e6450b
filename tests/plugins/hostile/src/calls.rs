//! Misuses calls of the host: how many, how large, how many at once.

use std::hint::black_box;
use std::time::{Duration, SystemTime};

use tidegate_sdk::__wasm::bindings::tidegate::plugin::records;
use tidegate_sdk::prelude::*;

use crate::MODEL;

pub async fn many_calls(cx: Cx) -> Result<()> {
    loop {
        black_box(cx.now());
    }
}

/// The host sees them only as WASI.
pub async fn many_wasi_calls(_: Cx) -> Result<()> {
    loop {
        black_box(SystemTime::now());
    }
}

pub async fn many_calls_at_once(cx: Cx) -> Result<()> {
    let sleep = |_| cx.sleep(Duration::from_secs(3600));
    join_all((0..20_000).map(sleep)).await;
    Ok(())
}

pub async fn copies_much(_: Cx) -> Result<()> {
    let text = "x".repeat(1 << 20);
    loop {
        info!("{text}");
    }
}

/// Each request waits, with its body in the host.
pub async fn holds_much(cx: Cx) -> Result<()> {
    let body = vec![0_u8; 1 << 20];
    let post = |_| cx.post("/hang").body(body.clone()).send();
    let sent = join_all((0..100).map(post)).await;
    sent.into_iter().try_for_each(|sent| sent.map(drop))
}

/// The SDK would ask in parts.
pub async fn gets_many_ids(_: Cx) -> Result<()> {
    let ids = (0..1001).map(|id| id.to_string()).collect();
    match records::get(MODEL.to_owned(), ids).await {
        Ok(_) => Ok(()),
        Err(error) => Err(crate::refused(&error)),
    }
}

/// One record of nearly a mebibyte, five hundred times over in one answer.
pub async fn gets_one_often(cx: Cx) -> Result<()> {
    let mut batch = cx.batch(MODEL);
    batch.save_json("big", format!("{{\"text\":\"{}\"}}", "x".repeat(1_000_000)));
    batch.commit().await?;
    match records::get(MODEL.to_owned(), vec!["big".to_owned(); 500]).await {
        Ok(_) => Ok(()),
        Err(error) => Err(crate::refused(&error)),
    }
}

/// Four mebibytes.
/// Its input's schema is what misbehaves.
pub async fn takes_many_forms(_: Cx, _: Value) -> Result<()> {
    Ok(())
}

pub async fn answers_at_length(_: Cx, _: Value) -> Result<String> {
    Ok("x".repeat(4 << 20))
}
