//! A full pull from the first request to the last deletion.

use serde::{Deserialize, Serialize};

use super::confirm::{ByRequest, NoConfirmation};
use super::{Finish, FullPull, Pass, SeenIds};
use crate::host::SnapshotEnd;
use crate::http::is_beyond;
use crate::{Commit, HttpPage, Paginate, Position, RequestBuilder, Result, info, warn};

/// What is stored between the pages.
#[derive(Debug, Default, Serialize, Deserialize)]
struct StoredPull {
    #[serde(skip_serializing_if = "Option::is_none")]
    full_pull: Option<OpenPull>,
}

/// A pull under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct OpenPull {
    pass: Pass,
    at: PullState,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PullState {
    Start,
    Page(Position),
    /// Every page is stored.
    End,
}

impl FullPull {
    /// Read the whole list page by page, store what `each` saves of a page, and then delete what is
    /// gone. An interrupted run goes on where it was: the sync's checkpoint is this pull's.
    ///
    /// ```
    /// use tidegate_sdk::prelude::*;
    ///
    /// async fn projects(cx: Cx) -> Result<()> {
    ///     let asking = cx.clone();
    ///     let end = cx
    ///         .full_pull("Project")
    ///         .confirm(move |id| asking.get(format!("/projects/{}", tidegate_sdk::encode(id))))
    ///         .read(
    ///             cx.get("/projects"),
    ///             Paginate::page("page", 1).size("per_page", 100),
    ///             |page, commit| commit.save_raw(page.raw_items()?).map(drop),
    ///         )
    ///         .await?;
    ///     info!("{} projects are gone", end.deleted);
    ///     Ok(())
    /// }
    /// ```
    pub async fn read(
        mut self,
        request: RequestBuilder,
        style: Paginate,
        mut each: impl FnMut(&HttpPage, &mut Commit) -> Result<()>,
    ) -> Result<SnapshotEnd> {
        self.two_passes_prove |= style.counts();
        let stored: StoredPull = self.cx.checkpoint()?.unwrap_or_default();
        let mut at = PullState::Start;
        let resumes = match stored.full_pull {
            Some(under) => {
                at = under.at;
                self.resume(under.pass).await?
            }
            None => false,
        };
        if resumes {
            info!("going on with the interrupted pull of {}", self.model);
        } else {
            at = PullState::Start;
            self.begin().await?;
        }
        loop {
            if !matches!(at, PullState::End) {
                let (goes_on, before) = (matches!(at, PullState::Page(_)), self.pass.answers);
                match self.pages(&request, &style, at, &mut each).await {
                    Err(failure)
                        if goes_on && self.pass.answers == before && is_beyond(&failure) =>
                    {
                        warn!(
                            "{}: the place of the interrupted pull is not known any more, so it starts over: {}",
                            self.model, failure.message
                        );
                        self.pass = Pass::default();
                        self.ids = SeenIds::default();
                        self.begin().await?;
                        self.pages(&request, &style, PullState::Start, &mut each)
                            .await?;
                    }
                    read => read?,
                }
            }
            at = PullState::Start;
            let checkpoint = |pass: Option<&Pass>| StoredPull {
                full_pull: pass.map(|pass| OpenPull {
                    pass: pass.clone(),
                    // While candidates are asked about, it is still the pass that has ended.
                    at: if pass.is_begun() {
                        PullState::End
                    } else {
                        PullState::Start
                    },
                }),
            };
            let finish = match self.confirm.take() {
                Some(confirm) => {
                    let cx = self.cx.clone();
                    self.end(&ByRequest(&cx, &confirm), checkpoint).await?
                }
                None => self.end(&NoConfirmation, checkpoint).await?,
            };
            match finish {
                Finish::Again(next) => self = *next,
                Finish::Done(end) => return Ok(end),
            }
        }
    }

    async fn pages(
        &mut self,
        request: &RequestBuilder,
        style: &Paginate,
        at: PullState,
        each: &mut impl FnMut(&HttpPage, &mut Commit) -> Result<()>,
    ) -> Result<()> {
        let from = match at {
            PullState::Page(position) => Some(position),
            PullState::Start | PullState::End => None,
        };
        let mut pages = request.clone().paginate(style.clone().from(from));
        while let Some(page) = pages.next().await? {
            self.answered();
            let mut commit = self.batch();
            each(&page, &mut commit)?;
            for id in commit.saved(&self.model) {
                self.saw(&id);
            }
            for id in commit.skipped(&self.model) {
                self.skipped(id.as_deref());
            }
            let under = OpenPull {
                pass: self.pass.clone(),
                at: page
                    .next_position()
                    .cloned()
                    .map_or(PullState::End, PullState::Page),
            };
            let stored = StoredPull {
                full_pull: Some(under),
            };
            commit.checkpoint(&stored)?.commit().await?;
        }
        if pages.ended_beyond() {
            // The list may have moved before this answer, too.
            self.answered();
        }
        Ok(())
    }
}
