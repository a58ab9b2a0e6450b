//! What is wrong with a connection's config, and at which key.

use std::collections::BTreeMap;
use std::fmt;

use crate::pointer::Pointer;
use crate::template::Template;
use crate::{Failure, Result};

/// The path of a key in the connection's config, for the failure when its value can't be used: a configured plugin
/// checks more than the shape that [`Cx::config`](crate::Cx::config) decodes. Both name keys in the same way.
///
/// ```
/// use tidegate_sdk::ConfigPath;
///
/// let model = ConfigPath::new("models").at("Contact");
/// let failure = model.at("page_size").wrong("must be at least 1");
/// assert_eq!(
///     failure.message,
///     "the connection's config at `models.Contact.page_size`: must be at least 1"
/// );
/// assert_eq!(failure.code.as_deref(), Some("config-invalid"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigPath(String);

impl ConfigPath {
    /// A key at the top.
    pub fn new(key: impl Into<String>) -> Self {
        ConfigPath(key.into())
    }

    /// A key in the object at this one. `pagination.style` is a key in a key.
    #[must_use]
    pub fn at(&self, key: impl fmt::Display) -> Self {
        ConfigPath(format!("{}.{key}", self.0))
    }

    /// The failure, of kind `config` with the code `config-invalid`, that names this key. `problem` begins with what
    /// is wrong, as in `must be at least 1`.
    #[must_use]
    pub fn wrong(&self, problem: impl fmt::Display) -> Failure {
        invalid("config", &self.0, problem)
    }

    /// The JSON pointer that is the value of this key.
    ///
    /// # Errors
    ///
    /// The text is none.
    pub fn pointer(&self, text: &str) -> Result<Pointer> {
        Pointer::parse(text).map_err(|error| self.wrong(error))
    }

    /// The template that is the value of this key. `names` are those that may stand in its braces.
    ///
    /// # Errors
    ///
    /// The text is none.
    pub fn template(&self, text: &str, names: &[&str]) -> Result<Template> {
        Template::parse(text, names).map_err(|error| self.wrong(error))
    }

    /// The entry of this name in the object at this key: for plugins whose config has an object with a key for each
    /// sync or action ([`Sync::each`](crate::Sync::each)).
    ///
    /// # Errors
    ///
    /// There is none; the failure names those that there are.
    pub fn entry<'m, T>(&self, object: &'m BTreeMap<String, T>, name: &str) -> Result<&'m T> {
        object.get(name).ok_or_else(|| {
            let known: Vec<&str> = object.keys().map(String::as_str).collect();
            self.wrong(format!("has no `{name}`; it has: {}", known.join(", ")))
        })
    }
}

impl fmt::Display for ConfigPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The failure for what an operator wrote (`what`: the config, the metadata) that can't be used. An empty path is the
/// whole.
pub(crate) fn invalid(what: &str, path: &str, problem: impl fmt::Display) -> Failure {
    let message = match path {
        "" => format!("the connection's {what}: {problem}"),
        path => format!("the connection's {what} at `{path}`: {problem}"),
    };
    Failure::config(message).code(format!("{what}-invalid"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::ConfigPath;

    #[test]
    fn failures_name_the_key() {
        let path = ConfigPath::new("models").at("Contact");
        assert_eq!(path.at("a.b").to_string(), "models.Contact.a.b");
        let failure = path.at("records").pointer("data").unwrap_err();
        assert_eq!(
            failure.message,
            "the connection's config at `models.Contact.records`: `data` is no JSON pointer; it is empty, or begins \
             with `/`, like `/data/id`"
        );
        let failure = path.at("path").template("/a/{id", &["id"]).unwrap_err();
        assert_eq!(
            failure.message,
            "the connection's config at `models.Contact.path`: has a `{` without a `}`"
        );
        assert!(path.template("/a/{id}", &["id"]).is_ok());
        let models = BTreeMap::from([("A".to_owned(), 1), ("B".to_owned(), 2)]);
        let path = ConfigPath::new("models");
        assert_eq!(path.entry(&models, "B"), Ok(&2));
        let failure = path.entry(&models, "C").unwrap_err();
        assert_eq!(
            failure.message,
            "the connection's config at `models`: has no `C`; it has: A, B"
        );
    }
}
