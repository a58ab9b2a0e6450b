//! What the fake host knows: what lasts from run to run, and the current run.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use serde_json::Value;
use tidegate_rules::grant::HostPattern;
use tidegate_rules::limits::LimitValues;
use url::Url;

use super::clock::Clock;
use super::declared::Grants;
use super::outcome::{Committed, LogLine};
use super::reply::{Matcher, Reply};
use super::request::Request;
use super::store::Records;
use crate::RunContext;
use crate::host::{Change, HttpError, StoreError};

pub(super) type Handler = Box<dyn FnMut(&Request) -> Option<Reply>>;

pub(super) struct Shared {
    pub(super) state: RefCell<State>,
    pub(super) clock: Rc<Clock>,
    /// The test wants this run to be dead from here on.
    pub(super) killed: Cell<bool>,
}

/// Everything that lasts from run to run, and the current run.
pub(super) struct State {
    pub(super) base_url: Option<String>,
    /// Origins that the operator grants beside those that the plugin asks for by name.
    pub(super) allowed: Vec<HostPattern>,
    /// Limits that the operator sets.
    pub(super) limits: LimitValues,
    pub(super) config: Value,
    pub(super) metadata: Value,
    pub(super) records: Records,
    /// By sync.
    pub(super) checkpoints: BTreeMap<String, String>,
    /// By integration and model, oldest first.
    pub(super) feeds: BTreeMap<(String, String), Vec<Change>>,
    pub(super) expected: Vec<Expected>,
    pub(super) handlers: Vec<Handler>,
    pub(super) context: RunContext,
    /// For the next run.
    pub(super) trouble: Option<Trouble>,
    pub(super) runs: u32,
    pub(super) run: Run,
}

/// A canned response.
pub(super) struct Expected {
    pub(super) matcher: Matcher,
    pub(super) reply: Reply,
    /// Answers any number of requests, none included.
    pub(super) always: bool,
    pub(super) used: bool,
}

/// What goes wrong with a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trouble {
    /// After so many commits of the run.
    pub(super) after: usize,
    pub(super) kind: TroubleKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TroubleKind {
    /// The run is dead.
    Killed,
    /// The run may no longer write.
    Fenced,
    /// The store fails.
    StoreFails,
}

/// The current run.
#[derive(Default)]
pub(super) struct Run {
    pub(super) grants: Grants,
    /// The sync that it is of.
    pub(super) sync: Option<String>,
    /// How many requests it made, and what they brought.
    pub(super) asked: u64,
    pub(super) received: u64,
    /// How many records it has written.
    pub(super) records: u64,
    pub(super) checkpoint: Option<String>,
    pub(super) commits: Vec<Committed>,
    pub(super) requests: Vec<Request>,
    pub(super) in_flight: usize,
    pub(super) in_flight_max: usize,
    /// Requests that wait until fewer are in flight.
    pub(super) waiting: Vec<Waker>,
    pub(super) logs: Vec<LogLine>,
    pub(super) trouble: Option<Trouble>,
    /// With this the run fails, whatever the plugin makes of it.
    pub(super) ends_with: Option<StoreError>,
    /// What the test did not expect.
    pub(super) problems: Vec<String>,
}

impl State {
    /// Where relative URLs go. It was checked when the run began.
    pub(super) fn base(&self) -> Option<Url> {
        self.base_url.as_ref().and_then(|url| Url::parse(url).ok())
    }

    /// One more request, if the run has any left.
    pub(super) fn pay_for_a_request(&mut self) -> Result<(), HttpError> {
        let most = self.run.grants.limits.http_requests;
        if self.run.asked >= most {
            return exhausted("http_requests", most);
        }
        self.run.asked += 1;
        self.received(0)
    }

    /// So many bytes more of answers.
    pub(super) fn received(&mut self, bytes: usize) -> Result<(), HttpError> {
        let most = self.run.grants.limits.http_total_bytes;
        let before = self.run.received;
        self.run.received = before.saturating_add(bytes as u64);
        if before >= most || self.run.received > most {
            return exhausted("http_total_bytes", most);
        }
        Ok(())
    }
}

fn exhausted(limit: &str, most: u64) -> Result<(), HttpError> {
    Err(HttpError::exhausted(format!(
        "the run has used up the limit {limit} = {most}"
    )))
}

impl Shared {
    /// Wait until a further request may be under way; it is as long as what this gives lives.
    pub(super) async fn in_flight(&self) -> InFlight<'_> {
        poll_fn(|cx| {
            let run = &mut self.state.borrow_mut().run;
            if run.in_flight as u64 >= run.grants.limits.http_in_flight {
                run.waiting.push(cx.waker().clone());
                return Poll::Pending;
            }
            run.in_flight += 1;
            run.in_flight_max = run.in_flight_max.max(run.in_flight);
            Poll::Ready(InFlight(self))
        })
        .await
    }
}

/// A request that is under way.
pub(super) struct InFlight<'a>(&'a Shared);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let run = &mut self.0.state.borrow_mut().run;
        // That of a run that was killed may be dropped when the next one has begun.
        run.in_flight = run.in_flight.saturating_sub(1);
        run.waiting.drain(..).for_each(Waker::wake);
    }
}
