//! `debug!`, `info!`, `warn!` and `error!`: lines for the run's log, with optional fields.

use serde::Serialize;

pub use crate::host::Level;
use crate::json::Object;

/// Write one line. The macros call this.
pub fn write(level: Level, message: &str, mut fields: Fields) {
    let fields = if fields.object.is_empty() {
        String::new()
    } else {
        fields.object.finish()
    };
    crate::host::log(level, message, &fields);
}

/// The fields of a line.
#[derive(Debug, Default)]
pub struct Fields {
    object: Object,
}

impl Fields {
    /// Add a field. A value that can't be JSON becomes null.
    #[must_use]
    pub fn add<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        let value = serde_json::to_string(value);
        self.object.raw(name, value.as_deref().unwrap_or("null"));
        self
    }
}

/// Write a line of level debug: `debug!("…", args)` or `debug!(page = 3, "…", args)`.
#[macro_export]
macro_rules! debug {
    ($($line:tt)+) => { $crate::__log!(Debug, $($line)+) };
}

/// Write a line of level info: `info!("…", args)` or `info!(page = 3, "…", args)`.
///
/// ```
/// let contacts = 12;
/// tidegate_sdk::info!(page = 3, model = "Contact", "fetched {contacts} contacts");
/// ```
#[macro_export]
macro_rules! info {
    ($($line:tt)+) => { $crate::__log!(Info, $($line)+) };
}

/// Write a line of level warn: `warn!("…", args)` or `warn!(page = 3, "…", args)`.
#[macro_export]
macro_rules! warn {
    ($($line:tt)+) => { $crate::__log!(Warn, $($line)+) };
}

/// Write a line of level error: `error!("…", args)` or `error!(page = 3, "…", args)`.
#[macro_export]
macro_rules! error {
    ($($line:tt)+) => { $crate::__log!(Error, $($line)+) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, $($name:ident = $value:expr,)* $format:literal $($args:tt)*) => {
        $crate::log::write(
            $crate::log::Level::$level,
            &::std::format!($format $($args)*),
            $crate::log::Fields::default()$(.add(::std::stringify!($name), &$value))*,
        )
    };
}
