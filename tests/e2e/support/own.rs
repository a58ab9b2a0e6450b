//! The socket of a server's own commands, asked without them.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::Value;

use super::PATIENCE;
use super::cli::Tidegate;
use super::http::Response;

/// What `server.json` says of a server that runs.
#[derive(Debug)]
pub struct Own {
    pub socket: PathBuf,
    pub token: String,
}

impl Own {
    #[track_caller]
    pub fn of(tidegate: &Tidegate) -> Self {
        let found = std::fs::read(tidegate.data().join("server.json")).unwrap();
        let found: Value = serde_json::from_slice(&found).unwrap();
        let text = |name: &str| found[name].as_str().unwrap().to_owned();
        Self {
            socket: tidegate.data().join(text("socket")),
            token: text("token"),
        }
    }

    #[track_caller]
    pub fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Send a request with a key, or without one; its answer.
    #[track_caller]
    pub fn ask(&self, method: &str, target: &str, key: Option<&str>, body: &str) -> Response {
        let mut stream = self.connect();
        let key = key.map_or_else(String::new, |key| {
            format!("Authorization: Bearer {key}\r\n")
        });
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{key}\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        Response::parse(&answer).unwrap()
    }
}

/// Hand each connection at a socket to a function, until the process ends.
pub fn listen(
    path: &std::path::Path,
    serve: impl Fn(UnixStream) -> io::Result<()> + Send + 'static,
) {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that is gone gets nothing.
            let _ = serve(stream);
        }
    });
}
