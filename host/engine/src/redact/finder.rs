//! Where in a text secrets are.

use std::ops::Range;

use memchr::memmem;
use zeroize::Zeroizing;

use super::layer::Layer;
use super::pattern::{HEAD_BYTES, Pattern, Reading};
use super::{LAYERS, PLACEHOLDER, Redactor};

/// Bytes of text that are read at once, and so what is held in memory for it, unless a secret is longer.
const WINDOW: usize = 64 * 1024;
/// Bytes of text that the first ones of a secret may take up.
const HEAD_REACH: usize = 1024;
/// Longest escape, a pair of `\u`.
const ESCAPE_BYTES_MAX: usize = 12;
/// A text that ends with an ellipsis was cut before it, also when so many bytes follow it that say by how much.
const AFTER_ELLIPSIS: usize = 32;

/// Where a secret is, and what is to stand there.
pub(super) type Place = (Range<usize>, &'static str);

impl Redactor {
    /// Whether the first bytes of anything that is sought are somewhere in this text: without them nothing else is.
    pub(super) fn may_hold(&self, text: &[u8]) -> bool {
        if self.patterns.is_empty() {
            return false;
        }
        let mut from = 0;
        loop {
            let upto = text.len().min(from + WINDOW + HEAD_REACH);
            let window = text.get(from..upto).unwrap_or_default();
            if readings(Layer::raw(window, from)).any(|layer| self.has_head(&layer)) {
                return true;
            }
            if upto == text.len() {
                return false;
            }
            from += WINDOW;
        }
    }

    fn has_head(&self, layer: &Layer) -> bool {
        Reading::ALL.into_iter().any(|reading| {
            let layer = layer.folded(reading.fold());
            self.of(reading)
                .any(|pattern| memmem::find(layer.bytes(), pattern.head()).is_some())
        })
    }

    /// Whether this is a secret, all of it, as it stands.
    pub(super) fn is_secret(&self, text: &[u8]) -> bool {
        self.of(Reading::Plain)
            .any(|pattern| pattern.bytes.as_slice() == text)
    }

    fn of(&self, reading: Reading) -> impl Iterator<Item = &Pattern> {
        let patterns = self.patterns.iter();
        patterns.filter(move |pattern| pattern.reading == reading)
    }

    /// How many of the last bytes may be the beginning of a secret that goes on after them.
    #[must_use]
    pub fn unfinished(&self, text: &[u8]) -> usize {
        let from = text.len().saturating_sub(self.reach);
        let window = text.get(from..).unwrap_or_default();
        let cuts = cuts(window, text.len());
        let mut begin = text.len();
        for layer in readings(Layer::raw(window, from)) {
            for reading in Reading::ALL {
                let layer = layer.folded(reading.fold());
                for (pattern, cut) in self
                    .of(reading)
                    .flat_map(|p| cuts.iter().map(move |c| (p, c)))
                {
                    let place = begun(&layer, pattern, *cut);
                    begin = begin.min(place.map_or(begin, |place| layer.place(place).start));
                }
            }
        }
        text.len() - begin
    }

    /// Add where in this part of a text secrets are. A part that is a JSON string, without its quotes, is read
    /// as that, so that no place begins or ends within an escape of it.
    pub(super) fn places(
        &self,
        text: &[u8],
        part: Range<usize>,
        is_json: bool,
        places: &mut Vec<Place>,
    ) {
        let read = match is_json {
            true => Layer::of_json,
            false => Layer::raw,
        };
        let mut from = part.start;
        loop {
            let upto = part.end.min(from + WINDOW.max(self.reach) + self.reach);
            let window = text.get(from..upto).unwrap_or_default();
            let layer = read(window, from);
            let next = layer.boundary(from + WINDOW.max(self.reach));
            let is_last = upto == part.end;
            let cuts = match is_last {
                true => cuts(window, upto),
                false => Vec::new(),
            };
            for layer in readings(layer) {
                for reading in Reading::ALL {
                    self.look(&layer.folded(reading.fold()), reading, &cuts, places);
                }
            }
            if is_last {
                return;
            }
            from = next;
        }
    }

    fn look(&self, layer: &Layer, reading: Reading, cuts: &[usize], places: &mut Vec<Place>) {
        let bytes = layer.bytes();
        for pattern in self.of(reading) {
            let length = pattern.bytes.len();
            for found in memmem::find_iter(bytes, pattern.bytes.as_slice()) {
                let from = found - usize::from(pattern.shares.0 && found > 0);
                let end = found + length;
                let to = end + usize::from(pattern.shares.1 && end < bytes.len());
                places.push((layer.place(from..to), PLACEHOLDER));
            }
            for cut in cuts {
                let begun = begun(layer, pattern, *cut);
                if let Some(begun) = begun.filter(|begun| begun.len() >= HEAD_BYTES) {
                    places.push((layer.place(begun), PLACEHOLDER));
                }
            }
        }
    }
}

/// The bytes before a cut that a pattern begins with, but not all of it.
fn begun(layer: &Layer, pattern: &Pattern, cut: usize) -> Option<Range<usize>> {
    let end = layer.before(cut);
    let most = end.min(pattern.bytes.len().saturating_sub(1));
    let tail = layer.bytes().get(end - most..end)?;
    match begins(&pattern.bytes, tail) {
        0 => None,
        begun => Some(end - begun..end),
    }
}

/// A text as it reads at first, and with one more layer of escapes undone each time.
fn readings(first: Layer) -> impl Iterator<Item = Layer> {
    let mut next = Some(first);
    let mut left = LAYERS;
    std::iter::from_fn(move || {
        let layer = next.take()?;
        if left > 0 {
            left -= 1;
            next = layer.undone();
        }
        Some(layer)
    })
}

/// Where a text may have been cut, the last of which is `window` and ends at `end`: there, or within an escape.
fn cuts(window: &[u8], end: usize) -> Vec<usize> {
    let begin = end - window.len();
    let mut cuts = vec![end];
    let start = window.len().saturating_sub(AFTER_ELLIPSIS);
    let last = window.get(start..).unwrap_or_default();
    for ellipsis in ["…", "...", r"\u2026"] {
        if let Some(at) = memmem::rfind(last, ellipsis.as_bytes()) {
            cuts.push(end - last.len() + at);
        }
    }
    for at in 0..cuts.len() {
        let cut = cuts.get(at).copied().unwrap_or(end);
        let before = window.get(..cut - begin).unwrap_or_default();
        let start = before.len().saturating_sub(ESCAPE_BYTES_MAX);
        let tail = before.get(start..).unwrap_or_default();
        if let Some(at) = memchr::memrchr3(b'\\', b'%', b'&', tail) {
            cuts.push(begin + start + at);
        }
    }
    cuts
}

/// How many of the first bytes of `pattern`, at most, `tail` ends with (Knuth, Morris, Pratt).
fn begins(pattern: &[u8], tail: &[u8]) -> usize {
    let mut shorter = Zeroizing::new(vec![0_usize; pattern.len()]);
    let step = |shorter: &[usize], mut matched: usize, byte: u8| {
        while matched > 0 && pattern.get(matched) != Some(&byte) {
            matched = shorter.get(matched - 1).copied().unwrap_or_default();
        }
        matched + usize::from(pattern.get(matched) == Some(&byte))
    };
    let mut matched = 0;
    for at in 1..pattern.len() {
        matched = step(
            &shorter,
            matched,
            pattern.get(at).copied().unwrap_or_default(),
        );
        if let Some(slot) = shorter.get_mut(at) {
            *slot = matched;
        }
    }
    tail.iter()
        .fold(0, |matched, byte| step(&shorter, matched, *byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_noticed() {
        // (pattern, tail, how much of the pattern)
        let rows: &[(&str, &str, usize)] = &[
            ("abcabd", "xxabcab", 5),
            ("abcabd", "abcabcab", 5),
            ("aaaaab", "aaaaaaaa", 5),
            ("abc", "xyz", 0),
            ("abc", "", 0),
            ("", "abc", 0),
        ];
        for (pattern, tail, want) in rows {
            assert_eq!(
                begins(pattern.as_bytes(), tail.as_bytes()),
                *want,
                "{pattern} {tail}"
            );
        }
        let cut = |text: &str| cuts(text.as_bytes(), text.len());
        assert_eq!(cut("ab…"), [5, 2]);
        assert_eq!(cut("ab... (17 bytes cut)"), [20, 2]);
        assert_eq!(cut(&format!("ab…{}", "x".repeat(AFTER_ELLIPSIS))).len(), 1);
    }
}
