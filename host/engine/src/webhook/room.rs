//! Which deliveries are taken up while there is room for some only.
//!
//! An attempt at an endpoint that does not answer keeps its place for as long as an attempt may take, so places are
//! given by how an endpoint has answered. `docs/webhooks.md` says it for operators.

use std::collections::{BTreeMap, BTreeSet};

use super::{Attempt, Endpoint, EndpointId};
use crate::Timestamp;
use crate::limits::{
    WEBHOOK_FIRST_IN_FLIGHT, WEBHOOK_PROMPT_MS, WEBHOOK_SILENT_IN_FLIGHT, WEBHOOK_SLOW_IN_FLIGHT,
};

/// How an endpoint has answered last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndpointHealth {
    /// It has not been asked yet since the server started.
    New,
    /// Within [`WEBHOOK_PROMPT_MS`]; a refusal is an answer.
    Prompt,
    /// Later than that.
    Slow,
    /// Not at all, for at least as long.
    Silent,
}

impl EndpointHealth {
    /// That of an endpoint of which only what is stored is known.
    #[must_use]
    pub fn at_first(endpoint: &Endpoint) -> Self {
        match endpoint.first_failure_at {
            Some(_) => Self::Silent,
            None => Self::New,
        }
    }

    /// That of one after an attempt that has taken so long.
    #[must_use]
    pub fn after(attempt: &Attempt, took_ms: u64) -> Self {
        match attempt.status {
            _ if took_ms <= WEBHOOK_PROMPT_MS => Self::Prompt,
            Some(_) => Self::Slow,
            None => Self::Silent,
        }
    }

    /// Deliveries that may be on their way to one such endpoint, of the `most` that there may be to any.
    #[must_use]
    pub fn places(self, most: usize) -> usize {
        let own = match self {
            Self::Prompt | Self::Slow => return most,
            Self::New => WEBHOOK_FIRST_IN_FLIGHT,
            Self::Silent => WEBHOOK_SILENT_IN_FLIGHT,
        };
        most.min(usize_of(own))
    }
}

/// What is due for an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub endpoint: EndpointId,
    pub standing: EndpointHealth,
    /// The first of each stream, the oldest first: since when it is due, and its event's number.
    pub heads: Vec<(Timestamp, u64)>,
}

/// Choose at most `limit` among what is due for all enabled endpoints, given how many are on their way to each and
/// how many may be to one.
///
/// The endpoint with the fewest on their way comes first, and only then what has waited longest: the backlog of one
/// that does not answer is always the oldest. All that don't answer promptly have at most a share of the places
/// together. The last quarter of the places, and of that share, is for endpoints that have hardly anything on its
/// way: those that have just ceased to answer must not have everything.
#[must_use]
pub fn choose(
    waiting: &[Waiting],
    on_their_way: &BTreeMap<EndpointId, usize>,
    per_endpoint: usize,
    limit: usize,
) -> Vec<(EndpointId, Timestamp, u64)> {
    let first = usize_of(WEBHOOK_FIRST_IN_FLIGHT);
    let before = |id| on_their_way.get(id).copied().unwrap_or_default();
    let mut ordered = BTreeSet::new();
    for own in waiting {
        let before = before(&own.endpoint);
        let places = before..own.standing.places(per_endpoint);
        for (place, (at, seq)) in places.zip(&own.heads) {
            let is_prompt = own.standing == EndpointHealth::Prompt;
            ordered.insert((place, *at, *seq, own.endpoint, is_prompt));
        }
    }
    let mut all = Share::of(on_their_way.values().sum(), limit);
    let slow = waiting
        .iter()
        .filter(|own| own.standing != EndpointHealth::Prompt);
    let slow: usize = slow.map(|own| before(&own.endpoint)).sum();
    let most = usize_of(WEBHOOK_SLOW_IN_FLIGHT).min(all.most.div_ceil(2));
    let mut slow = Share { taken: slow, most };
    let mut chosen = Vec::new();
    for (place, at, seq, id, is_prompt) in ordered {
        let is_first = place < first;
        if all.has_room(is_first) && (is_prompt || slow.has_room(is_first)) {
            all.taken += 1;
            slow.taken += usize::from(!is_prompt);
            chosen.push((id, at, seq));
        }
    }
    chosen
}

/// Places, and how many of them are taken.
struct Share {
    taken: usize,
    most: usize,
}

impl Share {
    fn of(taken: usize, free: usize) -> Self {
        Self {
            taken,
            most: taken + free,
        }
    }

    fn has_room(&self, is_first: bool) -> bool {
        let kept = if is_first { 0 } else { self.most / 4 };
        self.taken + kept < self.most
    }
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> EndpointId {
        EndpointId::from_parts(Timestamp(1), number)
    }

    fn waiting(number: u128, standing: EndpointHealth) -> Waiting {
        // Whose backlog is the oldest is chosen first otherwise.
        let heads = (0..100).map(|seq| (Timestamp(u64::try_from(number).unwrap()), seq));
        Waiting {
            endpoint: id(number),
            standing,
            heads: heads.collect(),
        }
    }

    /// How many of each endpoint are on their way once all that there is room for is taken up.
    fn filled(waiting: &[Waiting], before: &[(u128, usize)]) -> BTreeMap<EndpointId, usize> {
        let mut on_their_way: BTreeMap<EndpointId, usize> = before
            .iter()
            .map(|(number, count)| (id(*number), *count))
            .collect();
        let free = 64 - on_their_way.values().sum::<usize>();
        for (id, ..) in choose(waiting, &on_their_way.clone(), 16, free) {
            *on_their_way.entry(id).or_default() += 1;
        }
        on_their_way
    }

    #[test]
    fn places_are_given_by_how_an_endpoint_answers() {
        use EndpointHealth::{New, Prompt, Silent, Slow};
        // What is on its way to whom before, who waits and how they stand; what is on its way then.
        type Row<'a> = (
            &'a [(u128, usize)],
            &'a [(u128, EndpointHealth)],
            &'a [usize],
        );
        let rows: &[Row] = &[
            (&[], &[(1, Prompt)], &[16]),
            (&[], &[(1, New), (2, Silent), (3, Slow)], &[2, 1, 16]),
            // Six that have just ceased to answer leave places for a seventh.
            (
                &[(1, 12), (2, 12), (3, 12), (4, 12)],
                &[
                    (1, Prompt),
                    (2, Prompt),
                    (3, Prompt),
                    (4, Prompt),
                    (7, Prompt),
                ],
                &[12, 12, 12, 12, 2],
            ),
            // Those that are slow have half of all, and of that the last quarter is for firsts.
            (
                &[],
                &[(1, Slow), (2, Slow), (3, Slow), (4, Silent), (5, Prompt)],
                &[8, 8, 7, 1, 16],
            ),
            (
                &[(1, 16), (2, 16)],
                &[(1, Slow), (2, Slow), (3, Silent), (4, Prompt)],
                &[16, 16, 16],
            ),
        ];
        for (before, own, want) in rows {
            let all: Vec<Waiting> = own.iter().map(|(id, own)| waiting(*id, *own)).collect();
            let got: Vec<usize> = filled(&all, before).into_values().collect();
            assert_eq!(got, *want, "{before:?} {own:?}");
        }
    }

    #[test]
    fn however_many_are_silent_half_of_the_places_are_left() {
        for standing in [
            EndpointHealth::New,
            EndpointHealth::Slow,
            EndpointHealth::Silent,
        ] {
            let mut all: Vec<Waiting> = (1..100).map(|id| waiting(id, standing)).collect();
            let on_their_way = filled(&all, &[]);
            assert_eq!(on_their_way.values().sum::<usize>(), 32, "{standing:?}");
            all.push(waiting(200, EndpointHealth::Prompt));
            let before: Vec<(u128, usize)> = (1..33).map(|id| (id, 1)).collect();
            assert_eq!(filled(&all, &before)[&id(200)], 16, "{standing:?}");
        }
    }

    #[test]
    fn an_endpoint_stands_by_its_last_attempt() {
        let attempt = |status| Attempt {
            at: Timestamp(1),
            latency_ms: 0,
            status,
            no_answer: None,
            response: String::new(),
            retry_after_ms: None,
        };
        let rows = [
            (Some(204), 2_000, EndpointHealth::Prompt),
            (Some(500), 5, EndpointHealth::Prompt),
            (None, 3, EndpointHealth::Prompt),
            (Some(200), 2_001, EndpointHealth::Slow),
            (Some(503), 19_000, EndpointHealth::Slow),
            (None, 20_000, EndpointHealth::Silent),
        ];
        for (status, took_ms, want) in rows {
            assert_eq!(EndpointHealth::after(&attempt(status), took_ms), want);
        }
    }
}
