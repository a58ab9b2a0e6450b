//! The seam on the fake host's side: each call of a plugin, answered.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future;
use std::rc::Rc;

use serde_json::{Map, Value};
use tidegate_rules::grant::FeedPattern;
use tidegate_rules::limits::{METADATA_BYTES_MAX, READ_BYTES_MAX, READ_CHANGES_MAX};
use tidegate_rules::manifest::FeedRequest;
use tidegate_rules::{ConnectionName, metadata, record};

use super::gate;
use super::outcome::{Committed, LogLine};
use super::reply::Reply;
use super::request::Request;
use super::snapshots::Puller;
use super::state::{Expected, Shared, State, TroubleKind};
use super::store::{self, invalid};
use crate::host::{
    Answer, Batch, Change, Host, HttpError, Level, ModelOutcome, Proof, Request as Raw,
    SnapshotEnd, Source, StoreError, StoreErrorKind, Unseen,
};

/// What a [`Cx`](crate::Cx) holds natively.
#[derive(Clone)]
pub(crate) struct Handle {
    shared: Rc<Shared>,
}

impl Handle {
    pub(super) fn new(shared: Rc<Shared>) -> Self {
        Handle { shared }
    }

    /// The answer to a request, and how long it takes.
    fn answer(&self, request: &Request) -> Option<Reply> {
        // The handlers are the test's own code, and may use the fake host: no borrow meanwhile.
        let mut handlers = std::mem::take(&mut self.shared.state.borrow_mut().handlers);
        let found = handlers.iter_mut().find_map(|handler| handler(request));
        let mut state = self.shared.state.borrow_mut();
        handlers.append(&mut state.handlers);
        state.handlers = handlers;
        if found.is_some() {
            return found;
        }
        let fits = |expected: &&mut Expected| {
            (expected.always || !expected.used) && expected.matcher.matches(request)
        };
        if let Some(expected) = state.expected.iter_mut().find(fits) {
            expected.used = true;
            return Some(expected.reply.clone());
        }
        let mut problem = format!("unexpected request: {} {}", request.method, request.url);
        problem.push_str("\n  responses that were set up:");
        for expected in &state.expected {
            let note = match (expected.always, expected.used) {
                (false, true) => " (used)",
                (true, _) => " (always)",
                (false, false) => "",
            };
            problem.push_str(&format!("\n    {}{note}", expected.matcher));
        }
        state.run.problems.push(problem);
        None
    }

    /// What each commit begins with: the store may not want it.
    fn writable(&self) -> Result<(), StoreError> {
        match self.trouble_now() {
            Some(TroubleKind::Fenced) => Err(StoreError::fenced(
                "the run was cancelled (fake host)".to_owned(),
            )),
            Some(TroubleKind::StoreFails) => {
                let error = StoreError::other("the disk is full (fake host)".to_owned());
                let run = &mut self.shared.state.borrow_mut().run;
                run.ends_with.get_or_insert(error.clone());
                Err(error)
            }
            Some(TroubleKind::Killed) | None => Ok(()),
        }
    }

    /// What each commit ends with: the test may want the run dead from here on.
    async fn committed(&self, committed: Committed) {
        self.shared.state.borrow_mut().run.commits.push(committed);
        if self.trouble_now() == Some(TroubleKind::Killed) {
            self.shared.killed.set(true);
            future::pending::<()>().await;
        }
    }

    fn trouble_now(&self) -> Option<TroubleKind> {
        let run = &self.shared.state.borrow().run;
        let trouble = run
            .trouble
            .filter(|trouble| run.commits.len() >= trouble.after);
        trouble.map(|trouble| trouble.kind)
    }

    /// One call about snapshots.
    fn pull<T>(
        &self,
        call: impl FnOnce(&mut store::Records, Puller<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut state = self.shared.state.borrow_mut();
        let State { records, run, .. } = &mut *state;
        let by = Puller {
            sync: run.sync.as_deref(),
            grants: &run.grants,
        };
        let answer = call(records, by);
        if let Err(error) = &answer
            && error.kind == StoreErrorKind::Refused
        {
            run.ends_with.get_or_insert(error.clone());
        }
        answer
    }

    fn store_checkpoint(&self, checkpoint: Option<&str>) {
        let mut state = self.shared.state.borrow_mut();
        if let (Some(text), "sync") = (checkpoint, state.context.kind.as_str()) {
            let name = state.context.name.clone();
            state.checkpoints.insert(name, text.to_owned());
        }
    }
}

impl Host for Handle {
    async fn send(&self, request: Raw) -> Result<Answer, HttpError> {
        let (request, url) = {
            let mut state = self.shared.state.borrow_mut();
            state.pay_for_a_request()?;
            let base = state.base();
            let limits = &state.run.grants.limits;
            let checked = gate::check(&request, base.as_ref(), limits)?;
            let request = Request::new(request, &checked.url, base.as_ref());
            state.run.requests.push(request.clone());
            (request, checked.url)
        };
        // A request that the plugin drops is no longer in flight either.
        let _in_flight = self.shared.in_flight().await;
        {
            let state = self.shared.state.borrow();
            let base = state.base();
            gate::judge(&url, &state.run.grants, base.as_ref(), &state.allowed)?;
        }
        let Some(reply) = self.answer(&request) else {
            let text = "nothing answers this request (see the test's output)".to_owned();
            return Err(HttpError::other(text));
        };
        self.shared.clock.sleep(reply.delay_ms).await;
        let mut state = self.shared.state.borrow_mut();
        let answer = reply.into_answer(&request.url, &state.run.grants.limits)?;
        state.received(answer.body.len())?;
        Ok(answer)
    }

    async fn commit(
        &self,
        batches: Vec<Batch>,
        checkpoint: Option<String>,
    ) -> Result<Vec<ModelOutcome>, StoreError> {
        self.writable()?;
        let (twice, store::Committed { outcome, skipped }) = {
            let mut state = self.shared.state.borrow_mut();
            let State { records, run, .. } = &mut *state;
            let is_sync = run.sync.is_some();
            let (prepared, twice) =
                store::prepared(&batches, checkpoint.as_deref(), &run.grants, is_sync)?;
            run.records += prepared.iter().map(|page| page.len() as u64).sum::<u64>();
            let most = run.grants.limits.records_per_run;
            if run.records > most {
                return invalid(format!(
                    "the run has saved more records than the limit records_per_run, {most}"
                ));
            }
            (twice, records.commit(prepared)?)
        };
        if !twice.is_empty() {
            let ids = twice.join(", ");
            let text =
                format!("ids more than once in one commit, the last of each was taken: {ids}");
            log(Level::Warn, &text, "");
        }
        for (
            model,
            record::Skipped {
                id,
                position,
                reason,
            },
        ) in &skipped
        {
            let id = id.as_ref().map_or(String::new(), |id| format!(" {id:?}"));
            let line = format!("skipped {model}{id} (record {position} of its page): {reason}");
            log(Level::Warn, &line, "");
        }
        self.store_checkpoint(checkpoint.as_deref());
        self.committed(Committed {
            batches,
            checkpoint: checkpoint.as_deref().map(decoded),
            outcome: outcome.clone(),
        })
        .await;
        Ok(outcome)
    }

    async fn get(
        &self,
        model: String,
        ids: Vec<String>,
    ) -> Result<Vec<Option<String>>, StoreError> {
        let state = self.shared.state.borrow();
        state.records.get(&model, &ids, &state.run.grants)
    }

    async fn begin_snapshot(&self, model: String, restart: bool) -> Result<bool, StoreError> {
        self.pull(|records, by| records.begin_snapshot(&model, restart, by))
    }

    async fn unseen(&self, model: String, after: u64, limit: u32) -> Result<Unseen, StoreError> {
        self.pull(|records, by| records.unseen(&model, after, limit, by))
    }

    async fn repeat_snapshot(
        &self,
        model: String,
        checkpoint: Option<String>,
    ) -> Result<u64, StoreError> {
        self.writable()?;
        let unseen =
            self.pull(|records, by| records.repeat_snapshot(&model, checkpoint.as_deref(), by))?;
        self.store_checkpoint(checkpoint.as_deref());
        self.committed(Committed {
            batches: Vec::new(),
            checkpoint: checkpoint.as_deref().map(decoded),
            outcome: Vec::new(),
        })
        .await;
        Ok(unseen)
    }

    async fn end_snapshot(
        &self,
        model: String,
        proof: Proof,
        checkpoint: Option<String>,
    ) -> Result<SnapshotEnd, StoreError> {
        self.writable()?;
        let end = self
            .pull(|records, by| records.end_snapshot(&model, proof, checkpoint.as_deref(), by))?;
        self.store_checkpoint(checkpoint.as_deref());
        self.committed(Committed {
            batches: Vec::new(),
            checkpoint: checkpoint.as_deref().map(decoded),
            outcome: vec![ModelOutcome {
                model,
                deleted: u32::try_from(end.deleted).unwrap_or(u32::MAX),
                ..ModelOutcome::default()
            }],
        })
        .await;
        Ok(end)
    }

    async fn read_feed(
        &self,
        source: Source,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<Vec<Change>, StoreError> {
        let state = self.shared.state.borrow();
        let name = format!("{}/{}", source.integration, source.model);
        let feed: FeedPattern = name.parse().or_else(invalid)?;
        if let Some(connection) = &source.connection {
            connection.parse::<ConnectionName>().or_else(invalid)?;
        }
        let asked = state.run.grants.feeds.iter();
        if !asked.into_iter().any(|asked| match asked {
            FeedRequest::Config => true,
            FeedRequest::Feed(asked) => *asked == feed,
        }) {
            return Err(StoreError::denied(format!(
                "{name} is not among the plugin's feeds: add .feed(\"{name}\")"
            )));
        }
        if !(1..=READ_CHANGES_MAX).contains(&limit) {
            let text = format!("limit is {limit}; it must be 1 to {READ_CHANGES_MAX}");
            return invalid(text);
        }
        let key = (source.integration, source.model);
        let changes = state.feeds.get(&key).map(Vec::as_slice).unwrap_or_default();
        let after = match &cursor {
            None => 0,
            Some(cursor) => match changes.iter().position(|change| change.cursor == *cursor) {
                Some(at) => at + 1,
                None => return invalid(format!("no cursor `{cursor}`")),
            },
        };
        // As a real feed, it has a record once: where it changed last.
        let is_last = |(position, change): &(usize, &Change)| {
            let mut later = changes.iter().skip(position + 1);
            !later.any(|other| other.id == change.id)
        };
        let after = changes.iter().enumerate().skip(after).filter(is_last);
        let after = after.map(|(_, change)| change.clone());
        let mut bytes = 0;
        let fits = |change: &Change| {
            let before = bytes;
            bytes += change.body.as_ref().map_or(0, String::len);
            before < READ_BYTES_MAX
        };
        Ok(after.take(limit as usize).take_while(fits).collect())
    }

    fn checkpoint(&self) -> Option<String> {
        self.shared.state.borrow().run.checkpoint.clone()
    }

    fn config(&self) -> String {
        self.shared.state.borrow().config.to_string()
    }

    fn metadata(&self) -> String {
        self.shared.state.borrow().metadata.to_string()
    }

    async fn merge_metadata(&self, patch: String) -> Result<(), StoreError> {
        let mut state = self.shared.state.borrow_mut();
        if !state.run.grants.metadata_write {
            let text = "the plugin did not ask for it: add .metadata_write()";
            return Err(StoreError::denied(text.to_owned()));
        }
        let patch: Map<String, Value> = match serde_json::from_str(&patch) {
            Ok(patch) => patch,
            Err(error) => {
                return invalid(format!("the metadata patch is not a JSON object: {error}"));
            }
        };
        let stored = state.metadata.as_object().cloned().unwrap_or_default();
        let merged = metadata::merged(&stored, &patch, METADATA_BYTES_MAX).or_else(invalid)?;
        state.metadata = Value::Object(merged);
        Ok(())
    }

    fn context(&self) -> String {
        serde_json::to_string(&self.shared.state.borrow().context).unwrap_or_default()
    }

    fn now(&self) -> u64 {
        self.shared.clock.now()
    }

    async fn sleep(&self, duration_ms: u64) {
        self.shared.clock.sleep(duration_ms).await;
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

fn decoded(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

thread_local! {
    /// The `cause` that an error was given last.
    static LAST_CAUSE: Cell<u64> = const { Cell::new(0) };
    /// The run that log lines belong to.
    static CURRENT: RefCell<Option<Rc<Shared>>> = const { RefCell::new(None) };
}

/// While it lives, log lines go to this run.
pub(super) struct Logging;

impl Logging {
    pub(super) fn to(shared: &Rc<Shared>) -> Self {
        CURRENT.set(Some(Rc::clone(shared)));
        Logging
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// What tells an error of a call from all others.
pub(crate) fn next_cause() -> u64 {
    LAST_CAUSE.set(LAST_CAUSE.get() + 1);
    LAST_CAUSE.get()
}

/// Write a log line; outside of runs to stderr.
pub(crate) fn log(level: Level, message: &str, fields: &str) {
    let current = CURRENT.with_borrow(Clone::clone);
    match current {
        Some(shared) => shared.state.borrow_mut().run.logs.push(LogLine {
            level,
            message: message.to_owned(),
            fields: decoded(fields),
        }),
        None => eprintln!("{level}: {message} {fields}"),
    }
}
