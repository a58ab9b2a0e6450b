//! Bodies of several parts: `multipart/form-data` (RFC 7578), for uploads.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A body of type `multipart/form-data` (RFC 7578): fields and files, in their order.
///
/// In names and file names `"`, carriage returns and line feeds are written `%22`, `%0D` and `%0A`, as browsers do; other
/// characters go as UTF-8. Contents go byte for byte: line breaks stay as they are. The boundary is made of the parts, and
/// in none of them, so the same parts are always the same body. It is held in memory, and counts for the
/// limit of a request's body (8 MiB).
///
/// ```
/// use tidegate_sdk::prelude::*;
/// use tidegate_sdk::Multipart;
///
/// async fn upload(cx: Cx, csv: Vec<u8>) -> Result<()> {
///     let body = Multipart::new()
///         .text("purpose", "import")
///         .file("file", "contacts.csv", "text/csv", csv);
///     cx.post("/files").multipart_body(body).send().await?;
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Multipart {
    parts: Vec<Part>,
    /// The first thing that is wrong with it.
    problem: Option<String>,
}

#[derive(Debug, Clone, Hash)]
struct Part {
    /// Its header lines, each with its line break.
    head: String,
    content: Vec<u8>,
}

impl Multipart {
    /// A body without parts.
    pub fn new() -> Self {
        Multipart::default()
    }

    /// Add a field with a text.
    pub fn text(self, name: &str, value: impl fmt::Display) -> Self {
        self.add(name, None, None, value.to_string().into_bytes())
    }

    /// Add a field with a content of some media type, for example `application/json`.
    pub fn part(self, name: &str, content_type: &str, content: impl Into<Vec<u8>>) -> Self {
        self.add(name, None, Some(content_type), content.into())
    }

    /// Add a file. Sending fails when the media type has other characters than printable ASCII.
    pub fn file(
        self,
        name: &str,
        file_name: &str,
        content_type: &str,
        content: impl Into<Vec<u8>>,
    ) -> Self {
        self.add(name, Some(file_name), Some(content_type), content.into())
    }

    fn add(
        mut self,
        name: &str,
        file_name: Option<&str>,
        content_type: Option<&str>,
        content: Vec<u8>,
    ) -> Self {
        let mut head = format!("Content-Disposition: form-data; name=\"{}\"", escaped(name));
        if let Some(file_name) = file_name {
            head.push_str(&format!("; filename=\"{}\"", escaped(file_name)));
        }
        head.push_str("\r\n");
        if let Some(content_type) = content_type {
            let is_plain = content_type.bytes().all(|byte| matches!(byte, b' '..=b'~'));
            if !is_plain || content_type.trim().is_empty() {
                let problem = format!("the part `{name}`: {content_type:?} is no media type");
                self.problem.get_or_insert(problem);
            }
            head.push_str(&format!("Content-Type: {content_type}\r\n"));
        }
        self.parts.push(Part { head, content });
        self
    }

    /// The media type with the boundary, and the body.
    pub(super) fn finish(self) -> Result<(String, Vec<u8>), String> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let boundary = boundary(&self.parts);
        let mut body = Vec::new();
        for Part { head, content } in &self.parts {
            body.extend_from_slice(format!("--{boundary}\r\n{head}\r\n").as_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        Ok((format!("multipart/form-data; boundary={boundary}"), body))
    }
}

/// A boundary that is in no part (RFC 2046 §5.1.1): made of a hash of them, so that no part can be written to have it.
fn boundary(parts: &[Part]) -> String {
    let candidates = (0..).map(|attempt| candidate(parts, attempt));
    free(candidates, parts).unwrap_or_default()
}

/// The first of these that is in no part.
fn free(mut candidates: impl Iterator<Item = String>, parts: &[Part]) -> Option<String> {
    candidates.find(|boundary| {
        let has = |text: &[u8]| contains(text, boundary.as_bytes());
        let mut parts = parts.iter();
        !parts.any(|part| has(part.head.as_bytes()) || has(&part.content))
    })
}

fn candidate(parts: &[Part], attempt: u64) -> String {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    attempt.hash(&mut hasher);
    format!("tidegate-{:016x}", hasher.finish())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// A name between double quotes (<https://html.spec.whatwg.org/#multipart-form-data>).
fn escaped(name: &str) -> String {
    name.replace('"', "%22")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::{Multipart, Part, boundary, candidate};

    /// The text of a body, with its boundary written `B`.
    fn body(parts: Multipart) -> String {
        let (content_type, body) = parts.finish().unwrap();
        let boundary = content_type
            .strip_prefix("multipart/form-data; boundary=")
            .unwrap();
        assert!(boundary.len() <= 70, "RFC 2046 §5.1.1");
        String::from_utf8(body).unwrap().replace(boundary, "B")
    }

    #[test]
    fn parts() {
        let parts = Multipart::new()
            .text("n", 7)
            .part("meta", "application/json", "{}")
            .file("f", "a.csv", "text/csv", b"x\ny\r\n".to_vec());
        assert_eq!(
            body(parts),
            "--B\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n7\r\n\
             --B\r\nContent-Disposition: form-data; name=\"meta\"\r\nContent-Type: application/json\r\n\r\n{}\r\n\
             --B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.csv\"\r\nContent-Type: text/csv\r\n\r\n\
             x\ny\r\n\r\n--B--\r\n"
        );
        assert_eq!(body(Multipart::new()), "--B--\r\n");
    }

    #[test]
    fn names_end_no_header() {
        let parts = Multipart::new().file("a\"b", "c\r\nX: \"d\" é;\\.txt", "text/plain", "");
        assert_eq!(
            body(parts),
            "--B\r\nContent-Disposition: form-data; name=\"a%22b\"; filename=\"c%0D%0AX: %22d%22 é;\\.txt\"\r\n\
             Content-Type: text/plain\r\n\r\n\r\n--B--\r\n"
        );
        for wrong in ["", " ", "text/csv\r\nX: y", "text/é"] {
            let problem = Multipart::new().part("p", wrong, "").finish().unwrap_err();
            assert!(problem.ends_with("is no media type"), "{problem}");
        }
    }

    #[test]
    fn a_boundary_in_the_content_is_not_taken() {
        let parts = |content: &str| {
            [Part {
                head: String::new(),
                content: content.as_bytes().to_vec(),
            }]
        };
        let first = boundary(&parts("x"));
        assert_eq!(first, candidate(&parts("x"), 0));
        // The same parts make the same body, and others another.
        assert_ne!(first, boundary(&parts("y")));
        let taken = |candidates: &[String]| {
            super::free(candidates.iter().cloned(), &parts(&format!("..{first}..")))
        };
        assert_eq!(
            taken(&[first.clone(), "other".to_owned()]).as_deref(),
            Some("other")
        );
    }
}
