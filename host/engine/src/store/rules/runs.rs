//! How runs begin, add up and end.

use crate::canonical::BodyHash;
use crate::error::StoreError;
use crate::integration::Deployment;
use crate::job::{Job, JobTarget, NewJob};
use crate::record::{self, Counts, Page, PageError, Save};
use crate::run::{
    Basis, Blame, Failure, FailureClass, Fence, Figures, NewRun, Outcome, Run, RunEnd, RunId,
    Target,
};
use crate::{Name, Timestamp};

/// The row of a run that just started, from this checkpoint if it is a sync's.
#[must_use]
pub fn started(new: NewRun, fence: Fence, checkpoint: Option<&str>) -> Run {
    let basis = matches!(new.target, Target::Sync(_)).then(|| Basis::of(checkpoint));
    Run {
        basis,
        id: new.id,
        target: new.target,
        plugin: new.plugin,
        plugin_version: new.plugin_version,
        trigger: new.trigger,
        attempt: new.attempt,
        job: new.job,
        reset: new.reset,
        started_at: new.now,
        fence,
        progress: Figures::default(),
        end: None,
    }
}

/// The run of a job that was claimed.
#[must_use]
pub fn run_of(job: &Job, run: RunId, current: &Deployment, now: Timestamp) -> NewRun {
    let is_first = job.outcome.is_none();
    NewRun {
        id: run,
        target: job.target.run_target(),
        plugin: current.digest,
        plugin_version: current.manifest.version.to_string(),
        trigger: job.trigger,
        attempt: job.attempts + 1,
        job: Some(job.id),
        reset: is_first && matches!(job.target, JobTarget::Sync { reset: true, .. }),
        now,
    }
}

/// A job that is there already, for somebody who wants to queue `new` under its id.
pub fn same_job(job: &Job, new: &NewJob) -> Result<Job, StoreError> {
    if job.target == new.target {
        return Ok(job.clone());
    }
    Err(StoreError::Exists {
        what: "job",
        name: job.id.to_string(),
    })
}

/// The end of a run whose process is gone.
#[must_use]
pub fn interrupted(run: &Run, why: &Failure, now: Timestamp) -> RunEnd {
    RunEnd {
        at: now,
        outcome: Outcome::Interrupted,
        failure: Some(why.clone()),
        figures: run.progress.clone(),
    }
}

/// The end of a run whose connection is being removed.
#[must_use]
pub fn removed(figures: Figures, now: Timestamp) -> RunEnd {
    let message = "its connection was removed while it ran";
    RunEnd {
        at: now,
        outcome: Outcome::Cancelled,
        failure: Some(Failure::new(FailureClass::Other, Blame::Operator, message)),
        figures,
    }
}

/// The hashes of a page's bodies: of a page that was not prepared, they are made now.
pub fn hash_page(page: &mut Page) -> Result<Vec<BodyHash>, PageError> {
    let hash = |save: &mut Save| match save.hash {
        Some(hash) => Ok(hash),
        None => record::check_body(&page.model, save),
    };
    page.save.iter_mut().map(hash).collect()
}

/// Put a commit's figures over a run's progress: `commits` and `counts` add up, the others are the
/// run's totals already.
pub fn add_progress<'a>(
    progress: &mut Figures,
    new: &Figures,
    counts: impl Iterator<Item = (&'a Name, &'a Counts)>,
) {
    let commits = progress.commits + 1;
    let mut sums = std::mem::take(&mut progress.counts);
    for (model, counts) in counts {
        sums.entry(model.clone()).or_default().add(*counts);
    }
    *progress = Figures {
        commits,
        counts: sums,
        ..new.clone()
    };
}
