//! Lines to a cassette, until a limit or a full disk ends the recording; the run goes on.

use std::fmt;
use std::io::Write;

use tidegate_engine::Timestamp;
use tidegate_engine::cassette::{
    Answer, Ask, Body, End, Event, Head, LineError, Moment, Response, Writer, kept_headers,
};
use tidegate_engine::redact::SecretTexts;

/// Most readings of the clock in one line.
const MOMENTS_MAX: usize = 1000;

/// Where a run is recorded to.
pub struct Recording {
    /// Gets the lines as they come, from the run's own task: a buffered file.
    pub sink: Box<dyn Write + Send>,
    /// The connection's secrets, those that come during the run too: taken out of whatever repeats
    /// them.
    pub secrets: SecretTexts,
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recording")
    }
}

/// Writes one cassette.
pub(super) struct Recorder {
    sink: Box<dyn Write + Send>,
    writer: Writer,
    secrets: SecretTexts,
    /// Read, and not written yet.
    moments: Vec<Moment>,
    /// Why nothing is written any more.
    broken: Option<String>,
    complained: bool,
}

impl Recorder {
    pub(super) fn new(recording: Recording, head: &Head) -> Self {
        let mut recorder = Self {
            sink: recording.sink,
            writer: Writer::default(),
            secrets: recording.secrets,
            moments: Vec::new(),
            broken: None,
            complained: false,
        };
        let line = Writer::default().head(head);
        recorder.write(line);
        recorder
    }

    /// The guest has read its clock.
    pub(super) fn reading(&mut self, at: Timestamp) {
        match self.moments.last_mut() {
            Some(Moment(last, times)) if *last == at => *times += 1,
            _ => self.moments.push(Moment(at, 1)),
        }
        if self.moments.len() >= MOMENTS_MAX {
            self.write_moments();
        }
    }

    pub(super) fn call(&mut self, number: u64, ask: Ask) {
        let ask = match ask {
            Ask::Send(mut request) => {
                request.headers = kept_headers(&request.headers);
                request.body = self.body(&request.body);
                Ask::Send(request)
            }
            other => other,
        };
        self.event(&Event::Call(number, ask));
    }

    pub(super) fn answer(&mut self, number: u64, answer: &Answer) {
        let answer = match answer {
            Answer::Response(response) => Answer::Response(Response {
                headers: kept_headers(&response.headers),
                body: self.body(&response.body),
                status: response.status,
                url: response.url.clone(),
            }),
            other => other.clone(),
        };
        self.event(&Event::Answer(number, answer));
    }

    /// Bytes that are no text are written as base64, which would hide a secret from [`Self::write`].
    fn body(&self, body: &Body) -> Body {
        match std::str::from_utf8(body.bytes()) {
            Ok(_) => body.clone(),
            Err(_) => Body::new(self.secrets.redactor().bytes(body.bytes()).into_owned()),
        }
    }

    pub(super) fn event(&mut self, event: &Event) {
        self.write_moments();
        let line = Writer::default().event(event);
        self.write(line);
    }

    fn write_moments(&mut self) {
        if !self.moments.is_empty() {
            let moments = std::mem::take(&mut self.moments);
            let line = Writer::default().event(&Event::Clock(moments));
            self.write(line);
        }
    }

    fn write(&mut self, line: Result<String, LineError>) {
        if self.broken.is_some() {
            return;
        }
        let redactor = self.secrets.redactor();
        let written = line
            .map(|line| redactor.json(line.trim_end_matches('\n')).into_owned())
            .and_then(|line| self.writer.add(line))
            .map_err(|error| error.to_string())
            .and_then(|line| {
                let written = self.sink.write_all(line.as_bytes());
                written.map_err(|error| format!("it can't be written: {error}"))
            });
        self.broken = written.err();
    }

    /// Why the recording has ended, once.
    pub(super) fn complaint(&mut self) -> Option<String> {
        let reason = self.broken.as_ref().filter(|_| !self.complained)?;
        self.complained = true;
        Some(format!(
            "the run is not recorded any more, and its cassette is dropped: {reason}"
        ))
    }

    pub(super) fn finish(mut self, end: End) -> Result<u64, String> {
        self.event(&Event::End(end));
        if self.broken.is_none() {
            self.broken = self.sink.flush().err().map(|error| error.to_string());
        }
        match self.broken {
            None => Ok(self.writer.bytes() as u64),
            Some(reason) => Err(reason),
        }
    }
}
