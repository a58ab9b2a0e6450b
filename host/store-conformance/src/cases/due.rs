//! Deliveries that are due: in which order, and whose first.

use tidegate_engine::store::DueDeliveries;
use tidegate_engine::webhook::{ATTEMPTS, Endpoint, EndpointHealth};

use super::webhooks::{attempt, due, due_seqs, run_once};
use super::*;

pub fn streams_keep_their_order_and_don_t_wait_for_each_other<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        for number in [1, 2] {
            store.add_endpoint(new_endpoint(number)).await.unwrap();
        }
        for (connection_name, at) in [("acme", 10), ("acme", 11), ("bolt", 12)] {
            run_once(store, connection_name, at, Outcome::Success).await;
        }
        let (one, two) = (endpoint_id(1), endpoint_id(2));
        assert_eq!(
            due_seqs(store, 12).await,
            [(one, 1), (two, 1), (one, 3), (two, 3)]
        );
        // The first one fails: what follows it in its stream waits, the others go on.
        let state = store
            .settle_delivery(one, 1, 0, attempt(100, 500))
            .await
            .unwrap()
            .unwrap();
        let next_at = state.next_at().unwrap().0;
        assert_eq!(due_seqs(store, 100).await, [(two, 1), (one, 3), (two, 3)]);
        assert_eq!(due(store, 100).await.next_at, Some(Timestamp(next_at)));
        store
            .settle_delivery(two, 1, 0, attempt(100, 204))
            .await
            .unwrap();
        store
            .settle_delivery(one, 3, 0, attempt(100, 204))
            .await
            .unwrap();
        // Its endpoint takes something again, so it may come forward.
        let early_at = due(store, 100).await.next_at.unwrap().0;
        assert!(early_at <= next_at, "{early_at} {next_at}");
        assert_eq!(due_seqs(store, early_at - 1).await, [(two, 2), (two, 3)]);
        assert_eq!(
            due_seqs(store, early_at).await,
            [(two, 2), (one, 1), (two, 3)]
        );
        // What was settled is not settled again, whatever comes late.
        for made in [0, 2, 7] {
            assert_eq!(
                store.settle_delivery(one, 1, made, attempt(101, 200)).await,
                Ok(None)
            );
        }
        assert_eq!(
            store.settle_delivery(two, 1, 1, attempt(101, 200)).await,
            Ok(None)
        );
        // Exhausted at last, it lets the next one go.
        let mut own = next_at;
        for made in 1..ATTEMPTS {
            let state = store
                .settle_delivery(one, 1, made, attempt(own, 500))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(state.as_str() == "exhausted", made == ATTEMPTS - 1);
            own = state.next_at().map_or(own, |next| next.0);
        }
        assert_eq!(due_seqs(store, own).await, [(one, 2), (two, 2), (two, 3)]);
        // Limits: of one endpoint, in all, and those on their way.
        let wanted = DueDeliveries {
            now: Timestamp(own),
            in_flight: vec![(two, 2)],
            per_endpoint: 1,
            limit: 9,
            ..DueDeliveries::default()
        };
        let due = store.due_deliveries(wanted).await.unwrap().deliveries;
        let due: Vec<_> = due
            .iter()
            .map(|due| (due.endpoint.id, due.event.seq))
            .collect();
        assert_eq!(due, [(one, 2)]);
    });
}

/// What waits for an endpoint that fails is brought forward once that takes something; meanwhile one delivery is tried
/// now and then, and nothing else.
pub fn an_endpoint_that_is_back_has_what_waited<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        store.add_endpoint(new_endpoint(1)).await.unwrap();
        for (connection_name, at) in [("acme", 10), ("acme", 11), ("bolt", 12)] {
            run_once(store, connection_name, at, Outcome::Success).await;
        }
        let one = endpoint_id(1);
        let settle = async |seq, made, at, status| {
            let settled = store.settle_delivery(one, seq, made, attempt(at, status));
            settled.await.unwrap().unwrap()
        };
        // Four failures each: the fifth attempt is five minutes later.
        let mut now = 100;
        for made in 0..4 {
            let acme = settle(1, made, now, 500).await.next_at().unwrap();
            let bolt = settle(3, made, now, 500).await.next_at().unwrap();
            if made < 3 {
                now = acme.max(bolt).0;
            }
        }
        let failed_at = store.endpoint(one).await.unwrap().probe_at.unwrap().0 - 30_000;
        assert!(failed_at >= now);
        assert_eq!(due_seqs(store, failed_at + 29_999).await, []);
        let next_at = due(store, failed_at).await.next_at.unwrap();
        assert_eq!(next_at, Timestamp(failed_at + 30_000));
        // Something is on its way, which tells as much.
        let wanted = DueDeliveries {
            now: next_at,
            in_flight: vec![(one, 3)],
            per_endpoint: 9,
            limit: 9,
            ..DueDeliveries::default()
        };
        let beside = store.due_deliveries(wanted).await.unwrap();
        assert_eq!(beside.deliveries, []);
        let [probed] = due_seqs(store, next_at.0).await[..] else {
            panic!("one alone is to be asked with")
        };
        settle(probed.1, 4, next_at.0, 503).await;
        // The next time it is the other one's turn.
        let next_at = due(store, next_at.0).await.next_at.unwrap();
        let other = if probed.1 == 1 { 3 } else { 1 };
        assert_eq!(due_seqs(store, next_at.0).await, [(one, other)]);
        let reopened = store.endpoint(one).await.unwrap();
        assert_eq!(reopened.revision, 1, "none of this is a change");
        settle(other, 4, next_at.0, 200).await;
        // All that waits, though not before its turn.
        let all: Vec<u64> = due_seqs(store, next_at.0)
            .await
            .iter()
            .map(|d| d.1)
            .collect();
        assert!(all.contains(&probed.1), "{all:?}");
        assert_eq!(all.contains(&2), other == 1, "{all:?}");
        // One that fails though its endpoint is well comes later each time.
        let state = settle(probed.1, 5, next_at.0, 500).await;
        store
            .update_endpoint(Endpoint {
                first_failure_at: None,
                ..store.endpoint(one).await.unwrap()
            })
            .await
            .unwrap();
        assert_eq!(store.endpoint(one).await.unwrap().probe_at, None);
        assert!(state.next_at().unwrap() > next_at);
        let later = |ms: u64| due_seqs(store, next_at.0 + ms);
        let early = attempt(0, 500).latency_ms + 10_000;
        assert!(!later(early - 1).await.contains(&probed));
        assert!(later(early).await.contains(&probed));
    });
}

pub fn the_backlog_of_one_endpoint_keeps_no_other_waiting<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        for name in ["a", "b", "c", "d", "e", "f"] {
            store.add_connection(new_connection(name)).await.unwrap();
        }
        store.add_endpoint(new_endpoint(1)).await.unwrap();
        for (number, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
            run_once(store, name, 10 + number as u64, Outcome::Success).await;
        }
        store.add_endpoint(new_endpoint(2)).await.unwrap();
        for (number, name) in ["e", "f"].into_iter().enumerate() {
            run_once(store, name, 20 + number as u64, Outcome::Success).await;
        }
        let (one, two) = (endpoint_id(1), endpoint_id(2));
        // What is on the way, how many more there may be, and which are chosen.
        let rows = [
            (vec![(one, 1), (one, 2)], 1, vec![(two, 5)]),
            (vec![(one, 1)], 3, vec![(two, 5), (one, 2), (two, 6)]),
            (vec![(one, 1), (two, 5)], 2, vec![(one, 2), (two, 6)]),
            (vec![], 3, vec![(one, 1), (two, 5), (one, 2)]),
        ];
        for (in_flight, limit, chosen) in rows {
            let wanted = DueDeliveries {
                now: Timestamp(100),
                in_flight,
                standings: [(one, EndpointHealth::Prompt), (two, EndpointHealth::Prompt)].into(),
                per_endpoint: 3,
                limit,
            };
            let due = store.due_deliveries(wanted).await.unwrap().deliveries;
            let due: Vec<_> = due.iter().map(|d| (d.endpoint.id, d.event.seq)).collect();
            assert_eq!(due, chosen);
        }
    });
}

pub fn what_is_on_its_way_to_nobody_is_told_of<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        for number in 1..=4 {
            store.add_endpoint(new_endpoint(number)).await.unwrap();
        }
        run_once(store, "acme", 10, Outcome::Success).await;
        let ids = [1, 2, 3, 4].map(endpoint_id);
        let wanted = DueDeliveries {
            now: Timestamp(10),
            in_flight: ids.map(|id| (id, 1)).into(),
            per_endpoint: 9,
            limit: 9,
            ..DueDeliveries::default()
        };
        let due = store.due_deliveries(wanted.clone()).await.unwrap();
        assert_eq!(due.gone, [].into());
        let heard = store.deliveries_changed(0).await.unwrap();
        store.remove_endpoint(ids[1]).await.unwrap();
        // Who waits for what is due hears of it.
        let heard = store.deliveries_changed(heard).await.unwrap();
        let mut off = store.endpoint(ids[2]).await.unwrap();
        off.disabled = Some(tidegate_engine::webhook::Disabled {
            at: Timestamp(11),
            why: tidegate_engine::webhook::WhyDisabled::Operator,
        });
        assert_eq!(store.update_endpoint(off).await, Ok(true));
        store.deliveries_changed(heard).await.unwrap();
        let due = store.due_deliveries(wanted).await.unwrap();
        assert_eq!(due.gone, [ids[1], ids[2]].into());
    });
}
