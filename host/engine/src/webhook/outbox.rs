//! Which endpoints events go to, decided in the command that writes them.

use std::collections::{BTreeMap, VecDeque};

use super::{
    Delivery, Disabled, Endpoint, EndpointId, Event, NewEvent, WhyDisabled, endpoint_disabled,
};

/// What a command writes about its events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outbox {
    /// Those that an endpoint wants, be it one that is disabled: a replay can reach it later.
    pub events: Vec<Event>,
    /// All of them pending.
    pub deliveries: Vec<Delivery>,
    /// Endpoints that had no room for one more, as they are now.
    pub disabled: Vec<Endpoint>,
}

/// Give numbers to the events of one command, and find out where they go.
///
/// `pending` is how many deliveries wait for an endpoint, and `most` how many may. One that has no
/// room is disabled, which is an event itself: an endpoint misses nothing silently. `last_seq` is the
/// last number given out; it counts on.
#[must_use]
pub fn route(
    new: Vec<NewEvent>,
    endpoints: &BTreeMap<EndpointId, Endpoint>,
    pending: impl Fn(EndpointId) -> u64,
    most: u64,
    last_seq: &mut u64,
) -> Outbox {
    let mut outbox = Outbox::default();
    let mut added: BTreeMap<EndpointId, u64> = BTreeMap::new();
    let mut queue: VecDeque<NewEvent> = new.into();
    while let Some(new) = queue.pop_front() {
        let wanting = endpoints.values();
        let wanting = wanting.filter(|endpoint| endpoint.wants(new.kind, new.stream.as_ref()));
        let wanting: Vec<&Endpoint> = wanting.collect();
        if wanting.is_empty() {
            continue;
        }
        *last_seq += 1;
        let event = Event::numbered(new, *last_seq);
        for endpoint in wanting {
            let id = endpoint.id;
            let is_disabled = outbox.disabled.iter().any(|disabled| disabled.id == id);
            if is_disabled || endpoint.disabled.is_some() {
                continue;
            }
            let waiting = added.entry(id).or_insert_with(|| pending(id));
            if *waiting < most {
                *waiting += 1;
                outbox.deliveries.push(Delivery::new(id, &event, event.at));
                continue;
            }
            let disabled = Endpoint {
                disabled: Some(Disabled {
                    at: event.at,
                    why: WhyDisabled::Full,
                }),
                revision: endpoint.revision + 1,
                ..endpoint.clone()
            };
            queue.extend(endpoint_disabled(&disabled));
            outbox.disabled.push(disabled);
        }
        outbox.events.push(event);
    }
    outbox
}

#[cfg(test)]
mod tests {
    use super::super::endpoint::SealedSecret;
    use super::super::{EventId, EventType};
    use super::*;
    use crate::Timestamp;

    fn endpoint(number: u128, change: impl FnOnce(&mut Endpoint)) -> (EndpointId, Endpoint) {
        let id = EndpointId::from_parts(Timestamp(1), number);
        let mut endpoint = Endpoint {
            id,
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
            revision: 3,
        };
        change(&mut endpoint);
        (id, endpoint)
    }

    fn event(number: &str) -> NewEvent {
        NewEvent {
            id: EventId::derived(Timestamp(9), &[number]),
            kind: EventType::RunFinished,
            at: Timestamp(9),
            stream: None,
            data: "{}".into(),
        }
    }

    #[test]
    fn nobody_wants_it_so_nothing_is_written() {
        let mut seq = 4;
        let picky = endpoint(1, |e| e.events = [EventType::RunFailed].into());
        for endpoints in [BTreeMap::new(), BTreeMap::from([picky])] {
            let outbox = route(vec![event("a")], &endpoints, |_| 0, 9, &mut seq);
            assert_eq!((outbox, seq), (Outbox::default(), 4));
        }
    }

    #[test]
    fn an_endpoint_without_room_is_disabled_and_the_others_hear_of_it() {
        let off = |e: &mut Endpoint| {
            e.disabled = Some(Disabled {
                at: Timestamp(2),
                why: WhyDisabled::Gone,
            });
        };
        let endpoints =
            BTreeMap::from([endpoint(1, |_| ()), endpoint(2, |_| ()), endpoint(3, off)]);
        let ids: Vec<EndpointId> = endpoints.keys().copied().collect();
        let pending = |id| if id == ids[1] { 8 } else { 0 };
        let mut seq = 0;
        let outbox = route(
            vec![event("a"), event("b"), event("c")],
            &endpoints,
            pending,
            9,
            &mut seq,
        );
        // The second one has room for `a`, is disabled by `b`, and gets no `c`.
        let kinds: Vec<(u64, EventType)> = outbox.events.iter().map(|e| (e.seq, e.kind)).collect();
        let finished = EventType::RunFinished;
        let want = [
            (1, finished),
            (2, finished),
            (3, finished),
            (4, EventType::EndpointDisabled),
        ];
        assert_eq!(kinds, want);
        let sent: Vec<(EndpointId, u64)> = outbox
            .deliveries
            .iter()
            .map(|d| (d.endpoint, d.seq))
            .collect();
        assert_eq!(
            sent,
            [
                (ids[0], 1),
                (ids[1], 1),
                (ids[0], 2),
                (ids[0], 3),
                (ids[0], 4)
            ]
        );
        let [disabled] = &outbox.disabled[..] else {
            panic!("{outbox:?}")
        };
        assert_eq!((disabled.id, disabled.revision), (ids[1], 4));
        assert_eq!(disabled.disabled.map(|d| d.why), Some(WhyDisabled::Full));
        assert!(outbox.events[3].data.contains(&ids[1].to_string()));
        assert_eq!(seq, 4);
    }
}
