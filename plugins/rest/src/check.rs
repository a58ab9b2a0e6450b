//! The check of a connection: whether the API can be asked, and whether its lists have what the config points
//! at.

use tidegate_sdk::prelude::*;

use crate::action;
use crate::config::Config;
use crate::empty::Asked;
use crate::incremental::Source;
use crate::page::Changes;
use crate::paging::{Counted, Place};
use crate::plan::Plan;

/// The first page of so many models is looked at.
const MODELS_MAX: usize = 10;

/// Checks the config of every model and action, asks for the path that the config names or for one page of the
/// first model, and looks at the first page of the others. What decides is the first request; what a run of a
/// model would stumble over is a warning.
pub(crate) async fn check(cx: Cx) -> Result<()> {
    let config: Config = cx.config()?;
    action::check_all(&config)?;
    let plans = config.models.keys().map(|name| Plan::new(&config, name));
    let plans: Vec<Plan> = plans.collect::<Result<_>>()?;
    match &config.check {
        Some(path) => drop(cx.get(path).send().await?),
        None if plans.is_empty() => {
            return Err(Failure::config(
                "the connection's config at `models` has no model: there is nothing to sync",
            )
            .code("config-invalid"));
        }
        None => {}
    }
    if cx.context()?.kind == "sync" {
        // A full pull that is about to delete something has just read its list.
        return Ok(());
    }
    for (position, plan) in plans.iter().take(MODELS_MAX).enumerate() {
        let response = match plan.first_request(&cx).send_any().await {
            Ok(response) => plan.by_status(&cx, response),
            Err(failure) => Err(failure),
        };
        let decides = position == 0 && config.check.is_none();
        let looked = match response {
            Ok(response) => look(&cx, plan, &response),
            Err(failure) if is_nothing(plan, &failure) => Ok(()),
            Err(failure) if decides => return Err(failure),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = looked {
            warn!("{}: a run would fail: {}", plan.model, failure.message);
        }
        for finding in plan.findings(true) {
            warn!("{finding}");
        }
    }
    if plans.len() > MODELS_MAX {
        info!(
            "the first {MODELS_MAX} of {} models were looked at",
            plans.len()
        );
    }
    Ok(())
}

const FIRST: Asked = Asked {
    first: true,
    changes: false,
};

fn is_nothing(plan: &Plan, failure: &Failure) -> bool {
    let upstream = failure.upstream.as_ref();
    upstream.is_some_and(|upstream| plan.nothing.is_status(upstream.status, FIRST))
}

/// Take the first page of a list apart, as a run would.
fn look(cx: &Cx, plan: &Plan, response: &tidegate_sdk::Response) -> Result<()> {
    if plan.is_empty_by_rule(cx, response) || plan.nothing.is(response, FIRST) {
        return Ok(());
    }
    if let Some(incremental) = &plan.incremental
        && let Source::Header(name) = &incremental.source
        && response.header(name).is_none()
    {
        return Err(incremental.no_header(name, response.url()));
    }
    let body = plan.read(cx, response)?;
    Changes::of(plan, body.records.as_deref().unwrap_or_default())?;
    let mut counted = Counted::default();
    plan.paging
        .next(&Place::Start, response, &body, &mut counted)?;
    Ok(())
}
