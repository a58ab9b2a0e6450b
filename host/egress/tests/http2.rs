//! HTTP/2: it is spoken where the server can, and hostile servers of it break the same limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::secure::certified;
use crate::common::{FakeResolver, FakeTimers, get, policy};
use bytes::Bytes;
use futures::future::join_all;
use h2::Reason;
use h2::server::{Connection, SendResponse};
use http::Response;
use tidegate_egress::{EgressError, Gate, GateOptions, Policy, Session};
use tidegate_engine::limits::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

type Stream = TlsStream<TcpStream>;

/// What the server does with a connection.
#[derive(Clone, Copy)]
enum Act {
    /// Answer each request with these headers (how many, of how many bytes) and a body of zeros.
    Answer(usize, usize, usize),
    /// The same, with a length that is not the body's.
    Lie,
    /// A body without end.
    Flood,
    /// Half a body, and then the stream ends with an error.
    Reset,
    /// No answer.
    Hang,
    /// Go away before any answer.
    Leave,
    /// A body, and trailers of so many bytes.
    Trailers(usize),
    /// These bytes instead of HTTP/2's first frame, and then the others for ever.
    Raw(&'static [u8], &'static [u8]),
}

struct Server {
    port: u16,
    certificate: Vec<u8>,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

async fn start(act: Act) -> Server {
    let (certificate, mut config) = certified();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        port: listener.local_addr().unwrap().port(),
        certificate,
        connections: Arc::default(),
        requests: Arc::default(),
    };
    let (connections, requests) = (
        Arc::clone(&server.connections),
        Arc::clone(&server.requests),
    );
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, requests) = (acceptor.clone(), Arc::clone(&requests));
            connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.ok()?;
                if let Act::Raw(first, then) = act {
                    // The client's preface, so that it waits for an answer.
                    stream.read_u8().await.ok()?;
                    stream.write_all(first).await.ok()?;
                    loop {
                        stream.write_all(then).await.ok()?;
                        if then.is_empty() {
                            return Some(());
                        }
                    }
                }
                let connection = h2::server::handshake(stream).await.ok()?;
                serve(connection, act, &requests).await
            });
        }
    });
    server
}

async fn serve(
    mut connection: Connection<Stream, Bytes>,
    act: Act,
    requests: &AtomicUsize,
) -> Option<()> {
    if matches!(act, Act::Leave) {
        connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
    }
    while let Some(request) = connection.accept().await {
        let (request, answer) = request.ok()?;
        assert_eq!(request.version(), http::Version::HTTP_2);
        requests.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(respond(answer, act));
    }
    Some(())
}

async fn respond(mut answer: SendResponse<Bytes>, act: Act) -> Option<()> {
    let mut response = Response::builder().status(200);
    if let Act::Answer(count, bytes, _) = act {
        for _ in 0..count {
            response = response.header("a", "b".repeat(bytes / count));
        }
    }
    if matches!(act, Act::Lie) {
        response = response.header("content-length", "99");
    }
    if matches!(act, Act::Hang) {
        return std::future::pending().await;
    }
    let mut body = answer
        .send_response(response.body(()).unwrap(), false)
        .ok()?;
    let chunk = Bytes::from_static(&[0; 16 * 1024]);
    match act {
        Act::Answer(_, _, bytes) => body.send_data(Bytes::from(vec![0; bytes]), true).ok(),
        Act::Reset => {
            body.send_data(chunk, false).ok()?;
            body.send_reset(Reason::INTERNAL_ERROR);
            None
        }
        Act::Trailers(bytes) => {
            body.send_data(chunk, false).ok()?;
            let mut trailers = http::HeaderMap::new();
            trailers.insert("a", "b".repeat(bytes).parse().unwrap());
            body.send_trailers(trailers).ok()
        }
        Act::Flood => loop {
            body.reserve_capacity(chunk.len());
            std::future::poll_fn(|cx| body.poll_capacity(cx))
                .await?
                .ok()?;
            let room = body.capacity().min(chunk.len());
            body.send_data(chunk.slice(..room), false).ok()?;
        },
        _ => body.send_data(Bytes::from_static(b"short"), true).ok(),
    }
}

fn session(server: &Server, limits: Limits) -> Session {
    let gate = Gate::new(GateOptions {
        resolver: FakeResolver::new(&[("api.example", &[&["127.0.0.1"]])]),
        timers: Arc::new(FakeTimers::default()),
        extra_roots: vec![server.certificate.clone()],
        ..GateOptions::default()
    });
    gate.session(Policy {
        limits,
        ..policy(&format!("https://api.example:{}", server.port))
    })
}

fn limits() -> Limits {
    Limits {
        http_headers: 20,
        http_header_bytes: 2048,
        http_response_bytes: 100_000,
        ..Limits::default()
    }
}

#[tokio::test]
async fn requests_share_one_connection() {
    let server = start(Act::Answer(1, 1, 5)).await;
    let run = session(&server, limits());
    run.send(get("/")).await.unwrap();
    let answers = join_all((0..10).map(|_| run.send(get("/")))).await;
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.unwrap().body.len() == 5)
    );
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    assert_eq!(server.requests.load(Ordering::SeqCst), 11);
}

/// An empty SETTINGS frame; HEADERS of stream 1 without an end; CONTINUATION with nothing in it.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const OPEN_HEADERS: &[u8] = &[
    0, 0, 0, 4, 0, 0, 0, 0, 0, // SETTINGS
    0, 0, 1, 1, 0, 0, 0, 0, 1, 0x88, // HEADERS: `:status: 200`
];
const CONTINUATION: &[u8] = &[0, 0, 0, 9, 0, 0, 0, 0, 1];
const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// A frame that says it has 16 MiB.
const HUGE: &[u8] = &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1];
/// PUSH_PROMISE, which the client has switched off.
const PUSH: &[u8] = &[
    0, 0, 0, 4, 0, 0, 0, 0, 0, // SETTINGS
    0, 0, 5, 5, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0x82,
];

#[tokio::test]
async fn hostile_servers_are_stopped() {
    let healthy = start(Act::Answer(1, 1, 5)).await;
    let neighbour = session(&healthy, limits());
    // (name, act, the error and its limit; none for a whole response)
    let rows = [
        ("just the limits", Act::Answer(18, 1500, 100_000), None),
        ("trailers", Act::Trailers(10), None),
        (
            "too many headers",
            Act::Answer(21, 21, 5),
            Some(("too-large", Some("http_headers"))),
        ),
        (
            "headers too long",
            Act::Answer(2, 2100, 5),
            Some(("too-large", Some("http_header_bytes"))),
        ),
        (
            // The client calls it a protocol error and names no limit.
            "headers far too long",
            Act::Answer(2, 12_000, 5),
            Some(("connect", None)),
        ),
        (
            "a body too long",
            Act::Answer(1, 1, 100_001),
            Some(("too-large", Some("http_response_bytes"))),
        ),
        (
            "a body without end",
            Act::Flood,
            Some(("too-large", Some("http_response_bytes"))),
        ),
        ("a length that lies", Act::Lie, Some(("connect", None))),
        ("a reset in the body", Act::Reset, Some(("connect", None))),
        (
            // Trailers are dropped; the client keeps no more than it would of headers.
            "trailers too long",
            Act::Trailers(12_000),
            None,
        ),
        ("a server that leaves", Act::Leave, Some(("connect", None))),
        ("no answer", Act::Hang, Some(("timeout", None))),
        (
            "not HTTP/2",
            Act::Raw(b"HTTP/1.1 200 OK\r\n\r\n", b""),
            Some(("connect", None)),
        ),
        (
            "continuations without end",
            Act::Raw(OPEN_HEADERS, CONTINUATION),
            Some(("connect", None)),
        ),
        (
            "a huge frame",
            Act::Raw(HUGE, &[0; 4096]),
            Some(("connect", None)),
        ),
        ("a push", Act::Raw(PUSH, SETTINGS), Some(("connect", None))),
        (
            "settings without end",
            Act::Raw(SETTINGS, SETTINGS),
            Some(("timeout", None)),
        ),
        (
            "pings without end",
            Act::Raw(SETTINGS, PING),
            Some(("timeout", None)),
        ),
    ];
    let mut wrong = Vec::new();
    for (name, act, want) in rows {
        let server = start(act).await;
        let by_time = matches!(want, Some(("timeout", _)));
        let run = session(
            &server,
            Limits {
                http_timeout_ms: if by_time { 150 } else { 60_000 },
                ..limits()
            },
        );
        let outcome = run.send(get("/")).await;
        let got = outcome.as_ref().err().map(|error| {
            let kind = match error {
                EgressError::Timeout { .. } => "timeout",
                EgressError::Connect { .. } => "connect",
                EgressError::TooLarge { .. } => "too-large",
                _ => "else",
            };
            (kind, error.limit())
        });
        let said = outcome.as_ref().map(|response| response.status);
        if got != want {
            wrong.push(format!("{name}: wanted {want:?}, got {said:?}"));
        }
        let beside = neighbour.send(get("/")).await.unwrap();
        assert_eq!(beside.status, 200, "{name}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
