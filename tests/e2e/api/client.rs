//! A client of the API: one request a connection, answers with a length or in chunks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::support::http::Response;
use crate::support::{PATIENCE, advice};

/// A request to be sent.
#[derive(Debug, Clone)]
pub struct Call {
    address: SocketAddr,
    pub method: String,
    pub target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Call {
    pub fn new(address: SocketAddr, method: &str, target: &str) -> Self {
        Self {
            address,
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn key(self, key: &str) -> Self {
        self.header("Authorization", &format!("Bearer {key}"))
    }

    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string().as_bytes())
    }

    pub fn body(mut self, kind: &str, body: &[u8]) -> Self {
        self = self.header("Content-Type", kind);
        self.body = body.to_vec();
        self
    }

    /// Send it, and begin to read the answer.
    #[track_caller]
    pub fn begin(&self) -> Answer {
        Answer::read(self.begin_and_leave())
    }

    /// Send it; all of the answer as it comes.
    #[track_caller]
    pub fn begin_raw(&self) -> String {
        let mut bytes = Vec::new();
        // A reset is an end too.
        let _ = self.begin_and_leave().read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Send it, and leave the answer on the connection.
    #[track_caller]
    pub fn begin_and_leave(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n",
            self.method, self.target
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        stream.write_all(head.as_bytes()).unwrap();
        // A server that refuses a body may close before all of it is sent; its answer counts.
        let _ = stream.write_all(&self.body);
        stream
    }

    /// The whole answer.
    #[track_caller]
    pub fn send(&self) -> Response {
        self.begin().whole()
    }

    /// The body of an answer with this status, as JSON; nothing as `null`.
    #[track_caller]
    pub fn ok(&self, status: u16) -> Value {
        let response = self.send();
        let said = String::from_utf8_lossy(&response.body);
        if status >= 400 {
            advice::check(&said);
        }
        assert_eq!(
            response.status, status,
            "{} {}: {said}",
            self.method, self.target
        );
        match response.body.is_empty() {
            true => Value::Null,
            false => response.json(),
        }
    }
}

/// An answer whose head has been read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    reader: BufReader<TcpStream>,
    is_chunked: bool,
    /// Bytes of the chunk at hand that have not been read.
    chunk: usize,
    has_ended: bool,
}

impl Answer {
    #[track_caller]
    pub fn read(stream: TcpStream) -> Self {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim().split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let is_chunked = headers
            .iter()
            .any(|(name, value)| name == "transfer-encoding" && value == "chunked");
        Self {
            status: status.unwrap_or_else(|| panic!("no status in {line:?}")),
            headers,
            reader,
            is_chunked,
            chunk: 0,
            has_ended: false,
        }
    }

    /// Some more of the body; nothing at its end.
    #[track_caller]
    pub fn more(&mut self) -> Vec<u8> {
        let mut buffer = [0; 16 * 1024];
        if self.has_ended {
            return Vec::new();
        }
        if !self.is_chunked {
            let count = self.reader.read(&mut buffer).unwrap();
            self.has_ended = count == 0;
            return buffer[..count].to_vec();
        }
        if self.chunk == 0 {
            let mut line = String::new();
            self.reader.read_line(&mut line).unwrap();
            self.chunk = usize::from_str_radix(line.trim(), 16)
                .unwrap_or_else(|_| panic!("the answer was cut off: {line:?}"));
            if self.chunk == 0 {
                self.has_ended = true;
                return Vec::new();
            }
        }
        let wanted = self.chunk.min(buffer.len());
        let count = self.reader.read(&mut buffer[..wanted]).unwrap();
        assert!(count > 0, "the answer was cut off");
        self.chunk -= count;
        if self.chunk == 0 {
            let mut end = [0; 2];
            self.reader.read_exact(&mut end).unwrap();
        }
        buffer[..count].to_vec()
    }

    /// The rest of the body.
    #[track_caller]
    pub fn whole(mut self) -> Response {
        let mut body = Vec::new();
        loop {
            let more = self.more();
            if more.is_empty() {
                break;
            }
            body.extend(more);
        }
        Response {
            status: self.status,
            headers: self.headers,
            body,
        }
    }

    /// Read until the body so far holds `text`; all of it so far.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        let mut body = Vec::new();
        loop {
            let said = String::from_utf8_lossy(&body).into_owned();
            if said.contains(text) {
                return said;
            }
            let more = self.more();
            assert!(
                !more.is_empty(),
                "the answer ended without {text:?}: {said}"
            );
            body.extend(more);
        }
    }
}
