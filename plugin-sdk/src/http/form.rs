//! Bodies of forms: `application/x-www-form-urlencoded`.

use std::fmt::Write as _;

/// The media type.
pub(super) const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// Append a field, as the URL standard serialises one (<https://url.spec.whatwg.org/#urlencoded-serializing>): a
/// space is `+`, and all but ASCII letters, digits and `*-._` is percent-encoded.
pub(super) fn append(body: &mut String, name: &str, value: &str) {
    if !body.is_empty() {
        body.push('&');
    }
    encode_into(body, name);
    body.push('=');
    encode_into(body, value);
}

fn encode_into(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            // Writing to a string can't fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::append;

    #[test]
    fn fields() {
        for (fields, expected) in [
            (&[][..], ""),
            (&[("a", "1"), ("b", "2")], "a=1&b=2"),
            (&[("a", "1"), ("a", "")], "a=1&a="),
            (&[("", "")], "="),
            (&[("a b", "c+d e")], "a+b=c%2Bd+e"),
            (&[("filter[x]", "a&b=c")], "filter%5Bx%5D=a%26b%3Dc"),
            (&[("é", "\r\n\0~*-._")], "%C3%A9=%0D%0A%00%7E*-._"),
        ] {
            let mut body = String::new();
            for (name, value) in fields {
                append(&mut body, name, value);
            }
            assert_eq!(body, expected);
            // What other software reads of it.
            let read = url::form_urlencoded::parse(body.as_bytes());
            let read: Vec<(String, String)> = read.into_owned().collect();
            let fields = fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            assert_eq!(read, fields.collect::<Vec<_>>());
        }
    }
}
