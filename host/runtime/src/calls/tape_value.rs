//! Results of the world as answers on a tape, and back.

use tidegate_engine::cassette::{Answer, Change, Refusal, RefusalKind, Response};
use tidegate_engine::record::Counts;
use tidegate_engine::store::{Ended, Unseen};

use super::refusal;

/// A result that a tape can carry.
pub(super) trait TapeValue: Sized {
    fn into_answer(self) -> Answer;
    /// The result again; none when it is another's.
    fn from_answer(answer: Answer) -> Option<Self>;
}

/// Put a result on the tape.
pub(super) fn encode<T: TapeValue>(result: Result<T, Refusal>) -> Answer {
    result.map_or_else(Answer::Error, T::into_answer)
}

/// Take it off again.
#[expect(
    clippy::result_large_err,
    reason = "what the worlds return; once a call"
)]
pub(super) fn decode<T: TapeValue>(answer: Answer) -> Result<T, Refusal> {
    match answer {
        Answer::Error(refusal) => Err(refusal),
        // Cassettes are read only when each answer fits its call.
        other => T::from_answer(other).ok_or_else(|| {
            refusal(
                RefusalKind::Other,
                "the recorded answer is one to another call",
            )
        }),
    }
}

/// How many records a pass of a snapshot had not seen.
pub(super) struct Repeated(pub(super) u64);

macro_rules! spoken {
    ($($type:ty => $variant:ident),* $(,)?) => {
        $(impl TapeValue for $type {
            fn into_answer(self) -> Answer {
                Answer::$variant(self)
            }

            fn from_answer(answer: Answer) -> Option<Self> {
                match answer {
                    Answer::$variant(value) => Some(value),
                    _ => None,
                }
            }
        })*
    };
}

spoken! {
    Response => Response,
    Vec<Counts> => Counts,
    Vec<Option<String>> => Bodies,
    bool => Continued,
    Unseen => Unseen,
    Ended => Ended,
    Vec<Change> => Changes,
}

impl TapeValue for Repeated {
    fn into_answer(self) -> Answer {
        Answer::Repeated(self.0)
    }

    fn from_answer(answer: Answer) -> Option<Self> {
        match answer {
            Answer::Repeated(count) => Some(Self(count)),
            _ => None,
        }
    }
}

impl TapeValue for () {
    fn into_answer(self) -> Answer {
        Answer::Done
    }

    fn from_answer(answer: Answer) -> Option<Self> {
        match answer {
            Answer::Done => Some(()),
            _ => None,
        }
    }
}
