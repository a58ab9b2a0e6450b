//! Endpoints, deliveries and what comes of them: few endpoints and streams, so that they meet.

use tidegate_engine::integration::AuthFailed;
use tidegate_engine::store::{DeliveryFilter, DueDeliveries, Replay};
use tidegate_engine::webhook::{
    Attempt, DeliveryError, DeliveryErrorKind, Disabled, Endpoint, EndpointId, EventType,
    SealedSecret, WhyDisabled,
};

use super::*;

/// Endpoints that there may be.
const ENDPOINTS: std::ops::Range<u8> = 0..3;
const HOUR_MS: u64 = 60 * 60 * 1000;

#[derive(Debug, Clone)]
pub(crate) enum HookStep {
    Add {
        endpoint: u8,
        filter: u8,
    },
    /// Disable or enable; `stale` has not seen the last change.
    Update {
        endpoint: u8,
        disable: bool,
        stale: bool,
    },
    Remove {
        endpoint: u8,
    },
    /// Ask what is due so many hours later.
    Due {
        hours: u64,
        per_endpoint: usize,
        limit: usize,
        /// What was due before is on its way.
        in_flight: bool,
    },
    /// Settle one of those that were due, and the same again.
    Settle {
        pick: usize,
        status: u16,
    },
    Deliveries {
        endpoint: u8,
        state: Option<&'static str>,
        before: Option<u64>,
        limit: usize,
    },
    Replay {
        endpoint: u8,
        all: bool,
        age: u64,
        limit: usize,
    },
    Forget {
        age: u64,
        limit: usize,
    },
    /// Reject a connection's credentials, or take them again.
    AuthFailed {
        connection: usize,
        failed: bool,
    },
    HoursLater(u64),
    /// Within an outage.
    SecondsLater(u64),
}

pub(crate) fn step() -> impl Strategy<Value = HookStep> {
    use HookStep::*;
    let status = prop_oneof![
        3 => Just(200u16),
        5 => Just(500),
        1 => Just(429),
        1 => Just(410),
        1 => Just(0),
    ];
    let state = prop_oneof![
        Just(None),
        Just(Some("pending")),
        Just(Some("delivered")),
        Just(Some("exhausted")),
    ];
    prop_oneof![
        3 => (ENDPOINTS, 0u8..4).prop_map(|(endpoint, filter)| Add { endpoint, filter }),
        2 => (ENDPOINTS, prop::bool::weighted(0.3), prop::bool::weighted(0.2))
            .prop_map(|(endpoint, disable, stale)| Update { endpoint, disable, stale }),
        1 => ENDPOINTS.prop_map(|endpoint| Remove { endpoint }),
        5 => (prop_oneof![Just(0u64), Just(12)], 0usize..4, 0usize..6, any::<bool>())
            .prop_map(|(hours, per_endpoint, limit, in_flight)| Due { hours, per_endpoint, limit, in_flight }),
        12 => (0usize..4, status).prop_map(|(pick, status)| Settle { pick, status }),
        2 => (ENDPOINTS, state, prop::option::of(0u64..20), 0usize..10)
            .prop_map(|(endpoint, state, before, limit)| Deliveries { endpoint, state, before, limit }),
        2 => (ENDPOINTS, any::<bool>(), 0u64..100, 0usize..30)
            .prop_map(|(endpoint, all, age, limit)| Replay { endpoint, all, age, limit }),
        1 => (0u64..100, 0usize..10).prop_map(|(age, limit)| Forget { age, limit }),
        2 => (0usize..3, any::<bool>()).prop_map(|(connection, failed)| AuthFailed { connection, failed }),
        2 => (1u64..12).prop_map(HoursLater),
        2 => (1u64..70).prop_map(SecondsLater),
    ]
}

fn endpoint_id(number: u8) -> EndpointId {
    EndpointId::from_parts(Timestamp(number.into()), number.into())
}

fn endpoint(number: u8, filter: u8, now: u64) -> Endpoint {
    Endpoint {
        id: endpoint_id(number),
        url: format!("https://hook-{number}.example/").parse().unwrap(),
        description: "x".repeat(usize::from(number) * 4000),
        events: match filter {
            1 => [EventType::RunFailed, EventType::EndpointDisabled].into(),
            _ => [].into(),
        },
        integration: (filter > 1).then(|| name("crm")),
        connection: (filter > 2).then(|| "bolt".parse().unwrap()),
        secrets: vec![SealedSecret {
            sealed: vec![1, 2, 3],
            created_at: Timestamp(now),
            expires_at: None,
        }],
        disabled: None,
        first_failure_at: None,
        probe_at: None,
        created_at: Timestamp(now),
        revision: 0,
    }
}

fn attempt(at: u64, status: u16) -> Attempt {
    let timed_out = DeliveryError {
        kind: DeliveryErrorKind::Timeout,
        message: "no complete answer".into(),
    };
    Attempt {
        at: Timestamp(at),
        latency_ms: 7,
        status: (status > 0).then_some(status),
        no_answer: (status == 0).then_some(timed_out),
        response: "y".repeat(usize::from(status % 9) * 100),
        retry_after_ms: (status == 429).then_some(90_000),
    }
}

impl<B: Backend> Pair<'_, B> {
    pub(crate) async fn hook(&mut self, step: &HookStep) {
        let now = Timestamp(self.now);
        match step {
            HookStep::Add {
                endpoint: number,
                filter,
            } => {
                let new = endpoint(*number, *filter, self.now);
                let _ = both!(self, store => store.add_endpoint(new.clone()));
                let _ = both!(self, store => store.add_endpoint(new.clone()));
            }
            HookStep::Update {
                endpoint: number,
                disable,
                stale,
            } => {
                let id = endpoint_id(*number);
                let seen = both!(self, store => store.endpoint(id));
                let mut new = seen.unwrap_or_else(|_| endpoint(*number, 0, 1));
                new.revision = new.revision.wrapping_sub(u64::from(*stale));
                new.first_failure_at = None;
                new.disabled = disable.then_some(Disabled {
                    at: now,
                    why: WhyDisabled::Operator,
                });
                let _ = both!(self, store => store.update_endpoint(new.clone()));
            }
            HookStep::Remove { endpoint: number } => {
                let id = endpoint_id(*number);
                let _ = both!(self, store => store.remove_endpoint(id));
            }
            HookStep::Due {
                hours,
                per_endpoint,
                limit,
                in_flight,
            } => {
                let before = self.due.iter().map(|due| (due.endpoint.id, due.event.seq));
                let wanted = DueDeliveries {
                    now: Timestamp(self.now + hours * HOUR_MS),
                    in_flight: before.filter(|_| *in_flight).collect(),
                    per_endpoint: *per_endpoint,
                    limit: *limit,
                    ..DueDeliveries::default()
                };
                let due = both!(self, store => store.due_deliveries(wanted.clone())).unwrap();
                self.due = due.deliveries;
            }
            HookStep::Settle { pick, status } => {
                let Some(due) = self.due.get(*pick) else {
                    return;
                };
                let (id, seq, made) = (due.endpoint.id, due.event.seq, due.made);
                for _ in 0..2 {
                    let attempt = attempt(self.now, *status);
                    let settled =
                        both!(self, store => store.settle_delivery(id, seq, made, attempt.clone()));
                    settled.unwrap();
                }
            }
            HookStep::Deliveries {
                endpoint,
                state,
                before,
                limit,
            } => {
                let filter = DeliveryFilter {
                    endpoint: endpoint_id(*endpoint),
                    state: state.map(Into::into),
                    before: *before,
                    limit: *limit,
                };
                let _ = both!(self, store => store.deliveries(filter.clone()));
            }
            HookStep::Replay {
                endpoint,
                all,
                age,
                limit,
            } => {
                let replay = Replay {
                    endpoint: endpoint_id(*endpoint),
                    since: Timestamp(self.now.saturating_sub(age * HOUR_MS)),
                    all: *all,
                    after: None,
                    limit: *limit,
                    now,
                };
                let done = both!(self, store => store.replay_deliveries(replay));
                let after = done.ok().and_then(|done| done.more_after);
                if after.is_some() {
                    let rest = Replay { after, ..replay };
                    both!(self, store => store.replay_deliveries(rest)).unwrap();
                }
            }
            HookStep::Forget { age, limit } => {
                let before = Timestamp(self.now.saturating_sub(age * HOUR_MS));
                both!(self, store => store.forget_events(before, *limit)).unwrap();
            }
            HookStep::AuthFailed {
                connection: number,
                failed,
            } => {
                let key = connection(CONNECTIONS[*number]);
                let Ok(mut new) = both!(self, store => store.connection(&key)) else {
                    return;
                };
                new.auth_failed = failed.then(|| {
                    Box::new(AuthFailed {
                        at: now,
                        message: "invalid_grant".into(),
                    })
                });
                let updates = vec![new];
                both!(self, store => store.update_connections(updates.clone())).unwrap();
            }
            HookStep::HoursLater(hours) => self.now += hours * HOUR_MS,
            HookStep::SecondsLater(seconds) => self.now += seconds * 1000,
        }
    }

    /// All that there is of webhooks, and what would be due.
    pub(crate) async fn list_hooks(&self) {
        both!(self, store => store.endpoints()).unwrap();
        for number in ENDPOINTS {
            let filter = DeliveryFilter {
                endpoint: endpoint_id(number),
                state: None,
                before: None,
                limit: 10_000,
            };
            let _ = both!(self, store => store.deliveries(filter.clone()));
        }
        for later in [0, 5_000, 40_000, HOUR_MS, 1000 * HOUR_MS] {
            let wanted = DueDeliveries {
                now: Timestamp(self.now + later),
                per_endpoint: 1000,
                limit: 1000,
                ..DueDeliveries::default()
            };
            both!(self, store => store.due_deliveries(wanted.clone())).unwrap();
        }
    }
}
