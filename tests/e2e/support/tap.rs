//! A reverse proxy on loopback that counts what passes, and can hold one answer back.

use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::http::{Request, exchange};
use super::server::{Gate, Listener};

/// A proxy before one server; it stops when dropped.
#[derive(Debug)]
pub struct Tap {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<Request>,
    /// The bodies of its answers that are JSON.
    answers: Vec<Value>,
    hold: Option<Hold>,
}

#[derive(Debug)]
struct Hold {
    /// The answer to the request with this number, counted from 0, is not given before the gate opens.
    number: usize,
    gate: Gate,
}

impl Tap {
    pub fn before(server: SocketAddr) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let listener = Listener::start(move |mut stream| {
            let Ok(Some(request)) = Request::read(&stream) else {
                return;
            };
            let gate = shared.lock().unwrap().passes(&request);
            let Ok(answer) = exchange(server, &request) else {
                return;
            };
            let body = answer.windows(4).position(|end| end == b"\r\n\r\n");
            let body = body.and_then(|at| serde_json::from_slice(&answer[at + 4..]).ok());
            shared.lock().unwrap().answers.extend(body);
            if let Some(gate) = gate {
                gate.pass();
            }
            // A client that was killed gets nothing.
            let _ = stream
                .write_all(&answer)
                .and_then(|()| stream.shutdown(Shutdown::Write));
        });
        Self { listener, state }
    }

    /// `http://127.0.0.1:PORT`
    pub fn origin(&self) -> String {
        format!("http://{}", self.listener.address)
    }

    /// Forget what passed so far, and return it.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    /// The answers in JSON that passed so far.
    pub fn answered(&self) -> Vec<Value> {
        self.state.lock().unwrap().answers.clone()
    }

    /// Hold back the answer to the request with this number, counted from 0 since the last
    /// [`take`](Self::take). The server has answered by then; the client doesn't know.
    pub fn hold(&self, number: usize) -> Gate {
        let gate = Gate::default();
        self.state.lock().unwrap().hold = Some(Hold {
            number,
            gate: gate.clone(),
        });
        gate
    }
}

impl State {
    fn passes(&mut self, request: &Request) -> Option<Gate> {
        let number = self.requests.len();
        self.requests.push(request.clone());
        let hold = self.hold.take_if(|hold| hold.number == number)?;
        Some(hold.gate)
    }
}
