//! `FakeHost`: what a test sets up, and the runs it starts.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::rc::Rc;

use serde::Serialize;
use serde_json::{Value, json};
use tidegate_rules::limits::LimitValues;
use tidegate_rules::request::check_url;
use url::Url;

use super::clock::Clock;
use super::declared::{self, Grants};
use super::outcome::Outcome;
use super::reply::{Matcher, Reply};
use super::request::Request;
use super::seam::{Handle, Logging};
use super::state::{Expected, Run, Shared, State, Trouble, TroubleKind};
use super::store::Records;
use crate::failure::of_store;
use crate::host::Change;
use crate::{Cx, Failure, Plugin, Result, RunContext};

/// 2026-01-01T00:00:00Z: when the virtual clock starts, unless told.
const START: u64 = 1_767_225_600_000;

/// A host for native tests: see the [module](crate::test).
///
/// Clones share everything.
#[derive(Clone)]
pub struct FakeHost {
    shared: Rc<Shared>,
}

impl FakeHost {
    /// A host with an empty store, no base URL, and nothing to answer.
    #[must_use]
    pub fn new() -> Self {
        let state = State {
            base_url: None,
            allowed: Vec::new(),
            limits: LimitValues::new(),
            config: json!({}),
            metadata: json!({}),
            records: Records::default(),
            checkpoints: BTreeMap::new(),
            feeds: BTreeMap::new(),
            expected: Vec::new(),
            handlers: Vec::new(),
            context: RunContext {
                integration: "test".to_owned(),
                connection: "test".to_owned(),
                attempt: 1,
                trigger: "manual".to_owned(),
                ..RunContext::default()
            },
            trouble: None,
            runs: 0,
            run: Run::default(),
        };
        FakeHost {
            shared: Rc::new(Shared {
                state: RefCell::new(state),
                clock: Clock::new(START),
                killed: Cell::new(false),
            }),
        }
    }

    fn with(self, change: impl FnOnce(&mut State)) -> Self {
        change(&mut self.shared.state.borrow_mut());
        self
    }

    /// The connection's base URL.
    #[must_use]
    pub fn base_url(self, url: impl Into<String>) -> Self {
        self.with(|state| state.base_url = Some(url.into()))
    }

    /// Grant this origin, as `deploy --allow-host` does, to a plugin that asks for what is `granted`.
    ///
    /// Panics when no operator could grant it.
    #[must_use]
    #[track_caller]
    #[allow(clippy::panic, reason = "a test's mistake")]
    pub fn allow_host(self, origin: impl Into<String>) -> Self {
        match origin.into().parse() {
            Ok(pattern) => self.with(|state| state.allowed.push(pattern)),
            Err(error) => panic!("no operator can grant this: {error}"),
        }
    }

    /// Set a limit, as `deploy --limit NAME=VALUE` does; the plugin's own wish counts no more then.
    #[must_use]
    pub fn limit(self, name: impl Into<String>, value: u64) -> Self {
        self.with(|state| {
            state.limits.insert(name.into(), value);
        })
    }

    /// The connection's config, an object.
    #[must_use]
    pub fn config(self, config: impl Into<Value>) -> Self {
        self.with(|state| state.config = config.into())
    }

    /// The connection's metadata, an object.
    #[must_use]
    pub fn metadata(self, metadata: impl Into<Value>) -> Self {
        self.with(|state| state.metadata = metadata.into())
    }

    /// The stored checkpoint of a sync.
    #[must_use]
    pub fn checkpoint(self, sync: impl Into<String>, checkpoint: impl Into<Value>) -> Self {
        let checkpoint = checkpoint.into().to_string();
        self.with(|state| drop(state.checkpoints.insert(sync.into(), checkpoint)))
    }

    /// A stored record.
    ///
    /// Panics when the host would not store it.
    #[must_use]
    #[track_caller]
    pub fn record(
        self,
        model: impl Into<String>,
        id: impl Into<String>,
        body: impl Into<Value>,
    ) -> Self {
        let (model, id, body) = (model.into(), id.into(), body.into());
        self.with(|state| {
            let put = state.records.put(&model, &id, &body);
            assert!(put.is_ok(), "{model} {id:?} can't be stored: {put:?}");
        })
    }

    /// A change in the feed of another integration's model; they are read in the order added, each record where it
    /// changed last.
    #[must_use]
    pub fn feed_change(
        self,
        integration: impl Into<String>,
        model: impl Into<String>,
        change: Change,
    ) -> Self {
        let key = (integration.into(), model.into());
        self.with(|state| state.feeds.entry(key).or_default().push(change))
    }

    /// Change what [`Cx::context`] tells: the names of the integration and the connection, the
    /// variant, the attempt, the trigger, the idempotency key. (Run, kind, name and base URL are the host's.)
    #[must_use]
    pub fn context(self, change: impl FnOnce(&mut RunContext)) -> Self {
        self.with(|state| change(&mut state.context))
    }

    /// The time now, in Unix milliseconds; 2026-01-01T00:00:00Z by default.
    #[must_use]
    pub fn now(self, ms: u64) -> Self {
        self.shared.clock.set(ms);
        self
    }

    /// Answer one request. Of several answers that fit a request, the first that has not been
    /// used is taken.
    #[must_use]
    pub fn respond(self, matcher: Matcher, reply: impl Into<Reply>) -> Self {
        self.expect(matcher, reply.into(), false)
    }

    /// Answer one request with this status and JSON body.
    #[must_use]
    pub fn respond_status(self, matcher: Matcher, status: u16, body: impl Into<Value>) -> Self {
        let reply = Reply::status(status).body(body.into().to_string());
        self.expect(matcher, reply, false)
    }

    /// Answer any number of requests.
    #[must_use]
    pub fn respond_always(self, matcher: Matcher, reply: impl Into<Reply>) -> Self {
        self.expect(matcher, reply.into(), true)
    }

    fn expect(self, matcher: Matcher, reply: Reply, always: bool) -> Self {
        let expected = Expected {
            matcher,
            reply,
            always,
            used: false,
        };
        self.with(|state| state.expected.push(expected))
    }

    /// Answer requests with a function: a small API of the test's own, with state. It is asked
    /// before the canned responses, and says `None` to what is not its business.
    #[must_use]
    pub fn on(self, handler: impl FnMut(&Request) -> Option<Reply> + 'static) -> Self {
        self.with(|state| state.handlers.push(Box::new(handler)))
    }

    /// Kill the next run just after its `commits`-th commit, as a crash of the host would.
    #[must_use]
    pub fn kill_after_commits(self, commits: usize) -> Self {
        self.trouble(commits, TroubleKind::Killed)
    }

    /// After so many commits of the next run, refuse further ones: it was cancelled.
    #[must_use]
    pub fn fence_after_commits(self, commits: usize) -> Self {
        self.trouble(commits, TroubleKind::Fenced)
    }

    /// After so many commits of the next run, let further ones fail: the disk is full.
    #[must_use]
    pub fn store_fails_after_commits(self, commits: usize) -> Self {
        self.trouble(commits, TroubleKind::StoreFails)
    }

    fn trouble(self, after: usize, kind: TroubleKind) -> Self {
        self.with(|state| state.trouble = Some(Trouble { after, kind }))
    }

    /// The limit of this name: how much of a model a snapshot may delete; 50 by default. Deleting
    /// everything is always refused.
    #[must_use]
    pub fn snapshot_delete_percent(self, percent: u64) -> Self {
        self.limit("snapshot_delete_percent", percent)
    }

    /// Run a sync.
    ///
    /// Panics, as do the other runs, when the plugin's declaration is one that the host would
    /// refuse, when it made a request that nothing answers, and when it waits for ever.
    #[track_caller]
    #[allow(
        clippy::needless_pass_by_value,
        reason = "run_sync(plugin(), …) reads well"
    )]
    pub fn run_sync(&self, plugin: Plugin, name: &str) -> Outcome<()> {
        self.run("sync", &plugin, name, plugin.run_sync(self.cx(), name))
    }

    /// Run an action, with its input.
    #[track_caller]
    #[allow(
        clippy::needless_pass_by_value,
        reason = "run_action(plugin(), …) reads well"
    )]
    pub fn run_action(&self, plugin: Plugin, name: &str, input: impl Serialize) -> Outcome<Value> {
        self.run("action", &plugin, name, async {
            let input = serde_json::to_string(&input)?;
            let output = plugin.run_action(self.cx(), name, input).await?;
            Ok(serde_json::from_str(&output)?)
        })
    }

    /// Send an event, with its payload.
    #[track_caller]
    #[allow(
        clippy::needless_pass_by_value,
        reason = "run_event(plugin(), …) reads well"
    )]
    pub fn run_event(&self, plugin: Plugin, kind: &str, payload: impl Serialize) -> Outcome<Value> {
        self.run("event", &plugin, kind, async {
            let payload = serde_json::to_string(&payload)?;
            let output = plugin.run_event(self.cx(), kind, payload).await?;
            Ok(serde_json::from_str(&output)?)
        })
    }

    /// Check the connection: the event `connection-check`.
    #[track_caller]
    pub fn run_check(&self, plugin: Plugin) -> Outcome<Value> {
        self.run_event(plugin, "connection-check", json!({}))
    }

    /// The stored records of a model, by id.
    #[must_use]
    pub fn records(&self, model: &str) -> BTreeMap<String, Value> {
        self.shared.state.borrow().records.of(model)
    }

    /// Panics when a response that was set up with [`respond`](Self::respond) was not used.
    #[track_caller]
    #[allow(clippy::panic, reason = "an assertion for tests")]
    pub fn assert_all_used(&self) {
        let state = self.shared.state.borrow();
        let left: Vec<String> = state
            .expected
            .iter()
            .filter(|expected| !expected.used && !expected.always)
            .map(|expected| format!("\n  {}", expected.matcher))
            .collect();
        assert!(
            left.is_empty(),
            "responses that nobody asked for:{}",
            left.concat()
        );
    }

    fn cx(&self) -> Cx {
        Cx::new(Handle::new(Rc::clone(&self.shared)))
    }

    #[track_caller]
    #[allow(clippy::panic, reason = "an assertion for tests")]
    fn run<T>(
        &self,
        kind: &str,
        plugin: &Plugin,
        name: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Outcome<T> {
        let grants = match self.grants(plugin, kind, name) {
            Ok(grants) => grants,
            Err(reason) => panic!("the host would refuse {reason}"),
        };
        self.begin(kind, name, grants);
        let result = {
            let _logging = Logging::to(&self.shared);
            self.shared.clock.drive(work, &self.shared.killed)
        };
        let killed = self.shared.killed.replace(false);
        let result = match result {
            Some(result) => result,
            None if killed => Err(Failure::other("the test killed this run").code("killed")),
            None => panic!("{kind} {name} waits for something that never comes"),
        };
        self.end(kind, name, result)
    }

    /// What a run may do, or what the host would refuse.
    fn grants(
        &self,
        plugin: &Plugin,
        kind: &str,
        name: &str,
    ) -> std::result::Result<Grants, String> {
        let state = self.shared.state.borrow();
        if let Some(base) = &state.base_url {
            let url = Url::parse(base).map_err(|error| format!("the base URL {base}: {error}"))?;
            check_url(&url).map_err(|error| format!("the base URL: {error}"))?;
        }
        let manifest =
            declared::manifest(plugin).map_err(|error| format!("this plugin: {error}"))?;
        declared::grants(&manifest, kind, name, &state.config, &state.limits)
            .map_err(|error| format!("what the operator sets: {error}"))
    }

    fn begin(&self, kind: &str, name: &str, grants: Grants) {
        let mut state = self.shared.state.borrow_mut();
        state.runs += 1;
        state.context.run = format!("run-{}", state.runs);
        state.context.kind = kind.to_owned();
        state.context.name = name.to_owned();
        state.context.base_url = state.base_url.clone();
        let checkpoint = state.checkpoints.get(name).filter(|_| kind == "sync");
        state.run = Run {
            grants,
            sync: (kind == "sync").then(|| name.to_owned()),
            checkpoint: checkpoint.cloned(),
            trouble: state.trouble.take(),
            ..Run::default()
        };
    }

    #[track_caller]
    fn end<T>(&self, kind: &str, name: &str, result: Result<T>) -> Outcome<T> {
        let mut state = self.shared.state.borrow_mut();
        let run = std::mem::take(&mut state.run);
        let result = match run.ends_with {
            Some(error) => result.and_then(|_| Err(of_store(&format!("{kind} {name}"), error))),
            None => result,
        };
        let checkpoint = state.checkpoints.get(name).filter(|_| kind == "sync");
        let outcome = Outcome {
            result,
            commits: run.commits,
            requests: run.requests,
            in_flight_max: run.in_flight_max,
            logs: run.logs,
            records: state.records.all(),
            checkpoint: checkpoint.and_then(|text| serde_json::from_str(text).ok()),
            metadata: state.metadata.clone(),
        };
        drop(state);
        assert!(run.problems.is_empty(), "{}", run.problems.join("\n"));
        outcome
    }
}

impl Default for FakeHost {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FakeHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeHost")
    }
}
