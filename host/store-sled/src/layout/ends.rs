//! What a run or a job has come to, as one byte in the keys of the lists that name it: so those of one outcome or
//! state are next to each other, the newest last.

use tidegate_engine::job::{Job, JobState};
use tidegate_engine::run::{Outcome, Run};

/// A job that waits or runs.
pub(crate) const ACTIVE: u8 = 0;
pub(crate) const DEAD: u8 = 2;
/// A run that has not ended.
pub(crate) const RUNNING: u8 = 0;

const JOBS: [(u8, &str); 6] = [
    (ACTIVE, "active"),
    (1, "succeeded"),
    (DEAD, "dead"),
    (3, "cancelled"),
    (4, "expired"),
    (5, "discarded"),
];
const RUNS: [(u8, &str); 7] = [
    (RUNNING, "running"),
    (1, "success"),
    (2, "failed"),
    (3, "interrupted"),
    (4, "stalled"),
    (5, "cancelled"),
    (6, "skipped"),
];

/// That of a job.
pub(crate) fn of_job(job: &Job) -> u8 {
    match job.state {
        JobState::Queued | JobState::Running { .. } => ACTIVE,
        JobState::Succeeded => 1,
        JobState::Dead => DEAD,
        JobState::Cancelled => 3,
        JobState::Expired => 4,
        JobState::Discarded => 5,
    }
}

/// That of a run.
pub(crate) fn of_run(run: &Run) -> u8 {
    let end = run.end.as_ref();
    end.map_or(RUNNING, |end| of_outcome(end.outcome))
}

pub(crate) fn of_outcome(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Success => 1,
        Outcome::Failed => 2,
        Outcome::Interrupted => 3,
        Outcome::Stalled => 4,
        Outcome::Cancelled => 5,
        Outcome::Skipped => 6,
    }
}

/// All that a job may have come to, or the one of this word; none for a word that is none.
pub(crate) fn of_jobs(word: Option<&str>) -> Vec<u8> {
    those_of(&JOBS, word)
}

/// The same for runs.
pub(crate) fn of_runs(word: Option<&str>) -> Vec<u8> {
    those_of(&RUNS, word)
}

fn those_of(all: &[(u8, &str)], word: Option<&str>) -> Vec<u8> {
    let wanted = |(_, own): &&(u8, &str)| word.is_none_or(|word| word == *own);
    all.iter().filter(wanted).map(|(end, _)| *end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_of_the_engine_has_its_byte() {
        let words: Vec<&str> = RUNS.iter().map(|(_, word)| *word).collect();
        assert_eq!(words, tidegate_engine::store::OUTCOMES);
        let outcomes = [
            Outcome::Success,
            Outcome::Failed,
            Outcome::Interrupted,
            Outcome::Stalled,
            Outcome::Cancelled,
            Outcome::Skipped,
        ];
        for outcome in outcomes {
            assert_eq!(of_runs(Some(outcome.as_str())), [of_outcome(outcome)]);
        }
        let states = [
            JobState::Succeeded,
            JobState::Dead,
            JobState::Cancelled,
            JobState::Expired,
            JobState::Discarded,
        ];
        for (state, (_, word)) in states.iter().zip(&JOBS[1..]) {
            assert_eq!(state.as_str(), *word);
        }
        assert_eq!(
            (of_runs(None).len(), of_jobs(Some("nonsense")).len()),
            (7, 0)
        );
    }
}
