//! Pulls as one would write them without a second thought. Of everything: what one reading of the list did not
//! see is deleted. Of changes: the latest that one reading saw is where the next one begins.

use std::collections::BTreeSet;

use tidegate_sdk::prelude::*;

use crate::config::Config;
use crate::page::Changes;
use crate::paging::{Counted, Place, Step};
use crate::plan::Plan;

pub(super) fn plugin() -> Plugin {
    Plugin::new("naive", "0.1.0")
        .host("base-url")
        .sync(Sync::each("/models", pull))
}

async fn pull(cx: Cx) -> Result<()> {
    let config: Config = cx.config()?;
    let plan = Plan::new(&config, &cx.context()?.name)?;
    let mark: Option<i64> = cx.checkpoint()?;
    let since = mark.map(|mark| (mark - 1).to_string());
    let (mut at, mut counted) = (Place::Start, Counted::default());
    let (mut seen, mut latest) = (BTreeSet::new(), mark.unwrap_or_default());
    while at != Place::End {
        let response = plan.request(&cx, &at, since.as_deref()).send_any().await?;
        if plan.paging.is_end(&at, response.status(), &counted) {
            break;
        }
        let response = response.or_failure(&cx)?;
        let body = plan.read(&cx, &response)?;
        let changes = Changes::of(&plan, body.records.as_deref().unwrap_or_default())?;
        let mut commit = cx.batch(&plan.model);
        for record in changes.save {
            let body: Value = serde_json::from_str(record.body.get())?;
            latest = latest.max(body["updated"].as_i64().unwrap_or_default());
            commit.save_json(&record.id, record.body.get());
            seen.insert(record.id);
        }
        if !commit.is_empty() {
            commit.commit().await?;
        }
        at = match plan.paging.next(&at, &response, &body, &mut counted)? {
            Step::Next(place) => place,
            Step::End(_) => Place::End,
        };
    }
    if plan.incremental.is_some() {
        return cx.save_checkpoint(&latest).await;
    }
    // The histories give out a few ids only.
    let ids: Vec<u32> = (1..900).collect();
    let stored: Vec<Option<Value>> = cx.get_records(&plan.model, &ids).await?;
    let mut commit = cx.batch(&plan.model);
    for (id, stored) in ids.iter().zip(stored) {
        if stored.is_some() && !seen.contains(&id.to_string()) {
            commit.delete(id);
        }
    }
    if commit.is_empty() {
        return Ok(());
    }
    commit.commit().await.map(drop)
}
