//! One pull of one model: page by page, each committed with the checkpoint from which a killed
//! run goes on at the page that was in flight.

use std::collections::BTreeSet;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tidegate_sdk::Response;
use tidegate_sdk::prelude::*;

use crate::checkpoint::{Checkpoint, Etag, Pull};
use crate::commit::commit;
use crate::incremental::{Mark, Source, later};
use crate::page::Changes;
use crate::paging::{Body, Place};
use crate::plan::Plan;
use crate::time;

const NOT_MODIFIED: u16 = 304;
/// How servers say that a cursor is too old, or a page number beyond the end.
const STALE: [u16; 4] = [400, 404, 410, 422];
/// How much of a body goes into a message.
const EXCERPT_CHARS: usize = 160;

/// A pull, and what this run knows of it.
#[derive(Debug)]
pub(crate) struct Puller<'a> {
    cx: &'a Cx,
    plan: &'a Plan,
    /// As stored, apart from the pull under way.
    stored: Checkpoint,
    pull: Pull,
    /// The next request is the first of a run that goes on with an interrupted pull.
    resumed: bool,
    /// The request made last was the first of a pull.
    first_page: bool,
    /// What has been asked for, and what the last page held: to notice an API that leads in
    /// circles.
    asked: BTreeSet<(Option<String>, Place)>,
    last_page: Option<Sample>,
    /// See [`Paging::next`](crate::paging::Paging::next).
    full_page: Option<u64>,
}

/// What came back for a page's request.
enum Fetched {
    Page(Response),
    /// Nothing has changed.
    NotModified,
    /// The API has no such page, so the one before was the last.
    Beyond,
}

/// What tells one page from another.
#[derive(Debug, PartialEq, Eq)]
struct Sample {
    since: Option<String>,
    len: usize,
    first: String,
    last: String,
}

impl<'a> Puller<'a> {
    /// Go on with an interrupted pull, or begin one.
    pub(crate) async fn begin(cx: &'a Cx, plan: &'a Plan) -> Result<Self> {
        let mut stored = Checkpoint::load(cx, plan)?;
        let unfinished = match stored.pull.take() {
            // A snapshot that is not open any more has not seen the pages so far.
            Some(pull) if pull.deletes && !cx.begin_snapshot(&plan.model).await? => None,
            unfinished => unfinished,
        };
        let resumed = unfinished.is_some();
        if resumed {
            info!("going on with the interrupted pull of {}", plan.model);
        }
        Ok(Puller {
            cx,
            plan,
            pull: unfinished.unwrap_or_else(|| new_pull(cx, plan, &stored)),
            stored,
            resumed,
            first_page: false,
            asked: BTreeSet::new(),
            last_page: None,
            full_page: None,
        })
    }

    /// Pull until there is nothing more.
    pub(crate) async fn run(mut self) -> Result<()> {
        while self.pull.at != Place::End {
            let response = match self.fetch().await? {
                Fetched::Page(response) => response,
                Fetched::NotModified => return Ok(()),
                Fetched::Beyond => {
                    self.pull.at = Place::End;
                    return self.finish(Changes::default(), None).await;
                }
            };
            if self.pull.begun.is_none() {
                self.begun(&response).await?;
            }
            let since = self.since();
            let body = self.read(&response)?;
            let records = body.records.as_deref().unwrap_or_default();
            let mut changes = Changes::of(self.plan, records)?;
            self.advance(since.as_ref(), &response, &body, changes.mark.take())?;
            if self.pull.at == Place::End {
                let etag = response.header("ETag").filter(|_| self.first_page);
                let etag = etag.map(|value| Etag {
                    since,
                    value: value.to_owned(),
                });
                return self.finish(changes, etag).await;
            }
            commit(self.cx, self.plan, changes, &self.checkpoint()).await?;
        }
        self.finish(Changes::default(), None).await
    }

    /// The value of the incremental parameter; `None` when it is not sent.
    fn since(&self) -> Option<String> {
        let incremental = self.plan.incremental.as_ref()?;
        let stored = self.stored.mark.as_ref().filter(|_| !self.pull.full);
        let found = self.pull.found.as_ref().filter(|_| incremental.ordered());
        incremental.since(found.or(stored))
    }

    async fn fetch(&mut self) -> Result<Fetched> {
        loop {
            let since = self.since();
            let place = self.pull.at.clone();
            if !self.asked.insert((since.clone(), place.clone())) {
                return Err(self.looped(&format!("the page at {place:?} comes again")));
            }
            let resumed = std::mem::take(&mut self.resumed);
            self.first_page = self.asked.len() == 1 && !resumed;
            let etag = self.etag(since.as_deref());
            let mut request = self.plan.request(self.cx, &place, since.as_deref());
            if let Some(etag) = etag {
                request = request.header("If-None-Match", etag);
            }
            let failure = match request.send().await {
                Ok(response) if etag.is_some() && response.status() == NOT_MODIFIED => {
                    return Ok(Fetched::NotModified);
                }
                Ok(response) => return Ok(Fetched::Page(response)),
                Err(failure) => failure,
            };
            let status = failure.upstream.as_ref().map(|upstream| upstream.status);
            match status {
                Some(status) if self.plan.paging.is_end(&place, status) => {
                    return Ok(Fetched::Beyond);
                }
                Some(status) if resumed && place != Place::Start && STALE.contains(&status) => {
                    warn!(
                        "{}: the place of the interrupted pull is not known any more, so it \
                         starts over: {}",
                        self.plan.model, failure.message
                    );
                    self.pull = new_pull(self.cx, self.plan, &self.stored);
                    self.asked.clear();
                }
                _ => return Err(failure),
            }
        }
    }

    /// The stored `ETag`, when it is of the very request that begins this pull.
    fn etag(&self, since: Option<&str>) -> Option<&str> {
        let fits = |etag: &&Etag| self.first_page && etag.since.as_deref() == since;
        let etag = self.stored.etag.as_ref().filter(|_| self.plan.conditional);
        etag.filter(fits).map(|etag| etag.value.as_str())
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
        if self.pull.deletes {
            self.cx.restart_snapshot(&self.plan.model).await?;
        }
        Ok(())
    }

    fn read<'r>(&self, response: &'r Response) -> Result<Body<'r>> {
        let text = response.text()?;
        let problem = match self.plan.paging.read(text) {
            Ok(body) if body.records.is_some() || self.plan.records_may_be_absent => {
                return Ok(body);
            }
            Ok(_) => "there is nothing at this place".to_owned(),
            Err(error) => {
                // What is not JSON at all is the SDK's to say: that may pass.
                response.json::<IgnoredAny>()?;
                error.to_string()
            }
        };
        let begins: String = text.chars().take(EXCERPT_CHARS).collect();
        Err(Failure::other(format!(
            "{} answered with JSON that does not fit `models.{}.records`: {problem} (it begins: \
             {begins})",
            response.url(),
            self.plan.model
        ))
        .code("response-invalid"))
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
        let next = paging.next(&self.pull.at, response, body, &mut self.full_page)?;
        let sample = Sample::of(since, body.records.as_deref().unwrap_or_default());
        if next.is_some() && sample.is_some() && sample == self.last_page {
            return Err(self.looped("it has the same records as the one before"));
        }
        self.last_page = sample;
        self.pull.found = later(self.pull.found.take(), mark);
        // Page numbers and offsets count what moves while it is read: a record that is updated
        // goes to the end of an ordered list, and the next one slips over the edge of a page
        // already read. Asking anew, for what came after the last record, can't lose it.
        let ordered = self.plan.incremental.as_ref().is_some_and(|i| i.ordered());
        self.pull.at = match next {
            None => Place::End,
            Some(_) if ordered && self.since().as_ref() != since => Place::Start,
            Some(place) => place,
        };
        Ok(())
    }

    /// What is stored with a page that is not the last.
    fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            pull: Some(self.pull.clone()),
            ..self.stored.clone()
        }
    }

    /// Store the last changes, and that the pull was whole.
    async fn finish(self, changes: Changes<'_>, etag: Option<Etag>) -> Result<()> {
        let Puller { cx, plan, .. } = self;
        let mut whole = self.stored.clone();
        if let (Some(incremental), Some(begun)) = (&plan.incremental, self.pull.begun) {
            let found = self.pull.found.clone();
            whole.mark = incremental.settled(whole.mark, found, begun);
        }
        whole.etag = etag.filter(|_| plan.conditional);
        if self.pull.full && plan.full_pull.every_ms.is_some() {
            whole.full_at = Some(cx.now());
        }
        if !self.pull.deletes {
            return commit(cx, plan, changes, &whole).await;
        }
        commit(cx, plan, changes, &self.checkpoint()).await?;
        let deleted = cx.end_snapshot_with(&plan.model, &whole).await?;
        info!("{}: {deleted} records are gone at the source", plan.model);
        Ok(())
    }

    fn looped(&self, problem: &str) -> Failure {
        Failure::other(format!(
            "{}: page {} of this run: {problem}; see `models.{}.pagination`",
            self.plan.path,
            self.asked.len(),
            self.plan.model
        ))
        .code("pagination-loop")
    }
}

impl Sample {
    fn of(since: Option<&String>, records: &[&RawValue]) -> Option<Self> {
        Some(Sample {
            since: since.cloned(),
            len: records.len(),
            first: records.first()?.get().to_owned(),
            last: records.last()?.get().to_owned(),
        })
    }
}

/// A pull from the start.
fn new_pull(cx: &Cx, plan: &Plan, stored: &Checkpoint) -> Pull {
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
    }
}
