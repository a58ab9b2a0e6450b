//! The run: pages of the change feed, each sent and then committed as far as it was acknowledged.
//!
//! The push's model holds each record as the destination has acknowledged it (and those that are on
//! their way, marked). What was acknowledged is committed together with the cursor, which stands before the first change that was not; what
//! comes after that one is known by the model, and is not sent again.

use tidegate_sdk::prelude::*;
use tidegate_sdk::{Change, RunContext};

use crate::made::Made;
use crate::page::{Counts, Page, transformed};
use crate::plan::Plan;
use crate::send::{Sender, Sent};

/// How far the feed was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// Whose feed: `integration/connection/model`.
    pub(crate) from: String,
    /// Everything up to here is acknowledged.
    pub(crate) cursor: String,
}

/// One run.
pub(crate) struct Pusher<'a> {
    cx: &'a Cx,
    plan: &'a Plan,
    sender: Sender<'a>,
    from: String,
    cursor: Option<String>,
}

/// What the run did, for its log.
#[derive(Debug, Default)]
struct Done {
    saved: u64,
    deleted: u64,
    rejected: u64,
    counts: Counts,
    made: Made,
}

impl<'a> Pusher<'a> {
    /// Go on where the last run stopped.
    pub(crate) fn begin(cx: &'a Cx, plan: &'a Plan) -> Result<Self> {
        let from = source(plan, &cx.context()?);
        let checkpoint: Option<Checkpoint> = cx.checkpoint()?;
        if let Some(before) = checkpoint.as_ref().filter(|before| before.from != from) {
            let before = &before.from;
            return Err(plan.key().at("from").wrong(format!(
                "until now the feed of {before} was pushed, and not that of {from}: run the sync once with \
                 --reset to begin with this one (what was pushed of the other stays at the destination)"
            )));
        }
        Ok(Pusher {
            cx,
            plan,
            sender: Sender::new(cx, plan)?,
            from,
            cursor: checkpoint.map(|checkpoint| checkpoint.cursor),
        })
    }

    /// Push until there is nothing after the cursor.
    pub(crate) async fn run(mut self) -> Result<()> {
        let mut done = Done::default();
        let ended = self.pages(&mut done).await;
        for finding in done.made.findings(self.plan) {
            warn!("{finding}");
        }
        let Counts {
            unchanged,
            left_out,
            kept,
            pruned,
        } = done.counts;
        info!(
            saved = done.saved,
            deleted = done.deleted,
            rejected = done.rejected,
            unchanged = unchanged,
            left_out = left_out,
            kept = kept,
            pruned = pruned,
            "the destination acknowledged {} changes of {}",
            done.saved + done.deleted,
            self.from
        );
        ended
    }

    async fn pages(&mut self, done: &mut Done) -> Result<()> {
        while let Some(changes) =
            read(self.cx, self.plan, self.cursor.clone(), self.plan.page_size).await?
        {
            let page = Page::of(self.cx, self.plan, changes, &mut done.made).await?;
            self.announce(&page).await?;
            let mut sent = self.sender.send(&page.work).await;
            let failure = sent.failure.take();
            let whole = self.commit(&page, &sent, done).await?;
            if let Some(failure) = failure.or(page.failure) {
                return Err(failure);
            }
            if !whole {
                // Never: but a page that is neither acknowledged nor failed would come for ever.
                return Err(Failure::other("a change was neither sent nor refused"));
            }
            if !page.work.is_empty() {
                self.cx.sleep(self.plan.pause).await;
            }
        }
        Ok(())
    }

    /// Store what is going to be sent, before it is.
    async fn announce(&self, page: &Page) -> Result<()> {
        let mut commit = self.cx.batch(&self.plan.name);
        for work in &page.work {
            if work.before.as_ref() != Some(&work.unsure) {
                commit.save_json(&work.id, &work.unsure);
            }
        }
        if !commit.is_empty() {
            commit.commit().await?;
        }
        Ok(())
    }

    /// Store what was acknowledged, and the cursor before the first change that was not. Returns
    /// whether there is no such change.
    async fn commit(&mut self, page: &Page, sent: &Sent, done: &mut Done) -> Result<bool> {
        let mut commit = self.cx.batch(&self.plan.name);
        let mut open = None;
        for work in &page.work {
            let is_refused = sent.refused.contains(&work.position);
            if is_refused {
                open.get_or_insert(work.position);
            }
            if is_refused || sent.rejected.contains(&work.position) {
                done.rejected += 1;
                // The destination has what it had.
                match &work.before {
                    Some(before) => commit.save_json(&work.id, before),
                    None => commit.delete_all([&work.id]),
                };
            } else if !sent.acknowledged.contains(&work.position) {
                open.get_or_insert(work.position);
            } else if let Some(record) = &work.save {
                commit.save_json(&work.id, record);
                done.saved += 1;
            } else {
                commit.delete_all([&work.id]);
                done.deleted += 1;
            }
        }
        let whole = open.unwrap_or(page.cursors.len());
        let cursor = whole.checked_sub(1).and_then(|last| page.cursors.get(last));
        if let Some(cursor) = cursor {
            commit.checkpoint(&Checkpoint {
                from: self.from.clone(),
                cursor: cursor.clone(),
            })?;
            self.cursor = Some(cursor.clone());
        }
        if cursor.is_some() || !commit.is_empty() {
            commit.commit().await?;
        }
        done.counts.add(page.counts);
        Ok(open.is_none())
    }
}

/// So many changes are looked at by a check.
const LOOKED_AT: u32 = 100;

/// Whether the feed of this push may and can be read, and what there is to say of what the transform makes of its
/// first records.
pub(crate) async fn look_at_feed(cx: &Cx, plan: &Plan) -> Result<Vec<String>> {
    let changes = read(cx, plan, None, LOOKED_AT).await?;
    let mut made = Made::default();
    for change in changes.unwrap_or_default() {
        let Some(body) = &change.body else { continue };
        if let Err(failure) = transformed(plan, &change.id, body, &mut made) {
            return Ok(vec![format!("a run would fail: {}", failure.message)]);
        }
    }
    Ok(made.findings(plan))
}

async fn read(
    cx: &Cx,
    plan: &Plan,
    cursor: Option<String>,
    limit: u32,
) -> Result<Option<Vec<Change>>> {
    let mut feed = cx.feed(&plan.from.integration, &plan.from.model);
    if let Some(connection) = &plan.from.connection {
        feed = feed.connection(connection);
    }
    let changes = feed.from(cursor).limit(limit).next().await;
    changes.map_err(|failure| match failure.code.as_deref() {
        // A cursor that the feed doesn't know, or not any more.
        Some("store-invalid") => Failure::config(format!(
            "{}; run the sync once with --reset: it reads the feed from its start, and sends what the \
             destination has not acknowledged",
            failure.message
        ))
        .code("cursor-unusable"),
        Some("store-denied") => failure.context(format!("`pushes.{}.from`", plan.name)),
        _ => failure,
    })
}

/// Whose feed a push reads, as text.
fn source(plan: &Plan, run: &RunContext) -> String {
    let connection = plan.from.connection.as_ref().unwrap_or(&run.connection);
    format!("{}/{connection}/{}", plan.from.integration, plan.from.model)
}
