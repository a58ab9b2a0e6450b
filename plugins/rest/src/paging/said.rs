//! What members of a body say in the many ways of APIs: a flag, a count, a cursor, a failure.

use tidegate_sdk::prelude::*;
use tidegate_sdk::{ConfigPath, Found, scalar_text};

/// How much of a value goes into a message.
const EXCERPT_CHARS: usize = 80;

/// Members of the body that say whether it is a success, and how many of them say so by being true.
pub(super) const SIGNS: [&str; 4] = ["ok", "success", "error", "errors"];
const BY_TRUE: usize = 2;

/// Whether one of the [`SIGNS`] may mean that it failed.
pub(super) fn is_suspect(signs: &[Found<'_>]) -> bool {
    signs.iter().enumerate().any(|(index, found)| {
        let value = found.value().map(|raw| raw.get());
        match value {
            None => false,
            Some(value) if index < BY_TRUE => value != "true",
            Some(value) => !matches!(value, "false" | "0" | "\"\"" | "[]" | "{}"),
        }
    })
}

/// A boolean, in any of the forms that APIs have for one; `None` when it is not there.
pub(super) fn flag(found: &Found<'_>, key: &ConfigPath) -> Result<Option<bool>> {
    let Some(raw) = found.value() else {
        return Ok(None);
    };
    let text = scalar_text(raw).map_or_else(|| raw.get().to_owned(), |text| text.into_owned());
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "y" | "yes" => Ok(Some(true)),
        "false" | "0" | "n" | "no" => Ok(Some(false)),
        "" => Ok(None),
        _ => Err(key.wrong(format!(
            "what the answer has there is neither true nor false: {}",
            raw.get().chars().take(EXCERPT_CHARS).collect::<String>()
        ))),
    }
}

/// A whole number that is not negative, as a number or as text.
pub(super) fn count(found: &Found<'_>) -> Option<u64> {
    let text = scalar_text(found.value()?)?;
    let whole = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
        None => &text,
    };
    whole.parse().ok()
}

/// A cursor or a URL of the body; `None` for what means that there is no more.
pub(super) fn token(found: &Found<'_>) -> Result<Option<String>> {
    let Some(raw) = found.value() else {
        return Ok(None);
    };
    if matches!(raw.get(), "false" | "{}" | "[]") {
        return Ok(None);
    }
    match scalar_text(raw) {
        Some(text) if text.is_empty() => Ok(None),
        Some(text) => Ok(Some(text.into_owned())),
        None => Err(Failure::other(format!(
            "what should be the next page's cursor or URL is {}",
            raw.get().chars().take(EXCERPT_CHARS).collect::<String>()
        ))
        .code("response-invalid")),
    }
}
