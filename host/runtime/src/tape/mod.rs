//! What stands between a guest and its world while a run is recorded or replayed.
//!
//! # Turns
//!
//! A guest with several calls in flight may do otherwise when their answers come in another order,
//! or two at once. So a tape hands out one answer at a time, and the next one only when the guest has
//! done all it can with what it has (`turns`). A recording does so in the order in which the
//! answers come; a replay in the order of the cassette. What a guest sees is then decided by
//! the order alone.
//!
//! # Layout
//!
//! | module | its one job |
//! |---|---|
//! | `mod` | calls and their answers, in turns |
//! | `turns` | notices when the guest can do no more |
//! | `recorder` | lines to the cassette, until a limit or a full disk ends it |

mod recorder;
mod turns;

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use parking_lot::{Mutex, MutexGuard};
use tidegate_engine::Timestamp;
use tidegate_engine::cassette::{Answer, Ask, End, Event, Head, LoggedLine, Playback, Player};
use tidegate_engine::run::LogLine;

use recorder::Recorder;
pub use recorder::Recording;
pub(crate) use turns::{Stopped, TapeTurns};

/// The tape of one run.
pub(crate) struct Tape(Mutex<Inner>);

struct Inner {
    /// Gives the answers; `None` in a recording, where the world does.
    player: Option<Player>,
    recorder: Option<Recorder>,
    /// Calls so far: the number of the next one.
    calls: u64,
    /// Answers that the world has given so far.
    arrived: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// What a replay did to the store.
    effects: Vec<Ask>,
    requests: u64,
    stopped: Option<Stop>,
}

/// A call that the guest waits for.
#[derive(Default)]
struct Waiting {
    /// With its place in the order of answers.
    answer: Option<(AnswerOrder, Answer)>,
    /// It is its turn: the guest gets it when it is polled next.
    given: bool,
    waker: Option<Waker>,
}

/// Answers are given in this order: what was not recorded first, then what was, and sleeps that
/// were not recorded when nothing else is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum AnswerOrder {
    AtOnce,
    Nth(u64),
    Last,
}

/// Why a replay can't go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The guest asked what nobody knows the answer of; the text names it.
    Missing(String),
    /// The guest waits only for answers that were never recorded: here the recorded run was cut.
    Over,
}

/// What a replay did.
pub(crate) struct ReplayReport {
    pub(crate) effects: Vec<Ask>,
    pub(crate) requests: u64,
    pub(crate) stopped: Option<Stop>,
    /// All that was recorded was asked for.
    pub(crate) used_up: bool,
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tape")
    }
}

impl Tape {
    /// Record a run that begins with `head`.
    pub(crate) fn record(recording: Recording, head: &Head) -> Self {
        Self::new(None, Some(Recorder::new(recording, head)))
    }

    /// Replay with the answers of `player`, and record that if `recording` is there.
    pub(crate) fn replay(player: Player, recording: Option<(Recording, &Head)>) -> Self {
        let recorder = recording.map(|(recording, head)| Recorder::new(recording, head));
        Self::new(Some(player), recorder)
    }

    fn new(player: Option<Player>, recorder: Option<Recorder>) -> Self {
        Self(Mutex::new(Inner {
            player,
            recorder,
            calls: 0,
            arrived: 0,
            waiting: BTreeMap::new(),
            effects: Vec::new(),
            requests: 0,
            stopped: None,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock()
    }

    /// What the guest's clock says: `now` in a recording, what was recorded in a replay.
    pub(crate) fn clock(&self, now: impl FnOnce() -> Timestamp) -> Timestamp {
        let mut inner = self.lock();
        let at = inner.player.as_mut().map_or_else(now, Player::now);
        if let Some(recorder) = &mut inner.recorder {
            recorder.reading(at);
        }
        at
    }

    /// A line of the run's log.
    pub(crate) fn log(&self, line: &LogLine) {
        if let Some(recorder) = &mut self.lock().recorder {
            recorder.event(&Event::Log(LoggedLine::of(line)));
        }
    }

    /// One call: what the world (`real`, not polled in a replay) or the cassette answers, when it
    /// is its turn. Dropping the future forgets the call.
    pub(crate) async fn call(&self, ask: Ask, real: impl Future<Output = Answer>) -> Answer {
        let (call, live) = self.begin(ask);
        if live {
            let answer = real.await;
            let mut inner = self.lock();
            let place = AnswerOrder::Nth(inner.arrived);
            inner.arrived += 1;
            if let Some(waiting) = inner.waiting.get_mut(&call.number) {
                waiting.answer = Some((place, answer));
            }
        }
        poll_fn(|cx| {
            let mut inner = self.lock();
            let Some(waiting) = inner.waiting.get_mut(&call.number) else {
                return Poll::Pending;
            };
            match waiting.answer.take_if(|_| waiting.given) {
                Some((_, answer)) => Poll::Ready(answer),
                None => {
                    waiting.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Number a call. The second is whether the world has to answer it.
    fn begin(&self, ask: Ask) -> (PendingCall<'_>, bool) {
        let mut inner = self.lock();
        let number = inner.calls;
        inner.calls += 1;
        inner.requests += u64::from(matches!(ask, Ask::Send(_)));
        let sleeps = matches!(ask, Ask::Sleep { .. });
        let found = inner.player.as_mut().map(|player| player.find(&ask));
        let live = found.is_none();
        let answer = match found {
            None | Some(Playback::Unanswered) => None,
            Some(Playback::Recorded { place, answer }) => Some((AnswerOrder::Nth(place), answer)),
            Some(Playback::Assumed(answer)) if sleeps => Some((AnswerOrder::Last, answer)),
            Some(Playback::Assumed(answer)) => Some((AnswerOrder::AtOnce, answer)),
            Some(Playback::Missing(what)) => {
                inner.stopped.get_or_insert(Stop::Missing(what));
                None
            }
        };
        let waiting = Waiting {
            answer,
            ..Waiting::default()
        };
        inner.waiting.insert(number, waiting);
        let kept = (!live && ask.is_effect()).then(|| ask.clone());
        inner.effects.extend(kept);
        if let Some(recorder) = &mut inner.recorder {
            recorder.call(number, ask);
        }
        (PendingCall { tape: self, number }, live)
    }

    /// The guest can do no more with what it has: give it the next answer, if there is one.
    pub(crate) fn turn(&self) {
        let mut inner = self.lock();
        if inner.waiting.values().any(|waiting| waiting.given) {
            return;
        }
        let place = |waiting: &Waiting| waiting.answer.as_ref().map(|(place, _)| *place);
        let next = inner
            .waiting
            .iter()
            .filter_map(|(number, waiting)| Some((place(waiting)?, *number)))
            .min();
        let Some((_, number)) = next else {
            if inner.player.is_some() && !inner.waiting.is_empty() {
                inner.stopped.get_or_insert(Stop::Over);
            }
            return;
        };
        let Inner {
            waiting, recorder, ..
        } = &mut *inner;
        let Some(waiting) = waiting.get_mut(&number) else {
            return;
        };
        waiting.given = true;
        if let (Some(recorder), Some((_, answer))) = (recorder, &waiting.answer) {
            recorder.answer(number, answer);
        }
        let waker = waiting.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Answers that the world has given so far.
    #[cfg(test)]
    pub(crate) fn arrived(&self) -> u64 {
        self.lock().arrived
    }

    fn is_stopped(&self) -> bool {
        self.lock().stopped.is_some()
    }

    /// What goes into the run's log because of the recording: why it ended early.
    pub(crate) fn complaint(&self) -> Option<String> {
        self.lock().recorder.as_mut()?.complaint()
    }

    /// Write the end. The bytes written, or why there is no whole cassette; `None` when nothing
    /// was to be recorded.
    pub(crate) fn finish(&self, end: End) -> Option<Result<u64, String>> {
        self.lock()
            .recorder
            .take()
            .map(|recorder| recorder.finish(end))
    }

    /// What the replay did.
    pub(crate) fn played(&self) -> ReplayReport {
        let mut inner = self.lock();
        ReplayReport {
            effects: std::mem::take(&mut inner.effects),
            requests: inner.requests,
            stopped: inner.stopped.take(),
            used_up: inner.player.as_ref().is_none_or(Player::is_used_up),
        }
    }
}

/// A call that is waited for; forgotten when dropped.
struct PendingCall<'a> {
    tape: &'a Tape,
    number: u64,
}

impl Drop for PendingCall<'_> {
    fn drop(&mut self) {
        self.tape.lock().waiting.remove(&self.number);
    }
}
