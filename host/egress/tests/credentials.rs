//! A canary secret goes to the connection's own origin, and nowhere else: not to other origins,
//! not into errors, responses or `Debug` texts.

use std::sync::Arc;

use crate::common::{FakeTimers, Reply, Server, also, answer, gate, get, policy, post};
use serde_json::json;
use tidegate_egress::{Credentials, CredentialsError, Policy, Request, Secret, Session};
use tidegate_engine::manifest::Auth;

const CANARY: &str = "canary-4711";

fn credentials(
    auth: &serde_json::Value,
    config: &serde_json::Value,
) -> Result<Credentials, CredentialsError> {
    let auth: Auth = serde_json::from_value(auth.clone()).unwrap();
    let secret = |name: &str| match name {
        "token" => Some(Secret::new(CANARY.to_owned())),
        "user" => Some(Secret::new("ada".to_owned())),
        "broken" => Some(Secret::new(format!("{CANARY}\n"))),
        "colon" => Some(Secret::new(format!("a:{CANARY}"))),
        _ => None,
    };
    Credentials::resolve(&auth, &secret, config.as_object().unwrap())
}

fn kinds() -> Vec<serde_json::Value> {
    vec![
        json!({"kind": "bearer", "token": "token"}),
        json!({"kind": "basic", "username": "user", "password": "token"}),
        json!({"kind": "header", "name": "X-Api-Key", "value": "token", "prefix": "Key "}),
        json!({"kind": "header", "name": "Authorization", "value": "token"}),
        json!({"kind": "query", "name": "api_key", "value": "token"}),
        json!({"kind": "template", "headers": {"X-Api-Key": "k {token}", "X-User": "{user}"}, "query": {"sig": "{user}:{token}"}}),
        json!({"kind": "template", "query": {"api_key": "{token}", "user": "{user}"}}),
    ]
}

fn run(server: &Server, auth: &serde_json::Value, others: &[&str]) -> Session {
    let credentials = Some(credentials(auth, &json!({})).unwrap());
    let policy = also(
        Policy {
            credentials,
            ..policy(&server.url("/v1"))
        },
        others,
    );
    gate(&Arc::new(FakeTimers::default())).session(policy)
}

#[tokio::test]
async fn each_kind_arrives_as_described_and_replaces_the_guests() {
    // (auth, what is at the server: header or target, value)
    let rows = [
        (&kinds()[0], "authorization", format!("Bearer {CANARY}")),
        (
            &kinds()[1],
            "authorization",
            "Basic YWRhOmNhbmFyeS00NzEx".to_owned(),
        ),
        (&kinds()[2], "x-api-key", format!("Key {CANARY}")),
        (&kinds()[3], "authorization", CANARY.to_owned()),
        (
            &kinds()[4],
            "",
            format!("/v1/x?b=%20&c=d+e&api_key={CANARY}"),
        ),
        (&kinds()[5], "x-api-key", format!("k {CANARY}")),
        (&kinds()[5], "x-user", "ada".to_owned()),
        (
            &kinds()[5],
            "",
            format!("/v1/x?b=%20&api_key=guest&c=d+e&sig=ada%3A{CANARY}"),
        ),
        (
            &kinds()[6],
            "",
            format!("/v1/x?b=%20&c=d+e&api_key={CANARY}&user=ada"),
        ),
    ];
    for (auth, header, want) in rows {
        let server = Server::always(answer(200, &[], "ok")).await;
        let session = run(&server, auth, &[]);
        let own = |name: &str| (name.to_owned(), "guest".to_owned());
        let request = Request {
            headers: vec![own("Authorization"), own("X-Api-Key"), own("x-api-key")],
            ..get("/x?b=%20&api_key=guest&c=d+e")
        };
        let response = session.send(request).await.unwrap();
        let seen = &server.seen()[0];
        let got = if header.is_empty() {
            seen.target.as_str()
        } else {
            seen.header(header).unwrap()
        };
        assert_eq!(got, want, "{auth}");
        assert!(
            !format!("{session:?} {response:?}").contains(CANARY),
            "{auth}"
        );
    }
}

#[tokio::test]
async fn other_origins_never_see_them() {
    for auth in kinds() {
        let other = Server::always(answer(200, &[], "other")).await;
        let there = other.url("/there");
        // The server echoes what it got into a redirect, as sloppy ones do.
        let server = Server::start(move |seen, _| {
            let place = match seen.target.split('?').next().unwrap() {
                "/v1/same" => "/v1/next".to_owned(),
                "/v1/away" => format!("{there}?{}", seen.target.split('?').nth(1).unwrap_or("x=1")),
                _ => return Reply::Send(answer(200, &[], "end")),
            };
            Reply::Send(answer(307, &[("location", &place)], ""))
        })
        .await;
        let session = run(&server, &auth, &[&other.url("")]);
        let guest = |name: &str| (name.to_owned(), "guest".to_owned());
        let request = |url: &str| Request {
            headers: vec![guest("Cookie"), guest("X-Trace")],
            ..post(url, "body")
        };

        // On its own origin they are on each hop.
        let response = session.send(request("/same")).await.unwrap();
        assert_eq!(response.url.as_str(), server.url("/v1/next"), "{auth}");
        for seen in server.seen() {
            let all = format!("{} {:?}", seen.target, seen.headers);
            assert!(
                all.contains(CANARY) || all.contains("Basic "),
                "{auth}: {all}"
            );
        }
        // Elsewhere, straight or by redirect, they are not.
        let straight = Request {
            headers: vec![guest("Authorization")],
            ..get(&other.url("/x"))
        };
        session.send(straight).await.unwrap();
        assert_eq!(
            other.seen()[0].header("authorization"),
            Some("guest"),
            "the guest's own stay"
        );
        let response = session.send(request("/away")).await.unwrap();
        assert_eq!(&response.body[..], b"other");
        assert!(
            !response.url.as_str().contains(CANARY),
            "{auth}: {}",
            response.url
        );
        let last = &other.seen()[1];
        let all = format!("{last:?}");
        assert!(
            !all.contains(CANARY) && !all.contains("Basic "),
            "{auth}: {all}"
        );
        assert_eq!(
            (last.header("cookie"), last.header("authorization")),
            (None, None),
            "{auth}"
        );
        assert_eq!(
            (last.header("x-trace"), &last.body[..]),
            (Some("guest"), &b"body"[..]),
            "{auth}"
        );
    }
}

#[tokio::test]
async fn nobody_in_between_chooses_what_is_asked_with_them() {
    for auth in kinds() {
        let server = Server::start(|seen, _| {
            let other = seen.target.split("to=").nth(1).map(str::to_owned);
            Reply::Send(match other {
                Some(other) => answer(302, &[("location", &other)], ""),
                None => answer(200, &[], "end"),
            })
        })
        .await;
        let back = server.url("/other/admin");
        let other =
            Server::start(move |_, _| Reply::Send(answer(302, &[("location", &back)], ""))).await;
        let session = run(&server, &auth, &[&other.url("")]);
        // (where the plugin sends it, with the guest's own credentials)
        let ways = [
            other.url("/to"),
            // From the own origin by a detour.
            server.url(&format!("/v1/away?to={}", other.url("/to"))),
        ];
        for way in ways {
            let request = Request {
                headers: vec![("Authorization".to_owned(), "guest".to_owned())],
                ..get(&way)
            };
            let response = session.send(request).await.unwrap();
            assert_eq!(&response.body[..], b"end", "{auth}");
            let last = server.seen().pop().unwrap();
            assert_eq!(last.target, "/other/admin", "{auth}");
            let all = format!("{last:?}");
            assert!(
                !all.contains(CANARY) && !all.contains("Basic "),
                "{auth}: {all}"
            );
            assert_eq!(last.header("authorization"), None, "{auth}");
        }
    }
}

#[tokio::test]
async fn errors_never_show_them() {
    for auth in kinds() {
        let mut texts = Vec::new();
        let replies: [fn() -> Reply; 5] = [
            || Reply::Cut(Vec::new()),
            || Reply::Cut(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx".to_vec()),
            || {
                Reply::Send(answer(
                    302,
                    &[("location", "/v1/x?api_key=canary-4711")],
                    "",
                ))
            },
            || {
                Reply::Send(answer(
                    302,
                    &[("location", "http://127.0.0.1:1/?api_key=canary-4711")],
                    "",
                ))
            },
            || {
                let damaged = b"\x1f\x8b\x08nonsense".to_vec();
                Reply::Send(answer(200, &[("content-encoding", "gzip")], damaged))
            },
        ];
        for reply in replies {
            let server = Server::start(move |_, _| reply()).await;
            let session = run(&server, &auth, &[]);
            let error = session.send(get("/x?a=b")).await.unwrap_err();
            assert!(server.count() > 0);
            texts.push(format!("{error} {error:?} {session:?}"));
        }
        for text in texts {
            assert!(
                !text.contains(CANARY) && !text.contains("YWRh"),
                "{auth}: {text}"
            );
        }
    }
}

#[test]
fn what_cannot_be_sent_is_refused_without_being_shown() {
    let rows = [
        (
            json!({"kind": "bearer", "token": "nothing"}),
            json!({}),
            "--secret nothing=",
        ),
        (
            json!({"kind": "bearer", "token": "broken"}),
            json!({}),
            "line break",
        ),
        (
            json!({"kind": "basic", "username": "colon", "password": "token"}),
            json!({}),
            "colon",
        ),
        (
            json!({"kind": "query", "name": "", "value": "token"}),
            json!({}),
            "parameter's name",
        ),
        (
            json!({"kind": "template", "headers": {"X-A": "{token}", "X-B": "{nothing}"}}),
            json!({}),
            "--secret nothing=",
        ),
        (
            json!({"kind": "template", "headers": {"Host": "{token}"}}),
            json!({}),
            "follows from the URL",
        ),
        (
            json!({"kind": "template", "query": {"": "{token}"}}),
            json!({}),
            "parameter's name",
        ),
        (
            json!({"kind": "template", "headers": {"X-A": "{broken}"}}),
            json!({}),
            "line break",
        ),
        (
            json!({"kind": "header", "name": "Host", "value": "token"}),
            json!({}),
            "follows from the URL",
        ),
        (
            json!({"kind": "header", "name": "a b", "value": "token"}),
            json!({}),
            "letters",
        ),
        (
            json!({"kind": "header", "name": {"config": "/h", "default": "X"}, "value": "token"}),
            json!({"h": "Content-Length"}),
            "Content-Length",
        ),
    ];
    for (auth, config, part) in rows {
        let error = credentials(&auth, &config).unwrap_err();
        assert!(error.to_string().contains(part), "{auth}: {error}");
        assert!(
            !format!("{error} {error:?}").contains(CANARY),
            "{auth}: {error}"
        );
    }
    for auth in kinds() {
        let made = format!("{:?}", credentials(&auth, &json!({})).unwrap());
        assert!(
            !made.contains(CANARY) && made.contains("[secret]"),
            "{made}"
        );
    }
}
