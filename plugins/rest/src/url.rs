//! Other names of the same server, in URLs of next pages.

/// `url` at the origin of `base`, if it is at another and its path lies under that of `base`: behind a proxy many
/// servers name themselves by an inner host, or by http for https. `None` when it stays as it is.
pub(crate) fn at_base(base: &str, url: &str) -> Option<String> {
    let (base_origin, base_path) = parts(base)?;
    let (origin, rest) = parts(url)?;
    let path = base_path.split(['?', '#']).next().unwrap_or_default();
    let path = path.trim_end_matches('/');
    let under = rest.strip_prefix(path)?;
    let is_under = under.is_empty() || under.starts_with(['/', '?', '#']);
    (is_under && !origin.eq_ignore_ascii_case(base_origin)).then(|| format!("{base_origin}{rest}"))
}

/// The origin of an absolute URL, and what comes after it.
fn parts(url: &str) -> Option<(&str, &str)> {
    let authority = url.find("://")? + 3;
    let rest = url.get(authority..)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Some(url.split_at(authority + end))
}

/// The scheme, host and port of an absolute URL of HTTP, in lower case; `None` for what is none.
pub(crate) fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    Some(format!("{scheme}://{}", authority.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::at_base;

    #[test]
    fn the_same_server_by_another_name() {
        let base = "https://api.example.com/v1";
        for (url, expected) in [
            (
                "http://api.example.com/v1/items?p=2",
                Some("https://api.example.com/v1/items?p=2"),
            ),
            (
                "http://inner:8001/v1?p=2",
                Some("https://api.example.com/v1?p=2"),
            ),
            (
                "https://api.example.com:8443/v1/items",
                Some("https://api.example.com/v1/items"),
            ),
            // It is the same already, or is elsewhere.
            ("https://api.example.com/v1/items?p=2", None),
            ("https://API.example.com/other", None),
            ("http://inner:8001/items", None),
            ("http://inner:8001/v10/items", None),
            ("/v1/items", None),
        ] {
            assert_eq!(at_base(base, url).as_deref(), expected, "{url}");
        }
        let bare = at_base("http://localhost:8080", "https://other/?page=2");
        assert_eq!(bare.as_deref(), Some("http://localhost:8080/?page=2"));
    }
}
