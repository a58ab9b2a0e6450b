//! References seen from a URL: RFC 3986 §5.

/// The parts of a URI reference (RFC 3986 §3 and appendix B), each with its delimiter. None is checked.
struct Parts<'a> {
    /// `https:`, or nothing.
    scheme: &'a str,
    /// `//host:port`, or nothing.
    authority: &'a str,
    path: &'a str,
    /// `?query`, or nothing.
    query: &'a str,
    /// `#fragment`, or nothing.
    fragment: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (rest, fragment) = text.split_at(text.find('#').unwrap_or(text.len()));
        let (rest, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        let (scheme, rest) = rest.split_at(scheme_length(rest));
        let end = rest.strip_prefix("//").map_or(0, |after| {
            after.find('/').map_or(rest.len(), |at| at + "//".len())
        });
        let (authority, path) = rest.split_at(end);
        Parts {
            scheme,
            authority,
            path,
            query,
            fragment,
        }
    }
}

/// How long the scheme at the beginning is, with its colon; 0 for none.
fn scheme_length(text: &str) -> usize {
    let end = text.find([':', '/']).unwrap_or(text.len());
    let (scheme, rest) = text.split_at(end);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_scheme = rest.starts_with(':')
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(fits);
    if is_scheme { end + 1 } else { 0 }
}

/// A URI reference as an absolute URL, seen from the absolute URL `base` (RFC 3986 §5.2, strictly: `http:x` is a URL of
/// the scheme `http`). It never fails: what is no URL comes out as something that the host refuses. A `base` that is
/// only a path resolves as one.
///
/// ```
/// use tidegate_sdk::resolve_url;
///
/// let base = "https://h/v1/contacts?page=1";
/// assert_eq!(resolve_url(base, "?page=2"), "https://h/v1/contacts?page=2");
/// assert_eq!(resolve_url(base, "../v2/contacts"), "https://h/v2/contacts");
/// ```
#[must_use]
pub fn resolve(base: &str, reference: &str) -> String {
    let (base, own) = (Parts::of(base), Parts::of(reference));
    let (scheme, authority, path, query) = if !own.scheme.is_empty() {
        (own.scheme, own.authority, without_dots(own.path), own.query)
    } else if !own.authority.is_empty() {
        (
            base.scheme,
            own.authority,
            without_dots(own.path),
            own.query,
        )
    } else if own.path.is_empty() {
        let query = if own.query.is_empty() {
            base.query
        } else {
            own.query
        };
        (base.scheme, base.authority, base.path.to_owned(), query)
    } else if own.path.starts_with('/') {
        (
            base.scheme,
            base.authority,
            without_dots(own.path),
            own.query,
        )
    } else {
        // §5.2.3: what comes after the last `/` of the base's path is replaced.
        let folder = match base.path.rfind('/') {
            Some(at) => base.path.get(..=at).unwrap_or_default(),
            None if base.authority.is_empty() => "",
            None => "/",
        };
        let path = without_dots(&format!("{folder}{}", own.path));
        (base.scheme, base.authority, path, own.query)
    };
    let fragment = own.fragment;
    format!("{scheme}{authority}{path}{query}{fragment}")
}

/// A path without the segments `.` and `..` (RFC 3986 §5.2.4). What would lead above the top stays at it.
fn without_dots(path: &str) -> String {
    if !path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return path.to_owned();
    }
    let (top, rest) = match path.strip_prefix('/') {
        Some(rest) => ("/", rest),
        None => ("", path),
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_folder = false;
    for segment in rest.split('/') {
        ends_in_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let end = if ends_in_folder && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    format!("{top}{}{end}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::resolve;

    /// The examples of RFC 3986 §5.4, normal and abnormal, with the strict one of the last pair.
    #[test]
    fn the_documents_own() {
        for (reference, expected) in [
            ("g:h", "g:h"),
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q#s"),
            ("g#s", "http://a/b/c/g#s"),
            ("g?y#s", "http://a/b/c/g?y#s"),
            (";x", "http://a/b/c/;x"),
            ("g;x", "http://a/b/c/g;x"),
            ("g;x?y#s", "http://a/b/c/g;x?y#s"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("../../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            (".g", "http://a/b/c/.g"),
            ("g..", "http://a/b/c/g.."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/./x", "http://a/b/c/g?y/./x"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("g#s/./x", "http://a/b/c/g#s/./x"),
            ("g#s/../x", "http://a/b/c/g#s/../x"),
            ("http:g", "http:g"),
        ] {
            assert_eq!(
                resolve("http://a/b/c/d;p?q", reference),
                expected,
                "{reference}"
            );
        }
    }

    #[test]
    fn references() {
        let base = "https://api.example.com:8443/v1/contacts?page=1#x";
        for (reference, expected) in [
            ("https://other/x", "https://other/x"),
            ("HTTPS://other/a/../b", "HTTPS://other/b"),
            ("//other/x", "https://other/x"),
            ("//other", "https://other"),
            (
                "/v1/contacts?at=10:00",
                "https://api.example.com:8443/v1/contacts?at=10:00",
            ),
            ("?page=2", "https://api.example.com:8443/v1/contacts?page=2"),
            ("?", "https://api.example.com:8443/v1/contacts?"),
            (
                "people?at=10:00",
                "https://api.example.com:8443/v1/people?at=10:00",
            ),
            ("#f", "https://api.example.com:8443/v1/contacts?page=1#f"),
            ("", "https://api.example.com:8443/v1/contacts?page=1"),
            // A colon after a slash, or in the query, ends no scheme.
            ("./a:b", "https://api.example.com:8443/v1/a:b"),
            ("1:2", "https://api.example.com:8443/v1/1:2"),
            // Encoded dots are the host's to see.
            ("%2E%2E/x", "https://api.example.com:8443/v1/%2E%2E/x"),
        ] {
            assert_eq!(resolve(base, reference), expected, "{reference}");
        }
        for (base, reference, expected) in [
            ("https://h", "a", "https://h/a"),
            ("https://h?q", "?a", "https://h?a"),
            ("https://h?q=/x/y", "a", "https://h/a"),
            ("https://h", "..", "https://h/"),
            ("https://h/a//b", "../c", "https://h/a/c"),
            ("/contacts", "/more", "/more"),
            ("/a/b", "../c", "/c"),
            ("a", "b", "b"),
        ] {
            assert_eq!(resolve(base, reference), expected, "{base} {reference}");
        }
    }
}
