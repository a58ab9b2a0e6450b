//! What a live run reaches: the egress gate and the store, with their errors in a guest's words.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tidegate_egress::{EgressError, Overdrawn, Request, Sent, Session, Share, TokenFault};
use tidegate_engine::cassette::{Body, Change, Refusal, RefusalKind, Response};
use tidegate_engine::cursor::Cursor;
use tidegate_engine::record::{Action, Counts, Page, PageError, Record};
use tidegate_engine::run::{Blame, Failure, FailureClass, Fence, Figures, RunId, TOKEN_REJECTED};
use tidegate_engine::store::{
    Commit, Durability, Durable, EndSnapshot, Ended, ModelError, Proof, ReadChanges, SnapshotGuard,
    Unseen, check_model,
};
use tidegate_engine::{ConnectionKey, Name, Store, StoreError};
use tracing::Instrument;

use super::refusal;
use crate::clock::Clock;

/// The gate and the store, as one run may use them.
pub(crate) struct LiveBackend {
    pub(crate) session: Session,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) run: RunId,
    pub(crate) fence: Fence,
    pub(crate) connection: ConnectionKey,
    pub(crate) durability: Durability,
    /// The run's start.
    pub(crate) stored: Durable,
    pub(crate) guard: SnapshotGuard,
    pub(crate) clock: Clock,
}

impl LiveBackend {
    /// The response, and what of the run's account its body takes.
    pub(super) async fn send(
        &self,
        request: Request,
    ) -> Result<(Response, Option<Share>), Refusal> {
        // Whatever it does outside, there is a run that tells of it.
        self.stored.wait().await.map_err(store_refusal)?;
        let sent = Sent::default();
        match self.session.send_noting(request, &sent).await {
            Ok(response) => {
                let share = response.share;
                let response = Response {
                    status: response.status,
                    headers: response.headers,
                    body: Body::new(response.body.into()),
                    url: response.url.into(),
                };
                Ok((response, share))
            }
            Err(error) => Err(Refusal {
                sent: sent.get(),
                ..http_refusal(&error)
            }),
        }
    }

    /// Count bytes of an answer as held.
    pub(super) async fn hold(&self, bytes: usize) -> Result<Share, Overdrawn> {
        self.session.account().hold(bytes as u64).await
    }

    pub(super) async fn commit(
        &self,
        pages: Vec<Page>,
        checkpoint: Option<String>,
        progress: Figures,
    ) -> Result<Vec<Counts>, Refusal> {
        let records: usize = pages.iter().map(|page| page.save.len()).sum();
        let deletions: usize = pages.iter().map(|page| page.delete.len()).sum();
        let span = tracing::debug_span!("commit", records, deletions);
        let commit = Commit {
            pages,
            checkpoint,
            durability: self.durability,
            progress,
            now: self.clock.now(),
        };
        let begin = Instant::now();
        let committed = self.store.commit_page(self.run, self.fence, commit);
        let committed = committed.instrument(span).await;
        metrics::histogram!("tidegate_commit_seconds").record(begin.elapsed());
        committed.map_err(store_refusal)
    }

    pub(super) async fn get(
        &self,
        model: &Name,
        ids: &[String],
    ) -> Result<Vec<Option<String>>, Refusal> {
        let model = self.connection.model(model.clone());
        let records = self
            .store
            .records(&model, ids)
            .await
            .map_err(store_refusal)?;
        let live_body = |record: Record| match record.action {
            Action::Deleted => None,
            Action::Added | Action::Updated => record.body,
        };
        Ok(records
            .into_iter()
            .map(|record| record.and_then(live_body))
            .collect())
    }

    pub(super) async fn begin_snapshot(
        &self,
        model: &Name,
        restart: bool,
    ) -> Result<bool, Refusal> {
        let begun = self
            .store
            .begin_snapshot(self.run, self.fence, model, restart)
            .await;
        begun.map_err(store_refusal)
    }

    pub(super) async fn unseen(
        &self,
        model: &Name,
        after: u64,
        limit: usize,
    ) -> Result<Unseen, Refusal> {
        let unseen = self
            .store
            .unseen(self.run, self.fence, model, self.guard, after, limit)
            .await;
        unseen.map_err(store_refusal)
    }

    pub(super) async fn repeat_snapshot(
        &self,
        model: &Name,
        checkpoint: Option<String>,
    ) -> Result<u64, Refusal> {
        let repeated = self
            .store
            .repeat_snapshot(self.run, self.fence, model, checkpoint)
            .await;
        repeated.map_err(store_refusal)
    }

    pub(super) async fn end_snapshot(
        &self,
        model: &Name,
        proof: Proof,
        checkpoint: Option<String>,
    ) -> Result<Ended, Refusal> {
        let end = EndSnapshot {
            proof,
            guard: self.guard,
            checkpoint,
            now: self.clock.now(),
        };
        let ended = self
            .store
            .end_snapshot(self.run, self.fence, model, end)
            .await;
        ended.map_err(store_refusal)
    }

    pub(super) async fn read_feed(&self, read: ReadChanges) -> Result<Vec<Change>, Refusal> {
        let (model, from_start) = (read.model.clone(), read.after.is_none());
        let changes = self.store.read_changes(read).await.map_err(store_refusal)?;
        // A feed without changes is fine, that of a misspelt model is not.
        if from_start && changes.records.is_empty() {
            let checked = check_model(&*self.store, &model).await;
            checked.map_err(|error| match error {
                ModelError::Store(error) => store_refusal(error),
                unknown @ ModelError::Unknown { .. } => {
                    refusal(RefusalKind::Denied, unknown.to_string())
                }
            })?;
        }
        let next = changes.next;
        let change = |record: Record| Change {
            cursor: Cursor {
                seq: record.seq,
                ..next
            }
            .to_string(),
            id: record.id,
            action: record.action,
            body: record.body,
            first_seen_at: record.first_seen_at,
            last_modified_at: record.last_modified_at,
        };
        Ok(changes.records.into_iter().map(change).collect())
    }

    pub(super) async fn merge_metadata(
        &self,
        patch: Map<String, Value>,
        bytes_max: usize,
    ) -> Result<(), Refusal> {
        let now = self.clock.now();
        let merged = self
            .store
            .merge_metadata(self.run, self.fence, patch, bytes_max, now)
            .await;
        merged.map_err(store_refusal)
    }
}

fn http_refusal(error: &EgressError) -> Refusal {
    let kind = match error {
        EgressError::Denied { .. } => RefusalKind::Denied,
        EgressError::Token { .. } => RefusalKind::Token,
        // To the guest it is one: no answer came in time, and a later run may get one.
        EgressError::Timeout { .. } | EgressError::Throttled { .. } | EgressError::Full { .. } => {
            RefusalKind::Timeout
        }
        EgressError::Connect { .. } => RefusalKind::Connect,
        EgressError::TooLarge { .. } => RefusalKind::TooLarge,
        EgressError::Invalid { .. } => RefusalKind::Invalid,
        EgressError::Exhausted { .. } => RefusalKind::Exhausted,
        EgressError::Other { .. } => RefusalKind::Other,
    };
    // Whatever the guest makes of it: nothing goes on before the connection has other credentials.
    let refused = |code: &str| {
        let mut failure = Failure::new(FailureClass::Auth, Blame::Operator, error.to_string());
        failure.code = Some(code.to_owned());
        Some(failure)
    };
    let failure = match error {
        EgressError::Token { fault, .. } => match fault {
            TokenFault::Rejected => refused(TOKEN_REJECTED),
            TokenFault::Refused => refused("token-refused"),
            TokenFault::Failed => None,
        },
        _ => None,
    };
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Refusal {
        limit: error.limit().map(str::to_owned),
        blame: Some(error.blame()).filter(|blame| *blame != Blame::Guest),
        retry_after_ms: error.retry_after().map(ms),
        failure,
        ..refusal(kind, error.to_string())
    }
}

/// Why a page breaks a rule or a limit.
pub(crate) fn page_refusal(error: &PageError) -> Refusal {
    let cause = match error {
        PageError::ManyBad { first, .. } => first,
        error => error,
    };
    let limit = match cause {
        PageError::LongId { .. } => Some("record_id_bytes"),
        PageError::LongBody { .. } => Some("record_bytes"),
        PageError::ManyRecords { .. } => Some("records_per_commit"),
        PageError::ManyBytes { .. } => Some("commit_bytes"),
        PageError::LongCheckpoint { .. } => Some("checkpoint_bytes"),
        PageError::DeepBody { .. } => Some("json_depth"),
        _ => None,
    };
    Refusal {
        limit: limit.map(str::to_owned),
        blame: Some(error.blame()).filter(|blame| *blame != Blame::Guest),
        ..refusal(RefusalKind::Invalid, error.to_string())
    }
}

/// What the guest is told about a store error, and what the operator must know.
fn store_refusal(error: StoreError) -> Refusal {
    let message = error.to_string();
    let fails = |kind, class, blame| Refusal {
        failure: Some(Failure::new(class, blame, message.clone())),
        ..refusal(kind, message.clone())
    };
    match error {
        StoreError::Page(error) => page_refusal(&error),
        // Somebody cancelled it, or another run took over.
        StoreError::Fenced { .. } => Refusal {
            blame: Some(Blame::Operator),
            ..refusal(RefusalKind::Fenced, message)
        },
        StoreError::Guard(_) => {
            let mut refusal = fails(RefusalKind::Refused, FailureClass::Refused, Blame::Upstream);
            if let Some(failure) = &mut refusal.failure {
                failure.limit = Some("snapshot_delete_percent".to_owned());
            }
            refusal
        }
        StoreError::NoSnapshot { .. } | StoreError::Busy { .. } | StoreError::Cursor(_) => {
            refusal(RefusalKind::Invalid, message)
        }
        // All but the first are told to others than guests, whose calls never come to them.
        StoreError::NotFound { .. }
        | StoreError::Exists { .. }
        | StoreError::KeyConflict { .. }
        | StoreError::ManyKeys { .. }
        | StoreError::Definition(_)
        | StoreError::Stale { .. }
        | StoreError::State { .. }
        | StoreError::Full { .. } => refusal(RefusalKind::Denied, message),
        StoreError::Damaged { .. } | StoreError::Backend(_) => {
            fails(RefusalKind::Other, FailureClass::Internal, Blame::Host)
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tidegate_egress::{Gate, GateOptions, Policy, SecretTexts};
    use tidegate_engine::Timestamp;
    use tidegate_engine::cassette::Head;
    use tidegate_engine::limits::Limits;
    use tidegate_engine::run::LogLine;
    use tidegate_store_memory::MemoryStore;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::oneshot;

    use super::*;
    use crate::calls::{HostCalls, SafePoint};
    use crate::observer::Observer;
    use crate::tape::{Recording, Tape};

    /// The outside of a run that may ask `port` of this machine.
    fn live(port: u16, stored: Durable) -> LiveBackend {
        let connection: ConnectionKey = serde_json::from_value(serde_json::json!({
            "integration": "crm",
            "connection": "acme",
        }))
        .unwrap();
        let base_url = format!("http://127.0.0.1:{port}/");
        let policy = Policy {
            connection: connection.clone(),
            since: Timestamp(1),
            rate_limit: None,
            requested: vec![serde_json::from_value(base_url.clone().into()).unwrap()],
            granted: vec![base_url.parse().unwrap()],
            private: vec!["127.0.0.0/8".parse().unwrap()],
            base_url: base_url.parse().unwrap(),
            credentials: None,
            secrets: SecretTexts::default(),
            limits: Limits::default(),
        };
        LiveBackend {
            session: Gate::new(GateOptions::default()).session(policy),
            store: Arc::new(MemoryStore::default()),
            run: RunId::from_parts(Timestamp(1), 1),
            fence: Fence(1),
            connection,
            durability: Durability::Durable,
            stored,
            guard: SnapshotGuard::default(),
            clock: Clock::system(),
        }
    }

    #[tokio::test]
    async fn nothing_leaves_before_the_start_is_on_disk() {
        for is_stored in [true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (tell, told) = oneshot::channel();
            let stored = Durable::when(async { told.await.unwrap() });
            let live = live(listener.local_addr().unwrap().port(), stored);
            let request = Request {
                method: "POST".to_owned(),
                url: "contacts".to_owned(),
                ..Request::default()
            };
            let mut sent = Box::pin(live.send(request));
            for _ in 0..1000 {
                assert!(futures::poll!(&mut sent).is_pending());
                tokio::task::yield_now().await;
                assert!(listener.accept().now_or_never().is_none());
            }
            if is_stored {
                tell.send(Ok(())).unwrap();
                tokio::select! {
                    sent = &mut sent => panic!("nobody answers: {sent:?}"),
                    accepted = listener.accept() => drop(accepted.unwrap()),
                }
                continue;
            }
            let full = StoreError::Backend("the disk is full".into());
            tell.send(Err(full)).unwrap();
            let refused = sent.await.unwrap_err();
            assert!(refused.message.contains("the disk is full"), "{refused:?}");
            assert!(listener.accept().now_or_never().is_none());
        }
    }

    fn head(run: RunId) -> Head {
        serde_json::from_value(serde_json::json!({
            "tidegate_cassette": 1,
            "plugin": {"name": "crm", "version": "1.0.0", "digest": "0".repeat(64)},
            "run": run,
            "target": {
                "kind": "sync",
                "connection": {"integration": "crm", "connection": "acme"},
                "sync": "contacts",
                "variant": "base",
            },
            "trigger": "manual",
            "attempt": 1,
            "started_at": 1,
            "base_url": "http://127.0.0.1/",
            "config": "{}",
            "metadata": "{}",
            "checkpoint": null,
            "grants": {},
            "seed": "00".repeat(32),
        }))
        .unwrap()
    }

    struct Nobody;

    impl Observer for Nobody {
        fn log(&self, _: &LogLine) {}
    }

    #[tokio::test]
    async fn an_answer_counts_while_it_waits_for_its_turn_on_a_tape() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let live = live(port, Durable::when(async { Ok(()) }));
        let account = live.session.account().clone();
        let all = Limits::default().host_held_bytes;
        let is_held = || {
            account
                .hold(all)
                .now_or_never()
                .is_none_or(|held| held.is_err())
        };
        let recording = Recording {
            sink: Box::new(std::io::sink()),
            secrets: SecretTexts::default(),
        };
        let tape = Arc::new(Tape::record(recording, &head(live.run)));
        let calls = HostCalls {
            live: Some(live),
            tape: Some(Arc::clone(&tape)),
            rest: SafePoint::new(Arc::new(Nobody)),
        };
        let request = Request {
            method: "GET".to_owned(),
            url: "contacts".to_owned(),
            ..Request::default()
        };
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1024];
            assert!(stream.read(&mut asked).await.unwrap() > 0);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{}",
                "x".repeat(5000)
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            // It is whole when the client has no more to ask on this connection.
            while tape.arrived() == 0 {
                tokio::task::yield_now().await;
            }
        };
        let mut sent = Box::pin(calls.send(request));
        tokio::select! {
            biased;
            _ = &mut sent => panic!("it is not its turn"),
            () = serve => {}
        }
        assert!(is_held(), "while it waits");
        tape.turn();
        let (response, held) = sent.await.unwrap();
        assert_eq!(response.body.bytes().len(), 5000);
        assert!(is_held(), "when it is given");
        drop(held);
        assert!(!is_held());
    }
}
