//! Syncs the issues of one GitHub repository: open and closed ones, without pull requests (which
//! GitHub's API lists as issues too).
//!
//! # How it pages, and why
//!
//! Issues are asked for in the order of their last update, and an update moves an issue to the
//! end of that list. Following `Link` from page to page would lose issues: each one that moves
//! away from a page already read shifts the rest up by one, over the edge of that page. So the
//! next page is asked for as *the first issues since the last one of this page*, which no shift
//! can touch, and `Link` only says whether there are more.
//!
//! Timestamps have a resolution of one second, and issues that share one may lie on both sides of
//! a page's end. So `since` is one second before the last issue, and issues that were stored
//! already come again, which costs nothing as they have not changed. When a whole page lies
//! within that second (a bulk edit), `since` can't move, and only then `Link` is followed.
//!
//! The checkpoint is the `since` of the request to make next, so that it is safe to store with
//! each page. After the last page it stays at the `since` of that page, together with the page's
//! `ETag`: the next run repeats the request with `If-None-Match`, and when nothing has changed,
//! the answer is an empty 304, which GitHub does not count against the rate limit.
//!
//! # Deletions
//!
//! GitHub does not tell which issues were deleted or transferred. A run without a checkpoint (the
//! first one, or one with `--reset`) reads all issues. Those that it did not see are asked for by
//! their number, and deleted when GitHub says that they are gone (410, 404), or answers with another
//! issue (it follows one that was transferred).

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tidegate_sdk::prelude::*;
use tidegate_sdk::{Commit, Finish, FullPull, Pass, Presence, RequestBuilder, Response};

const MODEL: &str = "Issue";
const NOT_MODIFIED: u16 = 304;
/// What GitHub allows.
const PAGE_SIZE: u32 = 100;
/// Of GitHub's timestamps.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .describe("Issues of a GitHub repository")
        .host("base-url")
        .auth(Auth::bearer("token"))
        .config(json!({
            "type": "object",
            "required": ["owner", "repo"],
            "additionalProperties": false,
            "properties": {
                "owner": { "type": "string", "minLength": 1 },
                "repo": { "type": "string", "minLength": 1 }
            }
        }))
        .model(Model::new(MODEL).schema(json!({
            "type": "object",
            "required": ["id", "number", "state", "title", "updated_at"],
            "properties": {
                "id": { "type": "integer" },
                "number": { "type": "integer" },
                "state": { "enum": ["open", "closed"] },
                "title": { "type": "string" },
                "body": { "type": ["string", "null"] },
                "updated_at": { "type": "string", "format": "date-time" }
            }
        })))
        .sync(
            Sync::new("issues", issues)
                .describe("Every issue of the repository, open or closed, incrementally")
                .model(MODEL)
                .every("15m"),
        )
        .check(check)
}

tidegate_sdk::export!(plugin);

/// The connection's config.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    owner: String,
    repo: String,
}

impl Config {
    fn path(&self) -> String {
        let owner = tidegate_sdk::encode(&self.owner);
        let repo = tidegate_sdk::encode(&self.repo);
        format!("/repos/{owner}/{repo}")
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Checkpoint {
    /// What was updated before this is stored; `None` is the beginning.
    since: Option<Timestamp>,
    /// Of the answer to `since`, when all of it is stored and there was no further page.
    etag: Option<String>,
    /// All issues are being read, to find those that are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    full: Option<Pass>,
}

/// What there is to know of an issue. It is stored as the text that came.
#[derive(Deserialize)]
struct Head {
    id: u64,
    updated_at: Timestamp,
    pull_request: Option<IgnoredAny>,
}

/// What the path of an issue needs.
#[derive(Deserialize)]
struct Numbered {
    number: u64,
}

async fn issues(cx: Cx) -> Result<()> {
    let config: Config = cx.config()?;
    let url = format!("{}/issues", config.path());
    let (mut checkpoint, mut full) = begin(&cx).await?;
    // The URL that `Link` named, when `since` could not move.
    let mut following: Option<String> = None;
    loop {
        let request = match &following {
            Some(url) => cx.get(url),
            None => cx
                .get(&url)
                .query("state", "all")
                .query("sort", "updated")
                .query("direction", "asc")
                .query("per_page", PAGE_SIZE)
                .query_opt("since", checkpoint.since),
        };
        let request = match checkpoint.etag.take() {
            Some(etag) => request.header("If-None-Match", etag),
            None => request,
        };
        let response = send(request).await?;
        if response.status() == NOT_MODIFIED {
            return Ok(());
        }
        let mut batch = cx.batch(MODEL);
        if let Some(full) = &mut full {
            full.answered();
        }
        let mut last = checkpoint.since;
        for issue in response.json::<Vec<&RawValue>>()? {
            let head: Head = serde_json::from_str(issue.get())
                .context("an issue without a usable `id` and `updated_at`")?;
            last = last.max(Some(head.updated_at - RESOLUTION));
            if head.pull_request.is_none() {
                let id = head.id.to_string();
                if let Some(full) = &mut full {
                    full.saw(&id);
                }
                batch.save_json(id, issue.get());
            }
        }
        checkpoint.full = full.as_ref().map(|full| full.pass().clone());
        let next = response.link("next");
        if next.is_none() {
            // The answer to a `Link` has an ETag too, but of another request than the next run's.
            if following.is_none() {
                checkpoint.etag = response.header("ETag").map(str::to_owned);
            }
            return finish(&cx, &url, batch, checkpoint, full).await;
        }
        following = if last > checkpoint.since {
            checkpoint.since = last;
            None
        } else {
            next
        };
        batch.checkpoint(&checkpoint)?.commit().await?;
    }
}

/// The checkpoint to go on from. Without one, all issues are read, in a full pull; one that was
/// interrupted goes on when its snapshot is still open.
async fn begin(cx: &Cx) -> Result<(Checkpoint, Option<FullPull>)> {
    let stored = cx.checkpoint::<Checkpoint>()?;
    let mut full = cx.full_pull(MODEL).overlapping().stable_order();
    if let Some(mut checkpoint) = stored {
        let Some(pass) = checkpoint.full.take() else {
            return Ok((checkpoint, None));
        };
        if full.resume(pass).await? {
            return Ok((checkpoint, Some(full)));
        }
    }
    full.begin().await?;
    Ok((Checkpoint::default(), Some(full)))
}

/// Store the last page, and end a full read.
async fn finish(
    cx: &Cx,
    issues: &str,
    mut batch: Commit,
    mut checkpoint: Checkpoint,
    full: Option<FullPull>,
) -> Result<()> {
    let Some(full) = full else {
        batch.checkpoint(&checkpoint)?.commit().await?;
        return Ok(());
    };
    // Without an ETag: a run that is killed between the two must not take a 304 for the end.
    let etag = checkpoint.etag.take();
    batch.checkpoint(&checkpoint)?.commit().await?;
    let whole = |pass: Option<&Pass>| Checkpoint {
        since: checkpoint.since,
        etag: etag.clone().filter(|_| pass.is_none()),
        full: pass.cloned(),
    };
    let confirm = async |id: &str, stored: &str| look(cx, issues, id, stored).await;
    if let Finish::Done(end) = full.finish_confirming(whole, confirm).await?
        && end.deleted > 0
    {
        info!("{} issues were deleted or transferred", end.deleted);
    }
    Ok(())
}

/// Ask for the issue that is stored under `id`.
async fn look(cx: &Cx, issues: &str, id: &str, stored: &str) -> Result<Presence> {
    let Ok(Numbered { number }) = serde_json::from_str(stored) else {
        return Ok(Presence::Unknown("it has no number".to_owned()));
    };
    let response = as_github(cx.get(format!("{issues}/{number}")))
        .send_any()
        .await?;
    if response.status() != 200 {
        return Presence::of(cx, response);
    }
    let issue: &RawValue = response.json()?;
    let head: Head = serde_json::from_str(issue.get()).context("an issue")?;
    Ok(if head.id.to_string() == id {
        Presence::Here(Some(issue.get().to_owned()))
    } else {
        Presence::Gone
    })
}

/// Send a request as GitHub wants it.
async fn send(request: RequestBuilder) -> Result<Response> {
    as_github(request).send().await.map_err(|mut failure| {
        // A used-up rate limit is a 403 too, but no matter of credentials: it passes.
        let body = failure.upstream.as_ref().map(|upstream| &upstream.body);
        if body.is_some_and(|body| body.to_ascii_lowercase().contains("rate limit")) {
            failure.kind = FailureKind::Transient;
        }
        failure
    })
}

fn as_github(request: RequestBuilder) -> RequestBuilder {
    request
        .header("Accept", "application/vnd.github+json")
        .header("User-Agent", "tidegate-github-issues")
        .header("X-GitHub-Api-Version", "2022-11-28")
}

/// One cheap request that needs the credentials and both names of the config.
async fn check(cx: Cx) -> Result<()> {
    let config: Config = cx.config()?;
    send(cx.get(config.path())).await.map(drop)
}
