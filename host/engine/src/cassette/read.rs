//! Lines in. A cassette is whole or it is refused, with the number of the line that is wrong.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::shape::{Event, Head, VERSION};
use super::{CASSETTE_BYTES_MAX, Call, Cassette, LINE_BYTES_MAX};

/// Why bytes are no cassette.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct CassetteError {
    /// Counted from 1.
    pub line: usize,
    pub reason: String,
}

/// The part of the first line that all versions have.
#[derive(Deserialize)]
struct AnyHead {
    tidegate_cassette: u32,
}

impl Cassette {
    /// Read a whole cassette.
    pub fn parse(bytes: &[u8]) -> Result<Self, CassetteError> {
        if bytes.len() > CASSETTE_BYTES_MAX {
            return Err(CassetteError {
                line: 1,
                reason: format!(
                    "the file has {} bytes; the largest cassette has {CASSETTE_BYTES_MAX}",
                    bytes.len()
                ),
            });
        }
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate();
        let first = lines.next().map(|(_, line)| line).unwrap_or_default();
        let head = read_head(first).map_err(|reason| CassetteError { line: 1, reason })?;
        let mut reading = Reading::default();
        let mut last = 1;
        for (index, line) in lines {
            last = index + 1;
            let read = event(line).and_then(|event| reading.take(event));
            read.map_err(|reason| CassetteError { line: last, reason })?;
        }
        let Some(end) = reading.end else {
            return Err(CassetteError {
                line: last,
                reason: "this is the last line, and it is not the end of a run: the cassette was \
                         cut off; record it again"
                    .to_owned(),
            });
        };
        Ok(Self {
            head,
            calls: reading.calls,
            clock: reading.clock,
            log: reading.log,
            end,
        })
    }
}

fn read_head(line: &[u8]) -> Result<Head, String> {
    let any: AnyHead = json(line).map_err(|error| {
        format!(
            "this is not a cassette, which begins with {{\"tidegate_cassette\":{VERSION},…: {error}"
        )
    })?;
    if any.tidegate_cassette != VERSION {
        return Err(format!(
            "a cassette of version {}; this host reads version {VERSION}: use the host that \
             recorded it, or record it again",
            any.tidegate_cassette
        ));
    }
    json(line)
}

fn event(line: &[u8]) -> Result<Event, String> {
    json(line)
}

/// One line. Only a whole one ends with a line break.
fn json<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    let Some(line) = line.strip_suffix(b"\n") else {
        return Err("it has no end: the cassette was cut off; record it again".to_owned());
    };
    if line.len() > LINE_BYTES_MAX {
        return Err(format!(
            "it has {} bytes; the longest has {LINE_BYTES_MAX}",
            line.len()
        ));
    }
    serde_json::from_slice(line).map_err(|error| {
        // The error's own "line 1" would be taken for the cassette's.
        error.to_string().replace(" at line 1 column ", ", column ")
    })
}

/// What the lines so far make.
#[derive(Default)]
struct Reading {
    calls: Vec<Call>,
    clock: Vec<super::Moment>,
    log: Vec<super::LoggedLine>,
    answers: u64,
    end: Option<super::End>,
}

impl Reading {
    fn take(&mut self, event: Event) -> Result<(), String> {
        if self.end.is_some() {
            return Err("it comes after the end of the run".to_owned());
        }
        match event {
            Event::Call(number, ask) => {
                if number != self.calls.len() as u64 {
                    let due = self.calls.len();
                    return Err(format!("it is call {number}, and call {due} is due"));
                }
                self.calls.push(Call { ask, answer: None });
            }
            Event::Answer(number, answer) => {
                let call = usize::try_from(number)
                    .ok()
                    .and_then(|index| self.calls.get_mut(index));
                let call = call
                    .ok_or_else(|| format!("it answers call {number}, which was not made yet"))?;
                if call.answer.is_some() {
                    return Err(format!("it answers call {number} a second time"));
                }
                if !call.ask.takes(&answer) {
                    return Err(format!("it is no answer to what call {number} asks"));
                }
                call.answer = Some((self.answers, answer));
                self.answers += 1;
            }
            Event::Clock(moments) => {
                if moments.iter().any(|moment| moment.1 == 0) {
                    return Err("a time that was read 0 times".to_owned());
                }
                self.clock.extend(moments);
            }
            Event::Log(line) => self.log.push(line),
            Event::End(end) => self.end = Some(end),
        }
        Ok(())
    }
}
