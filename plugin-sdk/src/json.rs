//! Writing the text of a JSON object member by member. The manifest and log lines need no more,
//! and serialising through serde would make every plugin some 10 KiB larger.

use std::mem;

/// The text of a JSON object being written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object {
    text: String,
}

impl Object {
    /// Add a member whose value is JSON text.
    #[inline(never)]
    pub(crate) fn raw(&mut self, name: &str, json: &str) -> &mut Self {
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
        self.text.push_str(&quoted(name));
        self.text.push(':');
        self.text.push_str(json);
        self
    }

    /// Add a member whose value is JSON text, if there is one.
    pub(crate) fn raw_opt(&mut self, name: &str, json: Option<&str>) -> &mut Self {
        match json {
            Some(json) => self.raw(name, json),
            None => self,
        }
    }

    /// Add a text.
    #[inline(never)]
    pub(crate) fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.raw(name, &quoted(text))
    }

    /// Add a text, if there is one.
    pub(crate) fn text_opt(&mut self, name: &str, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    /// Add a list of values that are JSON text.
    #[inline(never)]
    pub(crate) fn list(&mut self, name: &str, values: &[String]) -> &mut Self {
        self.raw(name, &format!("[{}]", values.join(",")))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The text, which is taken out.
    #[inline(never)]
    pub(crate) fn finish(&mut self) -> String {
        if self.is_empty() {
            return "{}".to_owned();
        }
        self.text.push('}');
        mem::take(&mut self.text)
    }
}

/// A text as JSON.
#[inline(never)]
pub(crate) fn quoted(text: &str) -> String {
    // Writing a text to a string can't fail.
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Object, quoted};

    #[test]
    fn writes_objects() {
        assert_eq!(Object::default().finish(), "{}");
        let list = ["a", "b\"\n"].map(quoted);
        let object = Object::default()
            .text("name", "x\"y")
            .text_opt("none", None)
            .raw("n", "7")
            .list("list", &list)
            .list("empty", &[])
            .finish();
        let expected = r#"{"name":"x\"y","n":7,"list":["a","b\"\n"],"empty":[]}"#;
        assert_eq!(object, expected);
    }
}
