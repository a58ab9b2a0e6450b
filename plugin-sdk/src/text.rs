//! Cutting texts to a length, for messages.

/// The first bytes of a text, at most `max`, at a character's boundary; with `…` when cut.
pub(crate) fn excerpt(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mut cut = truncated(text, max).to_owned();
    cut.push('…');
    cut
}

/// The first bytes of a text, at most `max`, at a character's boundary.
pub(crate) fn truncated(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}
