//! The header `Link` (RFC 8288).

/// A link of a header `Link`: its target, and its parameters as they are written.
struct Link<'a> {
    target: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Link<'a> {
    /// The first parameter of this name: those that come after it are not to be looked at (RFC 8288 §3.3).
    fn parameter(&self, name: &str) -> Option<&'a str> {
        let named = |(found, _): &&(&str, &str)| found.eq_ignore_ascii_case(name);
        self.parameters.iter().find(named).map(|(_, value)| *value)
    }

    /// Whether its relation types include this one.
    fn is(&self, relation: &str) -> bool {
        let types = self.parameter("rel").unwrap_or_default();
        types
            .split_ascii_whitespace()
            .any(|found| found.eq_ignore_ascii_case(relation))
    }
}

/// The target of the first link of the header `Link` with this relation type. Links with an `anchor` are about another
/// resource than the answer, and are passed over (RFC 8288 §3.2).
///
/// Single quotes, which some servers write, count as double ones. What is no link ends the search in the header.
pub(super) fn target<'a>(header: &'a str, relation: &str) -> Option<&'a str> {
    let mut rest = header;
    while let Some((link, after)) = next(rest) {
        if link.is(relation) && link.parameter("anchor").is_none() {
            return Some(link.target);
        }
        rest = after;
    }
    None
}

/// The first link of a header, and what comes after it.
fn next(header: &str) -> Option<(Link<'_>, &str)> {
    let (_, rest) = header.split_once('<')?;
    let (target, mut rest) = rest.split_once('>')?;
    let mut parameters = Vec::new();
    while let Some(after) = rest.trim_start().strip_prefix(';') {
        let (parameter, after) = after.split_at(end_of_parameter(after));
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        parameters.push((name.trim(), value.trim().trim_matches(['"', '\''])));
        rest = after;
    }
    let link = Link {
        target: target.trim(),
        parameters,
    };
    Some((link, rest))
}

/// Where the comma or semicolon is that ends this parameter: the first outside of quotes.
fn end_of_parameter(text: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote.is_some() => escaped = true,
            _ if quote == Some(c) => quote = None,
            '"' if quote.is_none() => quote = Some(c),
            // Some servers write these for the others; within a word it is an apostrophe.
            '\'' if quote.is_none() && before == '=' => quote = Some(c),
            ',' | ';' if quote.is_none() => return at,
            _ => {}
        }
        if !c.is_whitespace() {
            before = c;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn headers() {
        for (header, expected) in [
            (
                "<https://h/?page=2>; rel=\"next\"",
                Some("https://h/?page=2"),
            ),
            ("<https://h/?page=2>; rel=next", Some("https://h/?page=2")),
            (
                "</a>; rel=\"prev\", </b>; rel=\"next\", </c>; rel=\"last\"",
                Some("/b"),
            ),
            ("</a>; title=\"x, <y>; rel=next\"; rel=prev", None),
            (
                "</a>; title=\"x; rel=next\\\"; rel=next\", </b>; rel=next",
                Some("/b"),
            ),
            ("</a> ; rel=next ; title=x", Some("/a")),
            ("</a?x=1,2>; rel=\"last next\"", Some("/a?x=1,2")),
            ("</a;b=1>;rel=next", Some("/a;b=1")),
            ("</a>;REL=Next", Some("/a")),
            ("</a?x='1'>; rel='next'", Some("/a?x='1'")),
            (
                "</a>; title='b, c; rel=next', </b>; rel = 'last next'",
                Some("/b"),
            ),
            ("</a>; title=it's; rel=next", Some("/a")),
            ("</a>; title=\"a > b, c\"; rel=next", Some("/a")),
            (
                "</a>; title=\"a > b\"; rel=prev, </b>; rel=next",
                Some("/b"),
            ),
            ("< /a >; rel=next", Some("/a")),
            ("<>; rel=next", Some("")),
            // Only the first `rel` counts, and `rev` is not `rel`.
            ("</a>; rel=prev; rel=next, </b>; rel=next", Some("/b")),
            ("</a>; rev=next", None),
            ("</a>; anchor=\"#x\"; rel=next, </b>; rel=next", Some("/b")),
            ("</a>; rel, </b>; rel=", None),
            ("</a>; rel=\"nextish\"", None),
            ("</a>; rel=next\"", Some("/a")),
            ("</a>", None),
            ("/a; rel=next", None),
            ("", None),
            ("<", None),
        ] {
            assert_eq!(target(header, "next"), expected, "{header}");
        }
    }

    #[test]
    fn relations() {
        let header =
            "</1>; rel=\"self\", </2>; rel=\"prev first\", <//c/3>; rel=\"https://h/Rel up\"";
        for (relation, expected) in [
            ("self", Some("/1")),
            ("first", Some("/2")),
            ("FIRST", Some("/2")),
            ("https://h/rel", Some("//c/3")),
            ("last", None),
            ("prev first", None),
            ("", None),
        ] {
            assert_eq!(target(header, relation), expected, "{relation}");
        }
    }
}
