//! Tokens that change during a run: asked for before each request to the own origin, renewed once
//! for a 401; and token endpoints, which have a grant of their own and redirect nobody.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::{FakeTimers, Reply, Server, also, answer, gate, get, key, policy, post};
use bytes::Bytes;
use futures::future::BoxFuture;
use tidegate_egress::{
    Credentials, EgressError, Missing, Policy, Secret, Session, TokenEndpoint, TokenSource,
};
use tidegate_engine::grant::HostPattern;

/// Gives `token-0`, then the next after each renewal, `most` of them.
#[derive(Debug)]
struct Counting {
    now: AtomicUsize,
    most: usize,
    refused: Mutex<Vec<String>>,
}

impl TokenSource for Counting {
    fn current(&self) -> BoxFuture<'_, Result<Secret, EgressError>> {
        let now = self.now.load(Ordering::SeqCst);
        Box::pin(async move { Ok(Secret::new(format!("token-{now}"))) })
    }

    fn renewed<'a>(
        &'a self,
        refused: &'a Secret,
    ) -> BoxFuture<'a, Result<Option<Secret>, EgressError>> {
        let mut all = self.refused.lock().unwrap();
        all.push(refused.expose().to_owned());
        if self.now.load(Ordering::SeqCst) >= self.most {
            return Box::pin(async { Ok(None) });
        }
        self.now.fetch_add(1, Ordering::SeqCst);
        self.current_after()
    }
}

impl Counting {
    fn current_after(&self) -> BoxFuture<'_, Result<Option<Secret>, EgressError>> {
        Box::pin(async { self.current().await.map(Some) })
    }
}

fn session(base: &str, others: &[&str], most: usize) -> (Session, Arc<Counting>) {
    let source = Arc::new(Counting {
        now: AtomicUsize::new(0),
        most,
        refused: Mutex::default(),
    });
    let credentials = Some(Credentials::Token(source.clone()));
    let own = Policy {
        credentials,
        ..policy(base)
    };
    let session = gate(&Arc::new(FakeTimers::default())).session(also(own, others));
    (session, source)
}

/// A server that lets in whoever has this token.
async fn guarded(token: &'static str) -> Server {
    Server::start(move |seen, _| {
        let known = seen.header("authorization") == Some(&format!("Bearer {token}"));
        Reply::Send(answer(if known { 200 } else { 401 }, &[], "x"))
    })
    .await
}

#[tokio::test]
async fn a_401_is_asked_again_once_with_another_token() {
    // (the token that opens, renewals there are, status, what the server saw, what was refused)
    type Row = (&'static str, usize, u16, &'static [usize], &'static [usize]);
    let rows: [Row; 4] = [
        ("token-0", 9, 200, &[0], &[]),
        ("token-1", 9, 200, &[0, 1], &[0]),
        ("token-2", 9, 401, &[0, 1], &[0]),
        ("token-1", 0, 401, &[0], &[0]),
    ];
    for (opens, most, status, saw, refused) in rows {
        for request in [get("x"), post("x", "body")] {
            let server = guarded(opens).await;
            let (session, source) = session(&server.url(""), &[], most);
            let response = session.send(request.clone()).await.unwrap();
            assert_eq!(response.status, status, "{opens}");
            let seen = server.seen();
            let tokens: Vec<_> = seen
                .iter()
                .map(|s| s.header("authorization").unwrap())
                .collect();
            let want: Vec<String> = saw.iter().map(|n| format!("Bearer token-{n}")).collect();
            assert_eq!(tokens, want, "{opens} {}", request.method);
            let body = request.body.unwrap_or_default();
            assert!(seen.iter().all(|seen| seen.body == body));
            let want: Vec<String> = refused.iter().map(|n| format!("token-{n}")).collect();
            assert_eq!(*source.refused.lock().unwrap(), want, "{opens}");
        }
    }
}

#[tokio::test]
async fn other_origins_get_none_and_force_none() {
    let other = guarded("token-1").await;
    let there = other.url("/there");
    let place = there.clone();
    let server =
        Server::start(move |_, _| Reply::Send(answer(307, &[("location", &place)], ""))).await;
    let (session, source) = session(&server.url(""), &[&other.url("")], 9);
    for url in ["away", &there] {
        assert_eq!(session.send(get(url)).await.unwrap().status, 401);
    }
    assert!(
        other
            .seen()
            .iter()
            .all(|seen| seen.header("authorization").is_none())
    );
    assert_eq!(
        server.seen()[0].header("authorization"),
        Some("Bearer token-0")
    );
    assert!(source.refused.lock().unwrap().is_empty());
}

fn endpoint(url: &str, granted: &[&str], private: &[&str]) -> TokenEndpoint {
    TokenEndpoint {
        connection: key("crm", "acme"),
        url: url.parse().unwrap(),
        granted: granted
            .iter()
            .map(|g| g.parse::<HostPattern>().unwrap())
            .collect(),
        private: private.iter().map(|range| range.parse().unwrap()).collect(),
    }
}

async fn asked(endpoint: &TokenEndpoint) -> Result<u16, EgressError> {
    let gate = gate(&Arc::new(FakeTimers::default()));
    let sent = endpoint.post(&gate, Vec::new(), Bytes::from_static(b"grant"));
    sent.await.map(|response| response.status)
}

#[tokio::test]
async fn token_endpoints_have_a_grant_of_their_own() {
    let server = Server::always(answer(200, &[], "{}")).await;
    let (url, own) = (server.url("/token?a=1"), server.url(""));
    let loopback: &[&str] = &["127.0.0.0/8"];
    assert_eq!(asked(&endpoint(&url, &[&own], loopback)).await, Ok(200));
    assert_eq!(
        (server.seen()[0].method.as_str(), server.seen().len()),
        ("POST", 1)
    );
    let grant = format!("--allow-token-host {own}");
    // (URL, granted, private ranges, what is missing, part of the message)
    type Row<'a> = (&'a str, &'a [&'a str], &'a [&'a str], Missing, &'a str);
    let rows: [Row<'_>; 4] = [
        (&url, &[], loopback, Missing::Grant, &grant),
        (
            &url,
            &["https://id.example"],
            loopback,
            Missing::Grant,
            &grant,
        ),
        (
            &url,
            &[&own],
            &[],
            Missing::Private,
            "--allow-private 127.0.0.0/8",
        ),
        (
            "http://93.184.216.34/token",
            &["http://93.184.216.34"],
            loopback,
            Missing::Nothing,
            "use https",
        ),
    ];
    for (url, granted, private, want, part) in rows {
        match asked(&endpoint(url, granted, private)).await {
            Err(EgressError::Denied { missing, message }) => {
                assert_eq!(missing, want, "{message}");
                assert!(
                    message.contains(part) && !message.contains("a=1"),
                    "{message}"
                );
            }
            other => panic!("{url}: {other:?}"),
        }
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_token_endpoint_is_asked_once_and_redirects_nobody() {
    for status in [301, 302, 303, 307, 308, 429, 500, 503] {
        let elsewhere = Server::always(answer(200, &[], "{}")).await;
        let place = elsewhere.url("/token");
        let server = Server::always(answer(status, &[("location", &place)], "")).await;
        let origins = [&*server.url(""), &elsewhere.url("")];
        let endpoint = endpoint(&server.url("/token"), &origins, &["127.0.0.0/8"]);
        assert_eq!(asked(&endpoint).await, Ok(status));
        assert_eq!(
            (server.seen().len(), elsewhere.seen().len()),
            (1, 0),
            "{status}"
        );
    }
}
