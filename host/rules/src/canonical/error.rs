//! Why a text is not a record's body, and where.

use std::fmt;

/// Why a text is not a record's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyError {
    /// Bytes before the fault.
    pub offset: usize,
    pub(super) reason: Reason,
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

impl BodyError {
    /// Whether it is nested deeper than the limit `json_depth`.
    #[must_use]
    pub fn is_too_deep(&self) -> bool {
        self.reason == Reason::Depth
    }

    /// Whether it is JSON by its grammar, with a value that can't be kept: a number out of range,
    /// or half of a surrogate pair.
    #[must_use]
    pub fn is_of_a_value(&self) -> bool {
        matches!(self.reason, Reason::NumberRange | Reason::Surrogate)
    }

    pub(super) fn is_half_a_pair(&self) -> bool {
        self.reason == Reason::Surrogate
    }
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
