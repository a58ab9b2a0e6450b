//! What a body is once it is off the wire: unzipped, and UTF-8 where its charset says what it is.
//!
//! - `Content-Encoding` (RFC 9110 §8.4.1, names in any case): `gzip` and its older name `x-gzip`, with
//!   all members of the body (RFC 1952 §2.2). Other codings were not asked for and stay as they are,
//!   with the header that names them.
//! - A text that begins as gzip does is unzipped without the header too, as no text begins so; a body
//!   that the header calls gzip and that does not begin so is taken as it came.
//! - A charset of `Content-Type` other than UTF-8 is decoded (by the labels of the WHATWG). Many servers
//!   name one and send UTF-8 all the same (RFC 8259 §8.1), so what is UTF-8 stays, unless it is UTF-16
//!   that is said. What does not fit its charset stays as it is.

use std::io::{self, Write};

use bytes::Bytes;
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use flate2::write::MultiGzDecoder;
use http::header::{self, HeaderMap};

/// How a gzip member begins, with the only method that there is (RFC 1952 §2.3.1).
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// As much is decoded at once, and what comes of it counted before there is more: of gzip at most 1,032 times as much.
pub(crate) const STEP: usize = 1024;

/// Why a body can't be had.
#[derive(Debug)]
pub(crate) enum BodyDecodeError {
    /// It is beyond the limit.
    TooLarge,
    /// It is not gzip from some place on.
    Damaged(io::Error),
    /// It ends within a gzip member, or that member's checksum is wrong.
    Cut,
}

/// Takes the chunks of a body as they come.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// It is gzip if it begins like it.
    may_be_gzip: bool,
}

#[derive(Debug)]
enum State {
    /// Fewer bytes than it takes to tell.
    Beginning(Sink),
    Plain(Sink),
    Gzip(Box<MultiGzDecoder<Sink>>),
}

/// Collects a body up to a limit.
#[derive(Debug, Default)]
struct Sink {
    body: Vec<u8>,
    most: u64,
    /// The length that the server claims; 0 when it claims none.
    expected: u64,
    is_over: bool,
}

impl Sink {
    /// What it has set aside once there is room for so many bytes more.
    fn capacity_for(&self, more: usize) -> u64 {
        let capacity = self.body.capacity() as u64;
        let needed = self.body.len() as u64 + more as u64;
        if needed <= capacity {
            return capacity;
        }
        let end = match self.expected {
            0 => self.most,
            expected => expected,
        };
        needed.max(capacity.saturating_mul(2).min(end))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.body.len() as u64 + bytes.len() as u64 > self.most {
            self.is_over = true;
            return Err(io::Error::other("beyond the limit"));
        }
        let capacity = usize::try_from(self.capacity_for(bytes.len())).unwrap_or(usize::MAX);
        self.body
            .reserve_exact(capacity.saturating_sub(self.body.len()));
        self.body.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    /// For the answer with these headers, of which at most `most` bytes may come, and `expected` will if it is
    /// not zipped.
    pub(crate) fn new(headers: &HeaderMap, most: u64, expected: u64) -> Self {
        let sink = Sink {
            most,
            expected,
            ..Sink::default()
        };
        let may_be_gzip = match codings(headers).as_slice() {
            [] => is_text(headers),
            [coding] => is_gzip(coding),
            _ => false,
        };
        let state = match may_be_gzip {
            true => State::Beginning(sink),
            false => State::Plain(sink),
        };
        Decoder { state, may_be_gzip }
    }

    /// How many bytes there are so far.
    pub(crate) fn len(&self) -> usize {
        self.sink().body.len()
    }

    /// How many bytes are set aside.
    pub(crate) fn holds(&self) -> u64 {
        self.sink().body.capacity() as u64
    }

    /// How many will be, at least, once so many of the body are taken.
    pub(crate) fn will_hold(&self, more: usize) -> u64 {
        match &self.state {
            State::Gzip(decoder) => decoder.get_ref().body.capacity() as u64,
            State::Beginning(sink) | State::Plain(sink) => sink.capacity_for(more),
        }
    }

    fn sink(&self) -> &Sink {
        match &self.state {
            State::Beginning(sink) | State::Plain(sink) => sink,
            State::Gzip(decoder) => decoder.get_ref(),
        }
    }

    /// Take a part of the body, of at most [`STEP`] bytes.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Result<(), BodyDecodeError> {
        match &mut self.state {
            State::Plain(sink) => sink.write_all(bytes).map_err(|_| BodyDecodeError::TooLarge),
            State::Beginning(sink) => {
                sink.write_all(bytes)
                    .map_err(|_| BodyDecodeError::TooLarge)?;
                if sink.body.len() < MAGIC.len() {
                    return Ok(());
                }
                let mut sink = std::mem::take(sink);
                if !sink.body.starts_with(&MAGIC) {
                    self.state = State::Plain(sink);
                    return Ok(());
                }
                // The length that was claimed is that of what is zipped.
                sink.expected = 0;
                let begun = std::mem::take(&mut sink.body);
                self.state = State::Gzip(Box::new(MultiGzDecoder::new(sink)));
                self.step(&begun)
            }
            State::Gzip(decoder) => {
                let written = decoder.write_all(bytes);
                written.map_err(|error| match decoder.get_ref().is_over {
                    true => BodyDecodeError::TooLarge,
                    false => BodyDecodeError::Damaged(error),
                })
            }
        }
    }

    /// The whole body, and whether it was gzip.
    pub(crate) fn finish(self) -> Result<(Bytes, bool), BodyDecodeError> {
        match self.state {
            State::Plain(sink) | State::Beginning(sink) => Ok((sink.body.into(), false)),
            State::Gzip(mut decoder) => match decoder.try_finish() {
                Ok(()) => Ok((std::mem::take(decoder.get_mut()).body.into(), true)),
                Err(_) if decoder.get_ref().is_over => Err(BodyDecodeError::TooLarge),
                Err(_) => Err(BodyDecodeError::Cut),
            },
        }
    }

    /// Whether the header that names the coding still says what the body is.
    pub(crate) fn keeps_header(&self) -> bool {
        !self.may_be_gzip
    }
}

/// The content codings that are named, but for the one that is none.
fn codings(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|coding| coding.trim().to_ascii_lowercase())
        .filter(|coding| !coding.is_empty() && coding != "identity")
        .collect()
}

fn is_gzip(coding: &str) -> bool {
    matches!(coding, "gzip" | "x-gzip")
}

/// The media type, in lower case, and its charset.
fn content_type(headers: &HeaderMap) -> Option<(String, Option<String>)> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let (media, parameters) = value.split_once(';').unwrap_or((value, ""));
    let charset = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        (name.trim().eq_ignore_ascii_case("charset")).then(|| value.to_owned())
    });
    Some((media.trim().to_ascii_lowercase(), charset))
}

/// Whether the body is a text by its type, such as JSON, XML or CSV.
fn is_text(headers: &HeaderMap) -> bool {
    content_type(headers).is_some_and(|(media, _)| {
        let (kind, sub) = media.split_once('/').unwrap_or_default();
        kind == "text"
            || [sub, sub.rsplit('+').next().unwrap_or_default()]
                .iter()
                .any(|sub| sub.contains("json") || matches!(*sub, "xml" | "csv" | "javascript"))
    })
}

/// `body` as UTF-8, if its charset is another; `None` when it stays as it is.
pub(crate) fn to_utf8(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let (_, charset) = content_type(headers)?;
    let label = charset?;
    let encoding = Encoding::for_label(label.as_bytes())?;
    let says_little = label.trim().eq_ignore_ascii_case("utf-16le");
    let (encoding, body) = match Encoding::for_bom(body) {
        Some((by_mark, _)) if by_mark == UTF_8 => return None,
        Some((by_mark, len)) => (by_mark, body.get(len..)?),
        // `utf-16` without a mark is big-endian (RFC 2781 §4.3), if it looks like it: many mean the other.
        None if encoding == UTF_16LE && !says_little && body.first() == Some(&0) => {
            (UTF_16BE, body)
        }
        None => (encoding, body),
    };
    let is_wide = encoding == UTF_16LE || encoding == UTF_16BE;
    if encoding == UTF_8 || (!is_wide && std::str::from_utf8(body).is_ok()) {
        return None;
    }
    let text = encoding.decode_without_bom_handling_and_without_replacement(body)?;
    Some(text.into_owned())
}

/// A `Content-Type` as it is once the body is UTF-8.
pub(crate) fn with_utf8(content_type: &str) -> String {
    let mut parts = content_type.split(';');
    let mut text = parts.next().unwrap_or_default().trim().to_owned();
    for part in parts {
        let name = part.split('=').next().unwrap_or_default().trim();
        match name.eq_ignore_ascii_case("charset") {
            true => text.push_str("; charset=utf-8"),
            false => {
                text.push_str("; ");
                text.push_str(part.trim());
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in list {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    /// What comes of a body that arrives in chunks of this size.
    fn decoded(
        list: &[(&'static str, &str)],
        body: &[u8],
        chunk: usize,
    ) -> Result<(Bytes, bool), BodyDecodeError> {
        let mut decoder = Decoder::new(&headers(list), 100, 0);
        for chunk in body.chunks(chunk) {
            decoder.step(chunk)?;
        }
        decoder.finish()
    }

    const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

    #[test]
    fn what_is_unzipped() {
        let one = gzip("{\"a\":1}");
        let members = [gzip("{\"a\""), gzip(""), gzip(":1}")].concat();
        let plain = b"{\"a\":1}".to_vec();
        type Row<'a> = (&'a [(&'static str, &'static str)], &'a [u8], bool);
        let rows: &[Row<'_>] = &[
            (&[("content-encoding", "gzip")], &one, true),
            (&[("content-encoding", "GZIP")], &one, true),
            (&[("content-encoding", "x-gzip")], &one, true),
            (&[("content-encoding", "identity, Gzip")], &one, true),
            (
                &[("content-encoding", ""), ("content-encoding", "gzip")],
                &one,
                true,
            ),
            (&[("content-encoding", "gzip")], &members, true),
            (&[("content-encoding", "gzip")], &plain, false),
            (&[JSON], &one, true),
            (
                &[("content-type", "application/vnd.api+json")],
                &members,
                true,
            ),
            (&[("content-type", "text/csv")], &one, true),
            (&[("content-type", "application/gzip")], &one, false),
            (&[], &one, false),
            (&[("content-encoding", "br")], &one, false),
            (&[("content-encoding", "gzip, gzip")], &one, false),
            (&[JSON], &plain, false),
        ];
        for (list, body, is_gzip) in rows {
            for chunk in [1, 2, 7, 100] {
                let (found, gzip) = decoded(list, body, chunk).unwrap();
                let expected: &[u8] = if *is_gzip { &plain } else { body };
                assert_eq!((&*found, gzip), (expected, *is_gzip), "{list:?} by {chunk}");
            }
        }
    }

    #[test]
    fn what_can_not_be_unzipped() {
        let coded = [("content-encoding", "gzip")];
        let whole = gzip("{\"a\":1}");
        let mut wrong = whole.clone();
        wrong[12] ^= 0xff;
        for chunk in [1, 9, 100] {
            for cut in [whole.len() - 9, whole.len() - 1, 11] {
                let found = decoded(&coded, &whole[..cut], chunk);
                assert!(
                    matches!(found, Err(BodyDecodeError::Cut)),
                    "{cut}: {found:?}"
                );
            }
            assert!(decoded(&coded, &wrong, chunk).is_err());
            let garbage = [whole.clone(), b"and more".to_vec()].concat();
            let found = decoded(&coded, &garbage, chunk);
            assert!(
                matches!(
                    found,
                    Err(BodyDecodeError::Damaged(_) | BodyDecodeError::Cut)
                ),
                "{found:?}"
            );
            // The limit is on what comes of it, over all members.
            let large = gzip(&"x".repeat(60)).repeat(2);
            let found = decoded(&coded, &large, chunk);
            assert!(matches!(found, Err(BodyDecodeError::TooLarge)), "{found:?}");
            let found = decoded(&[], &[b'x'; 101], chunk);
            assert!(matches!(found, Err(BodyDecodeError::TooLarge)), "{found:?}");
        }
    }

    #[test]
    fn charsets() {
        let latin = b"{\"n\":\"\xfc\"}".as_slice();
        let text = "{\"n\":\"\u{fc}\"}";
        let wide = |to: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(to).collect::<Vec<u8>>();
        let (little, big) = (wide(u16::to_le_bytes), wide(u16::to_be_bytes));
        let marked = [&[0xff, 0xfe], little.as_slice()].concat();
        let rows: &[(&str, &[u8], Option<&str>)] = &[
            ("application/json; charset=iso-8859-1", latin, Some(text)),
            (
                "application/json;charset=\"Windows-1252\"",
                latin,
                Some(text),
            ),
            (
                "text/csv; header=present; CHARSET='latin1'",
                latin,
                Some(text),
            ),
            ("application/json; charset=utf-16", &marked, Some(text)),
            ("application/json; charset=utf-16", &big, Some(text)),
            ("application/json; charset=UTF-16LE", &little, Some(text)),
            ("application/json; charset=utf-16be", &big, Some(text)),
            // The low byte of U+4E00 is zero, and is no sign of the other order.
            ("text/csv; charset=utf-16le", b"\x00\x4e", Some("\u{4e00}")),
            // It says one thing, and is another.
            (
                "application/json; charset=iso-8859-1",
                text.as_bytes(),
                None,
            ),
            ("application/json; charset=us-ascii", text.as_bytes(), None),
            ("application/json; charset=utf-16", b"\xef\xbb\xbf{}", None),
            (
                "application/json; charset=utf-16le",
                b"\x00\xd8\x00\x00",
                None,
            ),
            ("application/json; charset=none-such", latin, None),
            ("application/json; charset=utf-8", latin, None),
            ("application/json", latin, None),
        ];
        for (list, body, expected) in rows {
            let headers = headers(&[("content-type", list)]);
            assert_eq!(to_utf8(&headers, body).as_deref(), *expected, "{list}");
        }
        for (before, after) in [
            (
                "text/csv; header=present; CHARSET='latin1'",
                "text/csv; header=present; charset=utf-8",
            ),
            ("a/b;charset=x", "a/b; charset=utf-8"),
        ] {
            assert_eq!(with_utf8(before), after);
        }
    }
}
