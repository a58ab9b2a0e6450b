//! The retry schedule, and when an endpoint is disabled.

use super::super::endpoint::SealedSecret;
use super::super::{DeliveryError, DeliveryErrorKind};
use super::super::{Event, EventType};
use super::*;

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

fn delivery() -> Delivery {
    let event = Event {
        seq: 1,
        id: EventId::derived(Timestamp(1), &["a"]),
        kind: EventType::RunFinished,
        at: Timestamp(1),
        stream: None,
        data: "{}".into(),
    };
    Delivery::new(endpoint().id, &event, Timestamp(1))
}

fn attempt(at: u64, status: u16) -> Attempt {
    Attempt {
        at: Timestamp(at),
        latency_ms: 10,
        status: Some(status),
        no_answer: None,
        response: String::new(),
        retry_after_ms: None,
    }
}

fn no_answer(kind: DeliveryErrorKind) -> Attempt {
    Attempt {
        status: None,
        no_answer: Some(DeliveryError {
            kind,
            message: "no".into(),
        }),
        ..attempt(0, 0)
    }
}

#[test]
fn ten_attempts_over_27_hours_and_a_half() {
    assert_eq!(
        DELAYS_MS.iter().sum::<u64>(),
        27 * HOUR_MS + 36 * MINUTE_MS + 35 * SECOND_MS
    );
    assert_eq!(ATTEMPTS as usize, DELAYS_MS.len() + 1);
    let (endpoint, mut delivery) = (endpoint(), delivery());
    let mut now = 1000;
    let mut waits = Vec::new();
    while let Some(next_at) = delivery.state.next_at() {
        now = now.max(next_at.0);
        let settled = settled(&endpoint, &delivery, attempt(now, 500));
        delivery = settled.delivery;
        waits.extend(delivery.state.next_at().map(|next| next.0 - now - 10));
    }
    assert_eq!((delivery.made, delivery.failed), (ATTEMPTS, ATTEMPTS));
    assert_eq!(delivery.state.as_str(), "exhausted");
    for (wait, base) in waits.iter().zip(DELAYS_MS) {
        assert!(
            (base * 8 / 10..=base * 12 / 10).contains(wait),
            "{wait} {base}"
        );
    }
    assert!(
        waits
            .iter()
            .zip(DELAYS_MS)
            .any(|(wait, base)| *wait != base),
        "no jitter: {waits:?}"
    );
    // A replay begins anew, and goes on with the log, of which the last ten are kept.
    let again = replayed(&delivery, Timestamp(5));
    assert_eq!(
        (again.failed, again.made, again.attempts.len()),
        (0, 10, 10)
    );
    let three = (0..3).fold(again, |d, _| {
        let at = d.state.next_at().unwrap();
        super::settled(&endpoint, &d, attempt(at.0, 500)).delivery
    });
    assert_eq!(
        (three.failed, three.made, three.attempts.len()),
        (3, 13, 10)
    );
}

#[test]
fn waits_follow_the_answer() {
    let (event, endpoint) = (delivery().event, endpoint().id);
    let plain = |failed| delay_ms(event, endpoint, failed, &attempt(0, 500)).unwrap();
    let asked = |status, seconds: u64| Attempt {
        retry_after_ms: Some(seconds * SECOND_MS),
        ..attempt(0, status)
    };
    let rows = [
        (1, attempt(0, 301), plain(1)),
        (1, attempt(0, 503), plain(1)),
        (1, attempt(0, 429), MINUTE_MS),
        (1, attempt(0, 502), MINUTE_MS),
        (1, attempt(0, 504), MINUTE_MS),
        (1, no_answer(DeliveryErrorKind::Timeout), MINUTE_MS),
        (1, no_answer(DeliveryErrorKind::Connect), plain(1)),
        (2, attempt(0, 429), MINUTE_MS),
        (4, attempt(0, 429), plain(4)),
        (1, asked(503, 0), plain(1)),
        (1, asked(503, 100), 2 * plain(1)),
        (1, asked(429, 90), 90 * SECOND_MS),
        (1, asked(429, 86_400), 2 * MINUTE_MS),
        (5, asked(503, 2500), 2500 * SECOND_MS),
    ];
    for (row, (failed, last, want)) in rows.into_iter().enumerate() {
        assert_eq!(
            delay_ms(event, endpoint, failed, &last),
            Some(want),
            "row {row}"
        );
    }
    assert_eq!(delay_ms(event, endpoint, ATTEMPTS, &attempt(0, 500)), None);
    assert_eq!(delay_ms(event, endpoint, 0, &attempt(0, 500)), None);
}

#[test]
fn only_2xx_is_taken() {
    for (status, fine) in [
        (199, false),
        (200, true),
        (204, true),
        (299, true),
        (300, false),
        (301, false),
        (400, false),
    ] {
        let settled = settled(&endpoint(), &delivery(), attempt(5, status));
        assert_eq!(
            settled.delivery.state.as_str() == "delivered",
            fine,
            "{status}"
        );
        assert_eq!(settled.endpoint.is_none(), fine, "{status}");
    }
}

#[test]
fn failures_alone_disable_after_five_days() {
    let five_days = 5 * 24 * HOUR_MS;
    let at = |first: Option<u64>, now: u64, status: u16| {
        let mut endpoint = endpoint();
        endpoint.first_failure_at = first.map(Timestamp);
        let settled = settled(&endpoint, &delivery(), attempt(now - 10, status));
        let new = settled.endpoint.unwrap_or(endpoint);
        assert_eq!(settled.disabled, new.disabled.is_some());
        (
            new.first_failure_at.map(|at| at.0),
            new.disabled.map(|d| d.why),
            new.revision,
        )
    };
    let day = 24 * HOUR_MS;
    let failing = Some(WhyDisabled::Failing);
    let rows = [
        (None, day, 500, (Some(day), None, 1)),
        (Some(day), 2 * day, 500, (Some(day), None, 0)),
        (Some(day), day + five_days - 1, 500, (Some(day), None, 0)),
        (Some(day), day + five_days, 500, (Some(day), failing, 1)),
        // Nothing was delivered meanwhile: what was so long ago says nothing.
        (Some(day), 11 * day, 500, (Some(11 * day), None, 1)),
        (Some(day), day + five_days, 200, (None, None, 1)),
        (None, day, 200, (None, None, 0)),
        (None, day, 410, (Some(day), Some(WhyDisabled::Gone), 1)),
    ];
    for (row, (first, now, status, want)) in rows.into_iter().enumerate() {
        assert_eq!(at(first, now, status), want, "row {row}");
    }
    // One that is disabled already keeps its reason.
    let mut off = endpoint();
    off.disabled = Some(Disabled {
        at: Timestamp(1),
        why: WhyDisabled::Operator,
    });
    let settled = settled(&off, &delivery(), attempt(5, 410));
    assert!(!settled.disabled);
    assert_eq!(settled.endpoint.unwrap().disabled, off.disabled);
}
