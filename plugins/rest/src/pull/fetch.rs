//! Asking for one page, and what the answer means.

use tidegate_sdk::Response;
use tidegate_sdk::prelude::*;

use super::{Puller, new_pull};
use crate::checkpoint::{Checkpoint, Etag};
use crate::empty::Asked;
use crate::paging::Place;

const NOT_MODIFIED: u16 = 304;
/// How servers say that a cursor is too old, or a page number beyond the end.
const STALE: [u16; 4] = [400, 404, 410, 422];
/// How they say that changes since so long ago are not known any more.
const EXPIRED: u16 = 410;

/// What came back for a page's request.
pub(super) enum Fetched {
    Page(Response),
    /// Nothing has changed.
    NotModified,
    /// The API has no such page, so the one before was the last.
    Beyond,
}

impl Puller<'_> {
    pub(super) async fn fetch(&mut self) -> Result<Fetched> {
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
            let asked = request.send_any().await;
            let failure = match asked.and_then(|response| self.plan.by_status(self.cx, response)) {
                Ok(response) if etag.is_some() && response.status() == NOT_MODIFIED => {
                    return Ok(Fetched::NotModified);
                }
                Ok(response) if self.plan.is_empty_by_rule(self.cx, &response) => {
                    return Ok(Fetched::Beyond);
                }
                Ok(response) if self.plan.nothing.is(&response, self.asked_for(&place)) => {
                    if self.pull.begun.is_none() {
                        self.begun(&response).await?;
                    }
                    return Ok(Fetched::Beyond);
                }
                Ok(response) => return Ok(Fetched::Page(response)),
                Err(failure) => failure,
            };
            let status = failure.upstream.as_ref().map(|upstream| upstream.status);
            if status.is_some_and(|s| self.plan.nothing.is_status(s, self.asked_for(&place))) {
                return Ok(Fetched::NotModified);
            }
            let counted = &self.pull.counted;
            let model = &self.plan.model;
            match status {
                Some(status) if self.plan.paging.is_end(&place, status, counted) => {
                    return Ok(Fetched::Beyond);
                }
                Some(status) if resumed && place != Place::Start && STALE.contains(&status) => {
                    warn!(
                        "{model}: the place of the interrupted pull is not known any more, so it \
                         starts over: {}",
                        failure.message
                    );
                    self.start_over();
                }
                None if resumed && place != Place::Start && is_denied(&failure) => {
                    warn!(
                        "{model}: the place of the interrupted pull may not be asked for, so it \
                         starts over: {}",
                        failure.message
                    );
                    self.start_over();
                }
                Some(EXPIRED) if place == Place::Start && since.is_some() && !self.pull.full => {
                    warn!(
                        "{model}: the API does not know any more what changed since the last \
                         pull, so everything is pulled: {}",
                        failure.message
                    );
                    self.stored = Checkpoint::default();
                    self.start_over();
                }
                _ => return Err(failure),
            }
        }
    }

    /// What the page at `place` is asked for.
    fn asked_for(&self, place: &Place) -> Asked {
        Asked {
            first: *place == Place::Start,
            changes: !self.pull.full && self.since().is_some(),
        }
    }

    /// Forget the pull under way.
    fn start_over(&mut self) {
        let origin = self.pull.origin.take();
        self.pull = new_pull(self.cx, self.plan, &self.stored, origin);
        self.full = None;
        self.asked.clear();
    }

    /// The stored `ETag`, when it is of the very request that begins this pull.
    fn etag(&self, since: Option<&str>) -> Option<&str> {
        let fits = |etag: &&Etag| self.first_page && etag.since.as_deref() == since;
        let etag = self.stored.etag.as_ref().filter(|_| self.plan.conditional);
        etag.filter(fits).map(|etag| etag.value.as_str())
    }
}

fn is_denied(failure: &Failure) -> bool {
    failure.code.as_deref() == Some("http-denied")
}
