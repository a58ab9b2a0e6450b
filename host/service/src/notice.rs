//! What is said beside a result: a repair at opening, a key that was made, a run that could not be recorded.
//!
//! The program decides where it goes, once. Without that decision it goes to the log.

use std::sync::OnceLock;

static SHOW: OnceLock<fn(&str)> = OnceLock::new();

/// Have notices shown by this function. The first decision of a process stands.
pub fn show_by(show: fn(&str)) {
    let _ = SHOW.set(show);
}

/// Say that something went wrong beside a result: in the log, or where there is none as a notice.
pub(crate) fn warn(text: impl std::fmt::Display) {
    match tracing::dispatcher::has_been_set() {
        true => tracing::warn!("{text}"),
        false => notice(text),
    }
}

/// Say something in one line.
pub fn notice(text: impl std::fmt::Display) {
    let text = text.to_string();
    match SHOW.get() {
        Some(show) => show(&text),
        None => tracing::info!("{text}"),
    }
}
