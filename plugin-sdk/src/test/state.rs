//! What the fake host knows: what lasts from run to run, and the current run.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use super::clock::Clock;
use super::declared::Grants;
use super::outcome::{Committed, LogLine};
use super::reply::{Matcher, Reply};
use super::request::Request;
use super::store::Records;
use crate::RunContext;
use crate::host::{Change, Request as Raw};

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
    pub(super) allowed: Vec<String>,
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
    pub(super) checkpoint: Option<String>,
    pub(super) commits: Vec<Committed>,
    pub(super) requests: Vec<Request>,
    pub(super) in_flight: usize,
    pub(super) in_flight_max: usize,
    pub(super) logs: Vec<LogLine>,
    pub(super) trouble: Option<Trouble>,
    /// What the test did not expect.
    pub(super) problems: Vec<String>,
}

impl Shared {
    /// The request with its URL made absolute; `Err` is the host's word on what is wrong.
    pub(super) fn receive(&self, raw: Raw) -> std::result::Result<Request, String> {
        Request::new(raw, self.state.borrow().base_url.as_deref())
    }
}
