//! One pull of one model: page by page, each committed with the checkpoint from which a killed
//! run goes on at the page that was in flight. `pull/fetch` asks for a page, `pull/watch` notices
//! what casts doubt on the list, `pull/again` whether it is read once more, `pull/versions` which of two versions
//! counts, `pull/finish` ends the pull.

mod again;
mod fetch;
mod finish;
mod versions;
mod watch;

use std::collections::BTreeSet;

use tidegate_sdk::prelude::*;
use tidegate_sdk::{FullPull, Response};

use crate::checkpoint::{Checkpoint, Etag, Pull};
use crate::commit::commit;
use crate::incremental::{Mark, Source, later};
use crate::page::Changes;
use crate::paging::{Body, Counted, Place, Step};
use crate::plan::Plan;
use crate::time;
use crate::url::origin;
use again::Reading;
use fetch::Fetched;
use watch::Watch;

/// A pull, and what this run knows of it.
#[derive(Debug)]
pub(crate) struct Puller<'a> {
    cx: &'a Cx,
    plan: &'a Plan,
    /// As stored, apart from the pull under way.
    stored: Checkpoint,
    pull: Pull,
    /// What finds deletions; begun with the first page.
    full: Option<FullPull>,
    /// The next request is the first of a run that goes on with an interrupted pull.
    resumed: bool,
    /// The request made last was the first of a pull.
    first_page: bool,
    /// What has been asked for in this reading of the list.
    asked: BTreeSet<(Option<String>, Place)>,
    watch: Watch,
    /// The reading of the list before this one, in the same run.
    before: Option<Reading>,
    /// What was stored with a pull of changes that has to be followed by a full one, in this run.
    followed: Option<Checkpoint>,
}

impl<'a> Puller<'a> {
    /// Go on with an interrupted pull, or begin one.
    pub(crate) async fn begin(cx: &'a Cx, plan: &'a Plan) -> Result<Self> {
        let mut stored = Checkpoint::load(cx, plan)?;
        let origin = list_origin(cx, plan)?;
        let mut unfinished = stored.pull.take();
        if unfinished
            .as_ref()
            .is_some_and(|pull| pull.origin != origin)
        {
            warn!(
                "{}: the list is at another host than when the interrupted pull began, so it \
                 starts over",
                plan.model
            );
            unfinished = None;
        }
        let mut full = None;
        if let Some(pass) = unfinished.as_ref().and_then(|pull| pull.pass.clone()) {
            let mut going_on = new_full(cx, plan);
            // A snapshot that is not open any more has not seen the pages so far.
            if going_on.resume(pass).await? {
                full = Some(going_on);
            } else {
                unfinished = None;
            }
        }
        let resumed = unfinished.is_some();
        if resumed {
            info!("going on with the interrupted pull of {}", plan.model);
        }
        let is_partial = unfinished
            .as_ref()
            .is_some_and(|pull| pull.at != Place::Start);
        Ok(Puller {
            cx,
            plan,
            pull: unfinished.unwrap_or_else(|| new_pull(cx, plan, &stored, origin)),
            stored,
            full,
            resumed,
            first_page: false,
            asked: BTreeSet::new(),
            watch: Watch::of_reading(is_partial),
            before: None,
            followed: None,
        })
    }

    /// Pull until there is nothing more.
    pub(crate) async fn run(mut self) -> Result<()> {
        loop {
            if !self.read_list().await? {
                match self.full_pull_after() {
                    Some(full) => self = full,
                    None => return Ok(()),
                }
                continue;
            }
            match self.finish().await? {
                Some(again) => self = again,
                None => return Ok(()),
            }
        }
    }

    /// Read the list to its end, and store it. False when there was nothing to read, as nothing has
    /// changed.
    async fn read_list(&mut self) -> Result<bool> {
        while self.pull.at != Place::End {
            let response = match self.fetch().await? {
                Fetched::Page(response) => response,
                Fetched::NotModified => return Ok(false),
                Fetched::Beyond => {
                    self.answered();
                    self.pull.at = Place::End;
                    break;
                }
            };
            if self.pull.begun.is_none() {
                self.begun(&response).await?;
            }
            self.answered();
            let before = self.checkpoint();
            let since = self.since();
            let body = self.plan.read(self.cx, &response)?;
            let records = body.records.as_deref().unwrap_or_default();
            let mut changes = Changes::of(self.plan, records)?;
            if self.is_the_start_again(&changes) {
                if !changes.save.is_empty() {
                    let place = format!("{:?}", self.pull.at);
                    self.doubt(format!(
                        "{place} brought what was read before, and was taken for the end: if it \
                         is, name it in `end_values`"
                    ));
                }
                self.pull.at = Place::End;
                break;
            }
            let mark = changes.mark.take();
            self.watch_times(since.is_some(), records);
            let (ids, again) = self.saw(&mut changes);
            self.keep_the_latest(&mut changes, again).await?;
            let asked_at = self.pull.at.clone();
            self.advance(since.as_ref(), &response, &body, mark)?;
            self.watch_page(since.clone(), ids)?;
            let at_end = self.pull.at == Place::End;
            let etag = response.header("ETag").filter(|_| self.first_page);
            self.watch.etag = etag.map(|value| Etag {
                since,
                value: value.to_owned(),
            });
            let checkpoint = if self.leaves(&response, &asked_at) && !at_end {
                // It may not be granted. A place is stored once something came from its host.
                before
            } else {
                self.checkpoint()
            };
            if at_end && self.full.is_none() {
                if self.reads_again(&mut changes).await? {
                    continue;
                }
                // The last page is stored together with the end.
                return self.finish_plain(changes).await.map(|()| false);
            }
            commit(self.cx, self.plan, changes, &checkpoint).await?;
        }
        Ok(true)
    }

    /// An answer came that says something of the list, be it only that it ends here: the list may have moved before it.
    fn answered(&mut self) {
        if let Some(full) = &mut self.full {
            full.answered();
        }
    }

    /// The value of the incremental parameter; `None` when it is not sent.
    fn since(&self) -> Option<String> {
        let incremental = self.plan.incremental.as_ref()?;
        let stored = self.stored.mark.as_ref().filter(|_| !self.pull.full);
        let found = self.pull.found.as_ref().filter(|_| incremental.ordered());
        // With an overlap the first page may end before the mark: what comes next is never earlier.
        let mark = later(stored.cloned(), found.cloned());
        incremental.since(mark.as_ref())
    }

    /// The first page of a pull is there.
    async fn begun(&mut self, response: &Response) -> Result<()> {
        let date = response.header("Date").and_then(time::http_date);
        let now = || i64::try_from(self.cx.now()).unwrap_or(i64::MAX);
        self.pull.begun = Some(date.unwrap_or_else(now));
        if let Some(incremental) = &self.plan.incremental
            && let Source::Header(name) = &incremental.source
        {
            let Some(value) = response.header(name) else {
                return Err(incremental.no_header(name, response.url()));
            };
            self.pull.found = Some(Mark::Text(value.to_owned()));
        }
        if self.pull.deletes && self.full.is_none() {
            let mut full = new_full(self.cx, self.plan);
            full.begin().await?;
            self.full = Some(full);
        }
        Ok(())
    }

    /// Move on to the next page, or to the end.
    fn advance(
        &mut self,
        since: Option<&String>,
        response: &Response,
        body: &Body<'_>,
        mark: Option<Mark>,
    ) -> Result<()> {
        let paging = &self.plan.paging;
        let before = self.pull.counted.total;
        let step = paging.next(&self.pull.at, response, body, &mut self.pull.counted)?;
        self.pull.found = later(self.pull.found.take(), mark);
        // Page numbers and offsets count what moves while it is read: a record that is updated
        // goes to the end of an ordered list, and the next one slips over the edge of a page
        // already read. Asking anew, for what came after the last record, can't lose it.
        let anew = self.is_ordered() && self.since().as_ref() != since;
        self.pull.at = match step {
            Step::End(doubt) => {
                if let Some(doubt) = doubt {
                    self.lossy(doubt);
                }
                Place::End
            }
            Step::Next(_) if anew => {
                self.pull.counted = Counted::default();
                Place::Start
            }
            Step::Next(place) => {
                self.watch.reading.is_counted = true;
                place
            }
        };
        if !anew {
            self.watch_total(before, body);
        }
        Ok(())
    }

    fn is_ordered(&self) -> bool {
        self.plan.incremental.as_ref().is_some_and(|i| i.ordered())
    }

    /// Whether the next page is at another host than this one.
    fn leaves(&self, response: &Response, asked_at: &Place) -> bool {
        match &self.pull.at {
            Place::Url(url) => *asked_at != self.pull.at && origin(url) != origin(response.url()),
            _ => false,
        }
    }

    /// What is stored with a page that is not the last.
    fn checkpoint(&self) -> Checkpoint {
        let mut pull = self.pull.clone();
        pull.pass = self.full.as_ref().map(|full| full.pass().clone());
        Checkpoint {
            pull: Some(pull),
            ..self.stored.clone()
        }
    }
}

fn new_full(cx: &Cx, plan: &Plan) -> FullPull {
    let mut full = cx.full_pull(&plan.model);
    if plan.paging.counts() {
        full = full.counted();
    }
    if plan.paging.is_stable() {
        full = full.stable_order();
    }
    match &plan.incremental {
        Some(incremental) if incremental.ordered() => full.overlapping().stable_order(),
        _ => full,
    }
}

/// Where the list is.
fn list_origin(cx: &Cx, plan: &Plan) -> Result<Option<String>> {
    let base = cx.context()?.base_url;
    Ok(origin(&plan.path).or_else(|| base.as_deref().and_then(origin)))
}

/// A pull from the start.
fn new_pull(cx: &Cx, plan: &Plan, stored: &Checkpoint, origin: Option<String>) -> Pull {
    let due = |every| {
        stored
            .full_at
            .is_none_or(|at| cx.now().saturating_sub(at) >= every)
    };
    let full = stored.mark.is_none() || plan.full_pull.every_ms.is_some_and(due);
    Pull {
        at: Place::Start,
        found: None,
        begun: None,
        full,
        deletes: full && plan.full_pull.deletes,
        pass: None,
        origin,
        counted: Counted::default(),
        lossy: None,
        reading: 0,
        twice: BTreeSet::new(),
    }
}
