//! Does what a plugin must not do: each sync breaks something else, and `well` nothing.

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use tidegate_sdk::prelude::*;

const MODEL: &str = "Thing";

fn plugin() -> Plugin {
    let sync = |name: &str| name.to_owned();
    let plugin = Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).host("base-url");
    let mut plugin = plugin.sync(Sync::new(sync("well"), well).model(MODEL));
    macro_rules! add {
        ($($name:literal => $handler:expr),* $(,)?) => {
            $(plugin = plugin.sync(Sync::new(sync($name), $handler).model(MODEL));)*
        };
    }
    add! {
        "panic" => panics,
        "exit" => exits,
        "error" => errs,
        "loop" => loops,
        "loop-after-checkpoint" => loops_after_checkpoint,
        "sleep" => sleeps,
        "allocate" => allocates,
        "recurse" => recurses,
        "recurse-in-memory" => recurses_in_memory,
        "flood-log" => floods_log,
        "flood-print" => floods_print,
        "print-bytes" => prints_bytes,
        "many-records" => many_records,
        "large-record" => large_record,
        "large-commit" => large_commit,
        "large-call" => large_call,
        "large-checkpoint" => large_checkpoint,
        "no-object" => no_object,
        "undeclared-model" => undeclared_model,
        "many-requests" => many_requests,
        "large-request" => large_request,
        "commit-and-panic" => commit_and_panic,
    }
    plugin
}

tidegate_sdk::export!(plugin);

/// Stores one record, and counts its runs in it.
async fn well(cx: Cx) -> Result<()> {
    let runs = cx.checkpoint::<u64>()?.unwrap_or(0) + 1;
    let record = json!({ "id": "well", "runs": runs });
    cx.page(MODEL)
        .save(&record)?
        .checkpoint(&runs)?
        .commit()
        .await?;
    Ok(())
}

async fn panics(_: Cx) -> Result<()> {
    panic!("the hostile plugin panics on purpose");
}

async fn exits(_: Cx) -> Result<()> {
    std::process::exit(0);
}

async fn errs(_: Cx) -> Result<()> {
    info!("about to give up");
    Err(Failure::other("the hostile plugin gives up").code("gave-up"))
}

async fn loops(_: Cx) -> Result<()> {
    loop {
        std::hint::spin_loop();
    }
}

async fn loops_after_checkpoint(cx: Cx) -> Result<()> {
    well(cx.clone()).await?;
    loops(cx).await
}

async fn sleeps(cx: Cx) -> Result<()> {
    cx.sleep(Duration::from_secs(3600)).await;
    Ok(())
}

async fn allocates(_: Cx) -> Result<()> {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Needs nothing but the call stack.
async fn recurses(_: Cx) -> Result<()> {
    fn ackermann(m: u64, n: u64) -> u64 {
        match (m, n) {
            (0, n) => n + 1,
            (m, 0) => ackermann(m - 1, 1),
            (m, n) => ackermann(m - 1, ackermann(m, n - 1)),
        }
    }
    black_box(ackermann(black_box(5), black_box(5)));
    Ok(())
}

async fn recurses_in_memory(_: Cx) -> Result<()> {
    fn deeper(depth: u64) -> u64 {
        let frame = black_box([depth; 16]);
        if frame[0] == u64::MAX {
            0
        } else {
            deeper(depth + 1) + frame[1]
        }
    }
    black_box(deeper(0));
    Ok(())
}

async fn floods_log(_: Cx) -> Result<()> {
    for line in 0..50_000 {
        info!("line {line}");
    }
    Ok(())
}

async fn floods_print(_: Cx) -> Result<()> {
    for line in 0..50_000 {
        println!("line {line}");
    }
    Ok(())
}

/// One line of 1 MiB on stderr, and bytes that are not UTF-8 on stdout.
async fn prints_bytes(_: Cx) -> Result<()> {
    eprintln!("{}", "x".repeat(1 << 20));
    std::io::stdout().write_all(b"caf\xe9\x00\x1b[31m\n")?;
    Ok(())
}

async fn many_records(cx: Cx) -> Result<()> {
    let mut page = cx.page(MODEL);
    for number in 0..10_001 {
        page.save_json(number.to_string(), "{}");
    }
    page.commit().await?;
    Ok(())
}

async fn large_record(cx: Cx) -> Result<()> {
    store_text(&cx, 1 << 20, 1).await
}

async fn large_commit(cx: Cx) -> Result<()> {
    store_text(&cx, 1000 << 10, 17).await
}

async fn large_call(cx: Cx) -> Result<()> {
    store_text(&cx, 1000 << 10, 40).await
}

async fn store_text(cx: &Cx, bytes: usize, records: u32) -> Result<()> {
    let body = json!({ "text": "x".repeat(bytes) }).to_string();
    let mut page = cx.page(MODEL);
    for number in 0..records {
        page.save_json(number.to_string(), body.clone());
    }
    page.commit().await?;
    Ok(())
}

async fn large_checkpoint(cx: Cx) -> Result<()> {
    cx.save_checkpoint(&"x".repeat(64 << 10)).await
}

async fn no_object(cx: Cx) -> Result<()> {
    cx.page(MODEL).save_json("list", "[1, 2]").commit().await?;
    Ok(())
}

async fn undeclared_model(cx: Cx) -> Result<()> {
    cx.page("Other").save_json("x", "{}").commit().await?;
    Ok(())
}

async fn many_requests(cx: Cx) -> Result<()> {
    loop {
        cx.get("/").send().await?;
    }
}

async fn large_request(cx: Cx) -> Result<()> {
    cx.post("/").json_body(&"x".repeat(9 << 20)).send().await?;
    Ok(())
}

async fn commit_and_panic(cx: Cx) -> Result<()> {
    cx.page(MODEL)
        .save(&json!({ "id": "before the panic" }))?
        .commit()
        .await?;
    panic!("after a commit");
}
