//! Which recorded answer a call of a replay gets.
//!
//! A call is matched by what it asks, and by how often that was asked before; not by its place
//! among other calls, so that a plugin may ask in another order than the recorded one did.

use std::collections::{HashMap, VecDeque};

use super::shape::{Answer, Ask, Exchange, Moment};
use super::{Call, Cassette};
use crate::Timestamp;
use crate::record::Counts;
use crate::store::{Ended, Unseen};

/// Plays one cassette once.
#[derive(Debug)]
pub struct Player {
    calls: Vec<Call>,
    /// Calls that nobody has made yet, oldest first, by what they ask.
    waiting: HashMap<Key, VecDeque<usize>>,
    clock: VecDeque<Moment>,
    /// Read when the recorded readings are used up.
    last_reading: Timestamp,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Playback {
    /// It was recorded, with the place of its answer among all answers.
    Recorded { place: u64, answer: Answer },
    /// It was recorded, and no answer came.
    Unanswered,
    /// It was not recorded, but it has an answer that does no harm: what it does is compared.
    Assumed(Answer),
    /// It was not recorded, and nobody knows the answer. The text says so, and what is nearest.
    Missing(String),
}

/// What must be equal for two calls to be the same.
type Key = blake3::Hash;

impl Player {
    #[must_use]
    pub fn new(cassette: &Cassette) -> Self {
        let mut waiting: HashMap<Key, VecDeque<usize>> = HashMap::new();
        for (index, call) in cassette.calls.iter().enumerate() {
            waiting.entry(key(&call.ask)).or_default().push_back(index);
        }
        Self {
            calls: cassette.calls.clone(),
            waiting,
            clock: cassette.clock.iter().copied().collect(),
            last_reading: cassette.head.started_at,
        }
    }

    /// The next reading of the clock; the last one again when there are no more.
    pub fn now(&mut self) -> Timestamp {
        if let Some(Moment(at, times)) = self.clock.front_mut() {
            self.last_reading = *at;
            *times -= 1;
            if *times == 0 {
                self.clock.pop_front();
            }
        }
        self.last_reading
    }

    /// The answer to a call.
    pub fn find(&mut self, ask: &Ask) -> Playback {
        let index = self
            .waiting
            .get_mut(&key(ask))
            .and_then(VecDeque::pop_front);
        let Some(call) = index.and_then(|index| self.calls.get_mut(index)) else {
            return assumed(ask)
                .map_or_else(|| Playback::Missing(self.explain(ask)), Playback::Assumed);
        };
        match call.answer.take() {
            // A commit of other models than the recorded one: its counts would be for others.
            Some((place, answer)) if ask.takes(&answer) && same_models(ask, &call.ask) => {
                Playback::Recorded { place, answer }
            }
            Some(_) => assumed(ask).map_or(Playback::Unanswered, Playback::Assumed),
            None => Playback::Unanswered,
        }
    }

    /// Whether every recorded call has been made.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.waiting.values().all(VecDeque::is_empty)
    }

    fn explain(&self, ask: &Ask) -> String {
        let asked = described(ask);
        let recorded = |call: &&Call| key(&call.ask) == key(ask);
        let times = self.calls.iter().filter(recorded).count();
        if times > 0 {
            return format!(
                "{asked} is in the cassette {times} times, and was asked for once more"
            );
        }
        let nearest = self
            .calls
            .iter()
            .filter(|call| std::mem::discriminant(&call.ask) == std::mem::discriminant(ask))
            .max_by_key(|call| likeness(&call.ask, ask));
        match nearest {
            None => format!("{asked} is not in the cassette, which has nothing of its kind"),
            Some(call) if described(&call.ask) == asked => {
                format!("{asked} is not in the cassette; the nearest recorded has another body")
            }
            Some(call) => format!(
                "{asked} is not in the cassette; the nearest recorded is {}",
                described(&call.ask)
            ),
        }
    }
}

/// What a call asks, by what it is matched: headers and options of a request are not in it, and of
/// calls that change what is stored only their turn counts, as their content is what is compared.
fn key(ask: &Ask) -> Key {
    let mut hasher = blake3::Hasher::new();
    let mut add = |parts: &[&[u8]]| {
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    };
    match ask {
        Ask::Send(request) => add(&[
            b"send",
            request.method.as_bytes(),
            request.url.as_bytes(),
            request.body.bytes(),
        ]),
        Ask::Commit(_) => add(&[b"commit"]),
        Ask::Get { model, ids } => {
            add(&[b"get", model.as_str().as_bytes()]);
            for id in ids {
                add(&[id.as_bytes()]);
            }
        }
        Ask::BeginSnapshot { model, restart } => add(&[
            b"begin-snapshot",
            model.as_str().as_bytes(),
            &[u8::from(*restart)],
        ]),
        Ask::EndSnapshot { model, .. } => add(&[b"end-snapshot", model.as_str().as_bytes()]),
        Ask::RepeatSnapshot { model, .. } => {
            add(&[b"repeat-snapshot", model.as_str().as_bytes()]);
        }
        Ask::Unseen {
            model,
            after,
            limit,
        } => add(&[
            b"unseen",
            model.as_str().as_bytes(),
            &after.to_le_bytes(),
            &limit.to_le_bytes(),
        ]),
        Ask::ReadFeed {
            feed,
            connection,
            cursor,
            limit,
        } => {
            add(&[
                b"read-feed",
                feed.as_bytes(),
                connection.as_bytes(),
                &limit.to_le_bytes(),
            ]);
            if let Some(cursor) = cursor {
                add(&[cursor.as_bytes()]);
            }
        }
        Ask::MergeMetadata { .. } => add(&[b"merge-metadata"]),
        Ask::Sleep { .. } => add(&[b"sleep"]),
    }
    hasher.finalize()
}

fn same_models(a: &Ask, b: &Ask) -> bool {
    match (a, b) {
        (Ask::Commit(a), Ask::Commit(b)) => {
            let models = |commit: &super::CommitAsk| -> Vec<crate::Name> {
                commit.pages.iter().map(|page| page.model.clone()).collect()
            };
            models(a) == models(b)
        }
        _ => true,
    }
}

/// The answer of an empty store, for calls that are compared anyway.
fn assumed(ask: &Ask) -> Option<Answer> {
    match ask {
        Ask::Commit(commit) => {
            let counts = commit.pages.iter().map(|page| Counts {
                added: page.save.len() as u64,
                deleted: page.delete.len() as u64,
                skipped: page.skipped.len() as u64,
                ..Counts::default()
            });
            Some(Answer::Counts(counts.collect()))
        }
        Ask::BeginSnapshot { .. } => Some(Answer::Continued(false)),
        Ask::RepeatSnapshot { .. } => Some(Answer::Repeated(0)),
        Ask::EndSnapshot { .. } => Some(Answer::Ended(Ended::default())),
        Ask::Unseen { .. } => Some(Answer::Unseen(Unseen::default())),
        Ask::MergeMetadata { .. } | Ask::Sleep { .. } => Some(Answer::Done),
        Ask::Send(_) | Ask::Get { .. } | Ask::ReadFeed { .. } => None,
    }
}

/// A call in one line, for people.
fn described(ask: &Ask) -> String {
    const SHOWN_MAX: usize = 300;
    let text = match ask {
        Ask::Send(request) => format!("{} {}", request.method, request.url),
        Ask::Get { model, ids } => format!("records.get of {model} {ids:?}"),
        Ask::ReadFeed {
            feed,
            connection,
            cursor,
            limit,
        } => format!(
            "feed.read of {feed} {connection} after {} (limit {limit})",
            cursor.as_deref().unwrap_or("the start")
        ),
        other => format!("{other:?}"),
    };
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// How near one call is to another of its kind: more is nearer.
fn likeness(a: &Ask, b: &Ask) -> usize {
    let common = |a: &str, b: &str| {
        let ahead = a.bytes().zip(b.bytes());
        let behind = a.bytes().rev().zip(b.bytes().rev());
        let same = |(a, b): &(u8, u8)| a == b;
        ahead.take_while(same).count() + behind.take_while(same).count()
    };
    if let (Ask::Send(a), Ask::Send(b)) = (a, b) {
        let path = |request: &Exchange| -> String {
            let end = request.url.find(['?', '#']).unwrap_or(request.url.len());
            request.url.get(..end).unwrap_or_default().to_owned()
        };
        let same = |yes: bool| if yes { 1_000_000 } else { 0 };
        return same(path(a) == path(b)) + same(a.method == b.method) + common(&a.url, &b.url);
    }
    common(&described(a), &described(b))
}
