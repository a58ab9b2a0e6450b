//! The seam in a component: each call is the WIT import of the same name, each export is the
//! plugin's handler.

use self::bindings::tidegate::plugin as wit;
use super::{
    Answer, Batch, Change, ChangeAction, Host, HttpError, HttpErrorKind, Level, ModelOutcome,
    Proof, Request, Retry, SnapshotEnd, Source, StoreError, StoreErrorKind, Unseen,
};
use crate::failure::{Failure, FailureKind};
use crate::{Cx, Plugin};

/// What `wit-bindgen` makes of `wit/` (checked in, see `tests/contract.rs`). Its code is unsafe by
/// nature, and not ours to document.
#[rustfmt::skip]
#[allow(
    unsafe_code,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::semicolon_if_nothing_returned,
    clippy::cast_possible_truncation,
    clippy::needless_pass_by_value,
    clippy::uninlined_format_args
)]
#[path = "bindings.rs"]
pub mod bindings;

/// The export `sync`.
pub async fn sync(plugin: Plugin, name: String) -> Result<(), wit::types::Failure> {
    plugin
        .run_sync(Cx::new(Handle), &name)
        .await
        .map_err(lower_failure)
}

/// The export `action`.
pub async fn action(
    plugin: Plugin,
    name: String,
    input: String,
) -> Result<String, wit::types::Failure> {
    plugin
        .run_action(Cx::new(Handle), &name, input)
        .await
        .map_err(lower_failure)
}

/// The export `event`.
pub async fn event(
    plugin: Plugin,
    kind: String,
    payload: String,
) -> Result<String, wit::types::Failure> {
    plugin
        .run_event(Cx::new(Handle), &kind, payload)
        .await
        .map_err(lower_failure)
}

/// The host of this component: there is only one, so the handle holds nothing.
#[derive(Debug, Clone)]
pub(crate) struct Handle;

pub(crate) fn log(level: Level, message: &str, fields: &str) {
    let level = match level {
        Level::Debug => wit::log::Level::Debug,
        Level::Info => wit::log::Level::Info,
        Level::Warn => wit::log::Level::Warn,
        Level::Error => wit::log::Level::Error,
    };
    wit::log::write(level, message, fields);
}

impl Host for Handle {
    async fn send(&self, request: Request) -> Result<Answer, HttpError> {
        let request = wit::http::Request {
            method: request.method,
            url: request.url,
            headers: request
                .headers
                .into_iter()
                .map(|(name, value)| wit::http::Header { name, value })
                .collect(),
            body: request.body,
            options: wit::http::Options {
                timeout_ms: request.timeout_ms,
                retry: match request.retry {
                    Retry::Idempotent => wit::http::Retry::Idempotent,
                    Retry::Never => wit::http::Retry::Never,
                    Retry::Always => wit::http::Retry::Always,
                },
                idempotency_key: request.idempotency_key,
            },
        };
        match wit::http::send(request).await {
            Ok(response) => Ok(Answer {
                status: response.status,
                headers: response
                    .headers
                    .into_iter()
                    .map(|header| (header.name, header.value))
                    .collect(),
                body: response.body,
                url: response.url,
            }),
            Err(error) => Err(HttpError {
                kind: match error.kind {
                    wit::http::ErrorKind::Denied => HttpErrorKind::Denied,
                    wit::http::ErrorKind::Timeout => HttpErrorKind::Timeout,
                    wit::http::ErrorKind::Connect => HttpErrorKind::Connect,
                    wit::http::ErrorKind::TooLarge => HttpErrorKind::TooLarge,
                    wit::http::ErrorKind::Invalid => HttpErrorKind::Invalid,
                    wit::http::ErrorKind::Exhausted => HttpErrorKind::Exhausted,
                    wit::http::ErrorKind::Other => HttpErrorKind::Other,
                    wit::http::ErrorKind::Token => HttpErrorKind::Token,
                },
                message: error.message,
                cause: error.cause,
            }),
        }
    }

    async fn commit(
        &self,
        batches: Vec<Batch>,
        checkpoint: Option<String>,
    ) -> Result<Vec<ModelOutcome>, StoreError> {
        let batches = batches
            .into_iter()
            .map(|batch| wit::records::Batch {
                model: batch.model,
                save: batch
                    .save
                    .into_iter()
                    .map(|saved| wit::records::Saved {
                        id: saved.id,
                        body: saved.body,
                    })
                    .collect(),
                delete: batch.delete,
                skipped: batch
                    .skipped
                    .into_iter()
                    .map(|skipped| wit::records::Skipped {
                        id: skipped.id,
                        position: skipped.position,
                        reason: skipped.reason,
                    })
                    .collect(),
                may_skip: batch.may_skip,
            })
            .collect();
        let outcomes = wit::records::commit(batches, checkpoint)
            .await
            .map_err(lift_error)?;
        Ok(outcomes
            .into_iter()
            .map(|outcome| ModelOutcome {
                model: outcome.model,
                added: outcome.added,
                updated: outcome.updated,
                deleted: outcome.deleted,
                unchanged: outcome.unchanged,
                skipped: outcome.skipped,
            })
            .collect())
    }

    async fn get(
        &self,
        model: String,
        ids: Vec<String>,
    ) -> Result<Vec<Option<String>>, StoreError> {
        wit::records::get(model, ids).await.map_err(lift_error)
    }

    async fn begin_snapshot(&self, model: String, restart: bool) -> Result<bool, StoreError> {
        wit::records::begin_snapshot(model, restart)
            .await
            .map_err(lift_error)
    }

    async fn unseen(&self, model: String, after: u64, limit: u32) -> Result<Unseen, StoreError> {
        let page = wit::records::unseen(model, after, limit)
            .await
            .map_err(lift_error)?;
        Ok(Unseen {
            ids: page.ids,
            next: page.next,
            unseen: page.unseen,
            seen: page.seen,
        })
    }

    async fn repeat_snapshot(
        &self,
        model: String,
        checkpoint: Option<String>,
    ) -> Result<u64, StoreError> {
        wit::records::repeat_snapshot(model, checkpoint)
            .await
            .map_err(lift_error)
    }

    async fn end_snapshot(
        &self,
        model: String,
        proof: Proof,
        checkpoint: Option<String>,
    ) -> Result<SnapshotEnd, StoreError> {
        let proof = match proof {
            Proof::None => wit::records::Proof::None,
            Proof::OneAnswer => wit::records::Proof::OneAnswer,
            Proof::TwoPasses => wit::records::Proof::TwoPasses,
        };
        let end = wit::records::end_snapshot(model, proof, checkpoint)
            .await
            .map_err(lift_error)?;
        Ok(SnapshotEnd {
            deleted: end.deleted,
            kept: end.kept,
        })
    }

    async fn read_feed(
        &self,
        source: Source,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<Vec<Change>, StoreError> {
        let source = wit::feed::Source {
            integration: source.integration,
            connection: source.connection,
            model: source.model,
        };
        let changes = wit::feed::read(source, cursor, limit)
            .await
            .map_err(lift_error)?;
        Ok(changes
            .into_iter()
            .map(|change| Change {
                id: change.id,
                action: match change.action {
                    wit::feed::Action::Added => ChangeAction::Added,
                    wit::feed::Action::Updated => ChangeAction::Updated,
                    wit::feed::Action::Deleted => ChangeAction::Deleted,
                },
                body: change.body,
                first_seen_at: change.first_seen_at,
                last_modified_at: change.last_modified_at,
                cursor: change.cursor,
            })
            .collect())
    }

    fn checkpoint(&self) -> Option<String> {
        wit::state::checkpoint()
    }

    fn config(&self) -> String {
        wit::state::config()
    }

    fn metadata(&self) -> String {
        wit::state::metadata()
    }

    async fn merge_metadata(&self, patch: String) -> Result<(), StoreError> {
        wit::state::merge_metadata(patch).await.map_err(lift_error)
    }

    fn context(&self) -> String {
        wit::state::context()
    }

    fn now(&self) -> u64 {
        wit::clock::now()
    }

    async fn sleep(&self, duration_ms: u64) {
        wit::clock::sleep(duration_ms).await;
    }
}

fn lift_error(error: wit::records::Error) -> StoreError {
    StoreError {
        kind: match error.kind {
            wit::records::ErrorKind::Denied => StoreErrorKind::Denied,
            wit::records::ErrorKind::Invalid => StoreErrorKind::Invalid,
            wit::records::ErrorKind::Refused => StoreErrorKind::Refused,
            wit::records::ErrorKind::Fenced => StoreErrorKind::Fenced,
            wit::records::ErrorKind::Other => StoreErrorKind::Other,
        },
        message: error.message,
        cause: error.cause,
    }
}

fn lower_failure(failure: Failure) -> wit::types::Failure {
    wit::types::Failure {
        kind: match failure.kind {
            FailureKind::Transient => wit::types::FailureKind::Transient,
            FailureKind::Auth => wit::types::FailureKind::Auth,
            FailureKind::Config => wit::types::FailureKind::Config,
            FailureKind::Rejected => wit::types::FailureKind::Rejected,
            FailureKind::Unsupported => wit::types::FailureKind::Unsupported,
            FailureKind::Other => wit::types::FailureKind::Other,
        },
        message: failure.message,
        code: failure.code,
        payload: failure.payload,
        upstream: failure.upstream.map(|upstream| wit::types::Upstream {
            status: upstream.status,
            body: upstream.body,
        }),
        retry_after_ms: failure.retry_after_ms,
        cause: failure.cause,
    }
}
