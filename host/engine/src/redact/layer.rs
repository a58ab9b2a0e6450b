//! One reading of a text, and the next one, in which escapes have been undone once more.

use std::ops::Range;

/// A text as it reads after some escapes have been undone: its bytes, and where in the text each begins.
pub(super) struct Layer {
    bytes: Vec<u8>,
    /// One more than there are bytes: the last is the end.
    starts: Vec<usize>,
}

/// What an escape stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unescaped {
    Byte(u8),
    Char(char),
}

impl Layer {
    fn new(capacity: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity),
            starts: Vec::with_capacity(capacity + 1),
        }
    }

    /// The text as it is; its first byte is at `from`.
    pub(super) fn raw(text: &[u8], from: usize) -> Self {
        Self {
            bytes: text.to_vec(),
            starts: (from..=from + text.len()).collect(),
        }
    }

    /// What is between the quotes of a JSON string, read as JSON.
    pub(super) fn of_json(text: &[u8], from: usize) -> Self {
        let raw = Self::raw(text, from);
        raw.read(|rest| rest.starts_with(b"\\").then(|| backslash(rest)).flatten())
            .unwrap_or(raw)
    }

    /// The next reading; `None` if it is the same.
    pub(super) fn undone(&self) -> Option<Self> {
        self.read(escape)
    }

    fn read(&self, escape: impl Fn(&[u8]) -> Option<(Unescaped, usize)>) -> Option<Self> {
        let first = memchr::memchr3(b'\\', b'%', b'&', &self.bytes)?;
        let mut next = Self::new(self.bytes.len());
        next.bytes.extend(self.bytes.get(..first)?);
        next.starts.extend(self.starts.get(..first)?);
        let (mut at, mut changed) = (first, false);
        while let (Some(byte), Some(start)) = (self.bytes.get(at), self.starts.get(at)) {
            match escape(self.bytes.get(at..).unwrap_or_default()) {
                None => {
                    next.push(*byte, *start);
                    at += 1;
                }
                Some((undone, length)) => {
                    match undone {
                        Unescaped::Byte(byte) => next.push(byte, *start),
                        Unescaped::Char(c) => {
                            let mut room = [0; 4];
                            let bytes = c.encode_utf8(&mut room).bytes();
                            bytes.for_each(|byte| next.push(byte, *start));
                        }
                    }
                    at += length;
                    changed = true;
                }
            }
        }
        next.starts.push(self.end());
        changed.then_some(next)
    }

    fn push(&mut self, byte: u8, start: usize) {
        self.bytes.push(byte);
        self.starts.push(start);
    }

    /// The same with each byte as `fold` reads it, without those that it passes over.
    pub(super) fn folded(&self, fold: fn(u8) -> Option<u8>) -> Self {
        let mut next = Self::new(self.bytes.len());
        for (byte, start) in self.bytes.iter().zip(&self.starts) {
            if let Some(byte) = fold(*byte) {
                next.push(byte, *start);
            }
        }
        next.starts.push(self.end());
        next
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn end(&self) -> usize {
        self.starts.last().copied().unwrap_or_default()
    }

    /// Where in the text these of the bytes are.
    pub(super) fn place(&self, bytes: Range<usize>) -> Range<usize> {
        let start = |at: usize| self.starts.get(at).copied().unwrap_or_else(|| self.end());
        let (from, last) = (
            start(bytes.start),
            start(bytes.end.saturating_sub(1).max(bytes.start)),
        );
        // One escape may stand for several bytes.
        let rest = self.starts.get(bytes.end..).unwrap_or_default();
        let to = rest.iter().copied().find(|start| *start > last);
        from..to.unwrap_or_else(|| self.end())
    }

    /// How many bytes begin before this place of the text.
    pub(super) fn before(&self, place: usize) -> usize {
        let starts = self.starts.get(..self.bytes.len()).unwrap_or_default();
        starts.partition_point(|start| *start < place)
    }

    /// The first place from here on at which a byte begins.
    pub(super) fn boundary(&self, place: usize) -> usize {
        let at = self.starts.partition_point(|start| *start < place);
        self.starts.get(at).copied().unwrap_or_else(|| self.end())
    }
}

/// The escape that begins here, and how many bytes it takes.
fn escape(rest: &[u8]) -> Option<(Unescaped, usize)> {
    match rest.first()? {
        b'%' => percent(rest),
        b'\\' => backslash(rest),
        b'&' => entity(rest),
        _ => None,
    }
}

/// `%2F` (RFC 3986), and `%u002F`, as JavaScript's `escape` writes.
fn percent(rest: &[u8]) -> Option<(Unescaped, usize)> {
    if rest.get(1)? == &b'u' {
        let c = char::from_u32(hex(rest.get(2..6)?)?)?;
        return Some((Unescaped::Char(c), 6));
    }
    Some((Unescaped::Byte(byte(rest.get(1..3)?)?), 3))
}

/// `\/`, `\n`, `\u002f`, `\u{2f}`, `\x2f`: JSON's (RFC 8259), and what other languages write so.
fn backslash(rest: &[u8]) -> Option<(Unescaped, usize)> {
    let plain = |byte| Some((Unescaped::Byte(byte), 2));
    match rest.get(1)? {
        b'n' => plain(b'\n'),
        b'r' => plain(b'\r'),
        b't' => plain(b'\t'),
        b'b' => plain(8),
        b'f' => plain(12),
        b'x' => Some((Unescaped::Byte(byte(rest.get(2..4)?)?), 4)),
        b'u' if rest.get(2)? == &b'{' => {
            let digits = rest.get(3..)?.iter().take(7).position(|b| *b == b'}')?;
            let c = char::from_u32(hex(rest.get(3..3 + digits)?)?)?;
            Some((Unescaped::Char(c), digits + 4))
        }
        b'u' => {
            let high = hex(rest.get(2..6)?)?;
            if let Some(c) = char::from_u32(high) {
                return Some((Unescaped::Char(c), 6));
            }
            let low = rest.get(6..12)?.strip_prefix(br"\u").and_then(hex)?;
            let pair = (0xd800..0xdc00).contains(&high) && (0xdc00..0xe000).contains(&low);
            let c = pair.then(|| 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            Some((Unescaped::Char(char::from_u32(c?)?), 12))
        }
        other if other.is_ascii_punctuation() => plain(*other),
        _ => None,
    }
}

/// Names that HTML gives to characters of ASCII: all that an encoder of texts may write.
const NAMED: [(&[u8], u8); 36] = [
    (b"amp", b'&'),
    (b"lt", b'<'),
    (b"gt", b'>'),
    (b"quot", b'"'),
    (b"apos", b'\''),
    (b"sol", b'/'),
    (b"bsol", b'\\'),
    (b"plus", b'+'),
    (b"equals", b'='),
    (b"percnt", b'%'),
    (b"num", b'#'),
    (b"colon", b':'),
    (b"semi", b';'),
    (b"comma", b','),
    (b"period", b'.'),
    (b"excl", b'!'),
    (b"quest", b'?'),
    (b"commat", b'@'),
    (b"dollar", b'$'),
    (b"lpar", b'('),
    (b"rpar", b')'),
    (b"lsqb", b'['),
    (b"lbrack", b'['),
    (b"rsqb", b']'),
    (b"rbrack", b']'),
    (b"lcub", b'{'),
    (b"lbrace", b'{'),
    (b"rcub", b'}'),
    (b"rbrace", b'}'),
    (b"lowbar", b'_'),
    (b"verbar", b'|'),
    (b"vert", b'|'),
    (b"ast", b'*'),
    (b"Hat", b'^'),
    (b"grave", b'`'),
    (b"nbsp", b' '),
];
/// Longest reference to a character, in bytes: `&#x10ffff;`, with room for zeros.
const ENTITY_BYTES_MAX: usize = 12;

/// `&amp;`, `&#43;`, `&#x2B;`
fn entity(rest: &[u8]) -> Option<(Unescaped, usize)> {
    let window = rest.get(1..rest.len().min(ENTITY_BYTES_MAX))?;
    let name = window.get(..window.iter().position(|byte| *byte == b';')?)?;
    let length = name.len() + 2;
    let Some(number) = name.strip_prefix(b"#") else {
        let found = NAMED.iter().find(|(known, _)| *known == name)?;
        return Some((Unescaped::Byte(found.1), length));
    };
    let code = match number
        .strip_prefix(b"x")
        .or_else(|| number.strip_prefix(b"X"))
    {
        Some(digits) => hex(digits)?,
        None => std::str::from_utf8(number).ok()?.parse().ok()?,
    };
    Some((Unescaped::Char(char::from_u32(code)?), length))
}

fn byte(digits: &[u8]) -> Option<u8> {
    u8::try_from(hex(digits)?).ok()
}

/// Only digits, at most eight.
fn hex(digits: &[u8]) -> Option<u32> {
    let fits = (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| fits)?;
    u32::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_nothing_else() {
        // (text, as it reads)
        let rows: &[(&str, &str)] = &[
            (r#"a\/b\u002fc\u002Fd\x2fe\u{2f}f\"\\"#, r#"a/b/c/d/e/f"\"#),
            ("%2F%2f%u002f%c3%a9", "///é"),
            ("&quot;&#43;&#x2b;&#X2B;&sol;&amp;#43;", "\"+++/&#43;"),
            (r"\ud83d\ude00", "😀"),
            ("\\n\\t", "\n\t"),
            // Cut, wrong or none.
            (
                r"\ud83d\u002f \ud83d \u00 \u{110000} \q %2 %g0 %u12 & &; &#; &#x; &nosuch; &#1114112; 100% \",
                r"\ud83d/ \ud83d \u00 \u{110000} \q %2 %g0 %u12 & &; &#; &#x; &nosuch; &#1114112; 100% \",
            ),
        ];
        for (text, want) in rows {
            let layer = Layer::raw(text.as_bytes(), 7);
            let next = layer.undone().unwrap();
            assert_eq!(String::from_utf8_lossy(next.bytes()), *want);
            assert_eq!(next.place(0..next.bytes().len()), 7..7 + text.len());
        }
        for same in ["", "a+b c", "%zz", r"\q", "&;"] {
            assert!(Layer::raw(same.as_bytes(), 0).undone().is_none(), "{same}");
        }
    }

    #[test]
    fn places_are_those_of_whole_escapes() {
        let layer = Layer::raw(r"a\u00e9b".as_bytes(), 0).undone().unwrap();
        assert_eq!(layer.bytes(), "aéb".as_bytes());
        for (bytes, place) in [(0..1, 0..1), (1..3, 1..7), (1..2, 1..7), (3..4, 7..8)] {
            assert_eq!(layer.place(bytes.clone()), place, "{bytes:?}");
        }
        assert_eq!((layer.before(7), layer.before(2)), (3, 3));
        assert_eq!((layer.boundary(2), layer.boundary(9)), (7, 8));
    }
}
