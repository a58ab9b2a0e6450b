//! Outages, played second by second against what is due.

use std::collections::BTreeMap;

use super::super::{
    AttemptedDelivery, DeliveryError, EndpointId, Event, EventId, EventType, SealedSecret,
    replayed, settled,
};
use super::*;
use crate::ConnectionKey;

const HOUR_MS: u64 = 60 * MINUTE_MS;

fn endpoint() -> Endpoint {
    Endpoint {
        id: EndpointId::from_parts(Timestamp(1), 1),
        url: "https://a.example/".parse().unwrap(),
        description: String::new(),
        events: [].into(),
        integration: None,
        connection: None,
        secrets: Vec::<SealedSecret>::new(),
        disabled: None,
        first_failure_at: None,
        probe_at: None,
        created_at: Timestamp(1),
        revision: 0,
    }
}

fn attempt(at: u64, status: u16) -> Attempt {
    let none = DeliveryError {
        kind: DeliveryErrorKind::Timeout,
        message: "no".into(),
    };
    Attempt {
        at: Timestamp(at),
        latency_ms: 10,
        status: (status > 0).then_some(status),
        no_answer: (status == 0).then_some(none),
        response: String::new(),
        retry_after_ms: None,
    }
}

/// An endpoint, what waits for it, and each attempt: when, of which event, and what it was answered.
struct Scene {
    endpoint: Endpoint,
    waiting: BTreeMap<u64, Delivery>,
    attempts: Vec<(u64, u64, u16)>,
}

impl Scene {
    /// `each` events about each of so many connections, all at 0.
    fn new(connections: u64, each: u64) -> Self {
        let endpoint = endpoint();
        let delivery = |seq: u64| {
            let stream = ConnectionKey {
                integration: "crm".parse().unwrap(),
                connection: format!("c{}", seq % connections).parse().unwrap(),
            };
            let event = Event {
                seq,
                id: EventId::derived(Timestamp(seq), &["a"]),
                kind: EventType::RunFinished,
                at: Timestamp(0),
                stream: Some(stream),
                data: "{}".into(),
            };
            (seq, Delivery::new(endpoint.id, &event, Timestamp(0)))
        };
        Self {
            waiting: (0..connections * each).map(delivery).collect(),
            endpoint,
            attempts: Vec::new(),
        }
    }

    fn due(&self, now: u64) -> (Vec<(Timestamp, u64)>, Option<Timestamp>) {
        let mut heads: BTreeMap<_, Head> = BTreeMap::new();
        for delivery in self.waiting.values() {
            if let Some(head) = Head::of(delivery) {
                heads.entry(delivery.stream.clone()).or_insert(head);
            }
        }
        let heads: Vec<Head> = heads.into_values().collect();
        due(&self.endpoint, &heads, Timestamp(now), true)
    }

    /// Make what is due, one after the other, until a time or until nothing waits any more.
    fn play(&mut self, until: u64, answer: impl Fn(u64, u64) -> Attempt) {
        let mut now = 0;
        while now <= until && self.endpoint.disabled.is_none() {
            let (due, next) = self.due(now);
            let Some((_, seq)) = due.first() else {
                let Some(next) = next else { return };
                assert!(next.0 > now, "nothing is due, and the next one not later");
                now = next.0;
                continue;
            };
            let attempt = answer(now, *seq);
            self.attempts
                .push((now, *seq, attempt.status.unwrap_or_default()));
            now += 1;
            let AttemptedDelivery {
                delivery, endpoint, ..
            } = settled(&self.endpoint, &self.waiting[seq], attempt);
            self.endpoint = endpoint.unwrap_or_else(|| self.endpoint.clone());
            match delivery.state.next_at() {
                Some(_) => drop(self.waiting.insert(*seq, delivery)),
                None => drop(self.waiting.remove(seq)),
            }
        }
    }

    fn failed(&self, from: u64, to: u64) -> usize {
        let within = self
            .attempts
            .iter()
            .filter(|(at, _, status)| (from..to).contains(at) && *status != 200);
        within.count()
    }
}

#[test]
fn what_waited_comes_soon_after_the_endpoint_is_back_and_in_order() {
    // How long it is away and how it fails meanwhile; how long after it everything is there, and at most how many
    // attempts come between.
    let rows = [
        (20_000, 503, 35_000, 3 * 50),
        (20_000, 0, 65_000, 2 * 50),
        (5 * MINUTE_MS, 503, 35_000, 4 * 50 + 10),
        (HOUR_MS, 503, 7 * MINUTE_MS, 6 * 50 + 40),
        (3 * HOUR_MS, 0, 11 * MINUTE_MS, 7 * 50 + 60),
        (15 * HOUR_MS, 503, 11 * MINUTE_MS, 9 * 50 + 150),
    ];
    for (away, status, soon, most) in rows {
        let mut scene = Scene::new(50, 4);
        scene.play(u64::MAX, |now, _| {
            attempt(now, if now < away { status } else { 200 })
        });
        let failed = scene.failed(0, away);
        assert!(failed <= most, "{away}: {failed} attempts at nobody");
        let last = scene.attempts.last().unwrap().0;
        assert!(last < away + soon, "{away}: {} ms late", last - away);
        let mut taken: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (_, seq, _) in scene
            .attempts
            .iter()
            .filter(|(_, _, status)| *status == 200)
        {
            taken.entry(seq % 50).or_default().push(*seq);
        }
        for (connection, seqs) in taken {
            let want: Vec<u64> = (0..4).map(|nth| nth * 50 + connection).collect();
            assert_eq!(seqs, want, "{away}");
        }
    }
}

#[test]
fn an_endpoint_that_stays_away_is_not_hammered() {
    let mut scene = Scene::new(1, 100);
    scene.play(u64::MAX, |now, _| attempt(now, 500));
    // Five days, after which it is disabled.
    let [first, .., last] = &scene.attempts[..] else {
        panic!("{:?}", scene.attempts)
    };
    assert_eq!(
        scene.endpoint.disabled.map(|own| own.at.0 / HOUR_MS),
        Some(120)
    );
    assert!(scene.attempts.len() < 850, "{}", scene.attempts.len());
    assert_eq!((first.0, last.0 / HOUR_MS), (0, 120));
    // Nothing waits longer for a sign of life than a tenth of the time, and than ten minutes.
    for pair in scene.attempts.windows(2) {
        let wait = pair[1].0 - pair[0].0;
        // Of an attempt that takes 10 ms.
        let most = (pair[0].0 / 10).clamp(PROBE_MS, PROBE_MOST_MS);
        assert!(wait <= most + 10, "{wait} at {}", pair[0].0);
    }
}

#[test]
fn one_event_that_is_refused_is_not_used_up_by_those_that_are_taken() {
    // The first of 2,000 connections' events is refused, whenever it is tried; another one comes each half minute.
    let mut scene = Scene::new(2_000, 1);
    for (seq, delivery) in &mut scene.waiting {
        *delivery = replayed(delivery, Timestamp(seq * 30_000));
    }
    scene.play(u64::MAX, |now, seq| {
        attempt(now, if seq == 0 { 400 } else { 200 })
    });
    let tried: Vec<u64> = scene
        .attempts
        .iter()
        .filter(|(_, seq, _)| *seq == 0)
        .map(|(at, ..)| *at)
        .collect();
    // While others come: after the last of them the endpoint takes nothing any more, and is probed.
    let beside = tried.iter().filter(|at| **at < 2_000 * 30_000).count();
    assert!(beside <= 10 + 16, "{beside}");
    // Its own attempts are as far apart as ever: it is given up after more than a day, or not yet.
    let lasted = tried.last().unwrap() - tried[0];
    assert!(lasted > 15 * HOUR_MS, "{lasted}");
}

#[test]
fn who_asks_for_time_gets_it() {
    let asked = |status, seconds: u64| Attempt {
        retry_after_ms: Some(seconds * SECOND_MS),
        ..attempt(0, status)
    };
    // An attempt, how soon it can be brought forward, and how soon its endpoint is asked.
    let rows = [
        (attempt(0, 500), 5, 30),
        (attempt(0, 429), 60, 60),
        (attempt(0, 502), 60, 60),
        (attempt(0, 504), 60, 60),
        (attempt(0, 0), 60, 60),
        (asked(503, 45), 45, 45),
        (asked(429, 3), 60, 60),
        (asked(503, 86_400), 600, 600),
    ];
    for (row, (last, early, probe)) in rows.into_iter().enumerate() {
        assert_eq!(
            least_ms(&last).max(EARLY_MS),
            early * SECOND_MS,
            "row {row}"
        );
        let at = probe_at(Timestamp(1_000), Timestamp(1_000), &last);
        assert_eq!(at.0 - 1_000, probe * SECOND_MS, "row {row}");
    }
}

#[test]
fn an_early_attempt_that_fails_changes_nothing_of_the_schedule() {
    let event = Event {
        seq: 1,
        id: EventId::derived(Timestamp(1), &["a"]),
        kind: EventType::RunFinished,
        at: Timestamp(0),
        stream: None,
        data: "{}".into(),
    };
    let mut delivery = Delivery::new(endpoint().id, &event, Timestamp(0));
    for at in [0, 10_000, 100_000] {
        delivery = settled(&endpoint(), &delivery, attempt(at, 500)).delivery;
    }
    // The third wait is about a minute.
    let next_at = delivery.state.next_at().unwrap();
    let early = settled(&endpoint(), &delivery, attempt(110_000, 500)).delivery;
    assert_eq!(early.state.next_at(), Some(next_at));
    assert_eq!((early.failed, early.failed_early, early.made), (3, 1, 4));
    assert_eq!(
        Head::of(&early).unwrap().early_at,
        Timestamp(110_010 + 2 * EARLY_MS)
    );
    // One that is made to see whether the endpoint is back says nothing of the delivery.
    let failing = Endpoint {
        first_failure_at: Some(Timestamp(50)),
        ..endpoint()
    };
    let probe = settled(&failing, &delivery, attempt(110_000, 500)).delivery;
    assert_eq!((probe.failed, probe.failed_early, probe.made), (3, 0, 4));
    // What the endpoint asks for is waited for all the same.
    let asks = Attempt {
        retry_after_ms: Some(300_000),
        ..attempt(110_000, 503)
    };
    let asked = settled(&endpoint(), &delivery, asks).delivery;
    assert_eq!(asked.state.next_at(), Some(Timestamp(110_010 + 300_000)));
    // In its own time it counts.
    let own = settled(&endpoint(), &early, attempt(next_at.0, 500)).delivery;
    assert_eq!((own.failed, own.failed_early), (4, 1));
}
