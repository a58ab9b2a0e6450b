//! Asking the API about each candidate.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::FullPull;
use crate::failure::of_store;
use crate::host::{Host, Unseen};
use crate::text::excerpt;
use crate::{Cx, RequestBuilder, Response, Result, info, warn};

/// Requests at once.
const CONCURRENCY: usize = 8;
/// Bodies that are stored in one commit, in bytes.
const BODIES_MAX: usize = 8 * 1024 * 1024;
/// How much of a reason goes into a message.
const REASON_CHARS: usize = 200;

/// What the API says of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It is not there any more.
    Gone,
    /// It lives. With its body (JSON text), if that is what the list would have shown: it is stored.
    Here(Option<String>),
    /// Neither could be told, and why; so it stays this time.
    Unknown(String),
}

impl Presence {
    /// What an answer to a request for the record says by its status: 404 and 410 that it is gone,
    /// a 2xx that it lives. A 429 is a failure, which ends the run for now.
    pub fn of(cx: &Cx, response: Response) -> Result<Presence> {
        match response.status() {
            404 | 410 => Ok(Presence::Gone),
            200..300 => Ok(Presence::Here(None)),
            429 => response.or_failure(cx).map(|_| Presence::Here(None)),
            status => Ok(Presence::Unknown(format!(
                "{} answered {status}",
                response.url()
            ))),
        }
    }
}

/// Who can be asked about a record.
pub(super) trait Ask {
    fn is_able(&self) -> bool;
    async fn ask(&self, id: &str, stored: &str) -> Result<Presence>;
}

pub(super) struct NoConfirmation;

impl Ask for NoConfirmation {
    fn is_able(&self) -> bool {
        false
    }

    async fn ask(&self, _: &str, _: &str) -> Result<Presence> {
        Ok(Presence::Unknown("nobody can be asked".to_owned()))
    }
}

pub(super) struct ConfirmWith<F>(pub(super) F);

impl<F: AsyncFn(&str, &str) -> Result<Presence>> Ask for ConfirmWith<F> {
    fn is_able(&self) -> bool {
        true
    }

    async fn ask(&self, id: &str, stored: &str) -> Result<Presence> {
        (self.0)(id, stored).await
    }
}

/// A request for each id.
pub(super) struct ByRequest<'a>(
    pub(super) &'a Cx,
    pub(super) &'a dyn Fn(&str) -> RequestBuilder,
);

impl Ask for ByRequest<'_> {
    fn is_able(&self) -> bool {
        true
    }

    async fn ask(&self, id: &str, _: &str) -> Result<Presence> {
        Presence::of(self.0, (self.1)(id).send_any().await?)
    }
}

/// What came of asking.
#[derive(Default)]
struct Tally {
    gone: u64,
    here: u64,
    unknown: u64,
    /// Why the first of the unknown is.
    reason: Option<String>,
}

impl FullPull {
    /// Ask about each candidate, from those found on; delete what is gone, store what lives.
    pub(super) async fn confirm_all(
        &mut self,
        ask: &impl Ask,
        found: Unseen,
        checkpoint: &str,
    ) -> Result<()> {
        let mut tally = Tally::default();
        let mut found = found;
        let mut trusted = false;
        loop {
            let ids = std::mem::take(&mut found.ids);
            let answers = self.answers(ask, ids).await?;
            let any_gone = answers.iter().any(|(_, v)| *v == Presence::Gone);
            if any_gone && !trusted {
                trusted = self.is_trustworthy(ask).await?;
                if !trusted {
                    warn!(
                        "{}: {} records were not seen, but nothing was deleted: the request that \
                         confirms it calls records gone that the list has just shown ({}); is it \
                         the right one?",
                        self.model,
                        found.unseen,
                        self.pass.known.join(", ")
                    );
                    return Ok(());
                }
            }
            self.heed(answers, checkpoint, &mut tally).await?;
            match found.next {
                Some(next) => found = self.unseen(next).await?,
                None => break,
            }
        }
        self.pass.confirmed += tally.gone;
        self.tell(&tally);
        Ok(())
    }

    async fn answers(&self, ask: &impl Ask, ids: Vec<String>) -> Result<Vec<(String, Presence)>> {
        let host = self.cx.host();
        let stored = host.get(self.model.clone(), ids.clone()).await;
        let stored = stored.map_err(|error| of_store(&format!("reading {}", self.model), error))?;
        stream::iter(ids.into_iter().zip(stored))
            .map(|(id, stored)| async move {
                let presence = ask.ask(&id, stored.as_deref().unwrap_or("{}")).await?;
                Ok((id, presence))
            })
            .buffered(CONCURRENCY)
            .try_collect()
            .await
    }

    /// Whether a record that the list has just shown is not called gone: a wrong path would make
    /// all of them.
    async fn is_trustworthy(&self, ask: &impl Ask) -> Result<bool> {
        if self.pass.known.is_empty() {
            // The list is empty, and the host let that pass: the operator said so.
            return Ok(true);
        }
        let known = self.answers(ask, self.pass.known.clone()).await?;
        let lives = |(_, presence): &(String, Presence)| matches!(presence, Presence::Here(_));
        Ok(known.iter().any(lives))
    }

    async fn heed(
        &self,
        answers: Vec<(String, Presence)>,
        checkpoint: &str,
        tally: &mut Tally,
    ) -> Result<()> {
        let mut commit = self.batch();
        let mut bodies = 0;
        for (id, presence) in answers {
            match presence {
                Presence::Gone => {
                    tally.gone += 1;
                    commit.delete(id);
                }
                Presence::Here(body) => {
                    tally.here += 1;
                    let Some(body) = body else { continue };
                    bodies += body.len();
                    commit.save_json(id, body);
                    if bodies > BODIES_MAX {
                        commit.commit().await?;
                        bodies = 0;
                    }
                }
                Presence::Unknown(reason) => {
                    tally.unknown += 1;
                    tally
                        .reason
                        .get_or_insert_with(|| format!("{id}: {reason}"));
                }
            }
        }
        if !commit.is_empty() {
            commit.checkpoint_text(checkpoint.to_owned());
            commit.commit().await?;
        }
        Ok(())
    }

    fn tell(&self, tally: &Tally) {
        let model = &self.model;
        if tally.here > 0 {
            info!(
                "{model}: {} records were not seen in the list, but the API still has them, so \
                 they stay",
                tally.here
            );
        }
        if tally.unknown > 0 {
            let reason = tally.reason.as_deref().unwrap_or_default();
            warn!(
                "{model}: {} records were not seen, and could not be asked about, so they stay \
                 ({})",
                tally.unknown,
                excerpt(reason, REASON_CHARS)
            );
        }
    }
}
