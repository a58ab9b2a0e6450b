//! One pass over a JSON text that checks it and writes its canonical form.

use std::ops::Range;

use super::error::{BodyError, Reason};
use super::number;

/// How deep objects and lists may nest.
#[expect(clippy::cast_possible_truncation, reason = "a constant far below")]
pub const DEPTH_MAX: usize = crate::limits::JSON_DEPTH as usize;

/// Where a member of an object is in the output, once what is pending is copied there.
#[derive(Debug, Clone)]
struct Member {
    key: Range<usize>,
    end: usize,
    /// The first bytes of the key as a number, which compares most keys.
    prefix: u64,
}

/// Buffers that are reused from body to body.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    out: Vec<u8>,
    /// Members of the objects that are open, innermost last.
    members: Vec<Member>,
    sorted: Vec<u8>,
    /// Whether a member came more than once.
    repeats: bool,
}

impl Scanner {
    /// The canonical form of `text`, which is an object, or any value if `any` says so; and whether
    /// a member occurs more than once in an object of it.
    pub(super) fn canonical(&mut self, text: &str, any: bool) -> Result<(&[u8], bool), BodyError> {
        self.out.clear();
        self.members.clear();
        self.repeats = false;
        let mut pass = Pass {
            text: text.as_bytes(),
            at: 0,
            copied: 0,
            scanner: self,
        };
        if let Err(reason) = pass.whole(any) {
            return Err(BodyError {
                offset: pass.at,
                reason,
            });
        }
        Ok((&self.out, self.repeats))
    }

    /// Sort the members from `first` on, whose text starts at `start`, and drop all but the last
    /// of those with the same key.
    fn sort_members(&mut self, first: usize, start: usize) {
        let Self {
            out,
            members,
            sorted,
            repeats,
        } = self;
        let key = |member: &Member| out.get(member.key.clone()).unwrap_or_default();
        let Some(own) = members.get_mut(first..) else {
            return;
        };
        // Stable, so that of equal keys the last one stays last.
        own.sort_by(|a, b| a.prefix.cmp(&b.prefix).then_with(|| key(a).cmp(key(b))));
        sorted.clear();
        let mut rest = own.iter().peekable();
        while let Some(member) = rest.next() {
            let same = |next: &&Member| next.prefix == member.prefix && key(next) == key(member);
            if rest.peek().is_some_and(same) {
                *repeats = true;
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

/// What is canonical as it stands is not copied piece by piece: it stays pending, from `copied` to
/// `at`, until something differs or must be moved.
struct Pass<'a, 's> {
    text: &'a [u8],
    at: usize,
    copied: usize,
    scanner: &'s mut Scanner,
}

impl Pass<'_, '_> {
    fn whole(&mut self, any: bool) -> Result<(), Reason> {
        if !any && self.next_token() != Some(b'{') {
            return Err(Reason::NotAnObject);
        }
        self.value(0)?;
        self.copy_pending();
        if self.next_token().is_some() {
            return Err(Reason::Trailing);
        }
        Ok(())
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Where in the output the text at the cursor will be.
    fn position(&self) -> usize {
        self.scanner.out.len() + (self.at - self.copied)
    }

    fn copy_pending(&mut self) {
        let pending = self.text.get(self.copied..self.at).unwrap_or_default();
        self.scanner.out.extend_from_slice(pending);
        self.copied = self.at;
    }

    /// Output that is or will be at `range`; none of it is half pending.
    fn output(&self, range: &Range<usize>) -> &[u8] {
        let Scanner { out, .. } = &*self.scanner;
        match range.start.checked_sub(out.len()) {
            None => out.get(range.clone()),
            Some(ahead) => {
                let start = self.copied + ahead;
                self.text.get(start..start + range.len())
            }
        }
        .unwrap_or_default()
    }

    /// Skip whitespace and look at the byte after it.
    #[inline]
    fn next_token(&mut self) -> Option<u8> {
        let byte = self.text.get(self.at).copied()?;
        if byte > b' ' {
            Some(byte)
        } else {
            self.skip_whitespace()
        }
    }

    #[cold]
    fn skip_whitespace(&mut self) -> Option<u8> {
        self.copy_pending();
        loop {
            let byte = self.text.get(self.at).copied()?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
            self.copied = self.at;
        }
    }

    #[inline]
    fn token(&mut self) -> Result<u8, Reason> {
        self.next_token().ok_or(Reason::End)
    }

    fn value(&mut self, depth: usize) -> Result<(), Reason> {
        match self.token()? {
            b'"' => self.string().map(drop),
            b'{' => self.object(depth + 1),
            b'[' => self.list(depth + 1),
            b'-' | b'0'..=b'9' => self.number(),
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
        Ok(())
    }

    fn number(&mut self) -> Result<(), Reason> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if let Some(len) = number::canonical_len(rest) {
            self.at += len;
            return Ok(());
        }
        self.copy_pending();
        self.at += number::copy(rest, &mut self.scanner.out)?;
        self.copied = self.at;
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<(), Reason> {
        self.open(depth)?;
        if self.token()? == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth)?;
            let token = self.token()?;
            self.at += 1;
            match token {
                b',' => {}
                b']' => return Ok(()),
                _ => {
                    self.at -= 1;
                    return Err(Reason::CommaInList);
                }
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Reason> {
        self.open(depth)?;
        let start = self.position();
        let first = self.scanner.members.len();
        if self.token()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        let mut sorted = true;
        loop {
            let key = self.key()?;
            let prefix = self.prefix(&key);
            sorted = sorted && self.follows(first, &key, prefix);
            if self.token()? != b':' {
                return Err(Reason::Colon);
            }
            self.at += 1;
            self.value(depth)?;
            let end = self.position();
            self.scanner.members.push(Member { key, end, prefix });
            match self.token()? {
                b',' => self.at += 1,
                b'}' => break,
                _ => return Err(Reason::CommaInObject),
            }
        }
        if !sorted {
            self.copy_pending();
            self.scanner.sort_members(first, start);
        }
        self.scanner.members.truncate(first);
        self.at += 1;
        Ok(())
    }

    /// Read a key; returns where it will be in the output, quotes included.
    fn key(&mut self) -> Result<Range<usize>, Reason> {
        if self.token()? != b'"' {
            return Err(Reason::Key);
        }
        let start = self.position();
        if self.string()? {
            // It is in the output in part; then all of it must be.
            self.copy_pending();
        }
        Ok(start..self.position())
    }

    /// The first 8 bytes of a key after its quote; the closing quote is one of them, so that of two
    /// keys below that length one is not the other's beginning.
    fn prefix(&self, key: &Range<usize>) -> u64 {
        let key = self.output(key).get(1..).unwrap_or_default();
        match key.first_chunk() {
            Some(first) => u64::from_be_bytes(*first),
            None => {
                key.iter()
                    .fold(0, |prefix, byte| (prefix << 8) | u64::from(*byte))
                    << (64 - 8 * key.len())
            }
        }
    }

    /// Whether `key` comes after the key of the last member from `first` on, so that the object is
    /// still sorted and without repetition.
    fn follows(&self, first: usize, key: &Range<usize>, prefix: u64) -> bool {
        let last = self.scanner.members.get(first..).and_then(<[Member]>::last);
        last.is_none_or(|last| {
            last.prefix < prefix
                || (last.prefix == prefix && self.output(&last.key) < self.output(key))
        })
    }

    fn open(&mut self, depth: usize) -> Result<(), Reason> {
        if depth > DEPTH_MAX {
            return Err(Reason::Depth);
        }
        self.at += 1;
        Ok(())
    }

    /// Read the string at the cursor, whose opening quote was seen; returns whether it has escapes.
    fn string(&mut self) -> Result<bool, Reason> {
        self.at += 1;
        let mut escapes = false;
        loop {
            self.at += plain_len(self.rest());
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escapes);
                }
                Some(b'\\') => {
                    escapes = true;
                    self.escape()?;
                }
                Some(_) => return Err(Reason::Control),
                None => return Err(Reason::End),
            }
        }
    }

    /// Decode the escape at the cursor and write the character in its one spelling.
    #[cold]
    fn escape(&mut self) -> Result<(), Reason> {
        self.copy_pending();
        let kind = *self.rest().get(1).ok_or(Reason::End)?;
        let (char, len) = match kind {
            b'"' | b'\\' | b'/' => (char::from(kind), 2),
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            b'u' => self.unicode_escape()?,
            _ => return Err(Reason::Escape),
        };
        self.at += len;
        self.copied = self.at;
        self.write_char(char);
        Ok(())
    }

    fn unicode_escape(&self) -> Result<(char, usize), Reason> {
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
        Ok((char::from_u32(code).ok_or(Reason::Surrogate)?, len))
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
