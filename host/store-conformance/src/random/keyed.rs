//! Runs under idempotency keys: few keys and inputs, so that they meet.

use tidegate_engine::idempotency::{KeyUse, Keyed};
use tidegate_engine::run::{Outcome, RunEnd};

use super::*;

/// Slots that only actions have, so that they end what they started.
const SLOTS: std::ops::Range<u8> = 10..13;

/// A start under a key.
#[derive(Debug, Clone)]
pub(crate) struct StartKeyed {
    slot: u8,
    connection: usize,
    action: bool,
    key: u8,
    input: u8,
}

/// How such a run ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RunEnding {
    /// With an output of this length.
    Succeeds(usize),
    /// By the command for all runs.
    SucceedsWithoutOutput,
    Fails(FailureClass),
}

pub(crate) fn start() -> impl Strategy<Value = StartKeyed> {
    let connection = prop_oneof![6 => Just(0usize), 1 => 1usize..3];
    (SLOTS, connection, any::<bool>(), 0u8..3, 0u8..2).prop_map(
        |(slot, connection, action, key, input)| StartKeyed {
            slot,
            connection,
            action,
            key,
            input: input * u8::from(key > 0),
        },
    )
}

pub(crate) fn finish() -> impl Strategy<Value = (u8, RunEnding)> {
    let how = prop_oneof![
        3 => prop_oneof![Just(5usize), Just(20_000usize)].prop_map(RunEnding::Succeeds),
        1 => Just(RunEnding::SucceedsWithoutOutput),
        2 => Just(RunEnding::Fails(FailureClass::Rejected)),
        2 => Just(RunEnding::Fails(FailureClass::Transient)),
    ];
    (SLOTS, how)
}

impl<B: Backend> Pair<'_, B> {
    pub(crate) async fn start_keyed(&mut self, start: &StartKeyed) {
        let action = if start.action { "create" } else { "close" };
        let target = Target::Action {
            connection: connection(CONNECTIONS[start.connection]),
            action: name(action),
        };
        self.next_run += 1;
        let mut run = new_run(self.next_run, target);
        run.now = Timestamp(self.now);
        let key = format!("key-{}", start.key).parse().unwrap();
        let input = format!("{{\"input\": {}}}", start.input);
        let key = KeyUse::new(key, &input).unwrap();
        let keyed = both!(self, store => store.start_keyed_run(run.clone(), key.clone()));
        if let Ok(Keyed::Started(started)) = keyed {
            self.runs.insert(start.slot, (self.next_run, started.fence));
            // The same command again, as when its answer was lost.
            let again = both!(self, store => store.start_keyed_run(run.clone(), key.clone()));
            assert_eq!(again, Ok(Keyed::Started(started)));
        }
    }

    pub(crate) async fn finish_keyed(&self, slot: u8, how: RunEnding) {
        let (run, fence) = self.run(slot);
        let run = run_id(run);
        let ended = end(self.now);
        let _ = match how {
            RunEnding::Succeeds(bytes) => {
                let output = format!("\"{}\"", "x".repeat(bytes));
                both!(self, store => store.finish_keyed_run(run, fence, ended.clone(), output.clone()))
            }
            RunEnding::SucceedsWithoutOutput => {
                both!(self, store => store.finish_run(run, fence, ended.clone()))
            }
            RunEnding::Fails(class) => {
                let ended = RunEnd {
                    outcome: Outcome::Failed,
                    failure: Some(Failure::new(class, Blame::Upstream, "no")),
                    ..ended
                };
                both!(self, store => store.finish_run(run, fence, ended.clone()))
            }
        };
    }
}
