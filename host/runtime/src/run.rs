//! One run, from a fresh wasmtime store to its outcome.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tidegate_egress::{Credentials, Policy, Session};
use tidegate_engine::cassette::{End, Head, PluginId, VERSION};
use tidegate_engine::grant::FeedGrant;
use tidegate_engine::integration::{Connection, Deployment};
use tidegate_engine::limits::Limits;
use tidegate_engine::manifest::{Capabilities, FeedRequest};
use tidegate_engine::redact::SecretTexts;
use tidegate_engine::run::{Level, RunId, Target};
use tidegate_engine::store::SnapshotGuard;
use tidegate_engine::{Name, Store};

use crate::calls::{HostCalls, LiveBackend, SafePoint};
use crate::clock::GuestClock;
use crate::engine::Runtime;
use crate::guest::{Call, Ended};
use crate::log::RunLog;
use crate::meter::Meter;
use crate::observer::{Observer, RecordingObserver};
use crate::outcome;
use crate::output::OutputCheck;
use crate::plugin::Plugin;
use crate::spec::{RunResult, RunSpec};
use crate::state::{HostNotes, Live};
use crate::tape::Tape;
use crate::verdict::{Evidence, Verdict};

/// How often log lines are stored while a run goes on.
const LOG_FLUSH_EVERY: Duration = Duration::from_secs(1);

/// What a run is made of, live or replayed.
pub(crate) struct RunInput {
    pub(crate) head: Head,
    pub(crate) capabilities: Capabilities,
    pub(crate) models: Vec<Name>,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) output_check: Option<OutputCheck>,
    pub(crate) secrets: SecretTexts,
    pub(crate) calls: HostCalls,
    pub(crate) meter: Arc<Meter>,
    pub(crate) cancelled: BoxFuture<'static, ()>,
}

impl Runtime {
    /// A session at the gate, as a run of this deployment for this connection gets one.
    #[must_use]
    pub fn session(
        &self,
        deployment: &Deployment,
        connection: &Connection,
        credentials: Option<Credentials>,
        secrets: SecretTexts,
    ) -> Session {
        let (asked, grants) = (&deployment.manifest.capabilities, &deployment.grants);
        let limits = Limits::resolve(&asked.limits, &grants.limits);
        self.session_within(deployment, connection, credentials, secrets, limits)
    }

    fn session_within(
        &self,
        deployment: &Deployment,
        connection: &Connection,
        credentials: Option<Credentials>,
        secrets: SecretTexts,
        limits: Limits,
    ) -> Session {
        let (asked, grants) = (&deployment.manifest.capabilities, &deployment.grants);
        self.gate.session(Policy {
            connection: connection.key.clone(),
            since: connection.created_at,
            rate_limit: grants.rate_limit.or(asked.rate_limit),
            requested: asked.hosts.clone(),
            granted: grants.hosts.clone(),
            private: grants.private.clone(),
            base_url: connection.base_url.clone(),
            credentials,
            limits,
            secrets,
        })
    }

    /// Run a sync, an action or an event. Never fails: whatever happens is the run's outcome.
    /// Its log is in the store when this returns.
    pub async fn run(
        &self,
        plugin: &Plugin,
        spec: RunSpec,
        store: Arc<dyn Store>,
        observer: Arc<dyn Observer>,
    ) -> RunResult {
        let head = self.head(plugin, &spec);
        let tape = spec
            .recording
            .map(|recording| Arc::new(Tape::record(recording, &head)));
        let capabilities = spec.integration.current.manifest.capabilities.clone();
        let limits = Limits::resolve(&capabilities.limits, &head.grants.limits);
        let session = self.session_within(
            &spec.integration.current,
            &spec.connection,
            spec.credentials,
            spec.secrets.clone(),
            match spec.target {
                Target::Event { .. } => limits.clone().for_check(),
                _ => limits.clone(),
            },
        );
        spec.meter.watch_session(session.clone());
        let live = LiveBackend {
            session,
            store,
            run: spec.run,
            fence: spec.fence,
            connection: spec.connection.key,
            durability: spec.durability,
            stored: spec.stored,
            guard: SnapshotGuard {
                max_share_percent: u8::try_from(limits.snapshot_delete_percent).unwrap_or(100),
                allow_all: spec.allow_deletes,
            },
            clock: self.clock.clone(),
        };
        let given = RunInput {
            head,
            capabilities,
            models: spec.models,
            metadata: spec.connection.metadata,
            output_check: spec.output_check,
            secrets: spec.secrets,
            calls: HostCalls {
                live: Some(live),
                tape,
                rest: SafePoint::new(Arc::clone(&observer)),
            },
            meter: spec.meter,
            cancelled: spec.cancelled,
        };
        self.perform(plugin, given, observer).await
    }

    /// What the run is given, as a cassette keeps it.
    fn head(&self, plugin: &Plugin, spec: &RunSpec) -> Head {
        let deployment = &spec.integration.current;
        let manifest = &deployment.manifest;
        Head {
            tidegate_cassette: VERSION,
            plugin: PluginId {
                name: manifest.name.clone(),
                version: manifest.version.to_string(),
                digest: plugin.digest,
            },
            run: spec.run,
            target: spec.target.clone(),
            trigger: spec.trigger,
            attempt: spec.attempt,
            started_at: self.clock.now(),
            base_url: spec.connection.base_url.clone(),
            config: Value::Object(spec.config.clone()).to_string(),
            metadata: Value::Object(spec.connection.metadata.clone()).to_string(),
            checkpoint: spec.checkpoint.clone(),
            input: spec.input.clone(),
            idempotency_key: spec.idempotency_key.clone(),
            grants: deployment.grants.clone(),
            seed: spec.seed,
        }
    }

    /// Run what is given, live or on a tape.
    pub(crate) fn perform<'a>(
        &'a self,
        plugin: &'a Plugin,
        mut given: RunInput,
        observer: Arc<dyn Observer>,
    ) -> BoxFuture<'a, RunResult> {
        Box::pin(async move {
            let output_check = given.output_check.take();
            let head = &given.head;
            let limits = Limits::resolve(&given.capabilities.limits, &head.grants.limits);
            let run = head.run;
            let meter = Arc::clone(&given.meter);
            let tape = given.calls.tape.clone();
            let observer: Arc<dyn Observer> = match &tape {
                Some(tape) => Arc::new(RecordingObserver(observer, Arc::clone(tape))),
                None => observer,
            };
            let secrets = given.secrets.clone();
            let log = RunLog::new(&limits, self.clock.clone(), observer, secrets.clone());
            let call = Call {
                target: head.target.clone(),
                input: head.input.clone(),
                limits: limits.clone(),
                seed: head.seed,
                started_at: head.started_at,
            };
            let (live, cancelled) = self.live(given, limits.clone(), log.clone());
            let live = Arc::new(live);
            let guest = self.guest(plugin, call, Arc::clone(&live), cancelled);
            let flusher = flush_logs(run, log.clone(), Arc::clone(&live));
            let ended: Ended = match select(pin!(guest), pin!(flusher)).await {
                Either::Left((ended, _)) => ended,
                Either::Right((never, _)) => match never {},
            };
            if let Some(complaint) = tape.as_ref().and_then(|tape| tape.complaint()) {
                log.host(Level::Warn, &complaint);
            }
            let (lines, kept, dropped) = log.finish();
            meter.logged(kept, dropped);
            let notes = std::mem::take(&mut *live.notes.lock());
            let evidence = Evidence {
                ending: ended.ending,
                notes,
                refused_growth: ended.refused_growth,
                output: ended.output,
                is_sync: live.is_sync,
                limits: &limits,
                output_check,
            };
            let mut verdict = Verdict::of(evidence).await;
            verdict.redact(&secrets.redactor());
            if !lines.is_empty()
                && let Err(error) = live.calls.append_logs(run, lines).await
            {
                verdict.without_log(&error.to_string());
            }
            let Verdict {
                outcome,
                mut failure,
                output,
            } = verdict;
            let figures = meter.figures();
            if let Some(failure) = &mut failure {
                outcome::tell_budget(failure, figures.waited.retries_unpaid);
            }
            let end = End::of(outcome, failure.clone(), output.clone(), live.is_sync);
            RunResult {
                outcome,
                failure,
                figures,
                output,
                recorded: tape.and_then(|tape| tape.finish(end)),
                deferred: ended.deferred,
            }
        })
    }

    fn live(&self, given: RunInput, limits: Limits, log: RunLog) -> (Live, BoxFuture<'static, ()>) {
        let RunInput {
            head, capabilities, ..
        } = given;
        let key = head.target.connection();
        let context = json!({
            "run": head.run,
            "integration": key.integration,
            "connection": key.connection,
            "base_url": head.base_url,
            "kind": head.target.kind(),
            "name": head.target.name(),
            "variant": match &head.target {
                Target::Sync(key) => key.variant.as_str(),
                _ => "base",
            },
            "attempt": head.attempt,
            "trigger": head.trigger,
            "idempotency_key": head.idempotency_key,
        });
        let clock = GuestClock {
            clock: self.clock.clone(),
            tape: given.calls.tape.clone(),
        };
        let account = match &given.calls.live {
            Some(live) => live.session.account().clone(),
            // A replay, whose answers are on its tape.
            None => self.gate.held().account(limits.host_held_bytes),
        };
        let live = Live {
            connection: key.clone(),
            models: given.models,
            feeds: granted_feeds(&capabilities.feeds, &head.grants.feeds),
            metadata_write: capabilities.metadata_write && head.grants.metadata_write,
            limits,
            is_sync: matches!(head.target, Target::Sync(_)),
            checkpoint: head.checkpoint,
            config: head.config,
            secrets: given.secrets,
            metadata: Mutex::new(given.metadata),
            context: context.to_string(),
            calls: given.calls,
            meter: given.meter,
            account,
            log,
            clock,
            notes: Mutex::new(HostNotes::default()),
        };
        (live, given.cancelled)
    }
}

fn granted_feeds(requested: &[FeedRequest], granted: &[FeedGrant]) -> Vec<FeedGrant> {
    let asked = |grant: &FeedGrant| {
        requested.iter().any(|request| match request {
            FeedRequest::Config => true,
            FeedRequest::Feed(wanted) => *wanted == grant.feed,
        })
    };
    granted
        .iter()
        .filter(|grant| asked(grant))
        .cloned()
        .collect()
}

/// Store log lines every so often, so that a long run can be followed and a crash loses little.
async fn flush_logs(run: RunId, log: RunLog, live: Arc<Live>) -> std::convert::Infallible {
    loop {
        // Most runs write none, and a timer wakes a thread.
        log.written().await;
        tokio::time::sleep(LOG_FLUSH_EVERY).await;
        let lines = log.take_pending();
        if !lines.is_empty() {
            // A failure shows when the rest of the log is stored at the end.
            let _ = live.calls.append_logs(run, lines).await;
        }
    }
}
