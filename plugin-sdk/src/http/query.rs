//! Query strings: percent-encoding, and appending parameters to a URL.

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Percent-encode a text for use as one segment of a path or one value of a query: everything
/// but the unreserved characters of RFC 3986.
///
/// A segment that is `.` or `..` leads to another path all the same, as URLs take `%2E` for a dot: where a text may be
/// one, use [`Template::fill_path`](crate::Template::fill_path), which refuses it.
///
/// ```
/// assert_eq!(tidegate_sdk::encode("a/b c&é"), "a%2Fb%20c%26%C3%A9");
/// ```
#[must_use]
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    encode_into(&mut encoded, text);
    encoded
}

fn encode_into(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                let digit = HEX.get(usize::from(digit)).copied().unwrap_or(b'0');
                out.push(char::from(digit));
            }
        }
    }
}

/// Append a parameter to a URL, before its fragment.
pub(super) fn append(url: &mut String, name: &str, value: &str) {
    let fragment = url.find('#').map(|at| url.split_off(at));
    let separator = match url.find('?') {
        None => "?",
        Some(_) if url.ends_with(['?', '&']) => "",
        Some(_) => "&",
    };
    url.push_str(separator);
    encode_into(url, name);
    url.push('=');
    encode_into(url, value);
    if let Some(fragment) = fragment {
        url.push_str(&fragment);
    }
}

#[cfg(test)]
mod tests {
    use super::append;

    #[test]
    fn parameters() {
        for (before, name, value, after) in [
            ("/a", "q", "x", "/a?q=x"),
            ("/a?b=1", "q", "x", "/a?b=1&q=x"),
            ("/a?", "q", "x", "/a?q=x"),
            ("/a?b=1&", "q", "x", "/a?b=1&q=x"),
            ("/a#top", "q", "x", "/a?q=x#top"),
            ("/a?b#c?d", "q", "x", "/a?b&q=x#c?d"),
            (
                "/a",
                "filter[at]",
                "a+b =&?#/%",
                "/a?filter%5Bat%5D=a%2Bb%20%3D%26%3F%23%2F%25",
            ),
            ("/a", "q", "", "/a?q="),
            (
                "/a",
                "q",
                "2026-01-01T00:00:00Z",
                "/a?q=2026-01-01T00%3A00%3A00Z",
            ),
        ] {
            let mut url = before.to_owned();
            append(&mut url, name, value);
            assert_eq!(url, after);
        }
    }
}
