//! The end of a pull: how far the mark moves, and what is deleted.

use tidegate_sdk::prelude::*;
use tidegate_sdk::{Finish, Pass};

use super::Puller;
use crate::checkpoint::{Checkpoint, Pull};
use crate::commit::commit;
use crate::config::OnMissingOverlap;
use crate::confirm;
use crate::incremental::{Incremental, Mark};
use crate::page::Changes;
use crate::paging::{Counted, Place};

/// So often in a row the mark stays where it is, as a pull may have missed records.
const STAYS_MAX: u32 = 3;
/// How far clocks may differ.
const AHEAD_MS: i64 = 300_000;

impl<'a> Puller<'a> {
    /// Store the last changes, and that the pull was whole.
    pub(super) async fn finish_plain(&mut self, changes: Changes<'_>) -> Result<()> {
        self.warn_of_repeats();
        let (whole, says) = self.whole();
        self.say(says);
        commit(self.cx, self.plan, changes, &whole).await
    }

    /// A full pull, if what came shows that changes may have been missed, and the config says so. A run that is
    /// killed before it leaves that to the next one, as there is no mark.
    pub(super) fn full_pull_after(&mut self) -> Option<Puller<'a>> {
        let stored = self.followed.take()?;
        let origin = self.pull.origin.clone();
        Some(Puller {
            cx: self.cx,
            plan: self.plan,
            pull: super::new_pull(self.cx, self.plan, &stored, origin),
            stored,
            full: None,
            resumed: false,
            first_page: false,
            asked: std::collections::BTreeSet::new(),
            watch: super::Watch::of_reading(false),
            before: None,
            followed: None,
        })
    }

    fn say(&self, says: Vec<String>) {
        for says in says {
            warn!("{}: {says}", self.plan.model);
        }
    }

    /// Every page is stored: end the pull. Another reading of the list may be needed before.
    pub(super) async fn finish(mut self) -> Result<Option<Puller<'a>>> {
        let Some(full) = self.full.take() else {
            let mut none = Changes::default();
            if self.reads_again(&mut none).await? {
                return Ok(Some(self));
            }
            self.finish_plain(none).await?;
            return Ok(self.full_pull_after());
        };
        let (whole, says) = self.whole();
        let next = Pull {
            at: Place::Start,
            counted: Counted::default(),
            lossy: None,
            // In an ordered list it says where to go on, and this is the start.
            found: self.pull.found.clone().filter(|_| !self.is_ordered()),
            ..self.pull.clone()
        };
        let checkpoint = |pass: Option<&Pass>| match pass {
            None => whole.clone(),
            Some(pass) => Checkpoint {
                pull: Some(Pull {
                    pass: Some(pass.clone()),
                    ..if pass.is_begun() {
                        self.pull.clone()
                    } else {
                        next.clone()
                    }
                }),
                ..self.stored.clone()
            },
        };
        let (cx, plan) = (self.cx, self.plan);
        let finish = if confirm::is_able(plan) {
            let ask = async |id: &str, stored: &str| confirm::ask(cx, plan, id, stored).await;
            full.finish_confirming(checkpoint, ask).await?
        } else {
            full.finish(checkpoint).await?
        };
        match finish {
            Finish::Done(end) => {
                self.say(says);
                info!(
                    "{}: {} records are gone at the source",
                    plan.model, end.deleted
                );
                Ok(None)
            }
            Finish::Again(full) => {
                self.plan.answers.restart();
                Ok(Some(Puller {
                    full: Some(*full),
                    pull: next,
                    asked: std::collections::BTreeSet::new(),
                    watch: super::Watch::default(),
                    ..self
                }))
            }
        }
    }

    /// What is stored when the pull is over, and what to say of it.
    fn whole(&mut self) -> (Checkpoint, Vec<String>) {
        let plan = self.plan;
        let mut whole = self.stored.clone();
        let mut says = Vec::new();
        let lossy = self.pull.lossy.as_ref();
        match (&plan.incremental, self.pull.begun) {
            (Some(incremental), Some(begun)) => {
                let is_read_again = self.pull.reading > 0;
                let lossy = lossy.filter(|_| !incremental.ordered() || is_read_again);
                if let Some(why) = lossy {
                    let again = if whole.stays < STAYS_MAX {
                        "the next run asks for the same again"
                    } else {
                        "and this several times in a row, so they come with the next full pull \
                         only: `full_pull_every_hours` makes sure of one, and `ordered`, or a \
                         cursor of the API, avoids it"
                    };
                    says.push(format!("{why}, so records may have been missed; {again}"));
                }
                says.extend(self.mark_problem(incremental, begun));
                says.extend(self.first_pull_problem(whole.mark.is_none()));
                if self.is_followed(incremental) {
                    whole.mark = None;
                    whole.stays = 0;
                    self.followed = Some(whole.clone());
                } else if lossy.is_some() && whole.stays < STAYS_MAX {
                    whole.stays += 1;
                } else {
                    whole.stays = 0;
                    // Changes are asked for since the mark that there was in any case: what a full
                    // pull missed comes then.
                    let several = self.pull.full && self.pull.counted.is_of_several_pages();
                    if whole.mark.is_none() || !several || incremental.ordered() {
                        let found = self.pull.found.clone();
                        whole.mark = incremental.settled(whole.mark, found, begun);
                    }
                }
            }
            _ => {
                let says_so = |why| format!("{why}, so records may have been missed");
                says.extend(lossy.map(says_so));
            }
        }
        whole.twice = self.twice();
        whole.etag = self.watch.etag.take().filter(|_| plan.conditional);
        if self.pull.full && plan.full_pull.every_ms.is_some() {
            whole.full_at = Some(self.cx.now());
        }
        (whole, says)
    }

    /// What the first pull of a list that moves may have passed over. Where everything is pulled again at times, that
    /// finds it.
    fn first_pull_problem(&self, is_first: bool) -> Option<String> {
        let may_slip = is_first
            && self.plan.paging.counts()
            && !self.is_ordered()
            && self.pull.counted.is_of_several_pages()
            && self.plan.full_pull.every_ms.is_none();
        may_slip.then(|| {
            "this first pull has several pages: a record that slipped over the edge of one while others were deleted \
             comes when it changes, or with a full pull; `full_pull_every_hours` makes sure of one"
                .to_owned()
        })
    }

    /// What is wrong with the mark.
    fn mark_problem(&self, incremental: &Incremental, begun: i64) -> Option<String> {
        let found = match &self.pull.found {
            Some(Mark::Time(found)) => Some(*found),
            Some(Mark::Text(_)) => return None,
            None => None,
        };
        if let Some(found) = found
            && found > begun.saturating_add(AHEAD_MS)
        {
            return Some(format!(
                "the latest change is {} s ahead of the API's clock: if its times are local ones, \
                 say in which zone; the mark stays at the API's time",
                (found - begun) / 1_000
            ));
        }
        self.misses_the_overlap(incremental).then(|| {
            let follows = match incremental.on_missing_overlap {
                OnMissingOverlap::Warn => "",
                OnMissingOverlap::FullPull => "; everything is pulled",
            };
            format!(
                "what changed last did not come again, though `{}` asks for changes since before \
                 it: either it was deleted, or the parameter means something else to this API, and \
                 changes are missed{follows}",
                incremental.parameter
            )
        })
    }

    /// Whether changes were asked for since before the one that gave the mark, and that was not among them.
    fn misses_the_overlap(&self, incremental: &Incremental) -> bool {
        let Some(Mark::Time(mark)) = self.stored.mark.as_ref().filter(|_| !self.pull.full) else {
            return false;
        };
        let found = match &self.pull.found {
            Some(Mark::Time(found)) => Some(found),
            Some(Mark::Text(_)) => return false,
            None => None,
        };
        incremental.overlaps() && found.is_none_or(|found| found < mark)
    }

    fn is_followed(&self, incremental: &Incremental) -> bool {
        incremental.on_missing_overlap == OnMissingOverlap::FullPull
            && self.misses_the_overlap(incremental)
    }
}
