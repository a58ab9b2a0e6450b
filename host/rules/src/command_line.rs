//! Commands of the binary `tidegate` that messages advise, as text that a POSIX shell takes.
//!
//! A message names a command by [`command!`](crate::command) and in no other way. Its template stands in the source as
//! one literal, so a test finds all of them, fills them in and gives them to the parser of the binary
//! (`tests/tidy/advice.rs`). What grants something comes from [`GrantFlag`](crate::grant::GrantFlag).

use std::borrow::Cow;
use std::fmt;

/// A command, with the words that are values quoted where a shell needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// How the binary is called, quoted.
    program: String,
    /// What follows, quoted.
    words: Vec<String>,
}

impl CommandLine {
    /// A template whose holes have these values, in their order. Call it by [`command!`](crate::command), which
    /// compares their numbers.
    #[must_use]
    pub fn filled(template: &str, values: &[&dyn fmt::Display]) -> Self {
        let mut values = values.iter();
        let words = template.split(' ').map(|word| {
            if !word.contains('{') {
                return word.to_owned();
            }
            let mut filled = String::new();
            let mut rest = word;
            while let Some((before, hole)) = rest.split_once('{') {
                filled.push_str(before);
                if let Some(value) = values.next() {
                    filled.push_str(&value.to_string());
                }
                rest = hole.split_once('}').map_or("", |(_, after)| after);
            }
            filled.push_str(rest);
            quoted(&filled).into_owned()
        });
        Self {
            program: "tidegate".to_owned(),
            words: words.collect(),
        }
    }

    /// The same of a binary that a shell finds otherwise; `program` is quoted already.
    #[must_use]
    pub fn of_program(mut self, program: String) -> Self {
        self.program = program;
        self
    }

    /// Add words that are quoted already, such as a [`GrantFlag`](crate::grant::GrantFlag).
    #[must_use]
    pub fn with(mut self, words: impl fmt::Display) -> Self {
        self.words.push(words.to_string());
        self
    }

    /// Add an option with its value.
    #[must_use]
    pub fn option(self, name: &str, value: impl fmt::Display) -> Self {
        self.with(name).with(quoted(&value.to_string()))
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        self.words.iter().try_for_each(|word| write!(f, " {word}"))
    }
}

/// A command that a message advises: `command!("logs {run}", run.id)`. Holes are named after what stands in them
/// and filled in their order; a test has an example for each name. Words in capitals are for the reader to fill.
#[macro_export]
macro_rules! command {
    ($template:literal $(, $value:expr)* $(,)?) => {{
        const GIVEN: usize = <[&str]>::len(&[$(stringify!($value)),*]);
        const _: () = assert!(
            $crate::command_line::holes($template) == GIVEN,
            "as many values as holes"
        );
        $crate::command_line::CommandLine::filled(
            $template,
            &[$(&$value as &dyn ::std::fmt::Display),*],
        )
    }};
}

/// How many holes a template has.
#[must_use]
pub const fn holes(template: &str) -> usize {
    let mut bytes = template.as_bytes();
    let mut holes = 0;
    while let [first, rest @ ..] = bytes {
        if *first == b'{' {
            holes += 1;
        }
        bytes = rest;
    }
    holes
}

/// A word as a POSIX shell reads it back.
#[must_use]
pub fn quoted(word: &str) -> Cow<'_, str> {
    // Besides what the library leaves as it is. A shell gives them a meaning only in front, or within braces.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%=,".contains(c);
    if word.starts_with(|c: char| c.is_ascii_alphanumeric() || "/._-".contains(c))
        && word.chars().all(is_plain)
    {
        return Cow::Borrowed(word);
    }
    // The one error is a NUL, which no word of a command can have.
    shlex::try_quote(word).unwrap_or(Cow::Borrowed("''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_words_whatever_they_hold() {
        for value in [
            "acme",
            "a b",
            "it's",
            "$HOME",
            "`id`",
            "a;b",
            "https://*.example.com",
            "a=b",
            "=b",
            "100/60s burst 5",
            "c\\d",
            "crm/Contact@*",
            "ü",
            "{a,b}",
            "~",
            "#x",
            "!x",
            "a\nb",
        ] {
            let command = command!("connections show {integration} {connection}", "crm", value);
            let words = shlex::split(&command.to_string()).unwrap();
            let want = ["tidegate", "connections", "show", "crm", value];
            assert_eq!(words, want, "{command}");
            let command = command!("deploy FILE").option("--as", value).to_string();
            assert_eq!(shlex::split(&command).unwrap()[4], value, "{command}");
        }
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("memory_bytes=7"), "memory_bytes=7");
    }

    #[test]
    fn holes_stand_in_words_and_in_front_of_them() {
        let command = command!("run {integration}/{sync} -c {connection}", "crm", "a b", 7)
            .of_program("./tidegate".to_owned());
        assert_eq!(command.to_string(), "./tidegate run 'crm/a b' -c 7");
        assert_eq!(command!("runs").to_string(), "tidegate runs");
    }
}
