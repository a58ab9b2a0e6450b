//! The seam between a guest's imports and the world: the gate and the store, or a cassette.
//!
//! Imports check what the guest asks, and then ask here, for one of few things. A live run does
//! them outside; a recorded one too, with its tape in between; a replay has no outside at all, so
//! that nothing in it can reach a network or a store.

mod live;
mod safe_point;
mod tape_value;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tidegate_egress::{Overdrawn, Request, Share};
use tidegate_engine::cassette::{
    Ask, Body, Change, CommitAsk, Exchange, Refusal, RefusalKind, Response,
};
use tidegate_engine::record::Counts;
use tidegate_engine::run::{Figures, LogLine, RunId};
use tidegate_engine::store::{Ended, Proof, ReadChanges, Unseen};
use tidegate_engine::{Name, StoreError};

use crate::tape::Tape;
pub(crate) use live::{LiveBackend, page_refusal};
pub(crate) use safe_point::SafePoint;
use tape_value::{Repeated, TapeValue};

/// What an answer takes of the run's account, from when it came: it counts while the answer waits for its turn
/// on a tape, and then until the guest has it. `None` of one that came from no outside.
pub(crate) type AnswerShare = Option<Result<Share, Overdrawn>>;

/// What one run's imports reach.
pub(crate) struct HostCalls {
    /// `None` in a replay.
    pub(crate) live: Option<LiveBackend>,
    /// `None` in a run that is neither recorded nor replayed.
    pub(crate) tape: Option<Arc<Tape>>,
    pub(crate) rest: SafePoint,
}

impl HostCalls {
    /// Do something outside, on the tape if there is one.
    async fn perform<T: TapeValue>(
        &self,
        ask: impl FnOnce() -> Ask,
        live: impl AsyncFnOnce(&LiveBackend) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let real = async {
            match &self.live {
                Some(backend) => {
                    self.rest.depart().await;
                    live(backend).await
                }
                None => Err(nowhere()),
            }
        };
        let Some(tape) = &self.tape else {
            return real.await;
        };
        let ask = ask();
        tape_value::decode(
            tape.call(ask, async { tape_value::encode(real.await) })
                .await,
        )
    }

    /// `http.send`
    pub(crate) async fn send(&self, request: Request) -> Result<(Response, AnswerShare), Refusal> {
        let asked = self.tape.as_ref().map(|_| Exchange {
            method: request.method.clone(),
            url: request.url.clone(),
            headers: request.headers.clone(),
            body: Body::new(request.body.clone().unwrap_or_default().into()),
        });
        let ask = || Ask::Send(asked.unwrap_or_default());
        let mut held = None;
        let live = async |live: &LiveBackend| {
            let (response, share) = live.send(request).await?;
            held = share.map(Ok);
            Ok(response)
        };
        let response = self.perform(ask, live).await?;
        Ok((response, held))
    }

    /// `records.commit`
    pub(crate) async fn commit(
        &self,
        commit: CommitAsk,
        progress: Figures,
    ) -> Result<Vec<Counts>, Refusal> {
        let asked = self.tape.as_ref().map(|_| commit.clone());
        let ask = || Ask::Commit(asked.unwrap_or_default());
        let CommitAsk { pages, checkpoint } = commit;
        self.perform(ask, async |live| {
            live.commit(pages, checkpoint, progress).await
        })
        .await
    }

    /// `records.get`
    pub(crate) async fn get(
        &self,
        model: Name,
        ids: &[String],
    ) -> Result<(Vec<Option<String>>, AnswerShare), Refusal> {
        let ask = || Ask::Get {
            model: model.clone(),
            ids: ids.to_vec(),
        };
        let mut held = None;
        let live = async |live: &LiveBackend| {
            let found = live.get(&model, ids).await?;
            held = Some(live.hold(bodies_bytes(&found)).await);
            Ok(found)
        };
        let found = self.perform(ask, live).await?;
        Ok((found, held))
    }

    /// `records.begin-snapshot`
    pub(crate) async fn begin_snapshot(&self, model: Name, restart: bool) -> Result<bool, Refusal> {
        let ask = || Ask::BeginSnapshot {
            model: model.clone(),
            restart,
        };
        self.perform(ask, async |live| live.begin_snapshot(&model, restart).await)
            .await
    }

    /// `records.unseen`
    pub(crate) async fn unseen(
        &self,
        model: Name,
        after: u64,
        limit: u32,
    ) -> Result<(Unseen, AnswerShare), Refusal> {
        let ask = || Ask::Unseen {
            model: model.clone(),
            after,
            limit,
        };
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut held = None;
        let live = async |live: &LiveBackend| {
            let found = live.unseen(&model, after, most).await?;
            held = Some(live.hold(unseen_bytes(&found)).await);
            Ok(found)
        };
        let found = self.perform(ask, live).await?;
        Ok((found, held))
    }

    /// `records.repeat-snapshot`
    pub(crate) async fn repeat_snapshot(
        &self,
        model: Name,
        checkpoint: Option<String>,
    ) -> Result<u64, Refusal> {
        let ask = || Ask::RepeatSnapshot {
            model: model.clone(),
            checkpoint: checkpoint.clone(),
        };
        let live = async |live: &LiveBackend| {
            let unseen = live.repeat_snapshot(&model, checkpoint.clone()).await;
            unseen.map(Repeated)
        };
        self.perform(ask, live).await.map(|unseen| unseen.0)
    }

    /// `records.end-snapshot`
    pub(crate) async fn end_snapshot(
        &self,
        model: Name,
        proof: Proof,
        checkpoint: Option<String>,
    ) -> Result<Ended, Refusal> {
        let ask = || Ask::EndSnapshot {
            model: model.clone(),
            proof,
            checkpoint: checkpoint.clone(),
        };
        self.perform(ask, async |live| {
            let checkpoint = checkpoint.clone();
            live.end_snapshot(&model, proof, checkpoint).await
        })
        .await
    }

    /// `feed.read`
    pub(crate) async fn read_feed(
        &self,
        read: ReadChanges,
        cursor: Option<&str>,
    ) -> Result<(Vec<Change>, AnswerShare), Refusal> {
        let ask = || Ask::ReadFeed {
            feed: format!("{}/{}", read.model.connection.integration, read.model.model),
            connection: read.model.connection.connection.to_string(),
            cursor: cursor.map(str::to_owned),
            limit: u32::try_from(read.limit).unwrap_or(u32::MAX),
        };
        let mut held = None;
        let live = async |live: &LiveBackend| {
            let changes = live.read_feed(read.clone()).await?;
            held = Some(live.hold(changes_bytes(&changes)).await);
            Ok(changes)
        };
        let changes = self.perform(ask, live).await?;
        Ok((changes, held))
    }

    /// `state.merge-metadata`
    pub(crate) async fn merge_metadata(
        &self,
        patch: &Map<String, Value>,
        bytes_max: usize,
    ) -> Result<(), Refusal> {
        let ask = || Ask::MergeMetadata {
            patch: Value::Object(patch.clone()).to_string(),
        };
        self.perform(ask, async |live| {
            live.merge_metadata(patch.clone(), bytes_max).await
        })
        .await
    }

    /// `clock.sleep`
    pub(crate) async fn sleep(&self, duration_ms: u64) {
        let ask = || Ask::Sleep { ms: duration_ms };
        let live = async |_: &LiveBackend| {
            tokio::time::sleep(Duration::from_millis(duration_ms)).await;
            Ok(())
        };
        // A sleep has no error.
        let _ = self.perform(ask, live).await;
    }

    /// Keep lines of the run's log; a replay's are its observer's.
    pub(crate) async fn append_logs(
        &self,
        run: RunId,
        lines: Vec<LogLine>,
    ) -> Result<(), StoreError> {
        match &self.live {
            Some(live) => live.store.append_logs(run, lines).await,
            None => Ok(()),
        }
    }
}

/// Text of bodies that were asked for by id.
pub(crate) fn bodies_bytes(bodies: &[Option<String>]) -> usize {
    bodies.iter().flatten().map(String::len).sum()
}

/// Text of ids.
pub(crate) fn unseen_bytes(unseen: &Unseen) -> usize {
    unseen.ids.iter().map(String::len).sum()
}

/// Text of changes.
pub(crate) fn changes_bytes(changes: &[Change]) -> usize {
    let bytes = |change: &Change| {
        let body = change.body.as_ref().map_or(0, String::len);
        change.cursor.len() + change.id.len() + body
    };
    changes.iter().map(bytes).sum()
}

/// What a call gets where there is neither a world nor a tape.
fn nowhere() -> Refusal {
    refusal(RefusalKind::Other, "this run reaches nothing outside")
}

pub(crate) fn refusal(kind: RefusalKind, message: impl Into<String>) -> Refusal {
    Refusal {
        kind,
        message: message.into(),
        limit: None,
        blame: None,
        retry_after_ms: None,
        sent: false,
        failure: None,
    }
}
