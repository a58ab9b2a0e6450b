//! Order within a stream, others beside it, how much is on its way at once, and the end.

use tidegate_engine::webhook::{Disabled, WhyDisabled};
use tokio::sync::Semaphore;

use super::*;

#[tokio::test]
async fn a_stream_keeps_its_order_and_others_go_on() {
    let receiver = Receiver::new(|seen, _| {
        // The first event of `acme` fails twice.
        static FAILED: AtomicU64 = AtomicU64::new(0);
        let first = seen.json()["data"]["started_at"] == "2026-11-22T00:00:00Z";
        let fails = first
            && seen.json()["data"]["connection"] == "acme"
            && FAILED.fetch_add(1, Ordering::SeqCst) < 2;
        async move { (if fails { 503 } else { 200 }, vec![], vec![]) }.boxed()
    })
    .await;
    let mut scene = Scene::new().await;
    let id = scene.endpoint(&receiver.origin).await;
    scene.event("acme").await;
    scene.event("bolt").await;
    scene.hands.set(NOW + SECOND_MS);
    scene.event("acme").await;
    scene.event("bolt").await;
    scene.start();
    let settled = |all: &[Delivery], index: usize| all[index].state.as_str() == "delivered";
    let all = scene
        .until(id, |all| {
            settled(all, 1) && settled(all, 3) && all[0].made == 1
        })
        .await;
    assert_eq!(all[2].made, 0, "it waits for the one before it");
    for made in 1..3 {
        let next = scene.deliveries(id).await[0].state.next_at().unwrap();
        scene.hands.set(next.0);
        scene.settled(id, made).await;
    }
    scene
        .until(id, |all| settled(all, 0) && settled(all, 2))
        .await;
    let seen = receiver.until(6).await;
    let about = |name: &str| -> Vec<Value> {
        let own = seen
            .iter()
            .map(Seen::json)
            .filter(|body| body["data"]["connection"] == name);
        own.map(|body| body["timestamp"].clone()).collect()
    };
    let (first, second) = (json!("2026-11-22T00:00:00Z"), json!("2026-11-22T00:00:01Z"));
    assert_eq!(
        about("acme"),
        [first.clone(), first.clone(), first.clone(), second.clone()]
    );
    assert_eq!(about("bolt"), [first, second]);
    scene.stop().await;
}

/// A receiver that holds every request to `/hang…` until it is let go of, and answers the others at once.
async fn hanging() -> (Receiver, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let receiver = Receiver::new(move |seen, _| {
        let held = Arc::clone(&held);
        async move {
            if seen.path.starts_with("/hang") {
                held.acquire().await.unwrap().forget();
            }
            (200, vec![], vec![])
        }
        .boxed()
    });
    (receiver.await, gate)
}

/// Connections of their own, so that deliveries don't wait for each other.
async fn tenants(scene: &Scene, count: usize) -> Vec<String> {
    let names: Vec<String> = (0..count)
        .map(|number| format!("tenant-{number}"))
        .collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    set_up(&*scene.store, &all).await;
    names
}

fn delivered(all: &[Delivery]) -> usize {
    let states = all.iter().map(|one| one.state.as_str());
    states.filter(|state| *state == "delivered").count()
}

fn at(seen: &[Seen], path: &str) -> usize {
    seen.iter()
        .filter(|seen| seen.path.starts_with(path))
        .count()
}

/// As many endpoints that hang as there are places for endpoints that were not asked yet, then one that doesn't.
async fn crowd(scene: &Scene, receiver: &Receiver) -> (Vec<EndpointId>, EndpointId) {
    let mut hang = Vec::new();
    for number in 0..32 {
        let url = format!("{}/hang-{number}", receiver.origin);
        hang.push(scene.endpoint(&url).await);
    }
    let quick = scene.endpoint(&format!("{}/quick", receiver.origin)).await;
    (hang, quick)
}

#[tokio::test]
async fn endpoints_that_hang_keep_nobody_waiting() {
    let (receiver, gate) = hanging().await;
    let mut scene = Scene::new().await;
    let names = tenants(&scene, 8).await;
    let (_, quick) = crowd(&scene, &receiver).await;
    let other = scene
        .endpoint(&format!("{}/quick-too", receiver.origin))
        .await;
    for name in &names {
        scene.event(name).await;
    }
    scene.start();
    assert_eq!(at(&receiver.until(32).await, "/hang"), 32);
    // A single place that is free again is enough for those that were not asked yet, one after the other.
    gate.add_permits(1);
    scene.until(quick, |all| delivered(all) == 8).await;
    scene.until(other, |all| delivered(all) == 8).await;
    // From then on they have places of their own.
    for name in &names {
        scene.event(name).await;
    }
    scene.until(quick, |all| delivered(all) == 16).await;
    scene.until(other, |all| delivered(all) == 16).await;
    gate.add_permits(1000);
    scene.stop().await;
}

#[tokio::test]
async fn a_slow_endpoint_keeps_nobody_waiting_and_a_stop_lets_it_answer() {
    let (receiver, gate) = hanging().await;
    let mut scene = Scene::new().await;
    let names = tenants(&scene, 20).await;
    let slow = scene.endpoint(&format!("{}/hang", receiver.origin)).await;
    let quick = scene.endpoint(&format!("{}/quick", receiver.origin)).await;
    for name in &names {
        scene.event(name).await;
    }
    scene.start();
    scene.until(quick, |all| delivered(all) == 20).await;
    // Nobody knows yet how it answers.
    assert_eq!(at(&receiver.until(22).await, "/hang"), 2);
    // Its first answer came at once, as far as anybody can tell.
    gate.add_permits(1);
    assert_eq!(at(&receiver.until(22 + 15).await, "/hang"), 17);
    // Told to stop, it takes up nothing, and lets those end.
    scene.stop.take().unwrap().send(()).unwrap();
    scene.event("acme").await;
    gate.add_permits(100);
    scene.worker.take().unwrap().await.unwrap().unwrap();
    assert_eq!(at(&receiver.seen.borrow(), "/hang"), 17);
    assert_eq!(delivered(&scene.deliveries(slow).await), 17);
    // The next one does the rest.
    scene.start();
    scene.until(slow, |all| delivered(all) == 21).await;
    scene.stop().await;
}

#[tokio::test]
async fn what_is_on_its_way_to_an_endpoint_that_is_removed_or_disabled_is_dropped() {
    let (receiver, _gate) = hanging().await;
    let mut scene = Scene::new().await;
    let names = tenants(&scene, 8).await;
    let (hang, quick) = crowd(&scene, &receiver).await;
    for name in &names {
        scene.event(name).await;
    }
    scene.start();
    assert_eq!(at(&receiver.until(32).await, "/hang"), 32);
    let (first, rest) = hang.split_first().unwrap();
    let mut off = scene.store.endpoint(*first).await.unwrap();
    off.disabled = Some(Disabled {
        at: Timestamp(NOW),
        why: WhyDisabled::Operator,
    });
    assert!(scene.store.update_endpoint(off).await.unwrap());
    for id in rest {
        scene.store.remove_endpoint(*id).await.unwrap();
    }
    scene.until(quick, |all| delivered(all) == 8).await;
    // Nothing came of them, and a stop has nothing to wait for.
    let left = scene.deliveries(*first).await;
    assert!(
        left.iter()
            .all(|one| one.made == 0 && one.state.as_str() == "pending")
    );
    scene.stop().await;
}

#[tokio::test]
async fn what_is_old_is_forgotten() {
    let receiver = Receiver::with_statuses(&[200]).await;
    let mut scene = Scene::new().await;
    let id = scene.endpoint(&receiver.origin).await;
    scene.start();
    scene.event("acme").await;
    scene
        .until(id, |all| all[0].state.as_str() == "delivered")
        .await;
    scene.hands.set(NOW + 30 * 24 * HOUR_MS);
    scene.event("acme").await;
    scene.until(id, |all| all.len() == 2).await;
    scene.hands.set(scene.hands.now() + 2 * HOUR_MS);
    // The look at what is old makes no noise; the event after it does.
    let only_new = async {
        loop {
            scene.event("bolt").await;
            let all = scene.deliveries(id).await;
            if all.iter().all(|one| one.event_at.0 > NOW) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, only_new).await.unwrap();
    scene.stop().await;
}
