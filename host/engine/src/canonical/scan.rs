//! One pass over a JSON text that checks it and writes its canonical form.

use std::fmt;
use std::ops::Range;

use super::number;

/// How deep objects and lists may nest.
pub const DEPTH_MAX: usize = 64;

/// Why a text is not a record's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyError {
    /// Bytes before the fault.
    pub offset: usize,
    reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    NotAnObject,
    End,
    Value,
    Key,
    Colon,
    CommaInObject,
    CommaInList,
    Trailing,
    Control,
    Escape,
    Surrogate,
    Depth,
    Number,
    NumberRange,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            Reason::NotAnObject => "it must start with '{'",
            Reason::End => "the text ends too early",
            Reason::Value => "expected a value",
            Reason::Key => "expected a key in double quotes",
            Reason::Colon => "expected ':' after a key",
            Reason::CommaInObject => "expected ',' or '}'",
            Reason::CommaInList => "expected ',' or ']'",
            Reason::Trailing => "text after the object",
            Reason::Control => "an unescaped control character in a string",
            Reason::Escape => "an unknown escape in a string",
            Reason::Surrogate => "half of a surrogate pair in a string",
            Reason::Depth => "nested deeper than 64 levels (limit json_depth)",
            Reason::Number => "not a number as JSON writes them",
            Reason::NumberRange => "a number out of range",
        };
        write!(f, "{reason}, at byte {}", self.offset)
    }
}

impl std::error::Error for BodyError {}

/// Where a member of an object is in the output.
#[derive(Debug, Clone)]
struct Member {
    key: Range<usize>,
    end: usize,
}

/// Buffers that are reused from body to body.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    out: Vec<u8>,
    /// Members of the objects that are open, innermost last.
    members: Vec<Member>,
    sorted: Vec<u8>,
}

impl Scanner {
    /// The canonical form of `body`.
    pub(super) fn canonical(&mut self, body: &str) -> Result<&[u8], BodyError> {
        self.out.clear();
        self.members.clear();
        let text = body.as_bytes();
        let mut pass = Pass {
            text,
            at: 0,
            scanner: self,
        };
        if let Err(reason) = pass.body() {
            return Err(BodyError {
                offset: pass.at,
                reason,
            });
        }
        Ok(&self.out)
    }

    /// Sort the members from `first` on, whose text starts at `start`, and drop all but the last
    /// of those with the same key.
    #[cold]
    fn sort_members(&mut self, first: usize, start: usize) {
        let Self {
            out,
            members,
            sorted,
        } = self;
        let key = |member: &Member| out.get(member.key.clone()).unwrap_or_default();
        let Some(own) = members.get_mut(first..) else {
            return;
        };
        // Stable, so that of equal keys the last one stays last.
        own.sort_by(|a, b| key(a).cmp(key(b)));
        sorted.clear();
        let mut rest = own.iter().peekable();
        while let Some(member) = rest.next() {
            if rest.peek().is_some_and(|next| key(next) == key(member)) {
                continue;
            }
            if !sorted.is_empty() {
                sorted.push(b',');
            }
            sorted.extend_from_slice(out.get(member.key.start..member.end).unwrap_or_default());
        }
        out.truncate(start);
        out.extend_from_slice(sorted);
    }
}

struct Pass<'a, 's> {
    text: &'a [u8],
    at: usize,
    scanner: &'s mut Scanner,
}

impl Pass<'_, '_> {
    fn body(&mut self) -> Result<(), Reason> {
        if self.next_token() != Some(b'{') {
            return Err(Reason::NotAnObject);
        }
        self.object(1)?;
        if self.next_token().is_some() {
            return Err(Reason::Trailing);
        }
        Ok(())
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Skip whitespace and look at the byte after it.
    #[inline]
    fn next_token(&mut self) -> Option<u8> {
        loop {
            let byte = self.text.get(self.at).copied()?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    fn token(&mut self) -> Result<u8, Reason> {
        self.next_token().ok_or(Reason::End)
    }

    fn value(&mut self, depth: usize) -> Result<(), Reason> {
        match self.token()? {
            b'"' => self.string(),
            b'{' => self.object(depth + 1),
            b'[' => self.list(depth + 1),
            b'-' | b'0'..=b'9' => {
                let rest = self.text.get(self.at..).unwrap_or_default();
                self.at += number::copy(rest, &mut self.scanner.out)?;
                Ok(())
            }
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => Err(Reason::Value),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Reason> {
        if !self.rest().starts_with(word) {
            return Err(Reason::Value);
        }
        self.at += word.len();
        self.scanner.out.extend_from_slice(word);
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<(), Reason> {
        self.open(b'[', depth)?;
        if self.token()? == b']' {
            return self.close(b']');
        }
        loop {
            self.value(depth)?;
            match self.token()? {
                b',' => {
                    self.at += 1;
                    self.scanner.out.push(b',');
                }
                b']' => return self.close(b']'),
                _ => return Err(Reason::CommaInList),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Reason> {
        self.open(b'{', depth)?;
        let start = self.scanner.out.len();
        let first = self.scanner.members.len();
        if self.token()? == b'}' {
            return self.close(b'}');
        }
        let mut sorted = true;
        loop {
            if self.token()? != b'"' {
                return Err(Reason::Key);
            }
            let key_start = self.scanner.out.len();
            self.string()?;
            let key = key_start..self.scanner.out.len();
            sorted = sorted && self.follows(first, &key);
            if self.token()? != b':' {
                return Err(Reason::Colon);
            }
            self.at += 1;
            self.scanner.out.push(b':');
            self.value(depth)?;
            let end = self.scanner.out.len();
            self.scanner.members.push(Member { key, end });
            match self.token()? {
                b',' => {
                    self.at += 1;
                    self.scanner.out.push(b',');
                }
                b'}' => break,
                _ => return Err(Reason::CommaInObject),
            }
        }
        if !sorted {
            self.scanner.sort_members(first, start);
        }
        self.scanner.members.truncate(first);
        self.close(b'}')
    }

    /// Whether `key` comes after the key of the last member from `first` on, so that the object is
    /// still sorted and without repetition.
    fn follows(&self, first: usize, key: &Range<usize>) -> bool {
        let Scanner { out, members, .. } = &*self.scanner;
        let last = members.get(first..).and_then(<[Member]>::last);
        last.is_none_or(|last| out.get(last.key.clone()) < out.get(key.clone()))
    }

    fn open(&mut self, bracket: u8, depth: usize) -> Result<(), Reason> {
        if depth > DEPTH_MAX {
            return Err(Reason::Depth);
        }
        self.at += 1;
        self.scanner.out.push(bracket);
        Ok(())
    }

    fn close(&mut self, bracket: u8) -> Result<(), Reason> {
        self.at += 1;
        self.scanner.out.push(bracket);
        Ok(())
    }

    /// Copy the string at the cursor, whose opening quote was seen.
    fn string(&mut self) -> Result<(), Reason> {
        self.at += 1;
        self.scanner.out.push(b'"');
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = plain_len(rest);
            let (copied, rest) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
            self.scanner.out.extend_from_slice(copied);
            self.at += plain;
            match rest.first() {
                Some(b'"') => {
                    self.at += 1;
                    self.scanner.out.push(b'"');
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(Reason::Control),
                None => return Err(Reason::End),
            }
        }
    }

    /// Decode the escape at the cursor and write the character in its one spelling.
    #[cold]
    fn escape(&mut self) -> Result<(), Reason> {
        let kind = *self.rest().get(1).ok_or(Reason::End)?;
        let char = match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(Reason::Escape),
        };
        self.at += 2;
        self.write_char(char);
        Ok(())
    }

    fn unicode_escape(&mut self) -> Result<(), Reason> {
        let unit = self.hex(self.at + 2)?;
        let (code, len) = match unit {
            0xd800..=0xdbff => {
                if self.text.get(self.at + 6..self.at + 8) != Some(b"\\u") {
                    return Err(Reason::Surrogate);
                }
                let low = self.hex(self.at + 8)?;
                if !(0xdc00..=0xdfff).contains(&low) {
                    return Err(Reason::Surrogate);
                }
                (0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00), 12)
            }
            unit => (unit, 6),
        };
        let char = char::from_u32(code).ok_or(Reason::Surrogate)?;
        self.at += len;
        self.write_char(char);
        Ok(())
    }

    fn hex(&self, at: usize) -> Result<u32, Reason> {
        let digits = self.text.get(at..at + 4).ok_or(Reason::End)?;
        digits.iter().try_fold(0, |number, digit| {
            let digit = char::from(*digit).to_digit(16).ok_or(Reason::Escape)?;
            Ok((number << 4) | digit)
        })
    }

    fn write_char(&mut self, char: char) {
        let out = &mut self.scanner.out;
        match char {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            control if control < ' ' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(control)).as_bytes());
            }
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// How many bytes from the start of `text` are neither `"`, `\` nor a control character: eight
/// bytes at a time, since most of a body is inside strings.
fn plain_len(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word;
    let (words, tail) = text.as_chunks::<8>();
    for (index, bytes) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*bytes);
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let quote = zero_bytes(word ^ (ONES * u64::from(b'"')));
        let backslash = zero_bytes(word ^ (ONES * u64::from(b'\\')));
        // A borrow can mark a byte falsely, but only above the first true one.
        let found = (control | quote | backslash) & HIGH;
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let stops = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    words.len() * 8 + tail.iter().position(stops).unwrap_or(tail.len())
}
