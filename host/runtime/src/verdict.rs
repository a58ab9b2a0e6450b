//! The outcome of a run, as far as its guest, its output and its log decide it.

use tidegate_engine::limits::Limits;
use tidegate_engine::redact::Redactor;
use tidegate_engine::run::{Blame, Failure, FailureClass, Outcome};

use crate::outcome::{Ending, judge};
use crate::output::{self, OutputCheck};
use crate::state::HostNotes;

/// What a run came to.
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    pub(crate) failure: Option<Failure>,
    /// Of a run that succeeded.
    pub(crate) output: Option<String>,
}

/// What the guest left behind.
pub(crate) struct Evidence<'a> {
    pub(crate) ending: Ending,
    pub(crate) notes: HostNotes,
    /// The limit that refused it memory or the like last.
    pub(crate) refused_growth: Option<&'static str>,
    pub(crate) output: Option<String>,
    pub(crate) is_sync: bool,
    pub(crate) limits: &'a Limits,
    pub(crate) output_check: Option<OutputCheck>,
}

impl Verdict {
    /// Judge how the guest ended, then its output: one that breaks a rule fails the run.
    pub(crate) async fn of(evidence: Evidence<'_>) -> Self {
        let Evidence {
            ending,
            notes,
            refused_growth,
            output,
            is_sync,
            limits,
            output_check,
        } = evidence;
        let acted = notes.acted && !is_sync;
        let (outcome, failure) = judge(ending, notes, refused_growth, is_sync, limits);
        let output = output.filter(|_| outcome == Outcome::Success);
        let fault = match output.as_deref() {
            Some(output) => output::fault(output, limits, output_check.as_ref()).await,
            None => None,
        };
        match fault {
            None => Self {
                outcome,
                failure,
                output,
            },
            Some(fault) => Self {
                outcome: Outcome::Failed,
                failure: Some(if acted { fault.after_acting() } else { fault }),
                output: None,
            },
        }
    }

    /// Take the connection's secrets out of what is kept and shown.
    pub(crate) fn redact(&mut self, redactor: &Redactor) {
        if let Some(failure) = &mut self.failure {
            failure.redact(redactor);
        }
        let output = self.output.take();
        self.output = output.map(|output| redactor.json(&output).into_owned());
    }

    /// The log could not be stored: a run without its log can't be understood later, so it fails.
    pub(crate) fn without_log(&mut self, error: &str) {
        self.outcome = Outcome::Failed;
        self.failure.get_or_insert_with(|| {
            let message = format!("the log: {error}");
            Failure::new(FailureClass::Internal, Blame::Host, message)
        });
    }
}
