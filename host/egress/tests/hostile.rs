//! Hostile servers: each one is stopped with the right error, limit and blame, and the session and
//! a healthy server beside it go on.

use std::io::Write;
use std::sync::{Arc, LazyLock};

use crate::common::{FakeTimers, Reply, Server, answer, get, post, session};
use flate2::Compression;
use flate2::write::GzEncoder;
use tidegate_egress::{EgressError, Request, Retry};
use tidegate_engine::limits::Limits;
use tidegate_engine::run::Blame;

const MIB: usize = 1024 * 1024;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// 200 MiB of zeros.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| gzip(&vec![0; 200 * MIB]));

fn gzipped(body: &[u8]) -> Vec<u8> {
    answer(200, &[("content-encoding", "gzip")], body)
}

fn head(lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes()
}

fn kind(error: &EgressError) -> &'static str {
    match error {
        EgressError::Denied { .. } => "denied",
        EgressError::Timeout { .. } => "timeout",
        EgressError::Connect { .. } => "connect",
        EgressError::Throttled { .. } => "throttled",
        EgressError::Token { .. } => "token",
        EgressError::TooLarge { .. } => "too-large",
        EgressError::Invalid { .. } => "invalid",
        EgressError::Exhausted { .. } => "exhausted",
        EgressError::Full { .. } => "full",
        EgressError::Other { .. } => "other",
    }
}

struct Case {
    name: &'static str,
    reply: fn() -> Reply,
    /// The error and the limit; `None` for a whole response.
    want: Option<(&'static str, Option<&'static str>)>,
    /// Requests that the server gets: 4 where the host tries again.
    attempts: usize,
}

/// Small limits, so that breaking them is quick; time only where it is what ends the case.
fn limits(case: &Case) -> Limits {
    let by_time = matches!(case.want, Some(("timeout", _)));
    Limits {
        http_response_bytes: MIB as u64,
        http_headers: 20,
        http_header_bytes: 2048,
        http_timeout_ms: if by_time { 200 } else { 60_000 },
        ..Limits::default()
    }
}

#[rustfmt::skip] // one case, few lines
fn cases() -> Vec<Case> {
    let case = |name, reply, want, attempts| Case { name, reply, want, attempts };
    let timeout = Some(("timeout", None));
    let connect = Some(("connect", None));
    let other = Some(("other", None));
    let body = Some(("too-large", Some("http_response_bytes")));
    let headers = Some(("too-large", Some("http_headers")));
    vec![
        case("a healthy answer", || Reply::Send(answer(200, &[], "ok")), None, 1),
        case("a healthy gzip answer", || Reply::Send(gzipped(&gzip(b"ok"))), None, 1),
        case("a gzip body that is none", || Reply::Send(gzipped(b"this is not gzip")), None, 1),
        case("an error status", || Reply::Send(answer(404, &[], "no")), None, 1),
        case("a body of just the limit", || Reply::Send(answer(200, &[], vec![b'x'; MIB])), None, 1),
        case("a gzip body of just the limit", || Reply::Send(gzipped(&gzip(&vec![0; MIB]))), None, 1),

        case("no answer", || Reply::Hang, timeout, 4),
        case("a head that drips", || Reply::Drip(b"HTTP/1.1 200 OK\r\nx: ".to_vec()), timeout, 4),
        case("a body that drips", || Reply::Drip(head("content-length: 1000000\r\n")), timeout, 4),
        case("a body that drips without length", || Reply::Drip(head("")), timeout, 4),
        case("100 Continue without end", || {
            Reply::Flood(Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n".repeat(999))
        }, timeout, 4),

        case("closed without a word", || Reply::Cut(Vec::new()), connect, 4),
        case("not HTTP", || Reply::Cut(b"220 smtp.example ESMTP\r\n".to_vec()), connect, 4),
        case("HTTP/0.9", || Reply::Cut(b"<html>no head at all</html>".to_vec()), connect, 4),
        case("a TLS alert", || Reply::Cut(b"\x15\x03\x01\x00\x02\x02\x46".to_vec()), connect, 4),
        case("another version", || Reply::Cut(b"HTTP/3.0 200 OK\r\n\r\n".to_vec()), connect, 4),
        case("a status of letters", || Reply::Cut(b"HTTP/1.1 abc OK\r\n\r\n".to_vec()), connect, 4),
        case("a status of five digits", || Reply::Cut(b"HTTP/1.1 20000 OK\r\n\r\n".to_vec()), connect, 4),
        case("a status of 0", || Reply::Cut(b"HTTP/1.1 000 OK\r\n\r\n".to_vec()), connect, 4),
        case("a header without a name", || cut(": x\r\n", ""), connect, 4),
        case("a header's name with a space", || cut("a b: x\r\n", ""), connect, 4),
        case("a NUL in a header", || cut("a: b\0c\r\n", ""), connect, 4),
        case("a negative length", || cut("content-length: -1\r\n", "x"), connect, 4),
        case("a length that is no number", || cut("content-length: 0x1\r\n", "x"), connect, 4),
        case("a switch of protocols", || {
            Reply::Cut(b"HTTP/1.1 101 Go\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nraw".to_vec())
        }, other, 1),
        case("cut in the head", || Reply::Cut(b"HTTP/1.1 200 OK\r\nx-he".to_vec()), connect, 4),
        case("cut in a body", || cut("content-length: 9\r\n", "x"), connect, 4),
        case("cut in a chunk", || cut("transfer-encoding: chunked\r\n", "9\r\nx"), connect, 4),
        case("cut between chunks", || {
            cut("transfer-encoding: chunked\r\n", "1\r\nx\r\n")
        }, connect, 4),
        case("a chunk of absurd length", || {
            cut("transfer-encoding: chunked\r\n", "ffffffffffffffffff\r\n")
        }, connect, 4),
        case("two lengths", || cut("content-length: 1\r\ncontent-length: 2\r\n", "xy"), connect, 4),
        case("cut in a gzip body", || {
            let whole = gzip(&vec![7; 9000]);
            Reply::Send(gzipped(&whole[..whole.len() - 9]))
        }, connect, 4),
        case("a damaged gzip body", || {
            let mut damaged = gzip(&vec![7; 9000]);
            damaged[11] ^= 0xff;
            Reply::Send(gzipped(&damaged))
        }, other, 1),
        case("a gzip body with something after it", || {
            Reply::Send(gzipped(&[gzip(b"ok"), b"this is not gzip".to_vec()].concat()))
        }, other, 1),

        case("a length shorter than the body", || Reply::Send(answer_of(2, "ok and more")), None, 1),
        case("a length and chunks", || {
            cut("content-length: 99\r\ntransfer-encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n")
        }, None, 1),
        case("not UTF-8 in a header", || {
            Reply::Send([&b"HTTP/1.1 200 OK\r\na: \xff\xfe\r\ncontent-length: 0\r\n\r\n"[..]].concat())
        }, None, 1),
        case("a status nobody knows", || Reply::Send(answer(999, &[], "x")), None, 1),
        case("an encoding we didn't ask for", || {
            Reply::Send(answer(200, &[("content-encoding", "br")], "raw"))
        }, None, 1),
        case("a body on a 204", || Reply::Cut(answer(204, &[], "body")), None, 1),
        case("a gzip bomb in a gzip bomb", || {
            Reply::Send(answer(200, &[("content-encoding", "gzip, gzip")], gzip(&BOMB)))
        }, None, 1),
        case("a length beyond what the client counts", || {
            Reply::Cut(head("content-length: 18446744073709551615\r\n"))
        }, headers, 1), // its word for it is the one for a head that is too large

        case("a length beyond the limit", || Reply::Send(head("content-length: 1048577\r\n")), body, 1),
        case("a body without end", || Reply::Flood(head(""), vec![b'x'; 65536]), body, 1),
        case("chunks without end", || {
            let chunk = [b"40\r\n", &[b'x'; 64][..], b"\r\n"].concat();
            Reply::Flood(head("transfer-encoding: chunked\r\n"), chunk.repeat(999))
        }, body, 1),
        case("a gzip bomb of many members", || {
            Reply::Send(gzipped(&gzip(&vec![0; MIB / 2]).repeat(999)))
        }, body, 1),
        case("a gzip bomb that nobody named", || {
            Reply::Send(answer(200, &[("content-type", "application/json")], &**BOMB))
        }, body, 1),
        case("a text that is too long once it is UTF-8", || {
            let headers = [("content-type", "text/csv; charset=latin1")];
            Reply::Send(answer(200, &headers, vec![0xfc; MIB / 2 + 1]))
        }, body, 1),
        case("a gzip bomb", || Reply::Send(gzipped(&BOMB)), body, 1),
        case("a gzip body one byte beyond", || Reply::Send(gzipped(&gzip(&vec![0; MIB + 1]))), body, 1),

        case("too many headers", || Reply::Send(head(&"a: b\r\n".repeat(21))), headers, 1),
        case("headers without end", || {
            Reply::Flood(b"HTTP/1.1 200 OK\r\n".to_vec(), b"a: b\r\n".repeat(999))
        }, headers, 1),
        case("one header without end", || {
            Reply::Flood(b"HTTP/1.1 200 OK\r\na: ".to_vec(), vec![b'b'; 65536])
        }, headers, 1),
        case("a reason without end", || {
            Reply::Flood(b"HTTP/1.1 200 ".to_vec(), vec![b'b'; 65536])
        }, headers, 1),
        case("trailers without end", || {
            let start = [head("transfer-encoding: chunked\r\n"), b"0\r\n".to_vec()].concat();
            Reply::Flood(start, b"a: b\r\n".repeat(999))
        }, connect, 4),
        case("a trailer without end", || {
            let start = [head("transfer-encoding: chunked\r\n"), b"0\r\na: ".to_vec()].concat();
            Reply::Flood(start, vec![b'b'; 65536])
        }, connect, 4),
        case("a chunk's extension without end", || {
            let start = [head("transfer-encoding: chunked\r\n"), b"1;a=".to_vec()].concat();
            Reply::Flood(start, vec![b'b'; 65536])
        }, connect, 4),
        case("headers too long", || {
            Reply::Send(head(&format!("a: {}\r\ncontent-length: 0\r\n", "b".repeat(2048))))
        }, Some(("too-large", Some("http_header_bytes"))), 1),

        case("a redirect to itself", || redirect("/"), other, 4),
        case("a redirect to nonsense", || redirect("http://["), other, 1),
        case("a redirect to a file", || redirect("file:///etc/passwd"), other, 1),
        case("a redirect with a user", || redirect("http://u:p@127.0.0.1/"), other, 1),
        case("a redirect to metadata", || redirect("http://169.254.169.254/latest/"), Some(("denied", None)), 1),
        case("a redirect that is not UTF-8", || {
            Reply::Send(b"HTTP/1.1 302 x\r\nlocation: /\xff\r\ncontent-length: 0\r\n\r\n".to_vec())
        }, other, 1),
        case("a redirect without a place", || Reply::Send(answer(302, &[], "x")), None, 1),
    ]
}

/// Silent or nearly silent servers: each is given up when nothing to speak of has come for the idle time, long before
/// the attempt's time is over.
#[tokio::test]
async fn silent_servers_are_given_up() {
    let timers = Arc::new(FakeTimers::default());
    let case = |name, reply: fn() -> Reply| (name, reply);
    let replies = [
        case("no answer", || Reply::Hang),
        case("a head that drips", || {
            Reply::Drip(b"HTTP/1.1 200 OK\r\nx: ".to_vec())
        }),
        case("a body that drips", || {
            Reply::Drip(head("content-length: 1000000\r\n"))
        }),
        case("a body that drips without length", || Reply::Drip(head(""))),
        case("a body that stalls", || {
            let begun = [head("content-length: 1000000\r\n"), vec![b'x'; 5000]];
            Reply::Stall(begun.concat())
        }),
        case("a gzip body that stalls", || {
            let whole = gzipped(&gzip(&vec![7; 9000]));
            Reply::Stall(whole[..whole.len() - 9].to_vec())
        }),
    ];
    let limits = Limits {
        http_idle_timeout_ms: 200,
        http_timeout_ms: 3_600_000,
        ..Limits::default()
    };
    // A list that is asked for by POST is a read, too.
    let list = Request {
        retry: Retry::Always,
        ..post("/", "{}")
    };
    for (name, reply) in replies {
        for request in [get("/"), list.clone()] {
            let server = Server::start(move |_, _| reply()).await;
            let session = session(&server, &timers, limits.clone());
            let error = session.send(request).await.unwrap_err();
            assert_eq!(kind(&error), "timeout", "{name}: {error}");
            assert_eq!(error.blame(), Blame::Upstream, "{name}: {error}");
            let said = error.to_string();
            assert!(
                said.contains("200 ms (limit http_idle_timeout_ms)"),
                "{name}: {said}"
            );
            assert_eq!(server.count(), 4, "{name}: {error}");
        }
    }
    // A server may work on what changes something: only the whole attempt's time counts until it answers.
    let server = Server::start(|_, _| Reply::Hang).await;
    let limits = Limits {
        http_idle_timeout_ms: 50,
        http_timeout_ms: 300,
        ..limits
    };
    let session = session(&server, &timers, limits);
    let error = session.send(post("/", "{}")).await.unwrap_err();
    assert!(error.to_string().contains("http_timeout_ms"), "{error}");
    assert_eq!(server.count(), 1, "{error}");
}

fn cut(lines: &str, body: &str) -> Reply {
    Reply::Cut([head(lines), body.as_bytes().to_vec()].concat())
}

fn answer_of(length: usize, body: &str) -> Vec<u8> {
    [
        head(&format!("content-length: {length}\r\n")),
        body.as_bytes().to_vec(),
    ]
    .concat()
}

fn redirect(location: &str) -> Reply {
    Reply::Send(answer(302, &[("location", location)], ""))
}

#[tokio::test]
async fn hostile_servers_are_stopped() {
    let healthy = Server::always(answer(200, &[], "healthy")).await;
    let timers = Arc::new(FakeTimers::default());
    let neighbour = session(&healthy, &timers, Limits::default());
    LazyLock::force(&BOMB);
    for case in cases() {
        let reply = case.reply;
        let server = Server::start(move |_, _| reply()).await;
        let session = session(&server, &timers, limits(&case));
        let outcome = session.send(get("/")).await;
        match (&outcome, case.want) {
            (Ok(_), None) => {}
            (Err(error), Some((want, limit))) => {
                assert_eq!(kind(error), want, "{}: {error}", case.name);
                assert_eq!(error.limit(), limit, "{}: {error}", case.name);
                if let Some(limit) = limit {
                    assert!(error.to_string().contains(limit), "{}: {error}", case.name);
                }
                let blame = if want == "denied" {
                    Blame::Guest
                } else {
                    Blame::Upstream
                };
                assert_eq!(error.blame(), blame, "{}: {error}", case.name);
            }
            (outcome, want) => panic!("{}: wanted {want:?}, got {outcome:?}", case.name),
        }
        assert_eq!(server.count(), case.attempts, "{}: {outcome:?}", case.name);
        // What came in is bounded, however much the server had to say.
        let most = case.attempts * 2 * MIB;
        assert!(session.figures().bytes_in <= most as u64, "{}", case.name);
        let beside = neighbour.send(get("/")).await.unwrap();
        assert_eq!(&beside.body[..], b"healthy", "{}", case.name);
    }
}

#[tokio::test]
async fn hostile_guests_are_stopped() {
    let server = Server::always(answer(200, &[], "ok")).await;
    let timers = Arc::new(FakeTimers::default());
    let limits = Limits {
        http_request_bytes: 10,
        http_headers: 2,
        ..Limits::default()
    };
    let headers = |n: usize| vec![("x".to_owned(), "y".to_owned()); n];
    let with = |method: &str, url: &str| Request {
        method: method.to_owned(),
        ..get(url)
    };
    // (request, error, limit); none of them reaches the server
    let rows = [
        (
            post("/", "12345678901"),
            "too-large",
            Some("http_request_bytes"),
        ),
        (
            Request {
                headers: headers(3),
                ..get("/")
            },
            "too-large",
            Some("http_headers"),
        ),
        (
            Request {
                headers: vec![("Host".to_owned(), "evil.example".to_owned())],
                ..get("/")
            },
            "invalid",
            None,
        ),
        (
            Request {
                headers: vec![("x".to_owned(), "a\r\nHost: evil.example".to_owned())],
                ..get("/")
            },
            "invalid",
            None,
        ),
        (
            Request {
                timeout_ms: Some(0),
                ..get("/")
            },
            "invalid",
            None,
        ),
        (
            Request {
                idempotency_key: Some("a\r\nb".to_owned()),
                ..get("/")
            },
            "invalid",
            None,
        ),
        (with("get", "/"), "invalid", None),
        (with("", "/"), "invalid", None),
        (
            with("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET", "/"),
            "invalid",
            None,
        ),
        (with("TRACE", "/"), "invalid", None),
        (with("CONNECT", "/"), "invalid", None),
        (get("//evil.example/"), "invalid", None),
        (get("file:///etc/passwd"), "invalid", None),
        (get("http://user:secret@127.0.0.1/"), "invalid", None),
        (get("http://127.0.0.1:1/"), "denied", None),
        (get("http://localhost/"), "denied", None),
    ];
    let session = session(&server, &timers, limits);
    for (request, want, limit) in rows {
        let error = session.send(request.clone()).await.unwrap_err();
        assert_eq!(kind(&error), want, "{request:?}: {error}");
        assert_eq!(error.limit(), limit, "{request:?}: {error}");
        assert_eq!(error.blame(), Blame::Guest, "{request:?}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert_eq!(server.count(), 0);
    assert_eq!(session.figures().requests, 0);
    let ok = session.send(post("/", "1234567890")).await.unwrap();
    assert_eq!((ok.status, session.figures().bytes_out), (200, 10));
}

#[tokio::test]
async fn a_run_has_a_budget_of_requests_and_bytes() {
    let server = Server::always(answer(200, &[], vec![b'x'; 100])).await;
    let timers = Arc::new(FakeTimers::default());
    let limits = Limits {
        http_requests: 3,
        ..Limits::default()
    };
    let run = session(&server, &timers, limits);
    for _ in 0..3 {
        run.send(get("/")).await.unwrap();
    }
    let error = run.send(get("/")).await.unwrap_err();
    assert_eq!(
        (kind(&error), error.limit()),
        ("exhausted", Some("http_requests"))
    );

    // (limit, requests sent until it is spent): in the middle of an answer, and at its end
    for (all, sent) in [(250, 3), (200, 2)] {
        let limits = Limits {
            http_total_bytes: all,
            ..Limits::default()
        };
        let run = session(&server, &timers, limits);
        for _ in 0..2 {
            run.send(get("/")).await.unwrap();
        }
        for _ in 0..2 {
            let error = run.send(get("/")).await.unwrap_err();
            assert_eq!(kind(&error), "exhausted", "{error}");
            assert_eq!(error.limit(), Some("http_total_bytes"), "{error}");
        }
        assert_eq!(run.figures().requests, sent, "limit {all}");
    }
}

#[tokio::test]
async fn a_timeout_of_the_request_counts_up_to_the_limit() {
    let server = Server::start(|_, _| Reply::Hang).await;
    let timers = Arc::new(FakeTimers::default());
    for (asked, limit, want) in [
        (Some(50), 60_000, "50 ms"),
        (Some(60_000), 50, "50 ms"),
        (None, 50, "50 ms"),
    ] {
        let limits = Limits {
            http_timeout_ms: limit,
            ..Limits::default()
        };
        let run = session(&server, &timers, limits);
        let request = Request {
            timeout_ms: asked,
            retry: Retry::Never,
            ..get("/")
        };
        let error = run.send(request).await.unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
        assert_eq!(kind(&error), "timeout");
    }
}
