//! The fires of schedules that are removed: they go in steps, and are nobody else's meanwhile.

use super::drop::closed_within;
use super::*;

use tidegate_engine::job::JobTarget;
use tidegate_engine::schedule::{Definition, Fire, Origin, ScheduleId, ScheduleRule};
use tidegate_engine::store::parts::*;
use tidegate_engine::store::{Backfill, PutSchedule, RefirePolicy};

fn id() -> ScheduleId {
    ScheduleId::from_parts(Timestamp(7), 1)
}

async fn put(store: &SledStore) {
    let target = JobTarget::Action {
        connection: connection("acme"),
        action: name("push"),
        input: "{}".to_owned().into(),
    };
    let every = ScheduleRule::Every {
        every: "10s".parse().unwrap(),
    };
    let put = PutSchedule {
        id: id(),
        definition: Definition::new(target, vec![every]),
        origin: Origin::User,
        revision: None,
        now: Timestamp(5000),
    };
    store.put_schedule(put).await.unwrap();
}

/// Fire so many times, at `now`.
async fn fire(store: &SledStore, times: u64, now: u64) -> Vec<Fire> {
    let backfill = Backfill {
        schedule: id(),
        moments: (1..=times).map(|n| Timestamp(n * 10_000)).collect(),
        again: RefirePolicy::Never,
        now: Timestamp(now),
    };
    store.backfill(backfill).await.unwrap()
}

#[test]
fn a_removal_that_was_interrupted_goes_on_and_an_id_that_comes_again_has_no_past() {
    for with_connection in [false, true] {
        let prepared = async |store: &SledStore| {
            set_up(store).await;
            put(store).await;
            fire(store, 5000, 100_000_000).await;
        };
        let acme = connection("acme");
        let removal = async |store: &SledStore| match with_connection {
            true => {
                let removed = store.remove_connection(&acme, Timestamp(9)).await;
                removed.map(|_| ())
            }
            false => store.remove_schedule(id(), Timestamp(9)).await,
        };
        let is_gone = async |store: &SledStore| match with_connection {
            true => store.connection(&acme).await.is_err(),
            false => store.schedule(id()).await.is_err(),
        };
        let (dir, _) = closed_within('F', prepared, removal, is_gone);
        let store = open(dir.path());
        block_on(async {
            let gone = store.fires(id(), None, 10).await;
            let is_gone = matches!(gone, Err(StoreError::NotFound { .. }));
            assert!(is_gone, "{gone:?}");
            assert_eq!(store.check().await.unwrap().findings, []);

            if with_connection {
                store.add_connection(new_connection("acme")).await.unwrap();
            }
            put(&store).await;
            assert_eq!(store.fires(id(), None, 10).await, Ok(vec![]));
            let own = fire(&store, 3, 100_000_001).await;
            assert_eq!(own.len(), 3);
            store.settle().await.unwrap();
            let listed = store.fires(id(), None, 10).await.unwrap();
            assert!(listed.iter().rev().eq(&own), "{listed:?}");
            assert_eq!(store.check().await.unwrap().findings, []);
            store.close().await.unwrap();
        });
        drop(store);
        let left = keys(dir.path());
        assert_eq!((left.get(&'F'), left.get(&'d')), (Some(&3), None));
    }
}
