//! Stores what depends on everything that a host decides: time, chance, the order in which answers
//! come, what is stored already. Two runs never do the same; a replay must.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use tidegate_sdk::futures::future::{Either, select};
use tidegate_sdk::futures::stream::FuturesUnordered;
use tidegate_sdk::prelude::*;

const MODEL: &str = "Thing";
/// Tests patch it in the component, for a plugin that does otherwise.
const VERSION: &str = "version-1";

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .host("base-url")
        .metadata_write()
        .sync(Sync::new("everything", everything).model(MODEL))
        .sync(Sync::new("held", held).model(MODEL))
}

tidegate_sdk::export!(plugin);

async fn everything(cx: Cx) -> Result<()> {
    let started = Instant::now();
    let mut pull = cx.full_pull(MODEL);
    pull.begin().await?;
    let before: Vec<Option<Value>> = cx.get_records(MODEL, ["order", "time"]).await?;
    let order = order_of_arrival(&cx).await?;
    let slept = slept_first(&cx).await;
    let hashed: HashMap<u32, u32> = (0..20).map(|number| (number, number)).collect();
    let numbers: Vec<u32> = hashed.into_keys().collect();
    println!("numbers in the order {numbers:?}");
    info!("it is {}", cx.now());

    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let unix = unix.map_or(0, |time| time.as_millis());
    let waited = started.elapsed().as_millis();
    let mut batch = cx.batch(MODEL);
    batch.save_json(
        "order",
        json!({ "arrived": order, "numbers": numbers }).to_string(),
    );
    let time = json!({ "now": cx.now(), "unix": unix, "waited": waited, "slept": slept });
    batch.save_json("time", time.to_string());
    batch.save_json(
        "version",
        json!({ "is": VERSION, "before": before }).to_string(),
    );
    batch.checkpoint(&waited)?.commit().await?;
    cx.merge_metadata(&json!({ "last_order": order })).await?;
    pull.answered();
    for id in ["order", "time", "version"] {
        pull.saw(id);
    }
    pull.finish(|_| waited).await.map(drop)?;
    Ok(())
}

/// The names of eight requests in the order of their answers, each followed by one more request.
async fn order_of_arrival(cx: &Cx) -> Result<Vec<String>> {
    let ask = |name: &'static str| async move {
        cx.get(format!("/slow/{name}")).send().await?;
        let after: Value = cx.get(format!("/after/{name}")).json().await?;
        Ok::<_, Failure>(after)
    };
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut waiting: FuturesUnordered<_> = names.map(ask).into_iter().collect();
    let mut order = Vec::new();
    while let Some(after) = waiting.next().await {
        order.push(after?["name"].as_str().unwrap_or_default().to_owned());
    }
    Ok(order)
}

/// A sleep and a request that is answered late: the request is dropped.
async fn slept_first(cx: &Cx) -> bool {
    let sleep = std::pin::pin!(cx.sleep(Duration::from_millis(5)));
    let request = std::pin::pin!(cx.get("/held").send());
    matches!(select(sleep, request).await, Either::Left(_))
}

/// Commits, and then waits for an answer that does not come.
async fn held(cx: Cx) -> Result<()> {
    let record = json!({ "id": "before", "at": cx.now() });
    cx.batch(MODEL)
        .save(&record)?
        .checkpoint(&1)?
        .commit()
        .await?;
    cx.get("/held").send().await?;
    cx.batch(MODEL)
        .save(&json!({ "id": "after" }))?
        .commit()
        .await?;
    Ok(())
}
