//! The gate in front of real connections: names, rebinding, redirects, our own port, cancelling.

use crate::common;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::{FakeResolver, FakeTimers, Reply, Server, also, answer, gate, get, policy};
use tidegate_egress::{EgressError, Gate, GateOptions, Missing, Policy, Session};
use tidegate_engine::limits::Limits;

fn named(resolver: &Arc<FakeResolver>, policy: Policy) -> Session {
    let resolver: Arc<FakeResolver> = Arc::clone(resolver);
    let timers = Arc::new(FakeTimers::default());
    Gate::new(GateOptions {
        resolver,
        timers,
        ..GateOptions::default()
    })
    .session(policy)
}

#[tokio::test]
async fn names_are_judged_by_all_their_addresses() {
    use Missing::{Nothing, Private};
    let server = Server::always(answer(200, &[], "ok")).await;
    let port = server.address.port();
    let loopback = "--allow-private 127.0.0.0/8";
    // (answers, loopback granted, what is missing, part of the message)
    let rows: &[(&[&str], bool, Option<Missing>, &str)] = &[
        (&["127.0.0.1"], true, None, ""),
        (&["::ffff:127.0.0.1"], true, None, ""),
        (&["127.0.0.1"], false, Some(Private), loopback),
        (&["::ffff:127.0.0.1"], false, Some(Private), loopback),
        (&["1.1.1.1", "127.0.0.1"], false, Some(Private), loopback),
        (
            &["127.0.0.1", "10.0.0.7"],
            true,
            Some(Private),
            "--allow-private 10.0.0.7/32",
        ),
        (
            &["127.0.0.1", "169.254.169.254"],
            true,
            Some(Nothing),
            "no grant opens it",
        ),
        (&["fe80::1"], true, Some(Nothing), "link-local"),
        (&["64:ff9b::7f00:1"], true, Some(Nothing), "NAT64"),
        (&["0.0.0.0"], true, Some(Nothing), "no grant opens it"),
    ];
    for (answers, granted, want, part) in rows {
        let resolver = FakeResolver::new(&[("api.example", &[answers])]);
        let mut policy = policy(&format!("http://api.example:{port}"));
        if !granted {
            policy.private.clear();
        }
        let before = server.connections.load(Ordering::SeqCst);
        match (named(&resolver, policy).send(get("/")).await, want) {
            (Ok(response), None) => assert_eq!(response.status, 200),
            (Err(EgressError::Denied { missing, message }), Some(want)) => {
                assert_eq!(missing, *want, "{answers:?}: {message}");
                assert!(
                    message.contains(part) && message.contains("api.example"),
                    "{answers:?}: {message}"
                );
                assert_eq!(
                    server.connections.load(Ordering::SeqCst),
                    before,
                    "{answers:?}"
                );
            }
            (got, want) => panic!("{answers:?}: wanted {want:?}, got {got:?}"),
        }
    }
}

#[tokio::test]
async fn a_name_that_changes_its_answer_is_judged_again() {
    // Public when first asked and metadata at once after: the second connection is refused.
    let server =
        Server::start(|_, _| Reply::Cut(answer(200, &[("connection", "close")], "ok"))).await;
    let resolver = FakeResolver::new(&[("api.example", &[&["127.0.0.1"], &["169.254.169.254"]])]);
    let session = named(
        &resolver,
        policy(&format!("http://api.example:{}", server.address.port())),
    );
    assert_eq!(session.send(get("/")).await.unwrap().status, 200);
    let error = session.send(get("/")).await.unwrap_err();
    assert!(
        matches!(
            error,
            EgressError::Denied {
                missing: Missing::Nothing,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        resolver.asked.load(Ordering::SeqCst),
        2,
        "asked once for each connection"
    );
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_name_without_answer_is_a_connection_error() {
    let resolver = FakeResolver::new(&[("empty.example", &[&[]])]);
    for name in ["nowhere.example", "empty.example"] {
        let session = named(&resolver, policy(&format!("http://{name}")));
        let error = session.send(get("/")).await.unwrap_err();
        assert!(matches!(error, EgressError::Connect { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test]
async fn literals_are_judged_though_no_resolver_is_asked() {
    let server = Server::always(answer(200, &[], "ok")).await;
    let port = server.address.port();
    let resolver = FakeResolver::new(&[]);
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"] {
        let mut closed = policy(&format!("http://{host}:{port}"));
        closed.private.clear();
        let error = named(&resolver, closed).send(get("/")).await.unwrap_err();
        assert!(
            matches!(
                error,
                EgressError::Denied {
                    missing: Missing::Private,
                    ..
                }
            ),
            "{host}: {error}"
        );
        assert_eq!(server.connections.load(Ordering::SeqCst), 0, "{host}");
    }
    let open = policy(&format!("http://2130706433:{port}"));
    assert_eq!(
        named(&resolver, open).send(get("/")).await.unwrap().status,
        200
    );
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn every_redirect_passes_the_gate() {
    let private = Server::always(answer(200, &[], "private")).await;
    let secret = private.url("/secret?token=x");
    let hops = [
        // (location, granted besides, part of the error; none for a response)
        (
            "http://169.254.169.254/latest/meta-data/",
            vec!["http://169.254.169.254"],
            Some("no grant opens it"),
        ),
        (
            "http://2852039166/",
            vec!["http://169.254.169.254"],
            Some("no grant opens it"),
        ),
        (
            "http://[::ffff:169.254.169.254]/",
            vec!["http://[::ffff:169.254.169.254]"],
            Some("no grant opens it"),
        ),
        (
            "http://10.0.0.1/",
            vec!["http://10.0.0.1"],
            Some("--allow-private 10.0.0.1/32"),
        ),
        (
            "http://meta.example/",
            vec!["http://meta.example"],
            Some("meta.example leads to 169.254.169.254"),
        ),
        (
            "https://elsewhere.example/",
            vec![],
            Some("https://elsewhere.example"),
        ),
        (secret.as_str(), vec![], Some("redirects elsewhere")),
        ("/end", vec![], None),
    ];
    for (location, granted, want) in hops {
        let place = location.to_owned();
        let server = Server::start(move |seen, _| match seen.target.as_str() {
            "/end" => Reply::Send(answer(200, &[], "end")),
            _ => Reply::Send(answer(302, &[("location", &place)], "")),
        })
        .await;
        let resolver = FakeResolver::new(&[("meta.example", &[&["169.254.169.254"]])]);
        let session = named(&resolver, also(policy(&server.url("")), &granted));
        match (session.send(get("/start")).await, want) {
            (Ok(response), None) => assert_eq!(response.url.path(), "/end"),
            (Err(EgressError::Denied { message, .. }), Some(part)) => {
                assert!(message.contains(part), "{location}: {message}");
                assert!(!message.contains("token=x"), "{message}");
            }
            (got, want) => panic!("{location}: wanted {want:?}, got {got:?}"),
        }
    }
    assert_eq!(private.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn three_redirects_are_followed_and_four_are_not() {
    let server = Server::start(|seen, _| {
        let left: usize = seen.target[1..].parse().unwrap();
        if left == 0 {
            return Reply::Send(answer(200, &[], "end"));
        }
        Reply::Send(answer(302, &[("location", &format!("/{}", left - 1))], ""))
    })
    .await;
    let session = common::session(&server, &Arc::new(FakeTimers::default()), Limits::default());
    let response = session.send(get("/3")).await.unwrap();
    assert_eq!(response.url.path(), "/0");
    assert_eq!(session.figures().requests, 4);
    let error = session.send(get("/4")).await.unwrap_err();
    assert!(error.to_string().contains("more than 3 times"), "{error}");
}

#[tokio::test]
async fn our_own_port_is_refused_by_literal_and_by_name() {
    let server = Server::always(answer(200, &[], "the host's own API")).await;
    let port = server.address.port();
    let resolver = FakeResolver::new(&[("me.example", &[&["127.0.0.1"]])]);
    for own in [server.address, format!("0.0.0.0:{port}").parse().unwrap()] {
        let gate = Gate::new(GateOptions {
            resolver: resolver.clone(),
            own_addresses: vec![own],
            ..GateOptions::default()
        });
        for host in ["127.0.0.1", "me.example"] {
            let error = gate
                .session(policy(&format!("http://{host}:{port}")))
                .send(get("/"))
                .await
                .unwrap_err();
            assert!(
                error.to_string().contains("Tidegate itself listens"),
                "{host}: {error}"
            );
            assert!(matches!(
                error,
                EgressError::Denied {
                    missing: Missing::Nothing,
                    ..
                }
            ));
        }
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn sessions_of_customers_share_no_connection() {
    let server =
        Server::start(|seen, _| Reply::Send(answer(200, &[], seen.connection.to_string()))).await;
    let gate = gate(&Arc::new(FakeTimers::default()));
    let mut connections = Vec::new();
    for customer in ["acme", "globex", "initech"] {
        let mut policy = policy(&server.url(""));
        policy.connection = common::key("crm", customer);
        let session = gate.session(policy);
        for _ in 0..3 {
            let body = session.send(get("/")).await.unwrap().body;
            connections.push(String::from_utf8(body.to_vec()).unwrap());
        }
    }
    // Within a session the connection is kept; between customers it never is.
    assert_eq!(connections, ["0", "0", "0", "1", "1", "1", "2", "2", "2"]);
}

#[tokio::test]
async fn requests_in_flight_are_limited_and_the_rest_wait() {
    let server = Server::start(|_, _| Reply::Hang).await;
    let limits = Limits {
        http_in_flight: 3,
        ..Limits::default()
    };
    let session = common::session(&server, &Arc::new(FakeTimers::default()), limits);
    let mut calls: Vec<_> = (0..5).map(|_| Box::pin(session.send(get("/")))).collect();
    let poll = |calls: &mut Vec<_>| {
        let all = futures::future::select_all(std::mem::take(calls));
        async move {
            // All are polled; none can end, so this ends by time, which only bounds the wait.
            let _ = tokio::time::timeout(Duration::from_millis(300), all).await;
        }
    };
    poll(&mut calls).await;
    assert_eq!(server.count(), 3);
    assert_eq!(session.figures().requests, 3);
}

#[tokio::test]
async fn dropping_a_call_cancels_it_and_frees_its_place() {
    fn moves_between_threads(_: &impl Send) {}
    let server = Server::start(|seen, _| match seen.target.as_str() {
        "/hang" => Reply::Hang,
        _ => Reply::Send(answer(200, &[], "ok")),
    })
    .await;
    let limits = Limits {
        http_in_flight: 1,
        ..Limits::default()
    };
    let session = common::session(&server, &Arc::new(FakeTimers::default()), limits);
    for _ in 0..3 {
        let call = session.send(get("/hang"));
        moves_between_threads(&call);
        assert!(
            tokio::time::timeout(Duration::from_millis(100), call)
                .await
                .is_err()
        );
    }
    assert_eq!(session.send(get("/")).await.unwrap().status, 200);
}

/// Runs another test of this file in a process whose environment names a proxy.
#[test]
fn proxy_variables_are_ignored() {
    let proxies = [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ];
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "three_redirects_are_followed_and_four_are_not"])
        .envs(proxies.map(|name| (name, "http://127.0.0.1:1")))
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .status()
        .unwrap();
    assert!(status.success());
}
