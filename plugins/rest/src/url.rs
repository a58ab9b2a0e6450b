//! URLs of next pages: the header `Link` (RFC 8288), and references relative to the page.

/// The target of the first link whose relation types include `next`.
pub(crate) fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (_, link) = rest.split_once('<')?;
        let (target, after) = link.split_once('>')?;
        let (parameters, next) = after.split_at(end_of_link(after));
        if parameters.split(';').any(is_next) {
            return Some(target);
        }
        rest = next;
    }
}

/// Where the comma after a link is: the first outside of quotes.
fn end_of_link(text: &str) -> usize {
    let mut quoted = false;
    text.find(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .unwrap_or(text.len())
}

fn is_next(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or_default();
    let value = value.trim();
    let quoted = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    // What is left of a quoted text that had a semicolon in it has one quote, and is no type.
    let mut types = quoted.unwrap_or(value).split_ascii_whitespace();
    name.trim().eq_ignore_ascii_case("rel") && types.any(|t| t.eq_ignore_ascii_case("next"))
}

/// `reference` as an absolute URL, seen from the absolute URL `base` (RFC 3986 §5; the host
/// collapses `..`).
pub(crate) fn resolve(base: &str, reference: &str) -> String {
    let base = base.split(['?', '#']).next().unwrap_or(base);
    let authority = base.find("://").map_or(0, |at| at + 3);
    let path = base.get(authority..).and_then(|rest| rest.find('/'));
    let (origin, path) = base.split_at(path.map_or(base.len(), |at| authority + at));
    if has_scheme(reference) {
        reference.to_owned()
    } else if reference.starts_with("//") {
        let scheme = base.split("//").next().unwrap_or_default();
        format!("{scheme}{reference}")
    } else if reference.starts_with('/') {
        format!("{origin}{reference}")
    } else if reference.starts_with('?') {
        format!("{base}{reference}")
    } else {
        let folder = path
            .rfind('/')
            .and_then(|at| path.get(..=at))
            .unwrap_or("/");
        format!("{origin}{folder}{reference}")
    }
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

fn has_scheme(reference: &str) -> bool {
    reference.split_once(':').is_some_and(|(scheme, _)| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(fits)
    })
}

#[cfg(test)]
mod tests {
    use super::{next_link, resolve};

    #[test]
    fn links() {
        for (header, expected) in [
            (
                "<https://h/?page=2>; rel=\"next\"",
                Some("https://h/?page=2"),
            ),
            (
                "</a>; rel=\"prev\", </b>; rel=next, </c>; rel=last",
                Some("/b"),
            ),
            ("</a>; title=\"x, <y>; rel=next\"; rel=prev", None),
            ("</a?x=1,2>; REL=\"last Next\"", Some("/a?x=1,2")),
            ("</a>; rel=\"nextish\"", None),
            ("", None),
        ] {
            assert_eq!(next_link(header), expected, "{header}");
        }
    }

    #[test]
    fn references() {
        let base = "https://api.example.com:8443/v1/contacts?page=1#x";
        for (reference, expected) in [
            ("https://other/x", "https://other/x"),
            ("//other/x", "https://other/x"),
            (
                "/v1/contacts?at=10:00",
                "https://api.example.com:8443/v1/contacts?at=10:00",
            ),
            ("?page=2", "https://api.example.com:8443/v1/contacts?page=2"),
            (
                "people?at=10:00",
                "https://api.example.com:8443/v1/people?at=10:00",
            ),
        ] {
            assert_eq!(resolve(base, reference), expected, "{reference}");
        }
        assert_eq!(resolve("https://h", "a"), "https://h/a");
    }
}
