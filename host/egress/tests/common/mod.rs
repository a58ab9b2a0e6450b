//! What the tests share: a server that behaves as badly as told, a resolver and a clock made up.

pub(crate) mod secure;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use futures::future::BoxFuture;
use tidegate_egress::{Gate, GateOptions, Policy, Request, Resolve, SecretTexts, Session, Timers};
use tidegate_engine::ConnectionKey;
use tidegate_engine::limits::Limits;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Counts connections from 0.
    pub(crate) connection: usize,
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What the server does with a request.
pub(crate) enum Reply {
    /// Send these bytes and keep the connection.
    Send(Vec<u8>),
    /// Send these bytes and close.
    Cut(Vec<u8>),
    /// Send these bytes, then one more every 20 ms for ever.
    Drip(Vec<u8>),
    /// Send these bytes again and again.
    Flood(Vec<u8>, Vec<u8>),
    /// Send these bytes, and nothing more.
    Stall(Vec<u8>),
    /// Never answer.
    Hang,
}

/// `HTTP/1.1 STATUS` with these header lines and this body.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut text = format!(
        "HTTP/1.1 {status} Some\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

/// A plain HTTP server on loopback. It ends with the runtime of its test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// `script` gets each request, and how many came before it.
    pub(crate) async fn start(
        script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let server = Self {
            address,
            seen: Arc::clone(&seen),
            connections: Arc::clone(&connections),
        };
        let script = Arc::new(script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = connections.fetch_add(1, Ordering::SeqCst);
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                tokio::spawn(async move { serve(stream, number, &seen, &*script).await });
            }
        });
        server
    }

    /// A server that answers all requests alike.
    pub(crate) async fn always(bytes: Vec<u8>) -> Self {
        Self::start(move |_, _| Reply::Send(bytes.clone())).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

/// Requests of one connection until it ends; errors end it too.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    connection: usize,
    seen: &Mutex<Vec<Seen>>,
    script: &(dyn Fn(&Seen, usize) -> Reply + Send + Sync),
) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
        let headers: HashMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers
            .get("content-length")
            .map_or(0, |n| n.parse().unwrap());
        while buffer.len() < end + length {
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
        let body = buffer[end..end + length].to_vec();
        buffer.drain(..end + length);
        let request = Seen {
            connection,
            method,
            target,
            headers,
            body,
        };
        let before = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.len() - 1
        };
        match script(&request, before) {
            Reply::Send(bytes) => stream.write_all(&bytes).await.ok()?,
            Reply::Cut(bytes) => {
                stream.write_all(&bytes).await.ok()?;
                stream.shutdown().await.ok()?;
                return None;
            }
            Reply::Drip(bytes) => {
                stream.write_all(&bytes).await.ok()?;
                loop {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    stream.write_all(b"x").await.ok()?;
                }
            }
            Reply::Stall(bytes) => {
                stream.write_all(&bytes).await.ok()?;
                std::future::pending::<()>().await;
            }
            Reply::Flood(head, bytes) => {
                stream.write_all(&head).await.ok()?;
                loop {
                    stream.write_all(&bytes).await.ok()?;
                }
            }
            Reply::Hang => std::future::pending::<()>().await,
        }
    }
}

/// Names with made-up answers; each lookup takes the next answer, the last one stays.
#[derive(Debug, Default)]
pub(crate) struct FakeResolver {
    names: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    pub(crate) asked: AtomicUsize,
}

impl FakeResolver {
    pub(crate) fn new(names: &[(&str, &[&[&str]])]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|ip| ip.parse().unwrap()).collect();
        let names = names
            .iter()
            .map(|(name, answers)| ((*name).to_owned(), answers.iter().map(parse).collect()))
            .collect();
        Arc::new(Self {
            names: Mutex::new(names),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Resolve for FakeResolver {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut names = self.names.lock().unwrap();
        let answer = match names.get_mut(name) {
            Some(answers) if answers.len() > 1 => Ok(answers.remove(0)),
            Some(answers) => Ok(answers[0].clone()),
            None => Err(io::Error::other("no such name")),
        };
        Box::pin(std::future::ready(answer))
    }
}

/// A clock that only sleeping moves, sleeps that are noted and over at once, and no chance.
#[derive(Debug)]
pub(crate) struct FakeTimers {
    pub(crate) sleeps: Mutex<Vec<Duration>>,
    start: Instant,
    elapsed: Mutex<Duration>,
}

impl Default for FakeTimers {
    fn default() -> Self {
        Self {
            sleeps: Mutex::default(),
            start: Instant::now(),
            elapsed: Mutex::default(),
        }
    }
}

impl FakeTimers {
    /// How far sleeping has moved the clock.
    pub(crate) fn elapsed(&self) -> Duration {
        *self.elapsed.lock().unwrap()
    }

    pub(crate) fn advance(&self, time: Duration) {
        *self.elapsed.lock().unwrap() += time;
    }
}

/// The first moment of [`FakeTimers`].
pub(crate) const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

impl Timers for FakeTimers {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777) + self.elapsed()
    }
    fn instant(&self) -> Instant {
        self.start + self.elapsed()
    }
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.sleeps.lock().unwrap().push(time);
        self.advance(time);
        Box::pin(std::future::ready(()))
    }
    fn jitter(&self, most: Duration) -> Duration {
        most
    }
}

/// A gate whose sleeps are over at once.
pub(crate) fn gate(timers: &Arc<FakeTimers>) -> Gate {
    let timers: Arc<FakeTimers> = Arc::clone(timers);
    Gate::new(GateOptions {
        timers,
        ..GateOptions::default()
    })
}

pub(crate) fn key(integration: &str, connection: &str) -> ConnectionKey {
    ConnectionKey {
        integration: integration.parse().unwrap(),
        connection: connection.parse().unwrap(),
    }
}

/// What a plugin at `base` may do that requests and is granted exactly that, on loopback.
pub(crate) fn policy(base: &str) -> Policy {
    let base_url = Url::parse(base).unwrap();
    let own = tidegate_engine::grant::HostPattern::of_origin(&base_url).unwrap();
    Policy {
        connection: key("crm", "acme"),
        since: tidegate_engine::Timestamp(1),
        rate_limit: None,
        requested: vec![tidegate_engine::grant::HostRequest::BaseUrl],
        granted: vec![own],
        private: vec!["127.0.0.0/8".parse().unwrap()],
        base_url,
        credentials: None,
        secrets: SecretTexts::default(),
        limits: Limits::default(),
    }
}

/// `policy` with more origins, requested and granted.
pub(crate) fn also(mut policy: Policy, origins: &[&str]) -> Policy {
    for origin in origins {
        policy
            .requested
            .push((*origin).to_owned().try_into().unwrap());
        policy.granted.push(origin.parse().unwrap());
    }
    policy
}

/// A session at `server` with these limits.
pub(crate) fn session(server: &Server, timers: &Arc<FakeTimers>, limits: Limits) -> Session {
    gate(timers).session(Policy {
        limits,
        ..policy(&server.url(""))
    })
}

pub(crate) fn get(url: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        ..Request::default()
    }
}

pub(crate) fn post(url: &str, body: &str) -> Request {
    let body = Some(bytes::Bytes::copy_from_slice(body.as_bytes()));
    Request {
        method: "POST".to_owned(),
        body,
        ..get(url)
    }
}
