//! Resolving the URL of a next page against the URL that named it.

/// `reference` as an absolute URL, seen from `base` (RFC 3986 §5, without collapsing `..`, which
/// the host does). A `base` that is not absolute resolves what it can.
pub(super) fn resolve(base: &str, reference: &str) -> String {
    if has_scheme(reference) {
        return reference.to_owned();
    }
    let base = base.split('#').next().unwrap_or(base);
    let without_query = base.split('?').next().unwrap_or(base);
    let authority = without_query.find("://").map_or(0, |at| at + 3);
    let path = without_query
        .get(authority..)
        .and_then(|rest| rest.find('/'))
        .map_or(without_query.len(), |at| authority + at);
    let (origin, path) = without_query.split_at(path);
    if reference.is_empty() {
        return base.to_owned();
    }
    if let Some(rest) = reference.strip_prefix("//") {
        let scheme = origin.split("//").next().unwrap_or_default();
        return format!("{scheme}//{rest}");
    }
    if reference.starts_with('/') {
        return format!("{origin}{reference}");
    }
    if reference.starts_with('?') {
        return format!("{without_query}{reference}");
    }
    let folder = path.rfind('/').and_then(|at| path.get(..=at));
    format!("{origin}{}{reference}", folder.unwrap_or("/"))
}

fn has_scheme(reference: &str) -> bool {
    let scheme = reference.split([':', '/', '?', '#']).next().unwrap_or("");
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    reference.as_bytes().get(scheme.len()) == Some(&b':')
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(letters)
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn references() {
        let base = "https://api.example.com:8443/v1/contacts?page=1#x";
        for (reference, expected) in [
            ("https://other/x", "https://other/x"),
            ("//other/x", "https://other/x"),
            (
                "/v1/contacts?page=2",
                "https://api.example.com:8443/v1/contacts?page=2",
            ),
            ("?page=2", "https://api.example.com:8443/v1/contacts?page=2"),
            (
                "people?at=10:00",
                "https://api.example.com:8443/v1/people?at=10:00",
            ),
            ("", "https://api.example.com:8443/v1/contacts?page=1"),
        ] {
            assert_eq!(resolve(base, reference), expected, "{reference}");
        }
        assert_eq!(resolve("https://h", "a"), "https://h/a");
        assert_eq!(resolve("https://h?q", "?a"), "https://h?a");
        assert_eq!(resolve("/contacts", "/more"), "/more");
    }
}
