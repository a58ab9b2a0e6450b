//! A server on loopback that answers as the test says, and can be held in the middle.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::Value;

use super::PATIENCE;
use super::http::Request;

/// A server; it stops when dropped.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answer each request with what `answer` makes of it.
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let listener = Listener::start(move |mut stream| {
            let Ok(Some(request)) = Request::read(&stream) else {
                return;
            };
            seen.lock().unwrap().push(request.clone());
            // A client that is gone gets nothing.
            let _ = answer(&request).write(&mut stream);
        });
        Self { listener, requests }
    }

    /// `http://127.0.0.1:PORT`
    pub fn origin(&self) -> String {
        format!("http://{}", self.listener.address)
    }

    /// What has been asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

/// Hands each connection to a function in a thread of its own, until dropped.
#[derive(Debug)]
pub struct Listener {
    pub address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Listener {
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopped);
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let serve = Arc::clone(&serve);
                if let Ok(stream) = stream {
                    std::thread::spawn(move || serve(stream));
                }
            }
        });
        Self { address, stopped }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    reason: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    cut: bool,
    gate: Option<Gate>,
}

impl Reply {
    pub fn json(value: &Value) -> Self {
        Self::text(&value.to_string()).header("Content-Type", "application/json")
    }

    pub fn text(text: &str) -> Self {
        Self {
            status: 200,
            reason: "Whatever".to_owned(),
            headers: Vec::new(),
            body: text.into(),
            cut: false,
            gate: None,
        }
    }

    /// A body that need not be text.
    pub fn bytes(bytes: &[u8]) -> Self {
        Self {
            body: bytes.into(),
            ..Self::text("")
        }
    }

    /// An empty body with this status.
    pub fn status(status: u16) -> Self {
        Self::text("").with_status(status)
    }

    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// What stands behind the status.
    pub fn with_reason(mut self, reason: &str) -> Self {
        reason.clone_into(&mut self.reason);
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Promise the whole body, send half of it, and close.
    pub fn cut(mut self) -> Self {
        self.cut = true;
        self
    }

    /// Answer only when the test opens this gate.
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    fn write(self, stream: &mut TcpStream) -> std::io::Result<()> {
        if let Some(gate) = &self.gate {
            gate.pass();
        }
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, self.reason);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!(
            "Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.body.len()
        ));
        stream.write_all(head.as_bytes())?;
        let sent = if self.cut {
            self.body.len() / 2
        } else {
            self.body.len()
        };
        stream.write_all(&self.body[..sent])
    }
}

/// A place where a server waits until the test lets it go on.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Debug, Default)]
struct GateState {
    arrived: bool,
    open: bool,
}

impl Gate {
    /// The server is here: wait until the gate is open.
    pub fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.arrived = true;
        changed.notify_all();
        drop(changed.wait_while(state, |state| !state.open).unwrap());
    }

    /// Wait until somebody stands at the gate.
    #[track_caller]
    pub fn arrived(&self) {
        let (state, changed) = &*self.0;
        let state = state.lock().unwrap();
        let (state, _) = changed
            .wait_timeout_while(state, PATIENCE, |state| !state.arrived)
            .unwrap();
        assert!(state.arrived, "nobody came to the gate in {PATIENCE:?}");
    }

    pub fn open(&self) {
        let (state, changed) = &*self.0;
        state.lock().unwrap().open = true;
        changed.notify_all();
    }
}
