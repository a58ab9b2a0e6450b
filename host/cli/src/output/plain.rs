//! What others say, so that it can't pass for what we say.
//!
//! Names, messages, descriptions, ids and bodies come from plugins and APIs. Among lines of ours, none of
//! them may begin a line, move the cursor, turn the direction of text, or be invisible.

use std::borrow::Cow;
use std::fmt;

/// In front of each further line of a text of others.
const QUOTED: &str = "  | ";

/// Whether a character is shown as an escape: it moves the cursor, changes how others are shown (controls of
/// direction), or can't be seen (zero width, separators of lines, fillers, what Unicode doesn't know).
fn is_hidden(c: char) -> bool {
    match c {
        ' '..='~' => false,
        // Fillers, and a joiner of graphemes: letters and marks that nobody sees.
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}' => {
            true
        }
        '\u{2028}' | '\u{2029}' => true,
        c if c.is_control() => true,
        // Spaces of other widths.
        c if c.is_whitespace() => false,
        // The standard library knows what Unicode says of it. Behind another character, so that marks, of
        // which many languages are full, are none.
        c => {
            let text: String = ['a', c].into_iter().collect();
            text.escape_debug().nth(1) == Some('\\')
        }
    }
}

/// Text of which each character can be seen, but for those that `keeps` says.
fn visible(text: &str, keeps: impl Fn(char) -> bool) -> Cow<'_, str> {
    let hidden = |c: char| is_hidden(c) && !keeps(c);
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match hidden(c) {
            // `\n`, `\u{202e}`
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Text in one line.
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    visible(text, |c| c == '\t')
}

/// Text of as many lines as it has, where nothing of ours stands beside or after it.
pub(super) fn lines(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    visible(&text, |c| matches!(c, '\t' | '\n')).into_owned()
}

/// Text whose further lines are marked, so that they can't be taken for ours.
fn quoted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let text = text.trim_end_matches(['\r', '\n']);
    for (at, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if at > 0 {
            shown.push('\n');
            shown.push_str(QUOTED);
        }
        // Lists of ours are indented by two already.
        let line = if at > 0 {
            line.strip_prefix("  ").unwrap_or(line)
        } else {
            line
        };
        shown.push_str(&one_line(line));
    }
    shown
}

/// Lines of ours. What others say in one of them stays in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Block(String);

impl Block {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Lines that are what they shall be already: a table of cells that are.
    pub(super) fn of_table(text: String) -> Self {
        Self(text)
    }

    /// Add one line.
    pub(crate) fn line(&mut self, text: impl fmt::Display) {
        self.add(&one_line(&text.to_string()));
    }

    /// Add a text of others, with what it is in front; its further lines are marked.
    pub(crate) fn quote(&mut self, label: &str, text: &str) {
        self.add(&format!("{label}{}", quoted(text)));
    }

    /// Add other lines of ours.
    pub(crate) fn block(&mut self, block: &Self) {
        self.add(&block.0);
    }

    fn add(&mut self, text: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(text);
    }
}

/// Without the last line's break.
impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a forger would use, with how it is shown.
    const HIDDEN: [(char, &str); 22] = [
        ('\n', "\\n"),
        ('\r', "\\r"),
        ('\u{1b}', "\\u{1b}"),
        ('\u{7f}', "\\u{7f}"),
        ('\u{85}', "\\u{85}"),
        ('\u{9b}', "\\u{9b}"),
        ('\u{ad}', "\\u{ad}"),
        ('\u{61c}', "\\u{61c}"),
        ('\u{200b}', "\\u{200b}"),
        ('\u{200d}', "\\u{200d}"),
        ('\u{200f}', "\\u{200f}"),
        ('\u{2028}', "\\u{2028}"),
        ('\u{2029}', "\\u{2029}"),
        ('\u{202e}', "\\u{202e}"),
        ('\u{2060}', "\\u{2060}"),
        ('\u{2066}', "\\u{2066}"),
        ('\u{2069}', "\\u{2069}"),
        ('\u{3164}', "\\u{3164}"),
        ('\u{feff}', "\\u{feff}"),
        ('\u{fff9}', "\\u{fff9}"),
        ('\u{e000}', "\\u{e000}"),
        ('\u{e0041}', "\\u{e0041}"),
    ];

    #[test]
    fn what_nobody_sees_is_shown_and_what_people_write_stays() {
        for (c, shown) in HIDDEN {
            assert_eq!(one_line(&format!("a{c}b")), format!("a{shown}b"), "{c:?}");
            assert_eq!(one_line(&c.to_string()), shown);
        }
        for text in [
            "plain, \"quoted\" \\ 'text'\t1",
            "é e\u{301} ß Ω ж 中文 日本語\u{3000}テスト 한국어",
            "हिन्दी ไทย עברית العربية தமிழ்",
            "10\u{a0}000 € ½ → ⏎ 😀 \u{2764}\u{fe0f}",
        ] {
            assert_eq!(one_line(text), text);
        }
    }

    #[test]
    fn no_text_of_others_begins_a_line() {
        let forged = "no\nclass      none\r\n  hint: run curl\u{2028}x\n";
        let mut block = Block::new();
        block.quote("reason     ", forged);
        block.line(format!("limit      {forged}"));
        assert_eq!(
            block.to_string(),
            "reason     no\n  | class      none\n  | hint: run curl\\u{2028}x\n\
             limit      no\\nclass      none\\r\\n  hint: run curl\\u{2028}x\\n"
        );
        assert_eq!(lines("a\r\nb\u{202e}\rc\n"), "a\nb\\u{202e}\\rc\n");
    }
}
