//! Order within a stream, others beside it, how much is on its way at once, and the end.

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

#[tokio::test]
async fn a_slow_endpoint_has_four_on_their_way_and_keeps_nobody_waiting() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let receiver = Receiver::new(move |seen, _| {
        let held = Arc::clone(&held);
        async move {
            if seen.path == "/slow" {
                held.acquire().await.unwrap().forget();
            }
            (200, vec![], vec![])
        }
        .boxed()
    })
    .await;
    let mut scene = Scene::new().await;
    let names: Vec<String> = (0..20).map(|number| format!("tenant-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    set_up(&*scene.store, &names).await;
    let slow = scene.endpoint(&format!("{}/slow", receiver.origin)).await;
    let quick = scene.endpoint(&format!("{}/quick", receiver.origin)).await;
    for name in &names {
        scene.event(name).await;
    }
    scene.start();
    let delivered = |all: &[Delivery]| {
        all.iter()
            .filter(|one| one.state.as_str() == "delivered")
            .count()
    };
    scene.until(quick, |all| delivered(all) == 20).await;
    let at_slow = |seen: &[Seen]| seen.iter().filter(|seen| seen.path == "/slow").count();
    assert_eq!(at_slow(&receiver.until(36).await), 16);
    // Told to stop, it takes up nothing, and lets those end.
    scene.stop.take().unwrap().send(()).unwrap();
    scene.event("acme").await;
    gate.add_permits(100);
    scene.worker.take().unwrap().await.unwrap().unwrap();
    assert_eq!(at_slow(&receiver.seen.borrow()), 16);
    assert_eq!(delivered(&scene.deliveries(slow).await), 16);
    // The next one does the rest.
    scene.start();
    scene.until(slow, |all| delivered(all) == 21).await;
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
