//! The seam on the fake host's side: each call of a plugin, answered.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future;
use std::rc::Rc;

use serde_json::Value;

use super::gate;
use super::outcome::{Committed, LogLine};
use super::reply::Reply;
use super::request::Request;
use super::state::{Expected, Shared, TroubleKind};
use super::store;
use crate::host::{
    Answer, Change, Host, HttpError, Level, ModelOutcome, Page, Proof, Request as Raw, Skipped,
    SnapshotEnd, Source, StoreError, Unseen,
};

const METADATA_MAX: usize = 64 * 1024;
const FEED_LIMIT_MAX: u32 = 10_000;

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
                Err(StoreError::other("the disk is full (fake host)".to_owned()))
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
        let request = self.shared.receive(request).map_err(HttpError::invalid)?;
        let checked = {
            let mut state = self.shared.state.borrow_mut();
            state.run.requests.push(request.clone());
            state.run.in_flight += 1;
            state.run.in_flight_max = state.run.in_flight_max.max(state.run.in_flight);
            gate::check(
                &request,
                &state.run.grants.hosts,
                state.base_url.as_deref(),
                &state.allowed,
            )
        };
        // A request that the plugin drops is no longer in flight either.
        let _in_flight = InFlight(&self.shared);
        checked?;
        let Some(reply) = self.answer(&request) else {
            let text = "nothing answers this request (see the test's output)".to_owned();
            return Err(HttpError::other(text));
        };
        self.shared.clock.sleep(reply.delay_ms).await;
        reply.into_answer(&request.url)
    }

    async fn commit(
        &self,
        pages: Vec<Page>,
        checkpoint: Option<String>,
    ) -> Result<Vec<ModelOutcome>, StoreError> {
        self.writable()?;
        let store::Committed {
            outcome,
            twice,
            skipped,
        } = {
            let mut state = self.shared.state.borrow_mut();
            let models = state.run.grants.models.clone();
            state
                .records
                .commit(&pages, checkpoint.as_deref(), &models)?
        };
        if !twice.is_empty() {
            let ids = twice.join(", ");
            log(
                Level::Warn,
                &format!("ids that occur twice in a commit: {ids}"),
                "",
            );
        }
        for (
            model,
            Skipped {
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
            pages,
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
        state.records.get(&model, &ids, &state.run.grants.models)
    }

    async fn begin_snapshot(&self, model: String, restart: bool) -> Result<bool, StoreError> {
        let mut state = self.shared.state.borrow_mut();
        let models = state.run.grants.models.clone();
        state.records.begin_snapshot(&model, restart, &models)
    }

    async fn unseen(&self, model: String, after: u64, limit: u32) -> Result<Unseen, StoreError> {
        let mut state = self.shared.state.borrow_mut();
        let models = state.run.grants.models.clone();
        state.records.unseen(&model, after, limit, &models)
    }

    async fn repeat_snapshot(
        &self,
        model: String,
        checkpoint: Option<String>,
    ) -> Result<u64, StoreError> {
        self.writable()?;
        let unseen = {
            let mut state = self.shared.state.borrow_mut();
            let models = state.run.grants.models.clone();
            state
                .records
                .repeat_snapshot(&model, checkpoint.as_deref(), &models)?
        };
        self.store_checkpoint(checkpoint.as_deref());
        self.committed(Committed {
            pages: Vec::new(),
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
        let end = {
            let mut state = self.shared.state.borrow_mut();
            let models = state.run.grants.models.clone();
            state
                .records
                .end_snapshot(&model, proof, checkpoint.as_deref(), &models)?
        };
        self.store_checkpoint(checkpoint.as_deref());
        self.committed(Committed {
            pages: Vec::new(),
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
        let feeds = &state.run.grants.feeds;
        if !feeds.iter().any(|feed| *feed == name || feed == "config") {
            return Err(StoreError::denied(format!(
                "{name} is not among the plugin's feeds: add .feed(\"{name}\")"
            )));
        }
        if !(1..=FEED_LIMIT_MAX).contains(&limit) {
            return Err(StoreError::invalid(format!("a limit of {limit}")));
        }
        let key = (source.integration, source.model);
        let changes = state.feeds.get(&key).map(Vec::as_slice).unwrap_or_default();
        let after = match &cursor {
            None => 0,
            Some(cursor) => match changes.iter().position(|change| change.cursor == *cursor) {
                Some(at) => at + 1,
                None => return Err(StoreError::invalid(format!("no cursor `{cursor}`"))),
            },
        };
        // As a real feed, it has a record once: where it changed last.
        let is_last = |(position, change): &(usize, &Change)| {
            let mut later = changes.iter().skip(position + 1);
            !later.any(|other| other.id == change.id)
        };
        let after = changes.iter().enumerate().skip(after).filter(is_last);
        let after = after.map(|(_, change)| change.clone());
        Ok(after.take(limit as usize).collect())
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
        let patch = decoded(&patch);
        if !patch.is_object() {
            return Err(StoreError::invalid("the patch is not an object".to_owned()));
        }
        let mut merged = state.metadata.clone();
        merge(&mut merged, patch);
        let bytes = merged.to_string().len();
        if bytes > METADATA_MAX {
            return Err(StoreError::invalid(format!(
                "metadata of {bytes} bytes; at most {METADATA_MAX}"
            )));
        }
        state.metadata = merged;
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

struct InFlight<'a>(&'a Shared);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.state.borrow_mut().run.in_flight -= 1;
    }
}

fn decoded(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// RFC 7396.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    if let Value::Object(target) = target {
        for (key, value) in patch {
            if value.is_null() {
                target.remove(&key);
            } else {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::merge;

    /// The examples of RFC 7396, appendix A, that start from an object.
    #[test]
    fn merging() {
        for (mut target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": "b"}),
                json!({"b": "c"}),
                json!({"a": "b", "b": "c"}),
            ),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (
                json!({"a": "b", "b": "c"}),
                json!({"a": null}),
                json!({"b": "c"}),
            ),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (
                json!({"e": null}),
                json!({"a": 1}),
                json!({"e": null, "a": 1}),
            ),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ] {
            merge(&mut target, patch);
            assert_eq!(target, expected);
        }
    }
}
