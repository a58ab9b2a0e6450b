//! Sending calls to the server's socket, and reading the frames of its answers.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use bytes::{Buf, BytesMut};
use futures::StreamExt;
use http::{Request, Response, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_service::problem::{Kind, Problem, Result};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use super::frame::Frame;

/// Every request has a host (RFC 9112, section 3.2); on a socket it means nothing.
const HOST: &str = "localhost";
/// How long to wait before asking again for a connection while too many wait to be accepted.
const CONNECT_AGAIN: Duration = Duration::from_millis(20);

/// The server of a data directory.
pub struct Remote {
    socket: PathBuf,
    token: Zeroizing<String>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Remote({})", self.socket.display())
    }
}

fn gone(error: impl std::fmt::Display) -> Problem {
    Problem::internal(format!("the server did not answer: {error}"))
        .hint("what was asked may have happened: look before you repeat it")
}

impl Remote {
    pub(super) fn new(socket: PathBuf, token: Zeroizing<String>) -> Self {
        Self { socket, token }
    }

    /// A connection, once the server has room for one more that waits to be accepted.
    async fn connect(&self) -> std::io::Result<UnixStream> {
        loop {
            match UnixStream::connect(&self.socket).await {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    tokio::time::sleep(CONNECT_AGAIN).await;
                }
                connected => return connected,
            }
        }
    }

    /// Send one request, on a connection of its own.
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>> {
        Self::send_on(self.connect().await.map_err(gone)?, request).await
    }

    async fn send_on(stream: UnixStream, request: Request<Body>) -> Result<Response<Body>> {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(gone)?;
        // It ends with the answer, or when nobody wants that any more.
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(gone)?;
        Ok(response.map(Body::new))
    }

    /// What the server says to `nonce`; `None` if nobody listens, or what answers is no such server.
    pub(super) async fn prove(&self, nonce: &str) -> Result<Option<String>> {
        let stream = match self.connect().await {
            Ok(stream) => stream,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let problem = Problem::new(Kind::DataDirectory, error).at(self.socket.display());
                return Err(problem.hint("a server of another user holds the data directory"));
            }
            // Longer than a socket's path can be, and the server's own is not.
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                let problem = Problem::new(Kind::DataDirectory, error).at(self.socket.display());
                return Err(
                    problem.hint("name the data directory by the path that the server has for it")
                );
            }
            Err(_) => return Ok(None),
        };
        let request = Request::get(format!("/control/proof/{nonce}"))
            .header("host", HOST)
            .body(Body::empty())
            .map_err(Problem::internal)?;
        let Ok(response) = Self::send_on(stream, request).await else {
            return Ok(None);
        };
        let body = axum::body::to_bytes(response.into_body(), 1000).await;
        Ok(body
            .ok()
            .and_then(|body| String::from_utf8(body.to_vec()).ok()))
    }

    /// Begin a call.
    pub(super) async fn begin(&self, call: &str, body: Body) -> Result<Frames> {
        let request = Request::post(format!("/control/{call}"))
            .header("host", HOST)
            .header("authorization", format!("Bearer {}", *self.token))
            .body(body)
            .map_err(Problem::internal)?;
        let response = self.send(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        if status != StatusCode::OK {
            let said = axum::body::to_bytes(std::mem::take(&mut body), 10_000).await;
            let said = said.map(|said| String::from_utf8_lossy(&said).into_owned());
            let said = said.unwrap_or_default();
            return Err(gone(format!("{call}: {status}: {said}")));
        }
        Ok(Frames {
            parts: body.into_data_stream(),
            unread: BytesMut::new(),
            searched: 0,
        })
    }

    /// A call that is answered once.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        call: &str,
        args: impl Serialize,
    ) -> Result<T> {
        self.call_with(call, args, |_| Ok(())).await
    }

    /// A call whose answer goes on: `each` sees what comes before its end.
    pub(super) async fn call_with<T: DeserializeOwned>(
        &self,
        call: &str,
        args: impl Serialize,
        each: impl FnMut(Frame) -> Result<()>,
    ) -> Result<T> {
        let args = serde_json::to_vec(&args).map_err(Problem::internal)?;
        self.begin(call, args.into()).await?.end(each).await
    }
}

/// The frames of an answer.
pub(super) struct Frames {
    parts: BodyDataStream,
    unread: BytesMut,
    /// So many bytes of `unread` have no line's end.
    searched: usize,
}

impl Frames {
    /// Read to the end.
    pub(super) async fn end<T: DeserializeOwned>(
        mut self,
        mut each: impl FnMut(Frame) -> Result<()>,
    ) -> Result<T> {
        loop {
            let line = self.line().await?;
            match serde_json::from_slice(&line).map_err(gone)? {
                Frame::Done(value) => return serde_json::from_str(value.get()).map_err(gone),
                Frame::Problem(problem) => return Err(problem),
                frame => each(frame)?,
            }
        }
    }

    async fn line(&mut self) -> Result<Bytes> {
        loop {
            let unsearched = self.unread.get(self.searched..).unwrap_or_default();
            if let Some(end) = unsearched.iter().position(|byte| *byte == b'\n') {
                let line = self.unread.split_to(self.searched + end).freeze();
                self.unread.advance(1);
                self.searched = 0;
                return Ok(line);
            }
            self.searched = self.unread.len();
            let part = self.parts.next().await;
            let part = part.ok_or_else(|| gone("its answer was cut off"))?;
            self.unread.extend_from_slice(&part.map_err(gone)?);
        }
    }
}
