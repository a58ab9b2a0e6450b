//! What each kind of answer comes to, over time, and what is signed and kept.

use tidegate_engine::webhook::{ATTEMPTS, DeliveryErrorKind, WhyDisabled};

use super::*;

/// The wait after the first attempt, in milliseconds, at least and at most.
type Wait = Option<(u64, u64)>;

#[tokio::test]
async fn answers_make_the_next_attempt() {
    let receiver = Receiver::new(|seen, _| {
        async move {
            let line = |name, value: &str| vec![(name, value.to_owned())];
            match seen.path.as_str() {
                "/200" => (200, vec![], b"thanks".to_vec()),
                "/204" => (204, vec![], vec![]),
                "/301" => (301, line("location", "/200"), vec![]),
                "/400" => (400, vec![], vec![]),
                "/410" => (410, vec![], vec![]),
                "/429" => (429, line("retry-after", "80"), vec![]),
                "/500" => (500, vec![], vec![b'x'; 2_000_000]),
                "/503" => (503, line("retry-after", "86400"), vec![]),
                other => panic!("{other}"),
            }
        }
        .boxed()
    })
    .await;
    let own = |path: &str| format!("{}{path}", receiver.origin);
    let nobody = "http://127.0.0.1:1/".to_owned();
    let tls = own("/200").replace("http://", "https://");
    let private = "http://10.0.0.1/".to_owned();
    let jittered = Some((4_000, 6_000));
    let rows: Vec<(String, Option<u16>, Wait)> = vec![
        (own("/200"), Some(200), None),
        (own("/204"), Some(204), None),
        (own("/301"), Some(301), jittered),
        (own("/400"), Some(400), jittered),
        (own("/410"), Some(410), jittered),
        (own("/429"), Some(429), Some((80_000, 80_000))),
        (own("/500"), Some(500), jittered),
        (own("/503"), Some(503), Some((8_000, 12_000))),
        (nobody, None, jittered),
        (tls, None, jittered),
        (private, None, jittered),
    ];
    let mut scene = Scene::new().await;
    let mut endpoints = Vec::new();
    for (url, ..) in &rows {
        endpoints.push(scene.endpoint(url).await);
    }
    scene.event("acme").await;
    scene.start();
    for ((url, status, wait), id) in rows.iter().zip(&endpoints) {
        let delivery = scene.settled(*id, 0).await;
        let attempt = &delivery.attempts[0];
        assert_eq!(attempt.status, *status, "{url}: {attempt:?}");
        let ended = attempt.at.0 + attempt.latency_ms;
        let waits = delivery.state.next_at().map(|next| next.0 - ended);
        let fits = match wait {
            None => waits.is_none(),
            Some((least, most)) => waits.is_some_and(|waits| (*least..=*most).contains(&waits)),
        };
        assert!(fits, "{url}: {waits:?} {wait:?}");
        assert!(attempt.response.len() <= 1024, "{url}");
        let endpoint = scene.store.endpoint(*id).await.unwrap();
        let why = endpoint.disabled.map(|disabled| disabled.why);
        assert_eq!(
            why,
            (*status == Some(410)).then_some(WhyDisabled::Gone),
            "{url}"
        );
    }
    let kind = |index: usize| {
        let (scene, id) = (&scene, endpoints[index]);
        async move {
            scene.deliveries(id).await[0].attempts[0]
                .no_answer
                .clone()
                .unwrap()
        }
    };
    assert_eq!(kind(8).await.kind, DeliveryErrorKind::Connect);
    assert_eq!(kind(9).await.kind, DeliveryErrorKind::Connect);
    let denied = kind(10).await;
    assert_eq!(denied.kind, DeliveryErrorKind::Denied);
    assert!(
        denied.message.contains("--webhook-allow-private"),
        "{denied:?}"
    );
    // The others heard of the one that is gone.
    let told = scene.until(endpoints[0], |all| all.len() == 2).await;
    assert_eq!(told[1].kind.as_str(), "endpoint.disabled");
    scene.stop().await;
}

#[tokio::test]
async fn ten_attempts_with_one_id_and_its_time_each() {
    let receiver = Receiver::with_statuses(&[500]).await;
    let mut scene = Scene::new().await;
    let id = scene.endpoint(&receiver.origin).await;
    scene.event("acme").await;
    scene.start();
    let secret = scene.secret(id);
    let mut last = scene.settled(id, 0).await;
    while let Some(next_at) = last.state.next_at() {
        // A moment too early nothing happens; what would happen is known once something else has.
        scene.hands.set(next_at.0 - 1);
        scene.hands.set(next_at.0);
        last = scene.settled(id, last.made).await;
    }
    assert_eq!((last.state.as_str(), last.made), ("exhausted", ATTEMPTS));
    let seen = receiver.until(10).await;
    assert_eq!(seen.len(), 10);
    for one in &seen {
        assert_eq!((&one.id, &one.body), (&seen[0].id, &seen[0].body));
        assert!(one.verifies(&secret));
        assert!(one.timestamp * SECOND_MS >= NOW && one.timestamp * SECOND_MS <= scene.hands.now());
    }
    assert!(seen.is_sorted_by(|a, b| a.timestamp < b.timestamp));
    let body = seen[0].json();
    assert_eq!(
        (&body["type"], &body["timestamp"]),
        (&json!("run.finished"), &json!("2026-11-22T00:00:00Z"))
    );
    assert_eq!(body["data"]["connection"], "acme");
    scene.stop().await;
}

#[tokio::test]
async fn five_days_of_failures_disable_and_a_replay_brings_it_back() {
    let receiver = Receiver::new(|seen, _| {
        let fails = seen.path == "/ill";
        async move { (if fails { 500 } else { 200 }, vec![], vec![]) }.boxed()
    })
    .await;
    let mut scene = Scene::new().await;
    let ill = scene.endpoint(&format!("{}/ill", receiver.origin)).await;
    let well = scene.endpoint(&format!("{}/well", receiver.origin)).await;
    scene.start();
    let first = NOW;
    let mut events = 0;
    // An event a day, and time that goes on from attempt to attempt.
    loop {
        scene.event("acme").await;
        events += 1;
        let mut last = scene
            .until(ill, |all| all.last().is_some_and(|one| one.made > 0))
            .await;
        let day_ends = scene.hands.now() + 24 * HOUR_MS;
        while let Some(next_at) = last.last().and_then(|one| one.state.next_at()) {
            let endpoint = scene.store.endpoint(ill).await.unwrap();
            if endpoint.disabled.is_some() {
                break;
            }
            let made = last.last().map_or(0, |one| one.made);
            scene.hands.set(scene.hands.now().max(next_at.0));
            last = scene
                .until(ill, |all| all.last().is_some_and(|one| one.made > made))
                .await;
        }
        let endpoint = scene.store.endpoint(ill).await.unwrap();
        if let Some(disabled) = endpoint.disabled {
            assert_eq!(disabled.why, WhyDisabled::Failing);
            let days = (disabled.at.0 - first) / (24 * HOUR_MS);
            assert!((5..7).contains(&days), "{days}");
            break;
        }
        scene.hands.set(scene.hands.now().max(day_ends));
    }
    // An answer's latency is real time: what the last one made happened that much after the clock.
    scene.hands.set(scene.hands.now() + 60_000);
    let told = scene
        .until(well, |all| {
            all.len() == events + 1 && all.iter().all(|one| one.state.as_str() == "delivered")
        })
        .await;
    assert_eq!(told[events].kind.as_str(), "endpoint.disabled");

    // Enabled again, everything that it missed is replayed, and what it had not taken goes on.
    let mut endpoint = scene.store.endpoint(ill).await.unwrap();
    endpoint.disabled = None;
    endpoint.first_failure_at = None;
    endpoint.url = format!("{}/cured", receiver.origin).parse().unwrap();
    assert!(scene.store.update_endpoint(endpoint).await.unwrap());
    let replay = tidegate_engine::store::Replay {
        endpoint: ill,
        since: Timestamp(NOW),
        all: true,
        after: None,
        limit: 100,
        now: Timestamp(scene.hands.now()),
    };
    assert!(
        scene
            .store
            .replay_deliveries(replay)
            .await
            .unwrap()
            .deliveries
            > 0
    );
    let all_done = |all: &[Delivery]| all.iter().all(|one| one.state.as_str() == "delivered");
    // The one that was to be tried again has its time, and the others wait for it.
    scene.hands.set(scene.hands.now() + 24 * HOUR_MS);
    let all = scene
        .until(ill, |all| all.len() > events && all_done(all))
        .await;
    assert_eq!(all.len(), events + 1, "its own end is among what it missed");
    scene.stop().await;
}

#[tokio::test]
async fn both_secrets_sign_while_one_is_replaced() {
    let receiver = Receiver::with_statuses(&[200]).await;
    let mut scene = Scene::new().await;
    let id = scene.endpoint(&receiver.origin).await;
    let (old, new) = (scene.secret(id), new_secret().unwrap());
    let mut endpoint = scene.store.endpoint(id).await.unwrap();
    endpoint.secrets[0].expires_at = Some(Timestamp(NOW + 24 * HOUR_MS));
    endpoint.secrets.insert(0, scene.sealed(id, &new));
    assert!(scene.store.update_endpoint(endpoint).await.unwrap());
    scene.start();
    for (count, at, both) in [
        (1, NOW, true),
        (2, NOW + 24 * HOUR_MS - 1, true),
        (3, NOW + 24 * HOUR_MS, false),
    ] {
        scene.hands.set(at);
        scene.event("acme").await;
        let seen = receiver.until(count).await.remove(count - 1);
        assert_eq!(
            (seen.verifies(&new), seen.verifies(&old)),
            (true, both),
            "{count}"
        );
        assert_eq!(seen.signature.split(' ').count(), if both { 2 } else { 1 });
    }
    scene.stop().await;
}

#[tokio::test]
async fn no_secret_is_kept_of_an_answer() {
    let told: Arc<Mutex<Option<String>>> = Arc::default();
    let tell = Arc::clone(&told);
    let receiver = Receiver::new(move |seen, _| {
        let secret = tell.lock().unwrap().clone().unwrap();
        let text = format!(
            "no: {secret} {} ?account=7&amp;token=hunter2%2Bhunter2 hunter2+hunter2",
            &secret["whsec_".len()..]
        );
        let signed = format!("{text} {}", seen.id);
        async move { (400, vec![], signed.into_bytes()) }.boxed()
    })
    .await;
    let mut scene = Scene::new().await;
    let id = scene
        .endpoint(&format!(
            "{}/?account=7&token=hunter2%2Bhunter2",
            receiver.origin
        ))
        .await;
    let secret = scene.secret(id).text();
    *told.lock().unwrap() = Some(secret.clone());
    scene.event("acme").await;
    scene.start();
    let kept = scene.settled(id, 0).await;
    let response = &kept.attempts[0].response;
    assert!(
        response.contains("no: [secret]") && response.contains(&kept.event.to_string()),
        "{response}"
    );
    for hidden in [&secret, &secret["whsec_".len()..], "hunter2"] {
        assert!(!response.contains(hidden), "{response}");
    }
    scene.stop().await;
}

#[tokio::test]
async fn nothing_is_sent_unsigned() {
    let receiver = Receiver::with_statuses(&[200]).await;
    let mut scene = Scene::new().await;
    let id = scene.endpoint(&receiver.origin).await;
    // The master key is gone.
    std::fs::remove_file(scene.folder.path().join("master.key")).unwrap();
    scene.event("acme").await;
    scene.start();
    let delivery = scene.settled(id, 0).await;
    let message = &delivery.attempts[0].no_answer.as_ref().unwrap().message;
    assert!(message.contains("signing secrets of endpoint"), "{message}");
    assert!(delivery.state.next_at().is_some());
    assert!(receiver.seen.borrow().is_empty());
    scene.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_back_has_what_waited_and_is_asked_now_and_then_before() {
    static AWAY: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(true);
    let receiver = Receiver::new(|_, _| {
        let status = if AWAY.load(Ordering::SeqCst) {
            503
        } else {
            200
        };
        async move { (status, vec![], vec![]) }.boxed()
    })
    .await;
    let mut scene = Scene::new().await;
    let id = scene.endpoint(&receiver.origin).await;
    for name in ["acme", "bolt", "acme", "bolt"] {
        scene.event(name).await;
    }
    scene.start();
    // Until the schedule of both is minutes away.
    let failed = |all: &[Delivery], times| all[..2].iter().all(|own| own.failed == times);
    for times in 1..=4 {
        let all = scene.until(id, |all| failed(all, times)).await;
        let next = all[..2].iter().filter_map(|own| own.state.next_at()).max();
        if times < 4 {
            scene.hands.set(next.unwrap().0);
        }
    }
    let made = |all: &[Delivery]| all.iter().map(|own| own.made).sum::<u32>();
    let probe_at = async || scene.store.endpoint(id).await.unwrap().probe_at.unwrap();
    // One of both, and the other one the next time.
    scene.hands.set(probe_at().await.0);
    let all = scene.until(id, |all| made(all) == 9).await;
    assert!(failed(&all, 4), "{all:?}");
    let next = all[..2].iter().filter_map(|own| own.state.next_at()).min();
    AWAY.store(false, Ordering::SeqCst);
    scene.hands.set(probe_at().await.0);
    assert!(scene.hands.now() < next.unwrap().0, "before the schedule");
    let is_there = |own: &Delivery| own.state.as_str() == "delivered";
    // Whoever was asked with last was so less than 5 s ago.
    scene.until(id, |all| all.iter().any(is_there)).await;
    scene.hands.set(scene.hands.now() + 10 * SECOND_MS);
    scene.until(id, |all| all.iter().all(is_there)).await;
    // Nine that failed, and each once that was taken.
    assert_eq!(receiver.until(13).await.len(), 13);
    scene.stop().await;
}
